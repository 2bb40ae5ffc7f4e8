"""Images in blocks of pixels, with weights."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Sequence

from .._array import Array, Namespace
from .._kernels import elementwise
from .problem import Side, precision

__all__ = ["bin_down", "binned", "block_mean", "weights_of"]


def bin_down(image: Array, weight: Array, factors: Sequence[int], *, xp: Namespace) -> tuple[Array, Array]:
    """Average blocks of `factors` pixels with weights; what does not fill a block at the end is left out."""
    if all(f == 1 for f in factors):
        return image, weight
    w = _block_sum(weight, factors, xp=xp)
    x = _block_sum(image * weight, factors, xp=xp)
    return x / xp.where(w > 0, w, 1.0), w / math.prod(factors)


def block_mean(image: Array, factors: Sequence[int], *, xp: Namespace) -> Array:
    """Average blocks of `factors` pixels; what does not fill a block at the end is left out."""
    return _block_sum(image, factors, math.prod(factors), xp=xp)


def weights_of(side: Side, *, xp: Namespace) -> Array | None:
    """Return the precision of the pixels, None where it is that of all."""
    maps = side.valid is not None or (side.err is not None and side.err.ndim > 1)
    return precision(side, xp=xp) if maps else None


def binned(side: Side, factors: Sequence[int], *, xp: Namespace) -> Side:
    """Return the image in blocks of `factors` pixels; a block is valid if half of its best possible weight is."""
    if max(factors) == 1:
        return side
    w = weights_of(side, xp=xp)
    if w is None:
        return Side(block_mean(side.image, factors, xp=xp), None, None)
    image, weight = bin_down(side.image, w, factors, xp=xp)
    err = None
    if side.err is not None and side.err.ndim > 1:
        err = 1 / xp.sqrt(xp.where(weight > 0, weight, 1.0))
        valid = weight > 0
    else:
        valid = weight > 0.5
    return Side(image, None if side.valid is None else valid, err)


def _block_sum(x: Array, factors: Sequence[int], divisor: int = 1, *, xp: Namespace) -> Array:
    for axis, f in enumerate(factors):
        k = axis + 1
        n = x.shape[k] // f
        # a sum of slices: libraries sum over short axes slowly
        parts = (x[(*(slice(None),) * k, slice(i, n * f, f), ...)] for i in range(f))
        x = _sum(*parts, divisor=divisor if k == len(factors) else 1, xp=xp)
    return x


@elementwise
def _sum(*parts: Array, divisor: int, xp: Namespace) -> Array:  # noqa: ARG001
    total = functools.reduce(operator.add, parts)
    return total if divisor == 1 else total / divisor
