"""A compiled kernel, and what it is given."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from .._array import Array, Namespace, device_of
from .._static import table
from . import nodes
from .code import THREADS, Leaf, Sum, text
from .items import Items, wrapped
from .namespace import xp as expressions
from .nests import filled, flattened
from .rows import RowSum, row_text

__all__ = [
    "Columns",
    "Highest",
    "Kernel",
    "Lookup",
    "Lowest",
    "RowSums",
    "Rows",
    "Total",
    "compiles",
    "leaf_of",
    "regular",
]

_PER_THREAD = 8  # terms of a sum
_MOST_BLOCKS = 65535  # along the second axis of a grid


def compiles(*, xp: Namespace) -> bool:
    """Tell whether a library compiles kernels."""
    return "RawKernel" in xp.__dict__


class Lookup:
    """A contiguous array (n,) or (n, m) that a function looks elements or rows up in; of all its items the same."""

    def __init__(self, values: Array) -> None:
        self.values = values

    def at(self, index: Array, *, xp: Namespace) -> Array:
        """Return what is at an index (...)."""
        found = xp.take(self.values, xp.reshape(index, (-1,)), axis=0)
        return xp.reshape(found, (*index.shape, *found.shape[1:]))


class Columns(Lookup):
    """A matrix (n, k) that rows of n terms are multiplied with."""


class Rows(NamedTuple):
    """An array (batch, n) of which each item looks elements up in its own row."""

    values: Any
    base: Array
    """Where the rows begin, (batch, 1, ...)."""

    @classmethod
    def of(cls, values: Array, *, axes: int = 1, xp: Namespace) -> Rows:
        """Return the rows of an array, for a kernel whose items lie along so many axes besides the first."""
        base = table(_starts, *values.shape, axes, dtype=xp.int64, like=values, xp=xp)
        if compiles(xp=xp):
            values = xp.reshape(values, (-1,))
            values = values if values.flags.c_contiguous else xp.astype(values, values.dtype, copy=True)
        return cls(Lookup(values), base)

    def at(self, index: Array, *, xp: Namespace) -> Array:
        """Return what each row has at an index (1, ...)."""
        values = self.values.values if isinstance(self.values, Lookup) else None
        if values is not None and values.ndim > 1:
            found = xp.take(values, xp.reshape(index, (-1,)), axis=1)
            return xp.reshape(found, (found.shape[0], *index.shape[1:]))
        own = self.base[(..., *(None,) * (index.ndim - self.base.ndim))] + index
        # in a kernel, or what is too much for one
        return self.values.at(own, xp=xp)


def _starts(batch: int, n: int, axes: int) -> np.ndarray:
    return n * np.arange(batch).reshape(-1, *(1,) * axes)


class _LookupInKernel(NamedTuple):
    leaf: int
    dtype: np.dtype
    row: tuple[int, ...]

    def at(self, index: Any, *, xp: Namespace) -> Items:
        if self.row:
            index = index[..., None] * self.row[0] + xp.asarray(
                np.arange(self.row[0]), dtype=xp.int64, device=index.device
            )
        found = np.frompyfunc(lambda i: nodes.look_up(self.leaf, i, self.dtype), 1, 1)(index.entries)
        return wrapped(found, self.dtype)


class Total:
    """What an elementwise function returns for the sum of terms, or of products of two, over all pixels of an image."""

    how = "add"

    def __init__(self, *factors: Any) -> None:
        self.factors = factors

    @property
    def terms(self) -> Any:
        """What is added up."""
        return math.prod(self.factors[1:], start=self.factors[0])


class Lowest(Total):
    """The smallest of terms; a kernel makes it NaN if one is."""

    how = "minimum"


class Highest(Total):
    """The largest of terms; a kernel makes it NaN if one is."""

    how = "maximum"


class RowSums:
    """What an elementwise function returns for products of the rows of terms (batch, rows, n) with `Columns` (n, k).

    A kernel makes them (rows, batch, k), stored in double precision and laid out for one product with what sums over
    the rows; elsewhere they stay what they are.
    """

    def __init__(self, terms: Any, columns: Any) -> None:
        self.terms, self.columns = terms, columns


def regular(a: Array | Lookup, lead: int, *, xp: Namespace) -> Array | Lookup:
    """Return an array whose items lie one after the other: else strides within them depend on the batch."""
    if isinstance(a, Lookup) or a.shape[0] == 1:
        return a
    strides = a.strides
    if all(abs(s) <= strides[0] for s in strides[lead:]):
        return a
    return xp.reshape(xp.reshape(a, (-1,)), a.shape)


def leaf_of(a: Array | Lookup, lead: int) -> Leaf:
    """Return what a kernel knows of an argument."""
    if isinstance(a, Lookup):
        if not a.values.flags.c_contiguous:
            msg = "a table to look up in must be contiguous"
            raise ValueError(msg)
        return Leaf(a.values.dtype, a.values.shape[1:], (), whole=True)
    size = a.dtype.itemsize
    return Leaf(a.dtype, a.shape[lead:], tuple([s // size for s in a.strides[lead:]]))


def _item(k: int, leaf: Leaf, lead: int) -> Items | _LookupInKernel:
    """Return what stands for an argument."""
    if leaf.whole:
        return _LookupInKernel(k, leaf.dtype, leaf.shape)
    loads = np.frompyfunc(lambda at: nodes.load(k, int(at), leaf.dtype), 1, 1)(leaf.offsets())
    return wrapped(np.asarray(loads, dtype=object).reshape((1,) * lead + leaf.shape), leaf.dtype)


class Kernel:
    """A kernel of one function, for arrays of given dtypes and shapes per item, in a skeleton of its arguments."""

    def __init__(
        self, function: Callable[..., Any], skeleton: Any, leaves: tuple[Leaf, ...], lead: int, *, xp: Namespace
    ) -> None:
        args, options = filled(skeleton, [_item(k, leaf, lead) for k, leaf in enumerate(leaves)])
        outputs: list[Any] = []
        self._skeleton = flattened(function(*args, xp=expressions, **options), (Items, Total, RowSums), outputs)
        # what comes out per item, in which dtype; of totals how they are made
        self._shapes = [x.how if isinstance(x, Total) else _made_of(x, lead) for x in outputs]
        results = [_written(x, lead) for x in outputs if not isinstance(x, RowSums)]
        rows = [_row_of(x) for x in outputs if isinstance(x, RowSums)]
        if rows and results:
            msg = "sums of rows and other results of one function"
            raise ValueError(msg)
        self._of_rows, name = bool(rows), function.__name__
        made = [(x.term,) if isinstance(x, Sum) else x.parts if isinstance(x, RowSum) else x for x in [*results, *rows]]
        self._used = sorted(_leaves_of(made) | {x.columns for x in rows})
        source = row_text(name, leaves, self._used, rows) if rows else text(name, leaves, self._used, results, lead)
        self._lead, self._xp = lead, xp
        # with fused multiply-add a determinant of equal products is not 0
        self._compiled = xp.RawKernel(source, name, options=("--fmad=false",))

    def run(self, arrays: list[Any]) -> Any:
        """Launch it."""
        lead, xp = self._lead, self._xp
        given = [a for a in arrays if not isinstance(a, Lookup)]
        sizes = np.broadcast_shapes(*[a.shape[:lead] for a in given])
        device = device_of(given[0])
        grid = sizes[:2] if self._of_rows else _grid(sizes, few=any(isinstance(made, str) for made in self._shapes))
        results = [
            xp.empty((sizes[0], grid[1]), dtype=xp.float64, device=device)
            if isinstance(made, str)
            else xp.empty((*(sizes[1::-1] if self._of_rows else sizes), *made[0]), dtype=made[1], device=device)
            for made in self._shapes
        ]
        if math.prod(sizes):
            listed = [part for k in self._used for part in _arguments(arrays[k], lead)]
            with device:
                self._compiled(grid, (THREADS,), (*map(np.int64, sizes), *listed, *results))
        of_parts = {"add": xp.sum, "minimum": xp.min, "maximum": xp.max}
        found = [
            x if not isinstance(made, str) else x[:, 0] if grid[1] == 1 else of_parts[made](x, axis=1)
            for x, made in zip(results, self._shapes, strict=True)
        ]
        return filled(self._skeleton, found)


def _arguments(a: Array | Lookup, lead: int) -> list[Any]:
    """Return an array and how far its items are apart along each leading axis, in real numbers."""
    if isinstance(a, Lookup):
        return [a.values]
    size = a.dtype.itemsize // (2 if a.dtype.kind == "c" else 1)
    return [a, *[np.int64(a.strides[d] // size if a.shape[d] > 1 else 0) for d in range(lead)]]


def _grid(sizes: tuple[int, ...], *, few: bool) -> tuple[int, ...]:
    """Return the number of blocks; `few` where each leaves a part of a sum."""
    first, *rest = sizes
    if not rest:
        return (-(-first // THREADS),)
    return (first, min(-(-math.prod(rest) // (THREADS * (_PER_THREAD if few else 1))), _MOST_BLOCKS))


def _made_of(x: Items | RowSums, lead: int) -> tuple[tuple[int, ...], np.dtype]:
    """Return the shape of what comes out per item, or per row, and its dtype."""
    if isinstance(x, Items):
        return x.shape[lead:], x.dtype
    both = np.result_type(x.terms.dtype, x.columns.dtype)
    return x.columns.row, np.result_type(both, np.float64)


def _row_of(x: RowSums) -> RowSum:
    (term,) = x.terms.entries.reshape(-1)
    return RowSum(term, x.columns.leaf)


def _written(x: Items | Total, lead: int) -> list[nodes.Node] | Sum:
    entries = x.terms.entries if isinstance(x, Total) else x.entries
    if entries.shape[:lead] != (1,) * lead:
        msg = f"a result of shape {entries.shape} without {lead} axes of items"
        raise ValueError(msg)
    if isinstance(x, Total):
        (term,) = entries.reshape(-1)
        return Sum(term, x.how)
    return list(entries.reshape(-1))


def _leaves_of(results: Sequence[Iterable[nodes.Node]]) -> set[int]:
    """Return which leaves nodes depend on."""
    found, seen, waiting = set(), set(), [node for of_one in results for node in of_one]
    while waiting:
        node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if node.op in ("load", "look up"):
            found.add(node.args[0])
        waiting += [a for a in node.args if isinstance(a, nodes.Node)]
    return found
