"""Functions that are one kernel where the library compiles kernels."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

from .._array import Array, Namespace, accumulator_dtype
from .kernel import Kernel, Lookup, Total, leaf_of, regular
from .nests import flattened

__all__ = ["compiles", "elementwise", "per_item"]

_MOST_PIXELS = 2**32  # which two axes are told from
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
        if "RawKernel" not in options["xp"].__dict__:
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


def compiles(*, xp: Namespace) -> bool:
    """Tell whether a library compiles kernels."""
    return "RawKernel" in xp.__dict__


def elementwise(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make one kernel of an elementwise function of arrays (batch or 1, n or 1, ...), where that can be.

    It can where arrays are as large as images, or numbers (batch, 1, ..., 1); and where they have three axes at most.
    The function returns an array, or several, and `Total`s if all are as large.
    """
    by_axes = {lead: per_item(function, lead=lead) for lead in (2, 3)}

    @functools.wraps(function)
    def call(*args: Array | None, **options: Any) -> Any:
        xp = options["xp"]
        if "RawKernel" not in xp.__dict__:
            found = function(*args, **options)
            return _each(functools.partial(_summed, xp=xp), found) if isinstance(found, (Total, tuple)) else found
        shapes = [a.shape[1:] for a in args if a is not None]
        shape, ndim = max(shapes, key=math.prod), len(shapes[0]) + 1
        if all(s == shape or math.prod(s) == 1 for s in shapes):
            flat = [None if a is None else xp.reshape(a, (a.shape[0], math.prod(a.shape[1:]))) for a in args]
            found = by_axes[2](*flat, **options)
            return _each(lambda x: xp.reshape(x, (x.shape[0], *shape)) if x.ndim > 1 else x, found)
        if ndim == 3 and math.prod(shape) < _MOST_PIXELS:
            return by_axes[3](*args, **options)
        return _each(functools.partial(_summed, xp=xp), function(*args, **options))

    return call


def _each(function: Callable[[Any], Any], found: Any) -> Any:
    return tuple(map(function, found)) if isinstance(found, tuple) else function(found)


def _summed(x: Array | Total, *, xp: Namespace) -> Array:
    """Return an array as it is, and for a total the sums (batch,) in the accumulator dtype."""
    if not isinstance(x, Total):
        return x
    return xp.sum(x.terms, axis=tuple(range(1, x.terms.ndim)), dtype=accumulator_dtype(x.terms, xp=xp))
