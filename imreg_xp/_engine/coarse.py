"""Whole-pixel offset of two images by weighted normalised correlation over their overlap (Padfield 2012).

For every lag d the correlation coefficient of r(x - d) and m(x) over the pixels both hold, weights in both:

    rho(d) = [S11 S00 - S10 S01] / sqrt([S20 S00 - S10^2] [S02 S00 - S01^2]),  S_ij = (w_r r^i) * (w_m m^j),

six correlations by FFT; gain and background drop out. Both images are low-passed first where their spectrum sinks into
its noise floor: red images in white noise correlate well at many wrong lags. doi:10.1109/TIP.2011.2181402
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from .._array import Array, Namespace, accumulator_dtype, device_of
from .._fft_length import fast_length
from ..fft_tools._dft import along, irfft, part, rfft
from .fill import crop
from .peaks import argmax, take_at
from .problem import Side, over_image, precision
from .spectrum import wiener

__all__ = ["Coarse", "bin_down", "binned", "search", "weighted_ncc"]

_NEVER = -1e30  # score of a lag that may not be chosen


class Coarse(NamedTuple):
    """Offset (batch, ndim) of the best lag, sub-pixel by a parabola; whether it is on the search border, or none."""

    offset: Array
    on_border: Array
    found: Array
    score: Array
    """(batch,) log-likelihood per pixel that it gains."""


def bin_down(image: Array, weight: Array, factors: Sequence[int], *, xp: Namespace) -> tuple[Array, Array]:
    """Average blocks of `factors` pixels with weights; what does not fill a block at the end is left out."""
    if all(f == 1 for f in factors):
        return image, weight
    w = _block_sum(weight, factors, xp=xp)
    x = _block_sum(image * weight, factors, xp=xp)
    return x / xp.where(w > 0, w, xp.ones_like(w)), w / math.prod(factors)


def binned(side: Side, factors: Sequence[int], *, xp: Namespace) -> Side:
    """Return the image in blocks of `factors` pixels; a block is valid if half of its best possible weight is."""
    if max(factors) == 1:
        return side
    w = precision(side, xp=xp)
    image, weight = bin_down(side.image, w, factors, xp=xp)
    err = None
    if side.err is not None and side.err.ndim > 1:
        err = 1 / xp.sqrt(xp.where(weight > 0, weight, xp.ones_like(weight)))
        valid = weight > 0
    else:
        valid = weight > 0.5
    return Side(image, None if side.valid is None else valid, err)


def _block_sum(x: Array, factors: Sequence[int], *, xp: Namespace) -> Array:
    for axis, f in enumerate(factors):
        k = axis + 1
        n = x.shape[k] // f
        x = part(x, k, 0, n * f)
        x = xp.sum(xp.reshape(x, (*x.shape[:k], n, f, *x.shape[k + 1 :])), axis=k + 1)
    return x


def _denoised(x: Array, w: Array, *, xp: Namespace) -> Array:
    """Low-pass an image where its spectrum sinks into its noise floor, with the invalid pixels left out."""
    shape = x.shape[1:]
    grid = fast_length([n + max(n // 4, 1) for n in shape])
    good = xp.astype(w > 0, x.dtype)
    both = rfft(xp.stack([x * good, good], axis=1), len(grid), xp=xp, s=grid)
    gain = wiener(both[:, 0, ...], grid, xp=xp)
    passed = irfft(both * gain[:, None, ...], grid, xp=xp) / math.prod(grid)
    value, share = crop(passed[:, 0, ...], shape), crop(passed[:, 1, ...], shape)
    return good * value / xp.where(share > 0.2, share, xp.ones_like(share))


def weighted_ncc(
    reference: Array, w_r: Array, moving: Array, w_m: Array, grid: Sequence[int], *, xp: Namespace
) -> tuple[Array, Array, Array]:
    """Return rho, the variance of `moving` in the overlap, and S00, on the lags of the (padded) `grid`."""
    ndim = len(grid)
    a = rfft(xp.stack([w_r, w_r * reference, w_r * reference**2], axis=1), ndim, xp=xp, s=grid)
    b = rfft(xp.stack([w_m, w_m * moving, w_m * moving**2], axis=1), ndim, xp=xp, s=grid)
    pairs = ((0, 0), (1, 0), (0, 1), (1, 1), (2, 0), (0, 2))
    cross = xp.stack([xp.conj(a[:, i, ...]) * b[:, j, ...] for i, j in pairs], axis=1)
    s = irfft(cross, grid, xp=xp) / math.prod(grid)
    s00, s10, s01, s11, s20, s02 = (s[:, i, ...] for i in range(6))
    covariance = s11 * s00 - s10 * s01
    var_r = s20 * s00 - s10 * s10
    var_m = s02 * s00 - s01 * s01
    # differences of large sums: below this they are rounding errors
    tol = 1e3 * xp.finfo(s.dtype).eps
    axes = over_image(s00)
    varied = (var_r > tol * xp.max(abs(var_r), axis=axes, keepdims=True)) & (
        var_m > tol * xp.max(abs(var_m), axis=axes, keepdims=True)
    )
    rho = covariance / xp.sqrt(xp.where(varied, var_r * var_m, xp.ones_like(var_r)))
    rho = xp.where(varied, xp.minimum(xp.maximum(rho, -1.0), 1.0), xp.zeros_like(rho))
    best = xp.max(s00, axis=axes, keepdims=True)
    local = var_m / xp.where(s00 > 1e-3 * best, s00 * s00, xp.ones_like(s00))
    return rho, local, s00


def _roughness(x: Array, w: Array, *, xp: Namespace) -> Array:
    """Return half the mean squared difference of neighbours, (batch, 1, ..., 1): what a pixel tells about the next."""
    axes = over_image(x)
    total, count = 0.0, 0.0
    for k in axes:
        both = part(w, k, None, -1) * part(w, k, 1, None)
        rise = part(x, k, 1, None) - part(x, k, None, -1)
        total = total + xp.sum(both * rise**2, axis=axes, keepdims=True)
        count = count + xp.sum(both, axis=axes, keepdims=True)
    return 0.5 * total / xp.where(count > 0, count, xp.ones_like(count))


def _evidence(rho: Array, variance: Array, share: Array, allowed: Array, rough: Array, *, xp: Namespace) -> Array:
    """Return the log-likelihood per pixel that a lag gains, `_NEVER` where it is not allowed.

    The residual variance is (1 - rho^2) times the variance in the overlap. It is compared with what is plausible for a
    match, twice what a pixel leaves unexplained of its own neighbour or twice the least residual found: a wrong lag
    with a large overlap must not win by explaining a little of a lot.
    """
    left = variance * xp.minimum(xp.maximum(1 - rho * rho, max(1e-6, 100 * xp.finfo(rho.dtype).eps)), 1.0)
    far = xp.where(allowed, left, xp.full_like(left, math.inf))
    level = 2 * xp.maximum(rough, xp.min(far, axis=over_image(rho), keepdims=True))
    usable = allowed & (left > 0)
    ratio = xp.where(usable, xp.minimum(variance, level) / xp.where(usable, left, xp.ones_like(left)), 0 * left + 1)
    return xp.where(usable, share * xp.log(ratio), xp.full_like(rho, _NEVER))


def search(
    reference: Array,
    w_r: Array,
    moving: Array,
    w_m: Array,
    *,
    wrap: bool,
    limits: Sequence[float],
    min_overlap: float,
    origin: Sequence[float] = (0.0, 0.0, 0.0),
    xp: Namespace,
) -> Coarse:
    """Find the best lag within `limits` (pixels per axis) of the `origin` and `min_overlap` (of the smaller image)."""
    n_r, n_m = reference.shape[1:], moving.shape[1:]
    grid = tuple(n_m) if wrap else fast_length([a + b - 1 for a, b in zip(n_r, n_m, strict=True)])
    reference = _denoised(reference, w_r, xp=xp)
    moving = _denoised(moving, w_m, xp=xp)
    rho, variance, s00 = weighted_ncc(reference, w_r, moving, w_m, grid, xp=xp)
    # the first lag that is not negative in the upper part of each axis
    turn = tuple(n - (n // 2 if wrap else r - 1) for n, r in zip(grid, n_r, strict=True))
    bounds = list(zip(origin, limits, strict=False))
    allowed = _allowed(grid, turn, n_r, n_m, moving, wrap=wrap, bounds=bounds, min_overlap=min_overlap, xp=xp)
    most = xp.max(s00, axis=over_image(s00), keepdims=True)
    share = s00 / xp.where(most > 0, most, xp.ones_like(most))
    allowed = allowed & (share > 0.5 * min_overlap)
    rough = _roughness(moving, w_m, xp=xp)
    score = _evidence(xp.maximum(rho, 0.0), variance, share, allowed, rough, xp=xp)
    # only a lag that correlates is a match, but one that does not may lie beside it
    index = argmax(xp.where(rho > 0, score, xp.full_like(score, _NEVER)), xp=xp)
    correlated = take_at(rho, index[:, None, :], xp=xp)[:, 0] > 0
    return _describe(score, index, correlated, turn, xp=xp)


def _describe(score: Array, index: Array, correlated: Array, turn: Sequence[int], *, xp: Namespace) -> Coarse:
    """Turn the map of scores and the index of its maximum into a lag; the border is where scores are `_NEVER`."""
    grid = score.shape[1:]
    ndim = len(grid)
    dtype = accumulator_dtype(score, xp=xp)
    steps = xp.eye(ndim, dtype=xp.int64, device=device_of(index))
    points = xp.concat([index[:, None, :], index[:, None, :] - steps, index[:, None, :] + steps], axis=1)
    around = xp.astype(take_at(score, points, xp=xp), dtype)
    peak, below, above = around[:, :1], around[:, 1 : ndim + 1], around[:, ndim + 1 :]
    bend = 2 * peak - below - above
    part = xp.where(bend > 0, (above - below) / (2 * xp.where(bend > 0, bend, xp.ones_like(bend))), 0 * bend)
    n = xp.asarray(list(grid), dtype=dtype, device=device_of(index))
    first = xp.asarray(list(turn), dtype=dtype, device=device_of(index))
    lag = xp.astype(index, dtype)
    lag = xp.where(lag >= first, lag - n, lag)
    inside = xp.all(around > 0.5 * _NEVER, axis=1)
    found = correlated & (peak[:, 0] > 0.5 * _NEVER)
    return Coarse(lag + xp.minimum(xp.maximum(part, -0.5), 0.5), ~inside, found, peak[:, 0])


def _allowed(
    grid: Sequence[int],
    turn: Sequence[int],
    n_r: Sequence[int],
    n_m: Sequence[int],
    like: Array,
    *,
    wrap: bool,
    bounds: Sequence[tuple[float, float]],
    min_overlap: float,
    xp: Namespace,
) -> Array:
    """Return the mask (1, *grid) of the lags to look at; it follows from shapes alone."""
    ndim = len(grid)
    dtype = accumulator_dtype(like, xp=xp)
    overlap = xp.ones((1,) * ndim, dtype=dtype, device=device_of(like))
    allowed = overlap > 0
    for axis, (n, r, m, (middle, limit)) in enumerate(zip(grid, n_r, n_m, bounds, strict=True)):
        lag = xp.arange(n, dtype=dtype, device=device_of(like))
        lag = xp.where(lag >= turn[axis], lag - n, lag)
        allowed = allowed & xp.reshape(abs(lag - middle) <= limit, along(n=n, axis=axis, ndim=ndim))
        if not wrap:
            count = xp.minimum(lag + r, m) - xp.maximum(lag, 0)
            overlap = overlap * xp.reshape(xp.maximum(count, 0), along(n=n, axis=axis, ndim=ndim))
    if not wrap:
        allowed = allowed & (overlap >= min_overlap * min(math.prod(n_r), math.prod(n_m)))
    return allowed[None, ...]
