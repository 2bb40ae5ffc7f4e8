"""Isotropic spectra: radial means over the modes of `rfftn`."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from .._array import Array, Namespace, accumulator_dtype
from .._bounds import at_least
from .._kernels import Rows, compiles, elementwise, per_item
from .._providers import product
from .._static import table
from .._sums import run_sums
from ..fft_tools._dft import part, rfft

__all__ = [
    "Gains",
    "Rings",
    "Spread",
    "filtered",
    "folds_of",
    "laid",
    "radial_mean",
    "radial_means",
    "sampled_spectrum",
    "spread",
    "times",
]

_Function = Callable[..., tuple[Array, ...]]

_BLOCK = 16  # modes of one ring that are added up at a time


class Rings(NamedTuple):
    """Radial means (batch, rings) of the powers and the real cross-power, and the independent modes per ring."""

    reference: Array
    moving: Array
    cross: Array | None
    modes: Array


@functools.lru_cache(maxsize=16)
def _rings(shape: tuple[int, ...], stride: int) -> tuple[np.ndarray, ...]:
    """Return (ring, weight, count): static tables of the modes of `rfftn`.

    Rings are one mode of the longest axis wide, and eight in one dimension, where a ring has two modes only. Radial
    means look at every `stride`-th mode of the first axis: weights and counts are those of these modes.
    """
    axes = [np.fft.fftfreq(n) for n in shape[:-1]] + [np.fft.rfftfreq(shape[-1])]
    square = sum(np.square(a).reshape([-1 if i == j else 1 for j in range(len(shape))]) for i, a in enumerate(axes))
    width = 8.0 if len(shape) == 1 else 1.0
    ring = np.rint(np.sqrt(square) * max(shape) / width).astype(np.int64)
    last = np.arange(shape[-1] // 2 + 1)
    double = np.where((last == 0) | (2 * last == shape[-1]), 1.0, 2.0)
    weight = np.broadcast_to(double, ring.shape)[::stride].ravel()
    count = np.bincount(ring[::stride].ravel(), weight, minlength=ring.max() + 1)
    return ring, weight, count


def _count(shape: tuple[int, ...], stride: int) -> np.ndarray:
    return _rings(shape, stride)[2]


@functools.lru_cache(maxsize=16)
def _sorted(shape: tuple[int, ...], stride: int) -> tuple[np.ndarray, ...]:
    """Return (order, weight, start): the modes ring by ring, and where each ring begins; the outer rings come first."""
    ring, weight, _ = _rings(shape, stride)
    some = ring[::stride].ravel()
    order = np.argsort(-some, kind="stable")
    start = np.searchsorted(-some[order], -np.arange(ring.max(), -1, -1))
    return order, weight[order].astype(np.int8), start


@functools.lru_cache(maxsize=16)
def _blocks(shape: tuple[int, ...], stride: int) -> tuple[np.ndarray, ...]:
    """Return (mode, weight, block, one): modes in blocks (1, blocks, _BLOCK) of one ring each, and blocks in rings.

    Blocks are filled up with modes of weight 0, and rings (1, rings, most) with blocks of weight 0.
    """
    order, weight, start = _sorted(shape, stride)
    counts = np.diff(start, append=len(order))
    blocks = -(-counts // _BLOCK)
    return (
        *_filled_up(order, weight, counts, np.cumsum(blocks) - blocks, (np.sum(blocks), _BLOCK)),
        *_filled_up(np.arange(np.sum(blocks)), 1, blocks, np.arange(len(blocks)), (len(blocks), max(blocks))),
    )


def _filled_up(
    values: np.ndarray, weights: Any, counts: np.ndarray, first: np.ndarray, shape: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Lay runs of `counts` values over the rows of a table, each from the beginning of row `first` on; and weights."""
    place = np.arange(len(values)) + np.repeat(first * shape[1] - (np.cumsum(counts) - counts), counts)
    laid = [np.bincount(place, a + 0 * place, minlength=math.prod(shape)) for a in (values, weights)]
    return laid[0].reshape(1, *shape), laid[1].reshape(1, *shape)


def _part_of_blocks(shape: tuple[int, ...], stride: int, which: int) -> np.ndarray:
    return _blocks(shape, stride)[which]


