"""Peaks of maps, with arrays for indices: no value of a map is looked at on the host."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from .._array import Array, Namespace, accumulator_dtype, device_of
from .._static import table
from ..fft_tools._dft import along

__all__ = ["argmax", "lags", "peak_within", "take_at"]

_SMALL = 4096  # values of a map that one thread block of a GPU goes through at once


def argmax(values: Array, *, xp: Namespace) -> Array:
    """Return the index (batch, ndim) of the largest element of each map (batch, n_1, ..., n_k).

    Row maxima first, then the row: a batched argmax over whole maps is one thread block per map on a GPU.
    """
    batch, shape = values.shape[0], values.shape[1:]
    if math.prod(shape) <= _SMALL:
        best = xp.argmax(xp.reshape(values, (batch, -1)), axis=-1)
        index = []
        within = shape
    else:
        rows = xp.reshape(values, (batch, -1, shape[-1]))
        best = xp.argmax(xp.max(rows, axis=-1), axis=-1)
        first = xp.arange(batch, dtype=best.dtype, device=device_of(best)) * rows.shape[1]
        row = xp.take(xp.reshape(rows, (-1, shape[-1])), first + best, axis=0)
        index = [xp.argmax(row, axis=-1)]
        within = shape[:-1]
    for n in within[:0:-1]:
        index.append(best % n)
        best = best // n
    if within:
        index.append(best)
    return xp.stack(index[::-1], axis=-1)


def take_at(values: Array, index: Array, *, xp: Namespace) -> Array:
    """Return the elements (batch, points) of maps (batch, n_1, ..., n_k) at `index` (batch, points, k), wrapped."""
    shape = values.shape[1:]
    flat = xp.zeros_like(index[..., 0])
    for axis, n in enumerate(shape):
        flat = flat * n + index[..., axis] % n
    return xp.take_along_axis(xp.reshape(values, (values.shape[0], -1)), flat, axis=1)


def lags(index: Array, shape: Sequence[int], *, xp: Namespace) -> Array:
    """Turn indices of a correlation map into signed lags (accumulator dtype) in [-n/2, n/2)."""
    n = table(np.asarray, tuple(shape), dtype=index.dtype, like=index, xp=xp)
    lag = xp.where(2 * index >= n, index - n, index)
    return xp.astype(lag, accumulator_dtype(index, xp=xp))


def peak_within(values: Array, limits: Sequence[float], *, xp: Namespace) -> tuple[Array, Array]:
    """Return the lag (batch, ndim) of the maximum of periodic maps, and whether it is at the limits of the search.

    The search goes one pixel beyond the nearest whole pixel: the peak of a shift just inside the limit may lie there.
    """
    shape = tuple(values.shape[1:])
    reach = [math.floor(limit + 0.5) + 1 for limit in limits]
    for axis, (size, k) in enumerate(zip(shape, reach, strict=True)):
        if 2 * k + 1 < size:
            lag = xp.arange(size, dtype=xp.int64, device=device_of(values))
            near = xp.reshape((lag <= k) | (lag >= size - k), along(n=size, axis=axis, ndim=len(shape)))
            values = xp.where(near, values, xp.full_like(values, -math.inf))
    lag = lags(argmax(values, xp=xp), shape, xp=xp)
    edge = tuple(k if 2 * k + 1 < size else math.inf for size, k in zip(shape, reach, strict=True))
    edges = table(np.asarray, edge, dtype=lag.dtype, like=lag, xp=xp)
    return lag, xp.any(abs(lag) >= edges, axis=-1)
