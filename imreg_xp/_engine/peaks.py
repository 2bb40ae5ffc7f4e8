"""Peaks of maps, with arrays for indices: no value of a map is looked at on the host."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import numpy as np

from .._array import Array, Namespace, accumulator_dtype, device_of
from .._bounds import bounded
from .._kernels import per_item
from .._static import table
from .._sums import largest
from ..fft_tools._dft import along

__all__ = ["argmax", "covered", "lags", "parabola", "peak_within", "take_at"]


def argmax(values: Array, *, xp: Namespace) -> Array:
    """Return the index (batch, ndim) of the largest element of each map (batch, n_1, ..., n_k)."""
    return _index(largest(values, xp=xp), shape=tuple(values.shape[1:]), xp=xp)


@per_item
def _index(best: Array, *, shape: tuple[int, ...], xp: Namespace) -> Array:
    """Return the index (batch, ndim) of elements counted through a map (batch,)."""
    index = []
    for n in shape[:0:-1]:
        index.append(best % n)
        best = best // n
    return xp.stack([best, *index[::-1]], axis=-1)


@per_item
def _index_and_lag(best: Array, *, shape: tuple[int, ...], xp: Namespace) -> tuple[Array, Array]:
    """Return index and signed lag (batch, ndim) of elements counted through a map (batch,)."""
    index = _index(best, shape=shape, xp=xp)
    return index, lags(index, shape, xp=xp)


def take_at(values: Array, index: Array, *, xp: Namespace) -> Array:
    """Return the elements (batch, points) of maps (batch, n_1, ..., n_k) at `index` (batch, points, k), wrapped."""
    shape = values.shape[1:]
    flat = xp.zeros_like(index[..., 0])
    for axis, n in enumerate(shape):
        flat = flat * n + index[..., axis] % n
    return xp.take_along_axis(xp.reshape(values, (values.shape[0], -1)), flat, axis=1)


def parabola(values: Array, index: Array, *, xp: Namespace) -> tuple[Array, Array]:
    """Return the step (batch, k), within half a sample, from samples at `index` (batch, k) to the top of parabolas.

    They go through the sample and its neighbours along each axis, wrapped; all these samples (batch, 1 + 2 k) come with
    it, that at `index` first.
    """
    ndim, dtype = index.shape[1], accumulator_dtype(values, xp=xp)
    steps = xp.eye(ndim, dtype=index.dtype, device=device_of(index))
    points = xp.concat([index[:, None, :], index[:, None, :] - steps, index[:, None, :] + steps], axis=1)
    around = xp.astype(take_at(values, points, xp=xp), dtype)
    peak, below, above = around[:, :1], around[:, 1 : ndim + 1], around[:, ndim + 1 :]
    bend = 2 * peak - below - above
    step = xp.where(bend > 0, (above - below) / (2 * xp.where(bend > 0, bend, 1.0)), 0 * bend)
    return bounded(step, -0.5, 0.5, xp=xp), around


def lags(index: Array, shape: Sequence[int], *, xp: Namespace) -> Array:
    """Turn indices of a correlation map into signed lags (accumulator dtype) in [-n/2, n/2)."""
    n, half = (table(_sizes, tuple(shape), part, dtype=index.dtype, like=index, xp=xp) for part in (1, 2))
    lag = (index + half) % n - half
    return xp.astype(lag, accumulator_dtype(index, xp=xp))


def _sizes(shape: tuple[int, ...], part: int) -> np.ndarray:
    return np.floor_divide(shape, part)


def _reach(limits: Sequence[float]) -> list[int]:
    """Return how many whole pixels are searched: the peak of a shift just inside a limit may lie a pixel beyond."""
    return [math.floor(limit + 0.5) + 1 for limit in limits]


@functools.lru_cache(maxsize=256)
def covered(shape: tuple[int, ...], limits: tuple[float, ...]) -> bool:
    """Tell whether the limits are beyond the map."""
    return all(2 * k + 1 >= size for size, k in zip(shape, _reach(limits), strict=True))


def peak_within(values: Array, limits: Sequence[float], *, xp: Namespace) -> tuple[Array, Array, Array | None]:
    """Return index and lag (batch, ndim) of the maximum of periodic maps, and whether it is at the limits.

    None: the limits are beyond the map.
    """
    shape, reach = tuple(values.shape[1:]), _reach(limits)
    for axis, (size, k) in enumerate(zip(shape, reach, strict=True)):
        if 2 * k + 1 < size:
            lag = xp.arange(size, dtype=xp.int64, device=device_of(values))
            near = xp.reshape((lag <= k) | (lag >= size - k), along(n=size, axis=axis, ndim=len(shape)))
            values = xp.where(near, values, xp.full_like(values, -math.inf))
    index, lag = _index_and_lag(largest(values, xp=xp), shape=shape, xp=xp)
    if covered(shape, tuple(limits)):
        return index, lag, None
    edge = tuple(k if 2 * k + 1 < size else math.inf for size, k in zip(shape, reach, strict=True))
    edges = table(np.asarray, edge, dtype=lag.dtype, like=lag, xp=xp)
    return index, lag, xp.any(abs(lag) >= edges, axis=-1)
