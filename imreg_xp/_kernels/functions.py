"""Functions that are one kernel where the library compiles kernels."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .._array import Array, Namespace, accumulator_dtype
from .code import THREADS
from .kernel import Columns, Kernel, Lookup, Total, compiles, leaf_of, regular
from .nests import filled, flattened
from .rows import MOST_ROWS

__all__ = ["elementwise", "per_item"]

_MOST_PIXELS = 2**32  # which two axes are told from
_ROW = 1024  # elements whose products are summed in their dtype
_LARGEST = 700  # numbers per item: beyond, a kernel takes seconds to compile


def per_item(function: Callable[..., Any] | None = None, *, lead: int = 1) -> Callable[..., Any]:
    """Make one kernel of a function of small arrays, where that can be.

    Its arguments are arrays, or (named) tuples and dicts of them, with 1 or as many items along the first `lead` axes,
    and hashable options; it uses each item by itself. Results are such arrays too, with the batch of the largest.
    """
    if function is None:
        return functools.partial(per_item, lead=lead)

    @functools.wraps(function)
    def call(*args: Any, **options: Any) -> Any:
        if not compiles(xp=options["xp"]):
            return function(*args, **options)
        xp = options.pop("xp")
        arrays: list[Any] = []
        skeleton = flattened((args, options), (xp.ndarray, Lookup), arrays)
        arrays = [regular(a, lead, xp=xp) for a in arrays]
        leaves = tuple([leaf_of(a, lead) for a in arrays])
        if sum([math.prod(leaf.shape) for leaf in leaves]) > _LARGEST:
            return function(*args, xp=xp, **options)
        return _kernel(function, skeleton, leaves, lead, xp=xp).run(arrays)

    return call


_kernel = functools.lru_cache(maxsize=1024)(Kernel)


def elementwise(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make one kernel of an elementwise function of arrays (batch or 1, n or 1, ...), where that can be.

    It can where arrays are as large as images, or numbers (batch, 1, ..., 1); and where they have three axes at most.
    An argument may be a tuple of arrays. The function returns an array, or several in tuples, and `Total`s if all are
    as large; or `RowSums`, if it has `Columns`.
    """
    by_axes = {lead: per_item(function, lead=lead) for lead in (2, 3)}

    @functools.wraps(function)
    def call(*args: Array | tuple[Any, ...] | None, **options: Any) -> Any:
        xp = options["xp"]
        if not compiles(xp=xp):
            found = function(*args, **options)
            return _each(functools.partial(_summed, xp=xp), found) if isinstance(found, (Total, tuple)) else found
        arrays: list[Any] = []
        skeleton = flattened(args, (xp.ndarray, Columns), arrays)
        matrices = [a.values for a in arrays if isinstance(a, Columns)]
        images = [a for a in arrays if not isinstance(a, Columns)]
        shapes = [a.shape[1:] for a in images]
        shape, ndim = max(shapes, key=math.prod), len(shapes[0]) + 1
        fits = ndim == 3 and math.prod(shape) < _MOST_PIXELS
        if matrices:
            fits = fits and shape[0] <= MOST_ROWS and all(m.shape[1] <= THREADS for m in matrices)
        # laying parts of images out in one row would copy them
        whole = not matrices and (not fits or all(a.flags.c_contiguous for a in images))
        if whole and all(s == shape or math.prod(s) == 1 for s in shapes):
            flat = filled(skeleton, [xp.reshape(a, (a.shape[0], math.prod(a.shape[1:]))) for a in arrays])
            found = by_axes[2](*flat, **options)
            return _each(lambda x: xp.reshape(x, (x.shape[0], *shape)) if x.ndim > 1 else x, found)
        if fits:
            return by_axes[3](*args, **options)
        return _each(functools.partial(_summed, xp=xp), function(*args, **options))

    return call


def _each(function: Callable[[Any], Any], found: Any) -> Any:
    if isinstance(found, tuple):
        parts = [_each(function, part) for part in found]
        return type(found)(*parts) if hasattr(found, "_fields") else tuple(parts)
    return None if found is None else function(found)


def _summed(x: Any, *, xp: Namespace) -> Any:
    """Return what is no total as it is, for one the sums (batch,) in the accumulator dtype.

    Of products it is the sum of those of rows, in their dtype; on the host one product where that is precise enough.
    """
    if not isinstance(x, Total):
        return x
    first, *others = x.factors
    acc = accumulator_dtype(first, xp=xp)
    if x.how != "add":
        reduce = xp.min if x.how == "minimum" else xp.max
        return xp.astype(reduce(first, axis=tuple(range(1, first.ndim))), acc, copy=False)
    if not others:
        return xp.sum(first, axis=tuple(range(1, first.ndim)), dtype=acc)
    second = others[0]
    if isinstance(first, np.ndarray) and first.dtype == second.dtype == acc and first.shape == second.shape:
        batch = first.shape[0]
        return np.matmul(first.reshape(batch, 1, -1), second.reshape(batch, -1, 1))[:, 0, 0]
    row = math.gcd(math.prod(first.shape[1:]), _ROW)
    if row > first.shape[-1] and _in_a_row(first) and _in_a_row(second) and first.shape == second.shape:
        # a product of a short row takes less than its call
        first, second = (a.reshape(a.shape[0], -1, row) for a in (first, second))
    rows = xp.matmul(first[..., None, :], second[..., :, None])[..., 0, 0]
    return xp.sum(rows, axis=tuple(range(1, rows.ndim)), dtype=acc) if rows.ndim > 1 else xp.astype(rows, acc)


def _in_a_row(x: Any) -> bool:
    return isinstance(x, np.ndarray) and x.flags.c_contiguous and x.size > 0
