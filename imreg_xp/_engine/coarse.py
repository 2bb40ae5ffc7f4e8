"""Whole-pixel offset of two images by weighted normalised correlation over their overlap (Padfield 2012).

For every lag d the correlation coefficient of r(x - d) and m(x) over the pixels both hold, weights in both:

    rho(d) = [S11 S00 - S10 S01] / sqrt([S20 S00 - S10^2] [S02 S00 - S01^2]),  S_ij = (w_r r^i) * (w_m m^j),

six correlations by FFT, or where all pixels are valid one and sums over boxes; gain and background drop out. Both
images are low-passed first where their spectrum sinks into its noise floor: red images in white noise correlate well at
many wrong lags. doi:10.1109/TIP.2011.2181402
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from .._array import Array, Namespace
from .._bounds import at_least
from .._fft_length import fast_length
from .._kernels import elementwise
from .._providers import inverse_transform
from .._static import table
from ..fft_tools._dft import irfft, part, rfft
from .fill import crop
from .lag_grid import Lags, allowed_lags, box_end, lag_at, lags_of, overlap_at
from .peaks import argmax, parabola, take_at
from .problem import Side, over_image, precision
from .spectrum import wiener

__all__ = ["Coarse", "bin_down", "binned", "block_mean", "search", "weights_of"]

_NEVER = -1e30  # score of a lag that may not be chosen
_FINE = 16  # steps per pixel: rounding errors of the search do not reach the fit


class _Sums(NamedTuple):
    """S_ij on all lags of a grid."""

    s00: Array
    s10: Array
    s01: Array
    s11: Array
    s20: Array
    s02: Array


class Coarse(NamedTuple):
    """Offset (batch, ndim) of the best lag, by a parabola to 1/16; whether it is on the search border, or none."""

    offset: Array
    on_border: Array
    found: Array
    score: Array
    """(batch,) log-likelihood per pixel that it gains."""


def bin_down(image: Array, weight: Array, factors: Sequence[int], *, xp: Namespace) -> tuple[Array, Array]:
    """Average blocks of `factors` pixels with weights; what does not fill a block at the end is left out."""
    if all(f == 1 for f in factors):
        return image, weight
    w = _block_sum(weight, factors)
    x = _block_sum(image * weight, factors)
    return x / xp.where(w > 0, w, 1.0), w / math.prod(factors)


def block_mean(image: Array, factors: Sequence[int]) -> Array:
    """Average blocks of `factors` pixels; what does not fill a block at the end is left out."""
    return _block_sum(image, factors) / math.prod(factors)


def weights_of(side: Side, *, xp: Namespace) -> Array | None:
    """Return the precision of the pixels, None where it is that of all."""
    maps = side.valid is not None or (side.err is not None and side.err.ndim > 1)
    return precision(side, xp=xp) if maps else None


def binned(side: Side, factors: Sequence[int], *, xp: Namespace) -> Side:
    """Return the image in blocks of `factors` pixels; a block is valid if half of its best possible weight is."""
    if max(factors) == 1:
        return side
    w = weights_of(side, xp=xp)
    if w is None:
        return Side(block_mean(side.image, factors), None, None)
    image, weight = bin_down(side.image, w, factors, xp=xp)
    err = None
    if side.err is not None and side.err.ndim > 1:
        err = 1 / xp.sqrt(xp.where(weight > 0, weight, 1.0))
        valid = weight > 0
    else:
        valid = weight > 0.5
    return Side(image, None if side.valid is None else valid, err)


def _block_sum(x: Array, factors: Sequence[int]) -> Array:
    for axis, f in enumerate(factors):
        k = axis + 1
        n = x.shape[k] // f
        # a sum of slices: libraries sum over short axes slowly
        x = sum(x[(*(slice(None),) * k, slice(i, n * f, f), ...)] for i in range(f))
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
    return good * value / xp.where(share > 0.2, share, 1.0)


def _weighted_sums(reference: Array, w_r: Array, moving: Array, w_m: Array, lags: Lags, *, xp: Namespace) -> _Sums:
    """Return the sums for any weights, as correlations."""

    def spectra(x: Array, w: Array) -> list[Array]:
        wx = w * x
        return [rfft(a, len(lags.grid), xp=xp, s=lags.grid) for a in (w, wx, wx * x)]

    a = [xp.conj(x) for x in spectra(reference, w_r / math.prod(lags.grid))]
    b = spectra(moving, w_m)
    pairs = ((0, 0), (1, 0), (0, 1), (1, 1), (2, 0), (0, 2))
    return _Sums(*(inverse_transform(a[i] * b[j], lags.grid, keep=False, xp=xp) for i, j in pairs))


def _plain_sums(reference: Array, moving: Array, lags: Lags, *, xp: Namespace) -> _Sums:
    """Return the sums for weights of 1: the overlap is a box, and the sums of one image are those over boxes."""
    ndim = len(lags.grid)
    a, b = (rfft(x, ndim, xp=xp, s=lags.grid) for x in (reference / math.prod(lags.grid), moving))
    s11 = inverse_transform(xp.conj(a) * b, lags.grid, keep=False, xp=xp)
    s00 = table(overlap_at, lags, dtype=moving.dtype, like=moving, large=True, xp=xp)
    s10, s20 = (_over_boxes(x, 0, lags, xp=xp) for x in (reference, reference**2))
    s01, s02 = (_over_boxes(x, 1, lags, xp=xp) for x in (moving, moving**2))
    return _Sums(s00, s10, s01, s11, s20, s02)


def _over_boxes(x: Array, which: int, lags: Lags, *, xp: Namespace) -> Array:
    """Return the sum of an image over the overlap at each lag."""
    # the last axis first: running sums along it are fast
    for axis in reversed(range(len(lags.axes))):
        ends = (
            table(box_end, *lags.axes[axis], which, end, dtype=xp.int64, like=x, xp=xp) for end in ("start", "stop")
        )
        upto = xp.cumulative_sum(x, axis=axis + 1, include_initial=True)
        start, stop = (xp.take(upto, end, axis=axis + 1) for end in ends)
        x = stop - start
    return x


def _explained(s: _Sums, *, xp: Namespace) -> tuple[Array, Array]:
    """Return rho^2, 0 where rho is not positive, and the variance of the moving image in the overlap."""
    s00, s10, s01, s11, s20, s02 = s
    var_r = _spread(s20, s00, s10, s10, xp=xp)
    var_m = _spread(s02, s00, s01, s01, xp=xp)
    highest = [xp.max(x, axis=over_image(x), keepdims=True) for x in (var_r, var_m, s00)]
    found: tuple[Array, Array] = _of_spreads(s00, _spread(s11, s00, s10, s01, xp=xp), var_r, var_m, *highest, xp=xp)
    return found


@elementwise
def _spread(both: Array, count: Array, one: Array, other: Array, *, xp: Namespace) -> Array:  # noqa: ARG001
    return both * count - one * other


@elementwise
def _of_spreads(
    count: Array,
    covariance: Array,
    var_r: Array,
    var_m: Array,
    highest_r: Array,
    highest_m: Array,
    most: Array,
    *,
    xp: Namespace,
) -> tuple[Array, Array]:
    # differences of large sums: below this they are rounding errors
    tol = 1e3 * xp.finfo(covariance.dtype).eps
    least_r, least_m = (at_least(tol * highest, 0.0, xp=xp) for highest in (highest_r, highest_m))
    matching = (var_r > least_r) & (var_m > least_m) & (covariance > 0)
    square = covariance * covariance / xp.where(matching, var_r * var_m, 1.0)
    return xp.where(matching, square, 0.0), var_m / xp.where(count > 1e-3 * most, count * count, 1.0)


def _roughness(x: Array, w: Array, *, xp: Namespace) -> Array:
    """Return half the mean squared difference of neighbours, (batch, 1, ..., 1): what a pixel tells about the next."""
    axes = over_image(x)
    total, count = 0.0, 0.0
    for k in axes:
        both = part(w, k, None, -1) * part(w, k, 1, None)
        rise = part(x, k, 1, None) - part(x, k, None, -1)
        total = total + xp.sum(both * rise**2, axis=axes, keepdims=True)
        count = count + xp.sum(both, axis=axes, keepdims=True)
    return 0.5 * total / xp.where(count > 0, count, 1.0)


def _evidence(explained: Array, variance: Array, share: Array, allowed: Array, rough: Array, *, xp: Namespace) -> Array:
    """Return the log-likelihood per pixel that a lag gains, `_NEVER` where it is not allowed.

    The residual variance is (1 - rho^2) times the variance in the overlap. It is compared with what is plausible for a
    match, twice what a pixel leaves unexplained of its own neighbour or twice the least residual found: a wrong lag
    with a large overlap must not win by explaining a little of a lot.
    """
    left, far = _left(explained, variance, allowed, xp=xp)
    least = xp.min(far, axis=over_image(far), keepdims=True)
    return _gained(left, variance, share, allowed, rough, least, xp=xp)


@elementwise
def _left(explained: Array, variance: Array, allowed: Array, *, xp: Namespace) -> tuple[Array, Array]:
    """Return the residual variance, and the same with none where a lag is not allowed."""
    left = variance * at_least(1 - explained, max(1e-6, 100 * xp.finfo(explained.dtype).eps), xp=xp)
    return left, xp.where(allowed, left, math.inf)


@elementwise
def _gained(
    left: Array, variance: Array, share: Array, allowed: Array, rough: Array, least: Array, *, xp: Namespace
) -> Array:
    level = 2 * xp.maximum(rough, least)
    # a flat image is plausible nowhere: it has rounding errors alone, of either sign
    usable = allowed & (left > 0) & (level > 0)
    ratio = xp.where(usable, xp.minimum(variance, level) / xp.where(usable, left, 1.0), 1.0)
    return xp.where(usable, share * xp.log(ratio), _NEVER)


def search(
    reference: Array,
    w_r: Array | None,
    moving: Array,
    w_m: Array | None,
    *,
    wrap: bool,
    limits: Sequence[float],
    min_overlap: float,
    origin: Sequence[float] = (0.0, 0.0, 0.0),
    xp: Namespace,
) -> Coarse:
    """Find the best lag within `limits` (pixels per axis) of the `origin` and `min_overlap` (of the smaller image).

    Weights that are None are 1 for all pixels.
    """
    plain = w_r is None and w_m is None and not wrap
    w_r, w_m = (xp.ones_like(x) if w is None else w for x, w in ((reference, w_r), (moving, w_m)))
    bounds = tuple(zip(origin, limits, strict=False))
    lags = lags_of(reference.shape[1:], moving.shape[1:], wrap, bounds, min_overlap)
    reference = _denoised(reference, w_r, xp=xp)
    moving = _denoised(moving, w_m, xp=xp)
    if plain:
        sums = _plain_sums(reference, moving, lags, xp=xp)
    else:
        sums = _weighted_sums(reference, w_r, moving, w_m, lags, xp=xp)
    explained, variance = _explained(sums, xp=xp)
    allowed = table(allowed_lags, lags, min_overlap, dtype=xp.bool, like=moving, large=True, xp=xp)
    most = xp.max(xp.where(allowed, sums.s00, 0.0), axis=over_image(explained), keepdims=True)
    share = sums.s00 / xp.where(most > 0, most, 1.0)
    allowed = allowed & (share > 0.5 * min_overlap)
    rough = _roughness(moving, w_m, xp=xp)
    score = _evidence(explained, variance, share, allowed, rough, xp=xp)
    # only a lag that correlates is a match, but one that does not may lie beside it
    index = argmax(xp.where(explained > 0, score, _NEVER), xp=xp)
    correlated = take_at(explained, index[:, None, :], xp=xp)[:, 0] > 0
    return _describe(score, index, correlated, lags, xp=xp)


def _describe(score: Array, index: Array, correlated: Array, lags: Lags, *, xp: Namespace) -> Coarse:
    """Turn the map of scores and the index of its maximum into a lag; the border is where scores are `_NEVER`."""
    step, around = parabola(score, index, xp=xp)
    lag = xp.stack(
        [
            xp.take(table(lag_at, *a, dtype=step.dtype, like=index, xp=xp), index[:, axis], axis=0)
            for axis, a in enumerate(lags.axes)
        ],
        axis=-1,
    )
    inside = xp.all(around > 0.5 * _NEVER, axis=1)
    peak = around[:, 0]
    return Coarse(lag + xp.round(_FINE * step) / _FINE, ~inside, correlated & (peak > 0.5 * _NEVER), peak)
