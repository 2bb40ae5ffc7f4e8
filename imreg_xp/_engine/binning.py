"""Images in blocks of pixels, with weights."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Sequence

import numpy as np

from .._array import Array, Namespace
from .._kernels import Rows, compiles, elementwise, per_item
from .._layout import Unit, in_unit
from .._static import table
from .problem import Side, precision

__all__ = ["bin_down", "binned", "block_mean", "weights_of"]


def bin_down(image: Array, weight: Array, factors: Sequence[int], *, xp: Namespace) -> tuple[Array, Array]:
    """Average blocks of `factors` pixels with weights; what does not fill a block at the end is left out."""
    if all(f == 1 for f in factors):
        return image, weight
    w = _block_sum(weight, factors, xp=xp)
    x = _block_sum(image * weight, factors, xp=xp)
    return x / xp.where(w > 0, w, 1.0), w / math.prod(factors)


def block_mean(image: Array, factors: Sequence[int], unit: Unit | None = None, *, xp: Namespace) -> Array:
    """Average blocks of `factors` pixels, in a unit; what does not fill a block at the end is left out."""
    if not compiles(xp=xp) or len(factors) != 2:
        return _block_sum(in_unit(image, unit, xp=xp), factors, math.prod(factors), xp=xp)
    shape = tuple(image.shape[1:])
    first = table(_first_pixels, shape, tuple(factors), dtype=xp.int32, like=image, large=True, xp=xp)
    steps = tuple([i * shape[1] + j for i in range(factors[0]) for j in range(factors[1])])
    rows = Rows.of(xp.reshape(image, (image.shape[0], -1)), axes=2, xp=xp)
    found: Array = _mean(rows, first, unit, steps=steps, xp=xp)
    return found


def _first_pixels(shape: tuple[int, int], factors: tuple[int, int]) -> np.ndarray:
    """(1, ...): where in an image the first pixel of each block is."""
    at = np.arange(math.prod(shape)).reshape(shape)
    ends = [n // f * f for n, f in zip(shape, factors, strict=True)]
    return at[: ends[0] : factors[0], : ends[1] : factors[1]][None]


@functools.partial(per_item, lead=3)
def _mean(rows: Rows, first: Array, unit: Unit | None, *, steps: tuple[int, ...], xp: Namespace) -> Array:
    values = [in_unit(rows.at(first + step, xp=xp), unit, xp=xp) for step in steps]
    return functools.reduce(operator.add, values) / len(steps)


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
        return Side(block_mean(side.image, factors, side.unit, xp=xp), None, None)
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
