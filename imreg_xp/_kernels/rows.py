"""The text of a kernel that multiplies rows of terms with the columns of matrices: the terms are stored nowhere.

A block of threads has one row. Its threads compute as many terms of it at a time as they are, then each has a column,
or every few terms of one, to add products up for.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from .code import THREADS, Leaf, Lines, head, name_of
from .nodes import Node

__all__ = ["MOST_ROWS", "RowSum", "row_text"]

MOST_ROWS = 65535  # blocks along the second axis of a grid


class RowSum(NamedTuple):
    """A term, and which argument is the matrix that rows of it are multiplied with."""

    term: Node
    columns: int

    @property
    def parts(self) -> tuple[Node, ...]:
        """The term, or its real and its imaginary part."""
        return self.term.args if self.term.op == "pair" else (self.term,)


_BEFORE = """\
const int64 i0 = blockIdx.x, i1 = blockIdx.y;
for (int64 first = 0; first < n2; first += {threads}) {{
const int64 i2 = first + threadIdx.x;
if (i2 < n2) {{"""
_BETWEEN = """\
}}
__syncthreads();
const int64 count = n2 - first < {threads} ? n2 - first : {threads};"""
# every few terms of a column, from one on; the threads beyond have none
_LOOP = """\
const int64 end{leaf} = threadIdx.x < {k} * ({threads} / {k}) ? count : 0;
for (int64 j = threadIdx.x / {k}; j < end{leaf}; j += {threads} / {k}) {{"""
_COLUMN = "const {type} c{leaf}_{part} = a{leaf}[((first + j) * {k} + threadIdx.x % {k}) * {parts} + {part}];"
_AFTER = """\
h{n}_0[threadIdx.x] = u{n}_{part};
__syncthreads();
if (threadIdx.x < {k}) {{
double all = 0;
for (int j = threadIdx.x; j < {k} * ({threads} / {k}); j += {k}) all += h{n}_0[j];
o{n}[((i1 * n0 + i0) * {k} + threadIdx.x) * {parts} + {part}] = all;
}}
__syncthreads();"""


def row_text(name: str, leaves: Sequence[Leaf], used: Sequence[int], outputs: Sequence[RowSum]) -> str:
    """Return the source of a kernel of items along three axes, of which the last is added up."""
    lines, arguments, shared, sums, stores, after = Lines(3), [], [], [], [], []
    for n, row in enumerate(outputs):
        matrix = leaves[row.columns]
        (k,) = matrix.shape
        kind, parts = name_of(row.parts[0].dtype), max(len(row.parts), 1 + (matrix.dtype.kind == "c"))
        arguments.append(f"double* __restrict__ o{n}")
        shared += [f"__shared__ {kind} h{n}_{part}[{THREADS}];" for part in range(len(row.parts))]
        sums += [f"{kind} u{n}_{part} = 0;" for part in range(parts)]
        stores += [f"h{n}_{part}[threadIdx.x] = {lines.of(node)};" for part, node in enumerate(row.parts)]
        after += [_AFTER.format(n=n, part=part, k=k, parts=parts, threads=THREADS) for part in range(parts)]
    loops = [line for leaf in sorted({row.columns for row in outputs}) for line in _products(leaf, leaves, outputs)]
    before, between = (text.format(threads=THREADS) for text in (_BEFORE, _BETWEEN))
    body = [*shared, *sums, before, *lines.written, *stores, between, *loops, "__syncthreads();", "}", *after, "}\n"]
    return head(name, leaves, used, 3, arguments) + "\n".join(["", *body])


def _products(leaf: int, leaves: Sequence[Leaf], outputs: Sequence[RowSum]) -> Iterable[str]:
    """Return the loop over the terms of all rows that are multiplied with one matrix."""
    (k,), dtype = leaves[leaf].shape, leaves[leaf].dtype
    parts = 1 + (dtype.kind == "c")
    yield _LOOP.format(leaf=leaf, k=k, threads=THREADS)
    for part in range(parts):
        yield _COLUMN.format(type=name_of(dtype), leaf=leaf, part=part, k=k, parts=parts)
    for n, row in enumerate(outputs):
        if row.columns != leaf:
            continue
        if len(row.parts) == parts == 2:
            yield f"u{n}_0 += h{n}_0[j] * c{leaf}_0 - h{n}_1[j] * c{leaf}_1;"
            yield f"u{n}_1 += h{n}_0[j] * c{leaf}_1 + h{n}_1[j] * c{leaf}_0;"
        else:
            for part in range(max(parts, len(row.parts))):
                yield f"u{n}_{part} += h{n}_{min(part, len(row.parts) - 1)}[j] * c{leaf}_{min(part, parts - 1)};"
    yield "}"
