"""Errors of the periodic fit: the covariance of its score, mode by mode."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

from .._array import Array, Namespace, accumulator_dtype
from .._bounds import at_least
from .._kernels import elementwise
from .._providers import product
from ..fft_tools._dft import dft_basis, shift_waves
from ..fft_tools._modes import mode_sums, moment_columns
from ..fft_tools._sums import contract, slopes_and_bends
from ._linalg import inverse, trace
from .problem import Options, column
from .spectrum import power
from .subpixel import Peak
from .transformed import Transformed

__all__ = ["Fit", "Pair", "evidence", "fit_at"]


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


class _Noise(NamedTuple):
    """Gain, and the noise at the maximum, per pixel of the normalised images (batch,)."""

    scale: Array
    varying: Array
    """Mean square of the residuals, less their mean."""
    found: Array
    """That of all of them."""
    known: Array | None
    """What the given errors make it."""
    p_r: Array | None
    """Power per mode in the reference where it is known, and in the moving image."""
    p_m: Array


def evidence(
    pair: Pair, peak: Peak, weights: Array | None, options: Options, *, xp: Namespace
) -> tuple[Array, Array | None]:
    """Return what `fit_at` needs of the modes: N C without weights, and moments of J unless it is a matter of sums."""
    value = peak.value if weights is None else _value(pair, peak.offset, xp=xp)
    if options.errors and options.correlated:
        return value, _empirical(pair, peak.offset, weights, xp=xp)
    if not options.errors or pair.reference.err is None:
        return value, None
    r, m = (side._replace(spectrum=None) for side in (pair.reference, pair.moving))
    noise = _noise_at(r, m, value, options, xp=xp)
    return value, _known_white(pair, weights, noise.p_r, noise.p_m, xp=xp)


def fit_at(
    r: Transformed,
    m: Transformed,
    peak: Peak,
    value: Array,
    scatter: Array | None,
    options: Options,
    *,
    xp: Namespace,
) -> Fit:
    """Return covariance, gain and chi2 at the offset, for the normalised images, with what `evidence` gives."""
    noise, n, dof = _noise_at(r, m, value, options, xp=xp), math.prod(m.shape), _dof(m, options)
    h = inverse(peak.hessian, xp=xp)
    # what is the same all along an axis has the curvature of rounding errors there
    level = xp.any(xp.linalg.diagonal(h) * peak.value[:, None] > _BROADEST**2, axis=1)
    h = xp.where(level[:, None, None], math.nan, h)
    if not options.errors:
        return Fit(0 * h, noise.scale, None)
    if scatter is None:
        slopes = slopes_and_bends(r.moments, xp=xp)[1]
        j = slopes * noise.p_m[:, None, None]
        if noise.known is None:
            j = j - _white_in_both(r, slopes, value, peak.hessian, noise, xp=xp)
    else:
        j = slopes_and_bends(scatter, xp=xp)[1]
    if options.correlated:
        # the residuals give the shape of the noise, the given errors its level; a wrong mean level is none of either
        usable = xp.where(noise.varying > 0, noise.varying, 1.0)
        j = 2 * j * (n / dof if noise.known is None else (noise.known / usable)[:, None, None])
    covariance = xp.matmul(xp.matmul(h, j), h)
    return Fit(covariance, noise.scale, None if m.err is None else dof * noise.found / noise.known)


def _dof(m: Transformed, options: Options) -> int:
    return max(math.prod(m.shape) - len(m.shape) - options.fit_scale - options.fit_background, 1)


def _noise_at(r: Transformed, m: Transformed, value: Array, options: Options, *, xp: Namespace) -> _Noise:
    n, dof = math.prod(m.shape), _dof(m, options)
    low_r, low_m = (0.0 if x.level is None else x.level for x in (r, m))
    p_r = None if r.err is None else n * r.err**2
    signal = r.square + low_r * low_r
    signal = signal if p_r is None else signal - n * p_r
    scale = r.norm.top / m.norm.top
    if options.fit_scale:
        scale = (value + low_r * low_m) / xp.where(signal > 0, signal, 1.0)
    # differences of large sums: rounding may take them below zero, and too few pixels are reported as such
    varying = at_least(m.square - scale * (2 * value - scale * r.square), 0.0, xp=xp) / (1.0 * n * dof)
    found = varying + (low_m - scale * low_r) ** 2 / (1.0 * n * dof)
    known = None if m.err is None else m.err**2 + (0 if p_r is None else scale**2 * p_r / n)
    p_m = n * (found if known is None else known)
    if p_r is not None:
        p_m = at_least(p_m - scale**2 * p_r, 0.0, xp=xp)
    return _Noise(scale, varying, found, known, p_r, p_m)


def _moments(values: Array, shape: Sequence[int], *, xp: Namespace) -> Array:
    """Return the sums of a real even spectrum times up to two powers of 2 pi nu per axis, (batch, 3, ...)."""
    acc = accumulator_dtype(values, xp=xp)
    return contract(values, moment_columns(shape, values, xp=xp), dtype=acc, xp=xp)


def _empirical(pair: Pair, offset: Array, weights: Array | None, *, xp: Namespace) -> Array:
    """Return the moments of J / 2 from the scatter of the modes themselves: E[Im(X e)^2] is half of what a pair adds.

    It holds for noise of any spectrum in either image: |R|^2 |M|^2 - Re(X e)^2 = Im(X e)^2.
    """
    factor = None if pair.unit is None else 1 / pair.unit
    waves = shift_waves(pair.shape, -offset, pair.cross.dtype, factor=factor, xp=xp)
    return _moments(_scattered(pair.cross, weights, *waves, xp=xp), pair.shape, xp=xp)


@elementwise
def _scattered(cross: Array, weights: Array | None, first: Array, *waves: Array, xp: Namespace) -> Array:
    aligned = xp.imag(functools.reduce(product, waves, cross * first))
    aligned = aligned if weights is None else aligned * weights
    return aligned * aligned


def _known_white(pair: Pair, weights: Array | None, p_r: Array, p_m: Array, *, xp: Namespace) -> Array:
    """Return the moments of J for white noise of known powers P_r and P_m per mode."""
    r = power(pair.reference.spectrum, xp=xp)
    lay = functools.partial(column, like=r, xp=xp)
    j = r * lay(p_m) + power(pair.moving.spectrum, xp=xp) * lay(p_r) - lay(p_r * p_m)
    return _moments(j if weights is None else j * weights * weights, pair.shape, xp=xp)


def _white_in_both(
    r: Transformed, slopes: Array, value: Array, hessian: Array, noise: _Noise, *, xp: Namespace
) -> Array:
    r"""Return what to take off :math:`P_m \sum |R|^2 (2\pi\nu)(2\pi\nu)^T` as the reference holds part of the noise.

    Its power P_r makes the spectrum of the reference agree with the cross-spectrum: the curvature and the value of C
    hold no noise power, those of the autocorrelation of the reference do.
    """
    # flat images have no gain
    gain, p_m = xp.where(noise.scale == 0, 1.0, noise.scale), noise.p_m
    modes = mode_sums(r.shape, p_m, xp=xp)
    g, h, k = (trace(a) for a in (slopes, hessian, modes))
    above = k * value - math.prod(r.shape) * h
    p = (g * value - h * r.square) / xp.where(above > 0, above, math.inf)
    both = gain * xp.minimum(at_least(p, 0.0, xp=xp), p_m / (gain * gain))
    return modes * (both * both)[:, None, None]


def _value(pair: Pair, offset: Array, *, xp: Namespace) -> Array:
    """Return N C at the offset, without weights."""
    table = contract(pair.cross, dft_basis(pair.shape, offset[..., None], xp=xp), xp=xp)
    return xp.reshape(xp.real(table), (-1,))
