"""The part of the array API that small arrays of expressions have."""

from __future__ import annotations

import functools
import types
from typing import Any

import numpy as np

from . import nodes
from .items import Items, elementwise, of_dtype, wrapped

__all__ = ["xp"]


def _asarray(values: Any, *, dtype: Any = None, device: Any = None) -> Items:  # noqa: ARG001
    host = np.asarray(values, dtype=dtype)
    entries = np.frompyfunc(lambda v: nodes.constant(v, host.dtype), 1, 1)(host.astype(object))
    return wrapped(entries, host.dtype)


def _astype(x: Items, dtype: Any, *, copy: bool = True) -> Items:  # noqa: ARG001
    return of_dtype(x, dtype)


def _filled(x: Items, value: Any) -> Items:
    return of_dtype(value, x.dtype) if not x.ndim else _broadcast(of_dtype(value, x.dtype), x.shape)


def _broadcast(x: Items, shape: tuple[int, ...]) -> Items:
    return wrapped(np.broadcast_to(x.entries, shape), x.dtype)


def _reduced(op: str, x: Items, axis: Any, keepdims: bool = False) -> Items:
    axes = range(x.ndim) if axis is None else (axis,) if isinstance(axis, int) else axis
    for a in sorted((a % x.ndim for a in axes), reverse=True):
        parts = [wrapped(np.take(x.entries, [k], axis=a), x.dtype) for k in range(x.shape[a])]
        x = functools.reduce(functools.partial(elementwise, op), parts)
        x = x if keepdims else wrapped(np.squeeze(x.entries, axis=a), x.dtype)
    return x


def _sum(x: Items, *, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> Items:
    whole = np.int64 if x.dtype.kind in "biu" else x.dtype
    return _reduced("add", of_dtype(x, whole if dtype is None else dtype), axis, keepdims)


def _matmul(a: Any, b: Any) -> Any:
    terms = [a[..., :, k : k + 1] * b[..., k : k + 1, :] for k in range(a.shape[-1])]
    return functools.reduce(lambda s, t: s + t, terms)


def _joined(how: Any, arrays: Any, axis: int) -> Items:
    dtype = np.result_type(*(x.dtype for x in arrays))
    return wrapped(how([of_dtype(x, dtype).entries for x in arrays], axis=axis), dtype)


def _picked(x: Items, index: Items, *, axis: int) -> Items:
    places = [int(node.args[0]) for node in index.entries]  # constants
    return wrapped(np.take(x.entries, places, axis=axis), x.dtype)


def _moved(how: Any, x: Items, *args: Any, **options: Any) -> Items:
    return wrapped(how(x.entries, *args, **options), x.dtype)


def _part(which: Any, x: Items) -> Items:
    found = np.frompyfunc(which, 1, 1)(x.entries)
    return wrapped(found, np.finfo(x.dtype).dtype)


_ELEMENTWISE = (
    "sqrt", "exp", "log", "cos", "sin", "round", "isfinite", "maximum", "minimum", "where", "remainder", "negative",
)  # fmt: skip
_HOST = ("finfo", "isdtype", "result_type", "float32", "float64", "complex64", "complex128", "int32", "int64", "bool")


class _Info:
    """What kernels know of dtypes."""

    @staticmethod
    def dtypes(*, device: Any = None, kind: Any = None) -> dict[str, Any]:  # noqa: ARG004
        kinds = {"real floating": ("float32", "float64")}
        return {name: np.dtype(name) for name in kinds[kind]}


class _Namespace(types.SimpleNamespace):
    """One like any other, to keep tables by."""

    __hash__ = object.__hash__  # type: ignore[assignment]


xp = _Namespace(
    **{name: functools.partial(elementwise, name) for name in _ELEMENTWISE},
    **{name: getattr(np, name) for name in _HOST},
    abs=functools.partial(elementwise, "absolute"),
    logical_and=functools.partial(elementwise, "bitwise_and"),
    __array_namespace_info__=_Info,
    asarray=_asarray,
    eye=lambda n, *, dtype=None, device=None: _asarray(np.eye(n), dtype=dtype),  # noqa: ARG005
    astype=_astype,
    zeros_like=lambda x: _filled(x, 0),
    ones_like=lambda x: _filled(x, 1),
    full_like=_filled,
    broadcast_to=_broadcast,
    sum=_sum,
    any=lambda x, *, axis=None, keepdims=False: _reduced("bitwise_or", x, axis, keepdims),
    all=lambda x, *, axis=None, keepdims=False: _reduced("bitwise_and", x, axis, keepdims),
    matmul=_matmul,
    concat=lambda arrays, *, axis=0: _joined(np.concatenate, arrays, axis),
    stack=lambda arrays, *, axis=0: _joined(np.stack, arrays, axis),
    take=_picked,
    reshape=functools.partial(_moved, np.reshape),
    flip=functools.partial(_moved, np.flip),
    permute_dims=functools.partial(_moved, np.transpose),
    matrix_transpose=functools.partial(_moved, np.matrix_transpose),
    real=functools.partial(_part, nodes.real),
    conj=lambda x: elementwise("conj", x) if x.dtype.kind == "c" else x,
    imag=functools.partial(_part, nodes.imag),
    linalg=types.SimpleNamespace(diagonal=functools.partial(_moved, np.diagonal, axis1=-2, axis2=-1)),
)
