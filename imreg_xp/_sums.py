"""Sums and maxima, each in the way that is fast where the arrays are, to the same effect."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ._array import Array, Namespace
from ._kernels import Highest, Lowest, Total, compiles, elementwise, per_item
from ._static import table

__all__ = ["ends_of", "image_means", "inner", "largest", "matmul", "range_sums", "run_sums", "seen_in"]

_FEW = 3  # columns of a matrix
_ROW = 64  # elements
_LARGE = 2**16  # elements that make a difference
_SMALL = 4096  # values of a map that one thread block of a GPU goes through at once

_Ranges = Callable[..., tuple[np.ndarray, np.ndarray]]


def matmul(a: Array, b: Array, *, xp: Namespace) -> Array:
    """Return a b for large real matrices (batch, n, m) and few columns (batch or 1, m, k).

    On the host a product with three columns takes longer than three with a vector.
    """
    if b.shape[-1] > _FEW or not (isinstance(a, np.ndarray) and a.dtype.kind == "f"):
        return xp.matmul(a, b)
    if a.shape[-2] * a.shape[-1] < _LARGE:
        return xp.matmul(a, b)
    return xp.concat([xp.matmul(a, b[..., k : k + 1]) for k in range(b.shape[-1])], axis=-1)


def image_means(x: Array, ndim: int, *, xp: Namespace) -> Array:
    """Return the means over the last axes, (batch...), on the host to the last digit of their dtype.

    There short rows of large images are summed by a product, in half the time. Of long rows it would lose digits, as it
    adds one after the other; so do other sums in single precision where the last axis is not the last in memory.
    """
    pixels = math.prod(x.shape[x.ndim - ndim :])
    suits = isinstance(x, np.ndarray) and x.dtype.kind == "f" and x.flags.c_contiguous
    if suits and pixels >= _LARGE and pixels % _ROW == 0:
        sums = np.matmul(x.reshape(-1, _ROW), np.ones(_ROW, x.dtype))
        rows = sums.reshape(*x.shape[: x.ndim - ndim], -1)
        return np.asarray(np.add.reduce(rows, axis=-1, dtype=np.float64) / pixels).astype(x.dtype)
    axes = tuple(range(x.ndim - ndim, x.ndim))
    if isinstance(x, np.ndarray) and x.dtype.kind == "f":
        return np.asarray(np.mean(x, axis=axes, dtype=np.float64)).astype(x.dtype)
    return xp.mean(x, axis=axes)


def seen_in(x: Array, ndim: int, *, xp: Namespace) -> tuple[Array, Array | None]:
    """Return the `image_means`; and where one pass tells them too the smallest and largest values (batch..., 2)."""
    if not compiles(xp=xp) or not xp.isdtype(x.dtype, (xp.float32, xp.float64)):
        return image_means(x, ndim, xp=xp), None
    lead, shape = x.shape[: x.ndim - ndim], x.shape[x.ndim - ndim :]
    sums = _reduced(xp.reshape(x, (-1, *shape)), xp=xp)
    mean, ends = _mean_and_ends(*sums, pixels=math.prod(shape), dtype=x.dtype, xp=xp)
    return xp.reshape(mean, lead), xp.reshape(ends, (*lead, 2))


def ends_of(x: Array, *, xp: Namespace) -> tuple[Array, Array]:
    """Return the smallest and the largest values of images (batch, ...), (batch,)."""
    low, high = _ends(x, xp=xp)
    return xp.astype(low, x.dtype, copy=False), xp.astype(high, x.dtype, copy=False)


@elementwise
def _reduced(x: Array, *, xp: Namespace) -> tuple[Total, Total, Total]:  # noqa: ARG001
    return Total(x), Lowest(x), Highest(x)


@elementwise
def _ends(x: Array, *, xp: Namespace) -> tuple[Total, Total]:  # noqa: ARG001
    return Lowest(x), Highest(x)


@per_item
def _mean_and_ends(
    total: Array, low: Array, high: Array, *, pixels: int, dtype: Any, xp: Namespace
) -> tuple[Array, Array]:
    return xp.astype(total / pixels, dtype), xp.astype(xp.stack([low, high], axis=-1), dtype)


def inner(a: Array, b: Array, acc: Any, *, xp: Namespace) -> Array:
    """Return sum_x a b, (batch,), in `acc`."""
    return xp.astype(_product_sums(a, b, xp=xp), acc, copy=False)


@elementwise
def _product_sums(a: Array, b: Array, *, xp: Namespace) -> Total:  # noqa: ARG001
    return Total(a, b)


def run_sums(
    rows: Sequence[Array],
    of: Callable[..., Sequence[Array]] | None,
    runs: Callable[..., tuple[np.ndarray, ...]],
    *args: Any,
    dtype: Any,
    xp: Namespace,
) -> list[Array] | None:
    """Return the weighted sums over runs of elements of (a function of) rows (batch, n), (batch, runs) each.

    None but on the host. ``runs(*args)`` gives the order of the elements, their weights, and where in that order each
    run starts. Of an empty one the sum is that of another.
    """
    if not isinstance(rows[0], np.ndarray):
        return None
    rows = rows if of is None else of(*rows, xp=xp)
    order, weight, start = runs(*args)
    return [np.add.reduceat(a.take(order, axis=1) * weight, start, axis=1, dtype=dtype) for a in rows]


def range_sums(x: Array, axis: int, ranges: _Ranges, args: tuple[Any, ...], *, xp: Namespace) -> Array:
    """Return the sums over ranges along an axis; ``ranges(*args)`` gives first elements and last + 1, (ranges,) each.

    The host takes them from running sums, which on a GPU are many passes: there it is a product with ones and zeros.
    """
    if isinstance(x, np.ndarray):
        upto = xp.cumulative_sum(x, axis=axis, include_initial=True)
        start, stop = ranges(*args)
        return upto.take(stop, axis=axis) - upto.take(start, axis=axis)
    n = x.shape[axis]
    last = axis == x.ndim - 1
    matrix = table(_within, ranges, args, n, last, dtype=x.dtype, like=x, large=True, xp=xp)
    if last:
        return xp.matmul(x, matrix)
    found = xp.matmul(matrix, xp.reshape(x, (*x.shape[:axis], n, -1)))
    return xp.reshape(found, (*x.shape[:axis], -1, *x.shape[axis + 1 :]))


def _within(
    ranges: Callable[..., tuple[np.ndarray, np.ndarray]], args: tuple[Any, ...], n: int, last: bool
) -> np.ndarray:
    """(ranges, n), or with its axes exchanged: 1 where an element is in a range."""
    start, stop = (end[:, None] for end in ranges(*args))
    inside = (np.arange(n) >= start) & (np.arange(n) < stop)
    return np.transpose(inside).copy() if last else inside


def largest(maps: Array, *, xp: Namespace) -> Array:
    """Return where in each map (batch, ...) its largest element is, counted through the map, (batch,).

    Row maxima first, then the row: a batched argmax over whole maps is one thread block per map on a GPU. The host goes
    through a map at once, and so does a thread block through a small one.
    """
    batch, width = maps.shape[0], maps.shape[-1]
    rows = xp.reshape(maps, (batch, -1, width))
    if isinstance(maps, np.ndarray) or rows.shape[1] * width <= _SMALL:
        return xp.argmax(xp.reshape(maps, (batch, -1)), axis=-1)
    best = xp.argmax(xp.max(rows, axis=-1), axis=-1)
    first = table(_starts, batch, rows.shape[1], dtype=best.dtype, like=best, xp=xp)
    row = xp.take(xp.reshape(rows, (-1, width)), first + best, axis=0)
    return _counted(best, xp.argmax(row, axis=-1), width=width, xp=xp)


@per_item
def _counted(row: Array, column: Array, *, width: int, xp: Namespace) -> Array:  # noqa: ARG001
    return row * width + column


def _starts(batch: int, rows: int) -> np.ndarray:
    return np.arange(batch) * rows
