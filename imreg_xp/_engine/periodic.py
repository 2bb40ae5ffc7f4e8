r"""The fast estimator: periodic images, uniform noise, every pixel valid. Three FFTs a pair and little else.

.. math:: C(d) = \frac{1}{N} \sum_\nu W X\, e^{2\pi i \nu d}, \qquad X = \bar R M

is a trigonometric polynomial: its value, gradient and Hessian are exact at any real d from separable columns. Gain and
background do not move its maximum. With noise in both images (powers P_r, P_m per mode) the score
:math:`u_i = -\sum W 2\pi\nu_i\, \mathrm{Im}(X e^{2\pi i\nu d})` has the covariance
:math:`J = \sum W^2 (|R|^2 P_m + |M|^2 P_r - P_r P_m)(2\pi\nu)(2\pi\nu)^T` and cov(d) = H^-1 J H^-1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from .._array import Array, Namespace, accumulator_dtype
from .._static import table
from ..fft_tools._dft import (
    contract,
    derivative,
    fourier_translate,
    irfft,
    rfft,
    slopes_and_bends,
    taylor_basis,
)
from ._linalg import inverse
from .peaks import argmax, peak_within
from .periodic_errors import Peak, Spectra, fit_at
from .problem import Options, Side, inner, normalised
from .result import Registration, Status, finish
from .spectrum import Rings, power, radial_mean, spread, weights_from_all_powers, white_floor

__all__ = ["solve"]

_NEWTON_STEPS = 3
_FINE = 16  # samples per pixel of the local grid
_REACH = 1.0  # pixels it reaches around the whole-pixel peak
_ORDERS = 28  # Taylor coefficients per axis: (1.25 pi)^28 / 28! = 1e-13


def solve(reference: Side, moving: Side, options: Options, *, xp: Namespace) -> Registration:
    """Register `moving` on `reference`, both (batch, ...); errors are numbers per item or None."""
    (reference, norm_r), (moving, norm_m) = normalised(reference, moving, options, xp=xp)
    shape, dtype, errors = tuple(reference.image.shape[1:]), moving.image.dtype, (reference.err, moving.err)
    spectra = _transformed(reference, moving, options, xp=xp)
    # what is held no longer than needed stays in the memory at hand: fresh pages cost more than the arithmetic on them
    del reference, moving
    weights = None
    if errors[0] is not None:
        weights, lag, on_border = _weighted_search(spectra, errors[0], errors[1], options, xp=xp)
    else:
        lag, on_border = _search(spectra.cross, shape, options.limits, xp=xp)
    peak = _refined(spectra.cross if weights is None else spectra.cross * weights, lag, shape, xp=xp)
    pixels = math.prod(shape)
    dof = pixels - len(shape) - options.fit_scale - options.fit_background
    fit = fit_at(spectra, errors, peak, weights, dof, options, xp=xp)
    one = xp.ones_like(peak.value)
    flags = {
        Status.FLAT_IMAGE: norm_r.flat | norm_m.flat,
        Status.SEARCH_BORDER: on_border,
        Status.NOT_CONVERGED: ~(peak.value > 0),
        Status.TOO_FEW_VALID: one * pixels < 3 * (pixels - dof),
    }
    return finish(
        peak.offset,
        peak.step,
        fit.covariance,
        scale=fit.scale,
        background=xp.zeros_like(fit.scale),
        chi2=fit.chi2,
        dof=one * dof,
        overlap=one,
        flags=flags,
        norms=(norm_r, norm_m),
        limits=options.limits,
        dtype=dtype,
        xp=xp,
    )


def _transformed(reference: Side, moving: Side, options: Options, *, xp: Namespace) -> Spectra:
    """Return the spectra that will be needed, and the sums of squares that the images are needed for."""
    shape = tuple(reference.image.shape[1:])
    acc = accumulator_dtype(reference.image, xp=xp)
    squares = tuple(math.prod(shape) * inner(side.image, side.image, acc, xp=xp) for side in (reference, moving))
    r, m = (rfft(side.image, side.ndim, xp=xp) for side in (reference, moving))
    known = reference.err is not None
    return Spectra(r if known or not options.correlated else None, m if known else None, xp.conj(r) * m, shape, squares)


def _search(cross: Array, shape: Sequence[int], limits: Sequence[float], *, xp: Namespace) -> tuple[Array, Array]:
    """Return the whole-pixel lag of the maximum of C, and whether it is at the limits of the search."""
    return peak_within(irfft(cross, shape, xp=xp), limits, xp=xp)


def _refined(cross: Array, lag: Array, shape: Sequence[int], *, xp: Namespace) -> Peak:
    """Return the maximum of C next to a whole-pixel lag, from one contraction.

    Around the lag C is its Taylor polynomial, to rounding within `_REACH` pixels: (pi x)^j / j! has died out. The best
    of a grid of `_FINE` samples per pixel comes first: from the whole-pixel peak Newton's method diverges in one of ten
    shallow spectra, from there it was not seen to.
    """
    ndim = len(shape)
    taylor = xp.real(contract(cross, taylor_basis(shape, lag, _ORDERS, xp=xp), xp=xp))
    count = round(_FINE * _REACH)
    values = table(_powers, count, _FINE, _ORDERS, dtype=lag.dtype, like=lag, xp=xp)
    factor, power = (table(_falling, _ORDERS, part, dtype=lag.dtype, like=lag, xp=xp) for part in range(2))
    best = argmax(contract(taylor, [values] * ndim, xp=xp), xp=xp)
    offset = (xp.astype(best, lag.dtype) - count) / _FINE
    for _ in range(_NEWTON_STEPS):
        columns = factor * offset[..., None, None] ** power
        here = contract(taylor, [columns[:, i, ...] for i in range(ndim)], xp=xp)
        slope, bend = slopes_and_bends(here, xp=xp)
        step = xp.matmul(inverse(-bend, xp=xp), slope[..., None])[..., 0]
        step = xp.where(xp.isfinite(step), xp.minimum(xp.maximum(step, -0.25), 0.25), 0.0)
        offset = offset + step
    # value and curvature before the last step: it is 1e-5 pixels or, where it is not small, no convergence
    return Peak(lag + offset, step, derivative(here), -bend)


def _powers(count: int, fine: int, orders: int) -> np.ndarray:
    """(1, orders, points): what sums a Taylor series on a grid of `fine` points per pixel."""
    return (np.arange(-count, count + 1) / fine)[None, None, :] ** np.arange(orders)[None, :, None]


def _falling(orders: int, part: int) -> np.ndarray:
    """(orders, 3): factor and power of x in the k-th derivative of x^j, j! / (j - k)! x^(j - k)."""
    j = np.arange(orders)[:, None]
    if part == 0:
        return np.concatenate([np.ones_like(j), j, j * (j - 1)], axis=1)
    return np.maximum(j - np.arange(3), 0)


def _weighted_search(
    spectra: Spectra, err_r: Array, err_m: Array | None, options: Options, *, xp: Namespace
) -> tuple[Array, Array, Array]:
    """Return maximum-likelihood weights (modes), whole-pixel lag and border flag for known noise in the reference.

    The common signal S comes first from the auto-powers less the noise, then from these and the cross-power at the
    offset found.
    """
    n, shape = math.prod(spectra.shape), spectra.shape
    r, modes = radial_mean(power(spectra.reference, xp=xp), shape, xp=xp)
    m = radial_mean(power(spectra.moving, xp=xp), shape, xp=xp)[0]

    def without_mean(a: Array) -> Array:
        # ring 0 is the mean, which tells nothing of the offset; two pixels have no other
        return xp.concat([a[:, 1:2], a[:, 1:]], axis=1) if a.shape[1] > 1 else a

    r, m = without_mean(r), without_mean(m)
    p_r = xp.astype(err_r, r.dtype) ** 2 * n + 0 * m[:, 0]
    p_m = white_floor(m, shape, xp=xp) if err_m is None else xp.astype(err_m, r.dtype) ** 2 * n + 0 * m[:, 0]
    rings = Rings(r + 0 * m, m, 0 * m, modes + 0 * m)
    total_r, total_m = (xp.sum(modes * (x - p[:, None]), axis=1) for x, p in ((r, p_r), (m, p_m)))
    usable = (total_r > 0) & (total_m > 0)
    gain = xp.sqrt(xp.where(usable, total_m, 1.0) / xp.where(usable, total_r, 1.0))

    def filtered(cross: Array | None, gain: Array) -> Array:
        weights = weights_from_all_powers(rings._replace(cross=cross), gain, (p_r, p_m), xp=xp)
        return spread(weights, shape, xp.real(spectra.cross).dtype, xp=xp)

    weighted = spectra.cross * filtered(None, gain)
    lag, on_border = _search(weighted, shape, options.limits, xp=xp)
    offset = _refined(weighted, lag, shape, xp=xp).offset
    aligned = fourier_translate(spectra.cross, -offset, shape, xp=xp)
    cross = without_mean(radial_mean(xp.real(aligned), shape, xp=xp)[0])
    gain = _ring_gain(rings._replace(cross=cross), p_r, xp=xp)
    return filtered(cross, gain), lag, on_border


def _ring_gain(rings: Rings, p_r: Array, *, xp: Namespace) -> Array:
    """Return the gain of `moving` with the noise taken off the power of the reference (ring 0 is the mean)."""
    signal = xp.sum((rings.modes * (rings.reference - p_r[:, None]))[:, 1:], axis=1)
    cross = xp.sum((rings.modes * rings.cross)[:, 1:], axis=1)
    usable = (signal > 0) & (cross > 0)
    return xp.where(usable, cross, xp.ones_like(cross)) / xp.where(usable, signal, xp.ones_like(signal))
