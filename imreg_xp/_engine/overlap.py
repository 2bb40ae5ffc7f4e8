r"""Correlation coefficient of two images of any sizes over the pixels that both hold, at offsets of choice.

.. math:: \rho(d) = \frac{\sum a(x + d)\, b(x)}{\sqrt{\sum a(x + d)^2 \sum b(x)^2}}

over the overlap at the offset d of b relative to a; a and b less the mean of the whole image. The sums are
cross-spectra on a padded grid evaluated at the offsets wanted. Those of images magnified by repeating pixels are the
same sums, interpolated linearly along each axis: nothing is magnified.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from .._array import Array, Namespace, accumulator_dtype, device_of
from .._bounds import at_least, at_most
from .._fft_length import fast_length
from .._static import numbers
from ..fft_tools._dft import along, dft_basis, rfft
from ..fft_tools._sums import contract
from .peaks import argmax, take_at
from .problem import Side, over_image

__all__ = ["Best", "Pair", "best_of", "correlation_around", "magnified_around", "pair_of"]

_LEAST_OVERLAP = 2  # pixels along each axis


class Pair(NamedTuple):
    """Cross-spectra of values, squares and masks of two images (batch, ...) of the given shapes."""

    spectra: Array
    """(batch, 4, modes...): a b, a² v_b, v_a b², v_a v_b."""
    shapes: tuple[tuple[int, ...], tuple[int, ...]]
    grid: tuple[int, ...]


def pair_of(first: Side, second: Side, *, xp: Namespace) -> Pair:
    """Prepare two images of one batch size, or one of them with a batch of 1."""
    shapes = tuple(first.image.shape[1:]), tuple(second.image.shape[1:])
    grid = fast_length([n + k - 1 for n, k in zip(*shapes, strict=True)])
    a, b = (_spectra(side, grid, xp=xp) for side in (first, second))
    spectra = xp.stack([xp.conj(b[:, j, ...]) * a[:, i, ...] for i, j in ((0, 0), (1, 2), (2, 1), (2, 2))], axis=1)
    return Pair(spectra, shapes, grid)


def _spectra(side: Side, grid: Sequence[int], *, xp: Namespace) -> Array:
    """Return the spectra (batch, 3, modes...) of an image less its mean, of its square and of its mask."""
    acc = accumulator_dtype(side.image, xp=xp)
    x = xp.astype(side.image, acc)
    axes = over_image(x)
    v = xp.ones_like(x) if side.valid is None else xp.astype(side.valid, acc)
    count = xp.sum(v, axis=axes, keepdims=True)
    count = xp.where(count > 0, count, 1.0)
    x = v * (x - xp.sum(v * x, axis=axes, keepdims=True) / count)
    # of unit power, so that squares stay within range
    power = xp.sum(x * x, axis=axes, keepdims=True)
    x = x / xp.sqrt(xp.where(power > 0, power, 1.0))
    # the mean of a flat image is right to rounding only
    far = xp.full_like(side.image, math.inf)
    inside = v > 0
    low = xp.min(xp.where(inside, side.image, far), axis=axes, keepdims=True)
    high = xp.max(xp.where(inside, side.image, -far), axis=axes, keepdims=True)
    flat = ~(high - low > 8 * xp.finfo(low.dtype).eps * xp.maximum(abs(high), abs(low)))
    x = xp.where(flat, xp.zeros_like(x), x)
    return rfft(xp.stack([x, x * x, v], axis=1), len(grid), xp=xp, s=grid)


def _sums(pair: Pair, at: Sequence[Array], *, xp: Namespace) -> Array:
    """Return the four sums (batch, 4, K_1, ..., K_ndim) at whole offsets, (batch, K_i) along each axis."""
    ndim, n = len(pair.grid), pair.spectra.shape[0]
    columns = [
        _four_times(dft_basis(pair.grid, xp.stack([d] * ndim, axis=1), xp=xp)[axis], xp=xp) for axis, d in enumerate(at)
    ]
    flat = xp.reshape(pair.spectra, (4 * n, *pair.spectra.shape[2:]))
    found = xp.real(contract(flat, columns, xp=xp)) / math.prod(pair.grid)
    # beyond the longest offset the correlation on the grid begins anew
    there = _overlapping(pair, at, 1, 1, xp=xp)[:, None, ...]
    found = xp.reshape(found, (n, 4, *found.shape[1:]))
    return xp.where(there, found, 0.0)


def _four_times(column: Array, *, xp: Namespace) -> Array:
    """Give each of the four spectra of an item its columns."""
    size = column.shape[0]
    wide = xp.broadcast_to(column[:, None, ...], (size, 4, *column.shape[1:]))
    return xp.reshape(wide, (4 * size, *column.shape[1:]))


def _overlapping(pair: Pair, at: Sequence[Array], least: int, magnification: int, *, xp: Namespace) -> Array:
    """Return where the overlap of the magnified images has at least `least` of their pixels along each axis."""
    ndim = len(pair.grid)
    inside = xp.ones((1,) * (ndim + 1), dtype=xp.bool, device=device_of(at[0]))
    for axis, (d, n_a, n_b) in enumerate(zip(at, *pair.shapes, strict=True)):
        end = xp.minimum(d + magnification * n_b, xp.full_like(d, magnification * n_a))
        start = at_least(d, 0.0, xp=xp)
        lay = (d.shape[0], *along(n=d.shape[1], axis=axis, ndim=ndim))
        inside = inside & xp.reshape(end - start > least - 0.5, lay)
    return inside


def _coefficient(sums: Array, allowed: Array, *, xp: Namespace) -> tuple[Array, Array]:
    """Return rho, 0 where it is not defined, and the number of pixels."""
    s11, s20, s02, s00 = (sums[:, i, ...] for i in range(4))
    # of images of unit power: below this they are rounding errors
    least = 100 * xp.finfo(sums.dtype).eps
    usable = allowed & (s20 > least) & (s02 > least)
    power = xp.where(usable, s20 * s02, 1.0)
    rho = xp.where(usable, s11 / xp.sqrt(power), 0.0)
    return rho, xp.where(allowed, s00, 0.0)


def _window(centre: Array, reach: Sequence[int], *, xp: Namespace) -> list[Array]:
    """Return per axis the offsets (batch, 2 reach + 1) around `centre` (batch, ndim)."""
    steps = [xp.arange(-k, k + 1, dtype=centre.dtype, device=device_of(centre)) for k in reach]
    return [centre[:, axis, None] + step for axis, step in enumerate(steps)]


def correlation_around(pair: Pair, centre: Array, reach: Sequence[int], *, xp: Namespace) -> tuple[Array, Array]:
    """Return rho and the number of pixels, (batch, 2 reach_1 + 1, ...), at whole offsets around `centre`."""
    at = _window(centre, reach, xp=xp)
    rho, count = _coefficient(_sums(pair, at, xp=xp), _overlapping(pair, at, _LEAST_OVERLAP, 1, xp=xp), xp=xp)
    return rho, xp.round(count)


def magnified_around(pair: Pair, centre: Array, magnification: int, *, xp: Namespace) -> tuple[Array, Array]:
    """Return what `correlation_around` gives for images of repeated pixels, ``magnification + 2`` of these around.

    The correlation of two steps is a triangle: between whole pixels each sum is linear along each axis.
    """
    m, ndim, n = magnification, len(pair.grid), pair.spectra.shape[0]
    whole = _window(xp.round(centre), (3,) * ndim, xp=xp)
    fine = _window(xp.round(centre * m), (m + 2,) * ndim, xp=xp)
    sums = _sums(pair, whole, xp=xp)
    weights = []
    for near, d in zip(whole, fine, strict=True):
        far = abs(d[:, None, :] / m - near[:, :, None])
        weights.append(_four_times(1 - at_most(far, 1.0, xp=xp), xp=xp))
    found = contract(xp.reshape(sums, (4 * n, *sums.shape[2:])), weights, xp=xp)
    sums = xp.reshape(found, (n, 4, *found.shape[1:]))
    # ratios are those of the pixels that are not repeated; the number of pixels is not
    rho, count = _coefficient(sums, _overlapping(pair, fine, _LEAST_OVERLAP, m, xp=xp), xp=xp)
    return rho, xp.round(count * m**ndim)


class Best(NamedTuple):
    """The largest of the correlations of each item."""

    offset: Array
    """(batch, ndim), in steps of the map, relative to its middle."""
    value: Array
    edge: Array
    plateau: Array


def best_of(rho: Array, count: Array | None, plateau: float | None, *, xp: Namespace) -> Best:
    """Return the largest rho, weighted by the fourth root of `count`, or the middle of its plateau.

    A plateau is what lies no further than `plateau` below the maximum, if there is more of it than a line has.
    """
    ndim = rho.ndim - 1
    acc = accumulator_dtype(rho, xp=xp)
    if count is not None:
        most = xp.max(count, axis=over_image(count), keepdims=True)
        share = count / xp.where(most > 0, most, 1.0)
        rho = rho * xp.astype(share, rho.dtype) ** 0.25
    index = argmax(rho, xp=xp)
    at = xp.astype(index, acc)
    value = take_at(rho, index[:, None, :], xp=xp)[:, 0]
    flat_top = xp.zeros_like(value) > 0
    if plateau is not None:
        high = value[(slice(None), *(None,) * ndim)] - rho <= plateau
        size = xp.sum(xp.astype(high, acc), axis=over_image(rho))
        ends = [_extent(high, axis, acc, xp=xp) for axis in over_image(rho)]
        flat_top = (size > 1) & (size >= sum(last - first for first, last in ends))
        middle = xp.stack([(first + last) / 2 for first, last in ends], axis=-1)
        at = xp.where(flat_top[:, None], middle, at)
        value = take_at(rho, xp.astype(xp.floor(at), index.dtype)[:, None, :], xp=xp)[:, 0]
    last = numbers((n - 1 for n in rho.shape[1:]), dtype=acc, like=rho, xp=xp)
    edge = xp.any((at <= 0) | (at >= last), axis=-1)
    return Best(at - xp.floor(last / 2), value, edge, flat_top)


def _extent(high: Array, axis: int, dtype: object, *, xp: Namespace) -> tuple[Array, Array]:
    """Return the first and last index (batch,) along an axis where any element is true."""
    others = tuple(a for a in over_image(high) if a != axis)
    line = xp.any(high, axis=others) if others else high
    i = xp.broadcast_to(xp.arange(line.shape[1], dtype=dtype, device=device_of(high)), line.shape)
    first = xp.min(xp.where(line, i, xp.full_like(i, line.shape[1])), axis=1)
    return first, xp.max(xp.where(line, i, -1), axis=1)
