"""An array of expressions: the small array that belongs to one item, as the functions of the library see it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from . import nodes

__all__ = ["Items", "elementwise", "of_dtype", "wrapped"]


class Items:
    """An array (1, ...) of nodes of one dtype; it has what the array API has of operators and views."""

    __slots__ = ("dtype", "entries")
    __hash__ = None  # type: ignore[assignment]
    __array_ufunc__ = None  # NumPy's numbers leave operators to it
    device = "kernel"

    def __init__(self, entries: np.ndarray, dtype: np.dtype) -> None:
        self.entries, self.dtype = entries, dtype

    shape = property(lambda self: self.entries.shape)
    ndim = property(lambda self: self.entries.ndim)
    size = property(lambda self: self.entries.size)

    def __pow__(self, exponent: Any) -> Items:
        dtype = _common(self, exponent)
        base, power = of_dtype(self, dtype), exponent if isinstance(exponent, Items) else of_dtype(exponent, dtype)
        return wrapped(np.frompyfunc(nodes.power, 2, 1)(base.entries, power.entries), dtype)

    def __getitem__(self, key: Any) -> Items:
        return wrapped(self.entries[key], self.dtype)

    def __bool__(self) -> bool:
        msg = "a kernel does not know values while it is made"
        raise TypeError(msg)


def wrapped(entries: Any, dtype: Any) -> Items:
    """Return nodes, one or an array of them, as an array."""
    if isinstance(entries, np.ndarray):
        return Items(entries, np.dtype(dtype))
    cell = np.empty((), dtype=object)
    cell[()] = entries
    return Items(cell, np.dtype(dtype))


def of_dtype(x: Any, dtype: Any) -> Items:
    """Return an array or a number in a dtype."""
    dtype = np.dtype(dtype)
    if not isinstance(x, Items):
        return wrapped(nodes.constant(x, dtype), dtype)
    if x.dtype == dtype:
        return x
    return wrapped(np.frompyfunc(lambda node: nodes.cast(node, dtype), 1, 1)(x.entries), dtype)


def _common(*args: Any) -> np.dtype:
    """Return the dtype of the result of arrays and Python numbers, which have a kind only."""
    return np.result_type(*(x.dtype if isinstance(x, Items) else x for x in args))


def elementwise(op: str, *args: Any) -> Items:
    """Return the result of an operation on arrays and Python numbers."""
    heads = args[:1] if op == "where" else ()
    rest = args[len(heads) :]
    dtype = _common(*rest)
    if op in ("true_divide", "sqrt", "exp", "log", "cos", "sin") and dtype.kind not in "fc":
        dtype = np.dtype(np.float64)
    alike = [of_dtype(x, dtype).entries for x in rest]
    one = functools.partial(nodes.apply, op)
    found = np.frompyfunc(one, len(args), 1)(*(h.entries for h in heads), *alike)
    first = found.reshape(-1)[0] if isinstance(found, np.ndarray) else found
    return wrapped(found, first.dtype)


def _operator(op: str, *, reflected: bool = False) -> Callable[..., Items]:
    def method(self: Items, other: Any) -> Items:
        return elementwise(op, other, self) if reflected else elementwise(op, self, other)

    return method


def _unary(op: str) -> Callable[[Items], Items]:
    return lambda self: elementwise(op, self)


for _symbol, _name in {
    "add": "add", "sub": "subtract", "mul": "multiply", "truediv": "true_divide", "floordiv": "floor_divide",
    "mod": "remainder", "and": "bitwise_and", "or": "bitwise_or",
}.items():  # fmt: skip
    setattr(Items, f"__{_symbol}__", _operator(_name))
    setattr(Items, f"__r{_symbol}__", _operator(_name, reflected=True))
for _symbol, _name in {
    "lt": "less", "le": "less_equal", "gt": "greater", "ge": "greater_equal", "eq": "equal", "ne": "not_equal",
}.items():  # fmt: skip
    setattr(Items, f"__{_symbol}__", _operator(_name))
for _symbol, _name in {"neg": "negative", "abs": "absolute", "invert": "invert"}.items():
    setattr(Items, f"__{_symbol}__", _unary(_name))
