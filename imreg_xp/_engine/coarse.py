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
from typing import Any, NamedTuple

from .._array import Array, Namespace
from .._bounds import at_least
from .._fft_length import fast_length
from .._kernels import Lowest, Total, compiles, elementwise
from .._providers import inverse_transform, product
from .._static import Keep, keeping, table
from .._sums import range_sums
from ..fft_tools._dft import irfft, part, rfft
from .extend import PAD, mirrored
from .fill import crop
from .lag_grid import Lags, allowed_lags, box_ends, lag_at, lags_of, largest_overlap, overlap_at
from .peaks import argmax, parabola, take_at
from .problem import column, less_mean, over_image
from .rings import filtered, spread
from .spectrum import wiener

__all__ = ["Coarse", "search"]

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
    most: tuple[Array, Array, Array]
    """What S_00, S_20 and S_02 are at most, (batch, 1, ..., 1)."""


class Coarse(NamedTuple):
    """Offset (batch, ndim) of the best lag, by a parabola to 1/16; whether it is on the search border, or none."""

    offset: Array
    on_border: Array
    found: Array
    score: Array
    """(batch,) log-likelihood per pixel that it gains."""


def _denoised(x: Array, w: Array | None, *, xp: Namespace) -> Array:
    """Low-pass an image where its spectrum sinks into its noise floor, with the invalid pixels left out."""
    shape = x.shape[1:]
    if w is None:
        grid = fast_length([n + min(max(n // 4, 1), 2 * PAD) for n in shape])
        spectrum = rfft(mirrored(x, grid, xp=xp), len(grid), xp=xp)
        spectrum = filtered(spectrum, wiener(spectrum, grid, xp=xp), grid, xp=xp)
        passed = crop(irfft(spectrum, grid, keep=False, xp=xp), shape)
        # where each use of a part of a grid would lay it out in one row anew
        return xp.astype(passed, passed.dtype, copy=compiles(xp=xp))
    grid = fast_length([n + max(n // 4, 1) for n in shape])
    good = xp.astype(w > 0, x.dtype)
    both = rfft(xp.stack([x * good, good], axis=1), len(grid), xp=xp, s=grid)
    gains = spread(wiener(both[:, 0, ...], grid, xp=xp), grid, x.dtype, xp=xp)
    passed = irfft(both * gains[:, None, ...], grid, xp=xp)
    value, share = crop(passed[:, 0, ...], shape), crop(passed[:, 1, ...], shape)
    return good * value / xp.where(share > 0.2, share, 1.0)


def _weighted_sums(
    reference: Array, w_r: Array, moving: Array, w_m: Array, lags: Lags, near: Array, keep: Keep, *, xp: Namespace
) -> _Sums:
    """Return the sums for any weights, as correlations."""

    def spectra(x: Array, w: Array) -> list[Array]:
        wx = w * x
        return [rfft(a, len(lags.grid), xp=xp, s=lags.grid) for a in (w, wx, wx * x)]

    a = keep("spectra", lambda: [xp.conj(x) for x in spectra(reference, w_r / math.prod(lags.grid))])
    b = spectra(moving, w_m)
    pairs = ((0, 0), (1, 0), (0, 1), (1, 1), (2, 0), (0, 2))
    s00, s10, s01, s11, s20, s02 = (inverse_transform(a[i] * b[j], lags.grid, keep=False, xp=xp) for i, j in pairs)
    count, *squares = (xp.max(x, axis=over_image(x), keepdims=True) for x in (xp.where(near, s00, 0.0), s20, s02))
    return _Sums(s00, s10, s01, s11, s20, s02, (count, squares[0], squares[1]))


def _plain_sums(reference: Array, moving: Array, lags: Lags, keep: Keep, *, xp: Namespace) -> _Sums:
    """Return the sums for weights of 1: the overlap is a box, and the sums of one image are those over boxes."""
    ndim = len(lags.grid)
    a = keep("spectrum", lambda: xp.conj(rfft(reference / math.prod(lags.grid), ndim, xp=xp, s=lags.grid)))
    s11 = inverse_transform(product(rfft(moving, ndim, xp=xp, s=lags.grid), a), lags.grid, keep=False, xp=xp)
    s00 = table(overlap_at, lags, dtype=moving.dtype, like=moving, large=True, xp=xp)
    s10, s20, most_r = keep("boxes", lambda: _over_boxes(reference, 0, lags, xp=xp))
    s01, s02, most_m = _over_boxes(moving, 1, lags, xp=xp)
    count = table(largest_overlap, lags, dtype=moving.dtype, like=moving, xp=xp)
    return _Sums(s00, s10, s01, s11, s20, s02, (count, most_r, most_m))


def _over_boxes(x: Array, which: int, lags: Lags, *, xp: Namespace) -> tuple[Array, Array, Array]:
    """Return the sums of an image and of its square over the overlap at each lag, and of its square over all of it."""
    sums = []
    square, total = _squared(x, xp=xp)
    for a in (x, square):
        # the last axis first: running sums along it are fast
        for axis in reversed(range(len(lags.axes))):
            a = range_sums(a, axis + 1, box_ends, (*lags.axes[axis], which), xp=xp)
        sums.append(a)
    return sums[0], sums[1], column(total, x, xp=xp)


@elementwise
def _squared(x: Array, *, xp: Namespace) -> tuple[Array, Total]:  # noqa: ARG001
    return x * x, Total(x, x)


def _likeness(s: _Sums, near: Array, min_overlap: float, *, xp: Namespace) -> tuple[Array, Array, Array]:
    """Return rho^2, 0 where it is not positive, and the variance that is left of the moving image in the overlap.

    That is infinite where a lag is not allowed: far from where to look, or with less overlap. With them comes the least
    of it, (batch, 1, ..., 1).
    """
    explained, left, least = _likeness_of(*s[:6], *s.most, near, min_overlap=min_overlap, xp=xp)
    return explained, left, column(least, left, xp=xp)


@elementwise
def _likeness_of(
    s00: Array,
    s10: Array,
    s01: Array,
    s11: Array,
    s20: Array,
    s02: Array,
    most: Array,
    most_r: Array,
    most_m: Array,
    near: Array,
    *,
    min_overlap: float,
    xp: Namespace,
) -> tuple[Array, Array, Lowest]:
    var_r, var_m, covariance = s20 * s00 - s10 * s10, s02 * s00 - s01 * s01, s11 * s00 - s10 * s01
    # differences of large sums: below this they are rounding errors
    tol = 1e3 * xp.finfo(s11.dtype).eps * most
    matching = (var_r > tol * most_r) & (var_m > tol * most_m) & (covariance > 0)
    explained = xp.where(matching, covariance * covariance / xp.where(matching, var_r * var_m, 1.0), 0.0)
    left = var_m / xp.where(s00 > 1e-3 * most, s00 * s00, 1.0) * _unexplained(explained, xp=xp)
    left = xp.where(near & (s00 > 0.5 * min_overlap * most), left, math.inf)
    return explained, left, Lowest(left)


def _unexplained(explained: Array, *, xp: Namespace) -> Array:
    """Return 1 - rho^2, at least what rounding errors leave of it."""
    return at_least(1 - explained, max(1e-6, 100 * xp.finfo(explained.dtype).eps), xp=xp)


def _roughness(x: Array, w: Array | None, *, xp: Namespace) -> Array:
    """Return half the mean squared difference of neighbours, (batch, 1, ..., 1): what a pixel tells about the next."""
    total, count = 0.0, 0.0
    for k in over_image(x):
        ends = [(k, 1, None), (k, None, -1)]
        pair = [part(x, *end) for end in ends]
        if w is None:
            square, pairs = _rise(*pair, xp=xp), math.prod(pair[0].shape[1:])
        else:
            square, pairs = _weighted_rise(*pair, *(part(w, *end) for end in ends), xp=xp)
        total, count = total + square, count + pairs
    half = 0.5 * total / (count if w is None else xp.where(count > 0, count, 1.0))
    return column(half, x, xp=xp)


@elementwise
def _rise(a: Array, b: Array, *, xp: Namespace) -> Total:  # noqa: ARG001
    return Total(a - b, a - b)


@elementwise
def _weighted_rise(a: Array, b: Array, w_a: Array, w_b: Array, *, xp: Namespace) -> tuple[Total, Total]:  # noqa: ARG001
    both = w_a * w_b
    return Total(both * (a - b), a - b), Total(both)


def _evidence(
    s: _Sums, explained: Array, left: Array, least: Array, rough: Array, *, xp: Namespace
) -> tuple[Array, Array]:
    """Return the log-likelihood per pixel that a lag gains, `_NEVER` where it is not allowed; and where it correlates.

    The residual variance is (1 - rho^2) times the variance in the overlap. It is compared with what is plausible for a
    match, twice what a pixel leaves unexplained of its own neighbour or twice the least residual found: a wrong lag
    with a large overlap must not win by explaining a little of a lot.
    """
    found: tuple[Array, Array] = _gained(explained, left, s.s00, s.most[0], rough, least, xp=xp)
    return found


@elementwise
def _gained(
    explained: Array, left: Array, count: Array, most: Array, rough: Array, least: Array, *, xp: Namespace
) -> tuple[Array, Array]:
    level = 2 * xp.maximum(rough, least)
    # a flat image is plausible nowhere: it has rounding errors alone, of either sign
    usable = (left < math.inf) & (left > 0) & (level > 0)
    variance = left / _unexplained(explained, xp=xp)
    ratio = xp.where(usable, xp.minimum(variance, level) / xp.where(usable, left, 1.0), 1.0)
    gained = xp.where(usable, count / xp.where(most > 0, most, 1.0) * xp.log(ratio), _NEVER)
    return gained, xp.where(explained > 0, gained, _NEVER)


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
    level: bool = False,
    kept: dict[Any, Any] | None = None,
    xp: Namespace,
) -> Coarse:
    """Find the best lag within `limits` (pixels per axis) of the `origin` and `min_overlap` (of the smaller image).

    Weights that are None are 1 for all pixels. `kept` may hold what was made of the reference, and will. A `level` that
    the images may have is taken off: it says nothing here, but is a cliff at the border, and makes large sums.
    """
    plain = w_r is None and w_m is None and not wrap
    keep = keeping(kept)
    if level:
        reference, moving = (
            less_mean(x, None if w is None else w > 0, xp=xp)[0] for x, w in ((reference, w_r), (moving, w_m))
        )
    if not plain:
        w_r, w_m = (xp.ones_like(x) if w is None else w for x, w in ((reference, w_r), (moving, w_m)))
    bounds = tuple(zip(origin, limits, strict=False))
    lags = lags_of(reference.shape[1:], moving.shape[1:], wrap, bounds, min_overlap)
    reference = keep(("denoised", plain), lambda: _denoised(reference, w_r, xp=xp))
    moving = _denoised(moving, w_m, xp=xp)
    near = table(allowed_lags, lags, min_overlap, dtype=xp.bool, like=moving, large=True, xp=xp)
    if w_r is None or w_m is None:
        sums = _plain_sums(reference, moving, lags, keep, xp=xp)
    else:
        sums = _weighted_sums(reference, w_r, moving, w_m, lags, near, keep, xp=xp)
    explained, left, least = _likeness(sums, near, min_overlap, xp=xp)
    score, matches = _evidence(sums, explained, left, least, _roughness(moving, w_m, xp=xp), xp=xp)
    # only a lag that correlates is a match, but one that does not may lie beside it
    index = argmax(matches, xp=xp)
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
