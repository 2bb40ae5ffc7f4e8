"""The text of a kernel: CUDA C++ of one operation a line, each of which is Python too."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from .nodes import OPERATIONS, Node

__all__ = ["NAMES", "THREADS", "Leaf", "Lines", "Sum", "head", "name_of", "text"]

THREADS = 128  # of a block, a power of two

NAMES = {"float64": "double", "float32": "float", "int64": "int64", "int32": "int", "bool": "bool"}
"""What dtypes are called."""

_HEAD = """\
typedef long long int64;
#define INFINITE __longlong_as_double(0x7ff0000000000000LL)
#define NOT_A_NUMBER __longlong_as_double(0x7ff8000000000000LL)
template <class T> __device__ T maximum(T a, T b) { return a != a || a > b ? a : b; }
template <class T> __device__ T minimum(T a, T b) { return a != a || a < b ? a : b; }
template <class T> __device__ T absolute(T a) { return a < 0 ? -a : a + T(0); }
template <class T> __device__ T select(bool c, T a, T b) { return c ? a : b; }
template <class T> __device__ T modulo(T a, T b) { return (a % b + b) % b; }
template <class T> __device__ T quotient(T a, T b) { return (a - modulo(a, b)) / b; }
template <class T> __device__ bool finite(T a) { return a - a == T(0); }
__device__ bool negation(bool a) { return !a; }
"""
_ALONG_Y = (
    "for (int64 {0} = int64(blockIdx.y) * blockDim.x + threadIdx.x; {0} < {1}; {0} += int64(gridDim.y) * blockDim.x) {{"
)
_LOOPS = {
    1: "for (int64 i0 = int64(blockIdx.x) * blockDim.x + threadIdx.x; i0 < n0; i0 += int64(gridDim.x) * blockDim.x) {",
    2: "const int64 i0 = blockIdx.x;\n" + _ALONG_Y.format("i1", "n1"),
    3: "const int64 i0 = blockIdx.x;\n"
    + _ALONG_Y.format("i", "n1 * n2")
    + "\nconst int64 i1 = unsigned(i) / unsigned(n2), i2 = unsigned(i) % unsigned(n2);",
}


class Leaf(NamedTuple):
    """An argument: its dtype, and shape and strides, in elements, of what an item has of it."""

    dtype: np.dtype
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    whole: bool = False
    """It is looked up in, by all items."""

    def offsets(self) -> np.ndarray:
        """Return where each element is, (shape)."""
        grids = np.indices(self.shape)
        return sum((g * s for g, s in zip(grids, self.strides, strict=True)), start=np.zeros(self.shape, dtype=int))


class Sum(NamedTuple):
    """A term of a sum over all items of the second axis, or of another reduction; each block leaves its part."""

    term: Node
    how: str = "add"


_START = {"add": "0", "minimum": "INFINITE", "maximum": "-INFINITE"}

# what the threads of a block have, by halves
_PART = """\
__shared__ double r{k}[{threads}];
r{k}[threadIdx.x] = t{k};
__syncthreads();
for (int half = {threads} / 2; half > 0; half /= 2) {{
if (threadIdx.x < half) r{k}[threadIdx.x] = {both};
__syncthreads();
}}
if (threadIdx.x == 0) p{k}[i0 * gridDim.y + blockIdx.y] = r{k}[0];"""


def text(name: str, leaves: Sequence[Leaf], used: Sequence[int], outputs: Sequence[list[Node] | Sum], lead: int) -> str:
    """Return the source of a kernel with `outputs` elements per item, or sums, which reads the leaves `used`."""
    arguments: list[str] = []
    lines = Lines(lead)
    stores, before, after = [], [], []
    for k, nodes in enumerate(outputs):
        if isinstance(nodes, Sum):
            arguments.append(f"double* __restrict__ p{k}")
            before.append(f"double t{k} = {_START[nodes.how]};")
            stores.append(f"t{k} = {_both(nodes.how, f't{k}', f'double({lines.of(nodes.term)})')};")
            both = _both(nodes.how, f"r{k}[threadIdx.x]", f"r{k}[threadIdx.x + half]")
            after.append(_PART.format(k=k, threads=THREADS, both=both))
            continue
        arguments.append(f"{_pointer(nodes[0].dtype)} o{k}")
        values = [v for node in nodes for v in (node.args if node.op == "pair" else (node,))]
        item = ("i0", "(i0 * n1 + i1)", "((i0 * n1 + i1) * n2 + i2)")[lead - 1]
        stores += [f"o{k}[{item} * {len(values)} + {j}] = {lines.of(v)};" for j, v in enumerate(values)]
    body = [*before, _LOOPS[lead], *lines.written, *stores, "}", *after, "}\n"]
    return head(name, leaves, used, lead, arguments) + "\n".join(["", *body])


def _both(how: str, a: str, b: str) -> str:
    return OPERATIONS[how][1].format(a, b)


def head(name: str, leaves: Sequence[Leaf], used: Sequence[int], lead: int, outputs: Sequence[str]) -> str:
    """Return the beginning of a kernel: sizes, the leaves `used` with their strides, and the `outputs`."""
    arguments = [f"const int64 n{d}" for d in range(lead)]
    for k in used:
        arguments.append(f"const {_pointer(leaves[k].dtype)} a{k}")
        arguments += [] if leaves[k].whole else [f"const int64 s{k}_{d}" for d in range(lead)]
    return _HEAD + f'extern "C" __global__ void {name}({", ".join([*arguments, *outputs])}) {{'


def name_of(dtype: np.dtype) -> str:
    """Return the name of a real dtype, or of the parts of a complex one."""
    return NAMES[{"complex64": "float32", "complex128": "float64"}.get(dtype.name, dtype.name)]


def _pointer(dtype: np.dtype) -> str:
    return f"{name_of(dtype)}* __restrict__"


class Lines:
    """The lines that compute nodes, each once."""

    def __init__(self, lead: int) -> None:
        self.written: list[str] = []
        self._named: dict[int, str] = {}
        self._known: dict[Any, str] = {}
        self._lead = lead

    def of(self, node: Node) -> str:
        """Return the name of a node or its literal; what it needs is written before."""
        waiting = [node]
        while waiting:
            last = waiting[-1]
            open_ones = [a for a in last.args if isinstance(a, Node) and id(a) not in self._named]
            if id(last) not in self._named and open_ones:
                waiting += open_ones
                continue
            waiting.pop()
            if id(last) not in self._named:
                self._named[id(last)] = self._line(last)
        return self._named[id(node)]

    def _line(self, node: Node) -> str:
        if node.op == "constant":
            return _literal(node)
        args = [self._named[id(a)] if isinstance(a, Node) else a for a in node.args]
        key = (node.op, node.dtype.name, *args)
        if key not in self._known:
            name = self._known[key] = f"v{len(self._known)}"
            self.written.append(f"const {NAMES[node.dtype.name]} {name} = {self._expression(node, args)};")
        return self._known[key]

    def _expression(self, node: Node, args: list[Any]) -> str:
        if node.op == "cast":
            return f"{NAMES[node.dtype.name]}({args[0]})"
        if node.op == "look up":
            return f"a{args[0]}[{args[1]}]"
        if node.op == "load":
            leaf, offset = args
            place = " + ".join(f"i{d} * s{leaf}_{d}" for d in range(self._lead))
            return f"a{leaf}[{place} + {offset}]"
        return OPERATIONS[node.op][1].format(*args)


def _literal(node: Node) -> str:
    value, name = node.args[0], NAMES[node.dtype.name]
    if node.dtype.kind != "f":
        return f"{name}({int(value)})"
    if math.isfinite(value):
        return f"{name}({float(value)!r})"
    return f"{name}({'NOT_A_NUMBER' if math.isnan(value) else 'INFINITE' if value > 0 else '-INFINITE'})"