def _stride(shape: Sequence[int]) -> int:
    """Return every how many modes of the first axis radial means look at: a divisor of its length."""
    if len(shape) == 1:
        return 1
    return max(k for k in range(1, max(shape[0] // 128, 1) + 1) if shape[0] % k == 0)


def folds_of(rows: int, shape: Sequence[int]) -> int:
    """Return in how many parts an image of so many rows may be added up before `sampled_spectrum` looks at the sum."""
    return _stride(shape) if rows == shape[0] else 1


def sampled_spectrum(image: Array, shape: Sequence[int], *, xp: Namespace) -> Array:
    """Return what `radial_mean` looks at of the `rfftn` of images zero-padded to `shape`.

    Every k-th mode of a transform is the transform of what is left of the image folded k times: 1/k of the work.
    """
    rows = shape[0] // _stride(shape)
    folded = part(image, 1, 0, min(rows, image.shape[1]))
    for start in range(rows, image.shape[1], rows):
        more = part(image, 1, start, min(start + rows, image.shape[1]))
        short = folded.shape[1] - more.shape[1]
        whole = folded[:, : more.shape[1], ...] + more
        folded = xp.concat([whole, folded[:, more.shape[1] :, ...]], axis=1) if short else whole
    return rfft(folded, len(shape), xp=xp, s=(rows, *shape[1:]))


def radial_mean(
    values: Array, shape: Sequence[int], of: _Function | None = None, *, xp: Namespace
) -> tuple[Array, Array]:
    """Average (batch, modes...) over rings of constant |nu|: (batch, rings) and the number of modes per ring."""
    (mean,), modes = radial_means([values], shape, of, xp=xp)
    return mean, modes


def radial_means(
    values: Sequence[Array], shape: Sequence[int], of: _Function | None = None, *, xp: Namespace
) -> tuple[list[Array], Array]:
    """Average several arrays of one shape as `radial_mean` does, or what an elementwise function makes `of` them."""
    stride, dtype = _stride(shape), accumulator_dtype(values[0], xp=xp)
    # what `sampled_spectrum` gives has the modes alone that count
    whole = values[0].shape[1] == (shape[0] if len(shape) > 1 else shape[0] // 2 + 1)
    values = [a[:, ::stride, ...] for a in values] if whole else values
    flat = [xp.reshape(a, (a.shape[0], -1)) for a in values]
    count = table(_count, tuple(shape), stride, dtype=dtype, like=flat[0], xp=xp)
    sums = run_sums(flat, of, _sorted, tuple(shape), stride, dtype=dtype, xp=xp)
    if sums is None:
        sums = _sums_of_blocks(flat, of, tuple(shape), stride, dtype, xp=xp)
    means: tuple[Array, ...] = _averages(count[None, :], *(xp.flip(a, axis=1) for a in sums), xp=xp)
    return list(means), count * stride


@elementwise
def _averages(count: Array, *sums: Array, xp: Namespace) -> tuple[Array, ...]:
    # an empty run is none to the host
    return tuple([xp.where(count > 0, a / at_least(count, 1.0, xp=xp), 0.0) for a in sums])


def _sums_of_blocks(
    flat: Sequence[Array],
    of: _Function | None,
    shape: tuple[int, ...],
    stride: int,
    dtype: object,
    *,
    xp: Namespace,
) -> list[Array]:
    """Return the sums over rings, the outer ones first, in two steps: over blocks, and over those of a ring."""
    mode, weight, block, one = (
        table(_part_of_blocks, shape, stride, k, dtype=d, like=flat[0], large=k < 2, xp=xp)
        for k, d in enumerate((xp.int64, dtype, xp.int64, dtype))
    )
    blocks = _weighted_sums([Rows.of(a, xp=xp) for a in flat], mode, weight, of=of, xp=xp)
    rings = _weighted_sums([Rows.of(a[..., 0], xp=xp) for a in blocks], block, one, of=None, xp=xp)
    return [a[..., 0] for a in rings]


@functools.partial(per_item, lead=2)
def _weighted_sums(
    rows: list[Rows], index: Array, weight: Array, *, of: _Function | None, xp: Namespace
) -> list[Array]:
    """Return the sums (batch, n, 1) over the last axis of weights (1, n, k) times (what is made `of`) rows there."""
    values: Sequence[Array] = [a.at(index, xp=xp) for a in rows]
    values = values if of is None else of(*values, xp=xp)
    return [xp.sum(xp.astype(a, weight.dtype) * weight, axis=-1, keepdims=True) for a in values]


class Spread(NamedTuple):
    """Values per ring, laid over the modes where they are used."""

    values: Rows
    ring: Array


Gains = Array | Spread
"""A real transfer function (batch, modes...)."""


def laid(rings: Array, shape: Sequence[int], dtype: object, *, xp: Namespace) -> Gains:
    """Return what `spread` does, where steps look it up at no cost as it is."""
    if not compiles(xp=xp) or len(shape) != 2:
        return spread(rings, shape, dtype, xp=xp)
    ring = table(_ring_map, tuple(shape), dtype=xp.int32, like=rings, large=True, xp=xp)
    return Spread(Rows.of(xp.astype(rings, dtype), axes=2, xp=xp), ring)


def _ring_map(shape: tuple[int, ...]) -> np.ndarray:
    return _rings(shape, 1)[0][None]


def times(spectrum: Array, gains: Gains | None, *, xp: Namespace) -> Array:
    """Return a spectrum times a transfer function, if there is one: part of a step."""
    if gains is None:
        return spectrum
    return spectrum * (gains.values.at(gains.ring, xp=xp) if isinstance(gains, Spread) else gains)


def filtered(spectrum: Array, rings: Array, shape: Sequence[int], *, xp: Namespace) -> Array:
    """Return a spectrum, which nobody else may hold, times values per ring."""
    gains = laid(rings, shape, xp.real(spectrum).dtype, xp=xp)
    if isinstance(gains, Spread):
        found: Array = _times(spectrum, gains, xp=xp)
        return found
    return product(spectrum, gains)


_times = elementwise(times)


def spread(rings: Array, shape: Sequence[int], dtype: object, *, xp: Namespace) -> Array:
    """Lay values per ring (batch, rings) over the modes (batch, modes...)."""
    ring = table(_ring_map, tuple(shape), dtype=xp.int64, like=rings, large=True, xp=xp)
    flat = xp.take(xp.astype(rings, dtype), xp.reshape(ring, (-1,)), axis=1)
    return xp.reshape(flat, (rings.shape[0], *shape[:-1], shape[-1] // 2 + 1))
