"""Errors of the periodic fit: the covariance of its score, mode by mode."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

from .._array import Array, Namespace
from ..fft_tools._dft import contract, dft_basis, fourier_translate, slopes_and_bends
from ..fft_tools._modes import mode_sums, moment_columns
from ._linalg import inverse, trace
from .problem import Options, column
from .spectrum import power
from .subpixel import Peak
from .transformed import Transformed

__all__ = ["Fit", "Pair", "fit_at"]


_BROADEST = 1e6  # pixels: a peak of that width is none


class Pair(NamedTuple):
    """Two images, transformed, and their cross-power."""

    reference: Transformed
    moving: Transformed
    cross: Array
    unit: Array | None
    """What the cross-power is still to be divided by, (batch,)."""
    shape: tuple[int, ...]


class Fit(NamedTuple):
    """What the normalised images give at the maximum; they are of one level, with no background between them."""

    covariance: Array
    scale: Array
    chi2: Array | None
    """None where the level of the noise was estimated: that makes it the degrees of freedom."""


def fit_at(pair: Pair, peak: Peak, weights: Array | None, dof: int, options: Options, *, xp: Namespace) -> Fit:
    """Return covariance, gain and chi2 at the offset, for the normalised images."""
    n, (r, m) = math.prod(pair.shape), (pair.reference, pair.moving)
    errors = (r.err, m.err)
    value = peak.value if weights is None else _value(pair, peak.offset, xp=xp)
    low_r, low_m = (0.0 if x.level is None else x.level for x in (r, m))
    p_r = None if errors[0] is None else n * errors[0] ** 2
    signal = r.square + low_r * low_r
    signal = signal if p_r is None else signal - n * p_r
    scale = r.norm.top / m.norm.top
    if options.fit_scale:
        scale = (value + low_r * low_m) / xp.where(signal > 0, signal, 1.0)
    h = inverse(peak.hessian, xp=xp)
    # what is the same all along an axis has the curvature of rounding errors there
    level = xp.any(xp.linalg.diagonal(h) * peak.value[:, None] > _BROADEST**2, axis=1)
    h = xp.where(level[:, None, None], math.nan, h)
    if not options.errors:
        return Fit(0 * h, scale, None)
    # differences of large sums: rounding may take them below zero, and too few pixels are reported as such
    varying = xp.maximum(m.square - scale * (2 * value - scale * r.square), 0.0) / (1.0 * n * max(dof, 1))
    found = varying + (low_m - scale * low_r) ** 2 / (1.0 * n * max(dof, 1))
    known = None if errors[1] is None else errors[1] ** 2 + (0 if p_r is None else scale**2 * p_r / n)
    p_m = n * (found if known is None else known)
    if p_r is not None:
        p_m = xp.maximum(p_m - scale**2 * p_r, 0.0)
    if options.correlated:
        # the residuals give the shape of the noise, the given errors its level; a wrong mean level is none of either
        level = n / max(dof, 1) if known is None else (known / xp.where(varying > 0, varying, 1.0))[:, None, None]
        j = _empirical(pair, peak.offset, weights, xp=xp) * level
    elif p_r is not None:
        j = _known_white(pair, weights, p_r, p_m, xp=xp)
    else:
        j = r.slopes * p_m[:, None, None]
        if known is None:
            j = j - _white_in_both(r, value, peak.hessian, p_m, scale, xp=xp)
    covariance = xp.matmul(xp.matmul(h, j), h)
    return Fit(covariance, scale, None if errors[1] is None else max(dof, 1) * found / known)


def _moments(values: Array, shape: Sequence[int], *, xp: Namespace) -> Array:
    """Return the full-plane sums of values * (2 pi nu)(2 pi nu)^T, (batch, ndim, ndim), of a real even spectrum."""
    return slopes_and_bends(contract(values, moment_columns(shape, values, xp=xp), xp=xp), xp=xp)[1]


def _empirical(pair: Pair, offset: Array, weights: Array | None, *, xp: Namespace) -> Array:
    """Return J from the scatter of the modes themselves: E[Im(X e)^2] is half of what each pair of modes adds.

    It holds for noise of any spectrum in either image: |R|^2 |M|^2 - Re(X e)^2 = Im(X e)^2.
    """
    factor = None if pair.unit is None else 1 / pair.unit
    aligned = xp.imag(fourier_translate(pair.cross, -offset, pair.shape, factor=factor, xp=xp))
    if weights is not None:
        aligned = aligned * weights
    return 2 * _moments(aligned * aligned, pair.shape, xp=xp)


def _known_white(pair: Pair, weights: Array | None, p_r: Array, p_m: Array, *, xp: Namespace) -> Array:
    """Return J for white noise of known powers P_r and P_m per mode."""
    r = power(pair.reference.spectrum, xp=xp)
    lay = functools.partial(column, like=r, xp=xp)
    j = r * lay(p_m) + power(pair.moving.spectrum, xp=xp) * lay(p_r) - lay(p_r * p_m)
    return _moments(j if weights is None else j * weights * weights, pair.shape, xp=xp)


def _white_in_both(r: Transformed, value: Array, hessian: Array, p_m: Array, scale: Array, *, xp: Namespace) -> Array:
    r"""Return what to take off :math:`P_m \sum |R|^2 (2\pi\nu)(2\pi\nu)^T` as the reference holds part of the noise.

    Its power P_r makes the spectrum of the reference agree with the cross-spectrum: the curvature and the value of C
    hold no noise power, those of the autocorrelation of the reference do.
    """
    # flat images have no gain
    gain = xp.where(scale == 0, 1.0, scale)
    modes = mode_sums(r.shape, p_m, xp=xp)
    g, h, k = (trace(a) for a in (r.slopes, hessian, modes))
    above = k * value - math.prod(r.shape) * h
    p = (g * value - h * r.square) / xp.where(above > 0, above, math.inf)
    both = gain * xp.minimum(xp.maximum(p, 0.0), p_m / (gain * gain))
    return modes * (both * both)[:, None, None]


def _value(pair: Pair, offset: Array, *, xp: Namespace) -> Array:
    """Return N C at the offset, without weights."""
    table = contract(pair.cross, dft_basis(pair.shape, offset[..., None], xp=xp), xp=xp)
    return xp.reshape(xp.real(table), (-1,))
