r"""Shift and phase between two complex images, from their spectra F and G.

.. math:: C(d) = \frac{1}{N} \sum_k \bar F_k G_k\, e^{2\pi i \nu_k d}

is largest in magnitude where g lies at d from f, and has the phase of g relative to f there (Guizar-Sicairos, Thurman &
Fienup 2008, doi:10.1364/OL.33.000156). Its square has exact derivatives: no grid limits the answer.
"""

from __future__ import annotations

from collections.abc import Sequence

from .._array import Array, Namespace, device_of
from .._bounds import bounded
from ..fft_tools._dft import axes_of, dft_basis
from ..fft_tools._sums import contract, derivative, slopes_and_bends, taylor_sums
from ._linalg import ascent, inverse, symmetric
from .peaks import argmax, peak_within
from .series import on_fine_grid, series_at

__all__ = ["aligned_to", "complex_peak", "offset_covariance", "square"]

_FINE = 16  # samples per pixel of the local grid
_STEPS = 3  # of Newton's method


def complex_peak(cross: Array, limits: Sequence[float], *, refine: bool, xp: Namespace) -> tuple[Array, Array]:
    """Return the offset d (batch, ndim) of the largest C, on whole pixels unless `refine`, and N C(d) (batch,)."""
    values = xp.fft.ifftn(cross, axes=axes_of(cross.ndim - 1), norm="forward")
    _, lag, _ = peak_within(square(values, xp=xp), limits, xp=xp)
    series = series_at(cross, lag, xp=xp)
    if not refine:
        return lag, derivative(series)
    best = argmax(square(on_fine_grid(series, _FINE, xp=xp), xp=xp), xp=xp)
    x = (xp.astype(best, lag.dtype) - _FINE) / _FINE
    for _ in range(_STEPS):
        here = taylor_sums(series, x, xp=xp)
        step = _newton_step(here, xp=xp)
        x = x + step
    return lag + x, _ahead(here, step, xp=xp)


def square(values: Array, *, xp: Namespace) -> Array:
    """Return the square of the absolute value, which takes less than the value itself."""
    re, im = xp.real(values), xp.imag(values)
    return re * re + im * im


def _newton_step(here: Array, *, xp: Namespace) -> Array:
    """Return the step to the maximum of |C|², at most a quarter of a pixel, from C and its derivatives."""
    slopes, bends = slopes_and_bends(here, xp=xp)
    turned = xp.conj(derivative(here))[:, None]
    bend = xp.real(xp.conj(slopes)[:, :, None] * slopes[:, None, :] + turned[..., None] * bends)
    step = ascent(xp.real(turned * slopes), bend, xp=xp)
    return xp.where(xp.isfinite(step), bounded(step, -0.25, 0.25, xp=xp), 0.0)


def _ahead(here: Array, step: Array, *, xp: Namespace) -> Array:
    """Return C a small step on, to second order."""
    slopes, bends = slopes_and_bends(here, xp=xp)
    step = xp.astype(step, here.dtype)
    bend = xp.matmul(bends, step[..., None])[..., 0]
    return derivative(here) + xp.sum(step * (slopes + 0.5 * bend), axis=-1)


def aligned_to(spectrum: Array, offset: Array, phase: Array, *, xp: Namespace) -> Array:
    r"""Return the spectrum of :math:`e^{i\phi} g(x + d)`: image g brought to where and how f is."""
    turn = xp.astype(xp.cos(phase), spectrum.dtype) + 1j * xp.astype(xp.sin(phase), spectrum.dtype)
    columns = dft_basis(spectrum.shape[1:], offset[..., None], half=False, xp=xp)
    spectrum = spectrum * xp.reshape(turn, (-1,) + (1,) * len(columns))
    for axis, column in enumerate(columns):
        lay = (-1, *(n if a == axis else 1 for a, n in enumerate(spectrum.shape[1:])))
        spectrum = spectrum * xp.reshape(xp.astype(column, spectrum.dtype), lay)
    return spectrum


def offset_covariance(cross: Array, *, xp: Namespace) -> Array:
    r"""Return the covariance (batch, ndim, ndim) of the offset, from the scatter of the aligned cross-spectrum.

    X is conj(F) G with offset and phase taken off: noise turns its modes, :math:`\mathrm{Im}\,X` is its trace. With
    :math:`\omega` the angular frequency less its mean, which the fitted phase takes, :math:`H = \sum \mathrm{Re}X\,
    \omega\omega^T`, J the covariance of the score :math:`\sum \mathrm{Im}X\,\omega`, and cov = H^-1 J H^-1. A mode and
    its opposite are independent for complex images and bound for real ones; their product in J holds for both.
    """
    re, im = xp.real(cross), xp.imag(cross)
    opposite = im
    for axis in range(1, im.ndim):
        opposite = xp.roll(xp.flip(opposite, axis=axis), 1, axis=axis)
    total, first, second = _moments(re, xp=xp)
    mean = first / xp.where(total > 0, total, xp.ones_like(total))[:, None]
    outer = mean[:, :, None] * mean[:, None, :]
    h = inverse(second - outer * total[:, None, None], xp=xp)
    total, first, second = _moments(im * im, xp=xp)
    mixed = first[:, :, None] * mean[:, None, :]
    j = second - mixed - xp.matrix_transpose(mixed) + outer * total[:, None, None]
    total, _, second = _moments(im * opposite, xp=xp)
    j = j - second + outer * total[:, None, None]
    return xp.matmul(xp.matmul(h, j), h)


def _moments(values: Array, *, xp: Namespace) -> tuple[Array, Array, Array]:
    """Return the sums of values, of values * omega and of values * omega omega^T over all modes."""
    shape, ndim = tuple(values.shape[1:]), values.ndim - 1
    at = xp.zeros((1, ndim, 1), dtype=values.dtype, device=device_of(values))
    # derivatives of e^(i omega x) at 0: 1, i omega, -omega²
    columns = dft_basis(shape, at, orders=3, half=False, xp=xp)
    table = contract(xp.astype(values, columns[0].dtype), columns, xp=xp)
    first = xp.stack([xp.imag(derivative(table, i)) for i in range(ndim)], axis=-1)
    second = [[-xp.real(derivative(table, i, j)) for j in range(ndim)] for i in range(ndim)]
    return xp.real(derivative(table)), first, symmetric(second, xp=xp)
