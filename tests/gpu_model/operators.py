"""The operators of the model's arrays: each is a function of NumPy, and a kernel."""

from __future__ import annotations

from typing import Any

import numpy as np

from .array import Array, note, run
from .costs import Cost

__all__: list[str] = []

_SCALARS = (bool, int, float, complex, np.number, np.bool_)


def _operator(name: str, *, reflected: bool = False, in_place: bool = False) -> Any:
    function = getattr(np, name)

    def method(self: Array, other: Any) -> Any:
        if not isinstance(other, (Array, np.ndarray, *_SCALARS)):
            return NotImplemented
        if in_place:
            run(name, lambda a, b: function(a, b, out=a), (self, other))
            size = self._data.nbytes
            note(name, Cost(1, 2 * size, size), [self._data], [self._data])
            return self
        return run(name, function, (other, self) if reflected else (self, other))

    return method


def _unary(name: str) -> Any:
    function = getattr(np, name)
    return lambda self: run(name, function, (self,))


for _symbol, _name in {
    "add": "add", "sub": "subtract", "mul": "multiply", "truediv": "true_divide", "floordiv": "floor_divide",
    "mod": "remainder", "pow": "power", "and": "bitwise_and", "or": "bitwise_or", "xor": "bitwise_xor",
    "lshift": "left_shift", "rshift": "right_shift", "matmul": "matmul",
}.items():  # fmt: skip
    setattr(Array, f"__{_symbol}__", _operator(_name))
    setattr(Array, f"__r{_symbol}__", _operator(_name, reflected=True))
    if _symbol != "matmul":
        setattr(Array, f"__i{_symbol}__", _operator(_name, in_place=True))
for _symbol, _name in {"lt": "less", "le": "less_equal", "gt": "greater", "ge": "greater_equal"}.items():
    setattr(Array, f"__{_symbol}__", _operator(_name))
Array.__eq__ = _operator("equal")  # type: ignore[method-assign]
Array.__ne__ = _operator("not_equal")  # type: ignore[method-assign]
for _symbol, _name in {"neg": "negative", "pos": "positive", "abs": "absolute", "invert": "invert"}.items():
    setattr(Array, f"__{_symbol}__", _unary(_name))
