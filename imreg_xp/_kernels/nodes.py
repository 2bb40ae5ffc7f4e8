"""Expressions of numbers: what a kernel does for one item, built by calling the function that it stands for."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["OPERATIONS", "Node", "apply", "cast", "constant", "imag", "load", "look_up", "power", "real"]

_BOOL = np.dtype(np.bool_)


class Node:
    """An operation on other nodes, a "constant" or a "load"; a complex number is a "pair" of real nodes."""

    __slots__ = ("args", "dtype", "op")

    def __init__(self, op: str, args: tuple[Any, ...], dtype: np.dtype) -> None:
        self.op, self.args, self.dtype = op, args, dtype


# what folds constants, and how it is written in CUDA C++ and, to the letter, in Python
OPERATIONS: dict[str, tuple[Callable[..., Any], str]] = {
    "add": (operator.add, "{} + {}"),
    "subtract": (operator.sub, "{} - {}"),
    "multiply": (operator.mul, "{} * {}"),
    "true_divide": (np.true_divide, "{} / {}"),
    "floor_divide": (operator.floordiv, "quotient({}, {})"),
    "remainder": (operator.mod, "modulo({}, {})"),
    "power": (operator.pow, "pow({}, {})"),
    "less": (operator.lt, "{} < {}"),
    "less_equal": (operator.le, "{} <= {}"),
    "greater": (operator.gt, "{} > {}"),
    "greater_equal": (operator.ge, "{} >= {}"),
    "equal": (operator.eq, "{} == {}"),
    "not_equal": (operator.ne, "{} != {}"),
    "bitwise_and": (operator.and_, "{} & {}"),
    "bitwise_or": (operator.or_, "{} | {}"),
    "invert": (np.logical_not, "negation({})"),
    "negative": (operator.neg, "-{}"),
    "absolute": (abs, "absolute({})"),
    "hypot": (np.hypot, "hypot({}, {})"),
    "sqrt": (np.sqrt, "sqrt({})"),
    "exp": (np.exp, "exp({})"),
    "log": (np.log, "log({})"),
    "cos": (np.cos, "cos({})"),
    "sin": (np.sin, "sin({})"),
    "round": (np.round, "rint({})"),
    "isfinite": (np.isfinite, "finite({})"),
    "maximum": (np.maximum, "maximum({}, {})"),
    "minimum": (np.minimum, "minimum({}, {})"),
    "where": (np.where, "select({}, {}, {})"),
}
_TELLS = frozenset(("less", "less_equal", "greater", "greater_equal", "equal", "not_equal", "isfinite"))
_KINDS = {"invert": "b", "bitwise_and": "b", "bitwise_or": "b", "remainder": "iu", "floor_divide": "iu", "power": "f"}
_BY_PARTS = frozenset(("add", "subtract", "negative"))


def constant(value: Any, dtype: Any) -> Node:
    """Return a number."""
    dtype = np.dtype(dtype)
    if dtype.kind == "c":
        part = _part(dtype)
        return Node("pair", (constant(value.real, part), constant(value.imag, part)), dtype)
    return Node("constant", (dtype.type(value),), dtype)


def load(leaf: int, offset: int, dtype: np.dtype) -> Node:
    """Return an element of an argument; the parts of a complex one lie side by side."""
    if dtype.kind == "c":
        part = _part(dtype)
        return Node("pair", (Node("load", (leaf, 2 * offset), part), Node("load", (leaf, 2 * offset + 1), part)), dtype)
    return Node("load", (leaf, offset), dtype)


def look_up(leaf: int, index: Node, dtype: np.dtype) -> Node:
    """Return an element of an argument that another number tells."""
    if dtype.kind != "c":
        return Node("look up", (leaf, index), dtype)
    first = apply("multiply", index, constant(2, index.dtype))
    parts = first, apply("add", first, constant(1, index.dtype))
    return Node("pair", tuple([look_up(leaf, i, _part(dtype)) for i in parts]), dtype)


def _part(dtype: np.dtype) -> np.dtype:
    return np.dtype(np.float32 if dtype == np.complex64 else np.float64)


def cast(node: Node, dtype: np.dtype) -> Node:
    """Return a number in another dtype."""
    if node.dtype == dtype:
        return node
    if dtype.kind == "c":
        return Node("pair", tuple(cast(part(node), _part(dtype)) for part in (real, imag)), dtype)
    if node.dtype.kind == "c":
        msg = f"a complex number does not become {dtype}"
        raise TypeError(msg)
    if node.op == "constant":
        return constant(node.args[0], dtype)
    return Node("cast", (node,), dtype)


def real(node: Node) -> Node:
    """Return the real part."""
    return node.args[0] if node.op == "pair" else node


def imag(node: Node) -> Node:
    """Return the imaginary part."""
    return node.args[1] if node.op == "pair" else constant(0, node.dtype)


def apply(op: str, *args: Node) -> Node:
    """Return the result of an operation on numbers of one dtype, but for the condition of "where"."""
    dtype = args[-1].dtype
    if dtype.kind not in _KINDS.get(op, dtype.kind):
        msg = f"no kernel does `{op}` of {dtype}"
        raise TypeError(msg)
    if dtype.kind == "c":
        return _complex(op, args, dtype)
    out = _BOOL if op in _TELLS else dtype
    if op == "where" and args[0].op == "constant":
        return args[1] if args[0].args[0] else args[2]
    if all(a.op == "constant" for a in args):
        with np.errstate(all="ignore"):
            return constant(OPERATIONS[op][0](*(a.args[0] for a in args)), out)
    return Node(op, args, out)


def _complex(op: str, args: tuple[Node, ...], dtype: np.dtype) -> Node:
    """Return the result of an operation on complex numbers, by real ones."""
    parts = [(real(a), imag(a)) for a in args]
    if op == "absolute":
        return apply("hypot", *parts[0])
    found: tuple[Node, ...]
    if op == "multiply":
        (a, b), (c, d) = parts
        found = (
            apply("subtract", apply("multiply", a, c), apply("multiply", b, d)),
            apply("add", apply("multiply", a, d), apply("multiply", b, c)),
        )
    elif op == "conj":
        found = (parts[0][0], apply("negative", parts[0][1]))
    elif op == "exp":
        size, turn = apply("exp", parts[0][0]), parts[0][1]
        found = tuple(apply("multiply", size, apply(wave, turn)) for wave in ("cos", "sin"))
    elif op in _BY_PARTS:
        found = tuple(apply(op, *(p[k] for p in parts)) for k in (0, 1))
    else:
        msg = f"no kernel does `{op}` of complex numbers"
        raise TypeError(msg)
    return Node("pair", found, dtype)


def power(base: Node, exponent: Node) -> Node:
    """Return a power; whole ones that are known are products."""
    known = exponent.args[0] if exponent.op == "constant" else -1
    if not (0 <= known < 64 and known == int(known)):
        dtype = np.result_type(base.dtype, exponent.dtype)
        return apply("power", cast(base, dtype), cast(exponent, dtype))
    one = constant(1, base.dtype)
    return functools.reduce(functools.partial(apply, "multiply"), [base] * int(known)) if known else one
