"""The lags of a correlation over the overlap of two images: a grid just large enough, and tables of it.

The tables follow from shapes and options alone, and are made on the host.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from .._fft_length import fast_length
from ..fft_tools._dft import along

__all__ = ["LagAxis", "Lags", "allowed_lags", "box_ends", "lag_at", "lags_of", "largest_overlap", "overlap_at"]


class LagAxis(NamedTuple):
    """The lags of a correlation along one axis: 0 ... grid - low - 1, then -low ... -1."""

    grid: int
    low: int
    reference: int
    moving: int
    limit: float
    wrap: bool
    middle: float
    """What the limit counts from."""


class Lags(NamedTuple):
    """Those along each axis."""

    axes: tuple[LagAxis, ...]

    @property
    def grid(self) -> tuple[int, ...]:
        """The shape of maps of lags."""
        return tuple(a.grid for a in self.axes)


def lags_of(
    n_r: Sequence[int],
    n_m: Sequence[int],
    wrap: bool,
    bounds: Sequence[tuple[float, float]],
    min_overlap: float,
) -> Lags:
    """Return the lags of a grid just as large as no lag that may be chosen is disturbed by another.

    `bounds` are per axis what the limit counts from, and the limit.
    """
    smaller = [min(r, m) for r, m in zip(n_r, n_m, strict=True)]
    least = min_overlap * min(math.prod(n_r), math.prod(n_m)) / math.prod(smaller)
    axes = []
    for r, m, both, (middle, limit) in zip(n_r, n_m, smaller, bounds, strict=True):
        if wrap:
            axes.append(LagAxis(m, m // 2, r, m, limit, wrap, middle))
            continue
        # with all of the other axes
        count = max(math.ceil(least * both - 1e-6), 1)
        reach = ((r, limit - middle), (m, limit + middle))
        low, high = (max(min(n - count, math.floor(most)), 0) for n, most in reach)
        axes.append(LagAxis(fast_length([max(m + low, r + high)])[0], low, r, m, limit, wrap, middle))
    return Lags(tuple(axes))


def lag_at(*axis: Any) -> np.ndarray:
    """(grid,): the lag at each index."""
    a = LagAxis(*axis)
    lag = np.arange(a.grid)
    return np.where(lag >= a.grid - a.low, lag - a.grid, lag)


def _ends(a: LagAxis) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return first pixel and last + 1 of the overlap in the reference and in the moving image at each lag."""
    lag = lag_at(*a)
    start = np.maximum(-lag, 0)
    stop = np.maximum(np.minimum(a.reference, a.moving - lag), start)
    return [(start, stop), (start + lag, stop + lag)]


@functools.lru_cache(maxsize=64)
def box_ends(*args: Any) -> tuple[np.ndarray, np.ndarray]:
    """(grid,) each: first pixel of the overlap and the last + 1, in the reference (0) or the moving image (1)."""
    *axis, which = args
    n = axis[2 + which]
    start, stop = (np.clip(end, 0, n) for end in _ends(LagAxis(*axis))[which])
    return start, stop


def overlap_at(lags: Lags) -> np.ndarray:
    """(1, *grid): the number of pixels in the overlap."""
    total = np.ones((1,) * (len(lags.grid) + 1))
    for k, a in enumerate(lags.axes):
        start, stop = _ends(a)[0]
        count = np.full(a.grid, a.moving) if a.wrap else stop - start
        total = total * count.reshape(along(n=a.grid, axis=k, ndim=len(lags.grid)))
    return total


def allowed_lags(lags: Lags, min_overlap: float) -> np.ndarray:
    """(1, *grid): the lags to look at."""
    near = np.ones((1,) * (len(lags.grid) + 1), dtype=bool)
    for k, a in enumerate(lags.axes):
        near = near & (np.abs(lag_at(*a) - a.middle) <= a.limit).reshape(along(n=a.grid, axis=k, ndim=len(lags.grid)))
    if any(a.wrap for a in lags.axes):
        return near
    smaller = min(math.prod(a.reference for a in lags.axes), math.prod(a.moving for a in lags.axes))
    return near & (overlap_at(lags) >= min_overlap * smaller)


def largest_overlap(lags: Lags) -> np.ndarray:
    """(1, 1, ..., 1): the most pixels that an overlap has."""
    return np.max(overlap_at(lags), keepdims=True)
