"""Functions of the array API for NumPy arrays without the layers of wrappers around them.

The wrappers of one registration of 64 x 64 pixels take as long as its work. What is left out are checks and arguments
that nothing here uses; the results are the same.
"""

from __future__ import annotations

import functools
import math
import types
from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = ["FUNCTIONS", "NumpyNamespace", "keep_freed_memory"]

_Axis = int | tuple[int, ...] | None
_add: Any = np.add


def _reshape(x: Any, shape: tuple[int, ...]) -> Any:
    return x.reshape(shape)


def _astype(x: Any, dtype: Any, *, copy: bool = True) -> Any:
    return x.astype(dtype, copy=copy)


def _matrix_transpose(x: Any) -> Any:
    return x.mT


def _take(x: Any, indices: Any, *, axis: int | None = None) -> Any:
    return x.take(indices, axis=axis)


def _ones_like(x: Any, *, dtype: Any = None) -> Any:
    return np.ones(x.shape, x.dtype if dtype is None else dtype)


def _zeros_like(x: Any, *, dtype: Any = None) -> Any:
    return np.zeros(x.shape, x.dtype if dtype is None else dtype)


def _flip(x: Any, *, axis: _Axis = None) -> Any:
    if axis == -1:
        return x[..., ::-1]
    axes: Sequence[int] = range(x.ndim) if axis is None else (axis,) if isinstance(axis, int) else axis
    turned = [slice(None)] * x.ndim
    for a in axes:
        turned[a] = slice(None, None, -1)
    return x[tuple(turned)]


def _concat(arrays: Sequence[Any], *, axis: int | None = 0) -> Any:
    return np.concatenate(arrays, axis=axis)


def _stack(arrays: Sequence[Any], *, axis: int = 0) -> Any:
    at = axis if axis >= 0 else axis + arrays[0].ndim + 1
    new = (*(slice(None),) * at, None)
    return np.concatenate([x[new] for x in arrays], axis=at)


def _sum(x: Any, *, axis: _Axis = None, dtype: Any = None, keepdims: bool = False) -> Any:
    return _add.reduce(x, axis=axis, dtype=dtype, keepdims=keepdims)


def _mean(x: Any, *, axis: _Axis = None, keepdims: bool = False) -> Any:
    axes = range(x.ndim) if axis is None else (axis,) if isinstance(axis, int) else axis
    return _add.reduce(x, axis=axis, keepdims=keepdims) / math.prod(x.shape[a] for a in axes)


def _reduction(function: Any) -> Any:
    def reduce(x: Any, *, axis: _Axis = None, keepdims: bool = False) -> Any:
        return function.reduce(x, axis=axis, keepdims=keepdims)

    return reduce


FUNCTIONS = {
    "all": _reduction(np.logical_and),
    "any": _reduction(np.logical_or),
    "asarray": np.asarray,
    "astype": _astype,
    "concat": _concat,
    "finfo": functools.lru_cache(maxsize=16)(np.finfo),
    "flip": _flip,
    "matmul": np.matmul,
    "matrix_transpose": _matrix_transpose,
    "mean": _mean,
    "max": _reduction(np.maximum),
    "min": _reduction(np.minimum),
    "ones_like": _ones_like,
    "permute_dims": np.permute_dims,
    "reshape": _reshape,
    "round": np.rint,
    "stack": _stack,
    "sum": _sum,
    "take": _take,
    "zeros_like": _zeros_like,
}


class NumpyNamespace:
    """The array API over NumPy with a chosen FFT module; `others` has what is not told here.

    `numpy.fft` transforms float32 in double precision and has no threads; `scipy.fft` has both and lets the user plug
    in another backend (`scipy.fft.set_global_backend`).
    """

    def __init__(self, fft: types.ModuleType, others: types.ModuleType) -> None:
        self.fft, self._others = fft, others
        self.__dict__.update(FUNCTIONS)

    def __getattr__(self, name: str) -> Any:
        function = getattr(self._others, name)
        self.__dict__[name] = function  # found directly from now on
        return function


@functools.cache
def keep_freed_memory() -> None:
    """Let the C library keep the memory of temporaries for the next ones, once and for all.

    glibc returns a freed block to the system above a threshold that is twice the largest block freed so far, within
    limits. For images of a few MB that is after each step, and the pages of the next array are faulted in again, which
    takes as long as the transforms themselves. The block freed here is never touched, and costs nothing.
    """
    np.empty(31 * 2**20, dtype=np.uint8)
