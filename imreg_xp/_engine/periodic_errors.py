"""Errors of the periodic fit: the covariance of its score, mode by mode."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

from .._array import Array, Namespace
from ..fft_tools._dft import contract, dft_basis, fourier_translate, slopes_and_bends
from ..fft_tools._modes import mode_sums, moment_columns
from ._linalg import inverse
from .problem import Options, column
from .spectrum import power

__all__ = ["Fit", "Peak", "Spectra", "fit_at"]


class Peak(NamedTuple):
    """Maximum of C: offset, last step, N C and -N times the Hessian of C there."""

    offset: Array
    step: Array
    value: Array
    hessian: Array


class Spectra(NamedTuple):
    """Transforms of both images, (batch, modes...), where they are needed, and their cross-power."""

    reference: Array | None
    moving: Array | None
    cross: Array
    shape: tuple[int, ...]
    squares: tuple[Array, ...]
    """N times the sum of squares of each image, (batch,): the sum of its power over all modes."""


class Fit(NamedTuple):
    """What the normalised images give at the maximum; they are of one level, with no background between them."""

    covariance: Array
    scale: Array
    chi2: Array


def fit_at(
    spectra: Spectra,
    errors: tuple[Array | None, Array | None],
    peak: Peak,
    weights: Array | None,
    dof: int,
    options: Options,
    *,
    xp: Namespace,
) -> Fit:
    """Return covariance, gain and chi2 at the offset, for the normalised images."""
    n = math.prod(spectra.shape)
    rr, mm = spectra.squares
    cross = peak.value if weights is None else _value(spectra, peak.offset, xp=xp)
    p_r = xp.zeros_like(cross) if errors[0] is None else n * errors[0] ** 2
    signal = rr - n * p_r
    scale = xp.ones_like(cross)
    if options.fit_scale:
        scale = cross / xp.where(signal > 0, signal, xp.ones_like(signal))
    # differences of large sums: rounding may take them below zero
    square = xp.maximum(mm - 2 * scale * cross + scale**2 * rr, 0.0) / n
    # too few pixels are reported as such, not as a division by zero
    found = square / max(dof, 1)
    known = errors[1] is not None
    unit = found if errors[1] is None else errors[1] ** 2 + scale**2 * p_r / n
    p_m = xp.maximum(n * unit - scale**2 * p_r, 0.0)
    if options.correlated:
        # the residuals give the shape of the noise, the given errors its level
        level = unit / xp.where(found > 0, found, xp.ones_like(found)) if known else n / max(dof, 1)
        j = _empirical(spectra, peak.offset, weights, xp=xp) * xp.reshape(level + 0 * found, (-1, 1, 1))
    else:
        j = _white(spectra, weights, p_r, p_m, scale, (rr, cross, peak.hessian), errors, xp=xp)
    h = inverse(peak.hessian, xp=xp)
    covariance = xp.matmul(xp.matmul(h, j), h)
    chi2 = square / unit if known else dof + 0 * square
    return Fit(covariance, scale, chi2)


def _moments(values: Array, shape: Sequence[int], *, xp: Namespace) -> Array:
    """Return the full-plane sums of values * (2 pi nu)(2 pi nu)^T, (batch, ndim, ndim), of a real even spectrum."""
    return slopes_and_bends(contract(values, moment_columns(shape, values, xp=xp), xp=xp), xp=xp)[1]


def _empirical(spectra: Spectra, offset: Array, weights: Array | None, *, xp: Namespace) -> Array:
    """Return J from the scatter of the modes themselves: E[Im(X e)^2] is half of what each pair of modes adds.

    It holds for noise of any spectrum in either image: |R|^2 |M|^2 - Re(X e)^2 = Im(X e)^2.
    """
    aligned = xp.imag(fourier_translate(spectra.cross, -offset, spectra.shape, xp=xp))
    if weights is not None:
        aligned = aligned * weights
    return 2 * _moments(aligned * aligned, spectra.shape, xp=xp)


def _white(
    spectra: Spectra,
    weights: Array | None,
    p_r: Array,
    p_m: Array,
    scale: Array,
    sums: tuple[Array, Array, Array],
    errors: tuple[Array | None, Array | None],
    *,
    xp: Namespace,
) -> Array:
    """Return J for white noise of powers P_r and P_m per mode; with no error given the two are told apart first."""
    r = power(spectra.reference, xp=xp)
    if errors[0] is not None:
        lay = functools.partial(column, like=r, xp=xp)
        j = r * lay(p_m) + power(spectra.moving, xp=xp) * lay(p_r) - lay(p_r * p_m)
        return _moments(j if weights is None else j * weights * weights, spectra.shape, xp=xp)
    slopes = _moments(r, spectra.shape, xp=xp)
    j = slopes * p_m[:, None, None]
    if errors[1] is not None:
        return j
    modes = mode_sums(spectra.shape, p_m, xp=xp)
    # flat images have no gain
    gain = xp.where(scale == 0, xp.ones_like(scale), scale)
    p_r = _reference_noise(slopes, modes, *sums, p_m / gain**2, math.prod(spectra.shape), xp=xp)
    return j - modes * (gain * p_r)[:, None, None] ** 2


def _reference_noise(
    slopes: Array, modes: Array, rr: Array, cross: Array, hessian: Array, most: Array, n: int, *, xp: Namespace
) -> Array:
    """Return the power of white noise in the reference that makes its spectrum agree with the cross-spectrum.

    The curvature of C holds no noise power, that of the autocorrelation of the reference does; so do their values.
    """
    g, k, h = (xp.linalg.trace(a) for a in (slopes, modes, hessian))
    below = n * h - k * cross
    p = (h * rr - g * cross) / xp.where(below < 0, below, -xp.ones_like(below))
    return xp.where(below < 0, xp.minimum(xp.maximum(p, 0.0), most), xp.zeros_like(p))


def _value(spectra: Spectra, offset: Array, *, xp: Namespace) -> Array:
    """Return N C at the offset, without weights."""
    table = contract(spectra.cross, dft_basis(spectra.shape, offset[..., None], xp=xp), xp=xp)
    return xp.reshape(xp.real(table), (-1,))
