"""Pixels laid out anew: on a larger grid, reflected at borders, brought to a common scale on the way."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ._array import Array, Namespace, device_of
from ._kernels import Rows, compiles, elementwise, per_item
from ._static import table

__all__ = ["Unit", "in_unit", "laid_by", "zero_padded"]


class Unit(NamedTuple):
    """What brings images to a common scale: numbers (batch, 1, ..., 1) to take off, and to multiply by."""

    less: Array
    factor: Array


def in_unit(x: Array, unit: Unit | None, *, xp: Namespace) -> Array:
    """Return ``(x - less) * factor``, where there is a unit."""
    return x if unit is None else _in_unit(x, unit, xp=xp)


@elementwise
def _in_unit(x: Array, unit: Unit, *, xp: Namespace) -> Array:  # noqa: ARG001
    return (x - unit.less) * unit.factor


def zero_padded(x: Array, grid: Sequence[int], *, unit: Unit | None = None, xp: Namespace) -> Array:
    """Return an array with zeros (False) after the end of its last axes, as many as `grid` has; none is cut.

    It is brought to a unit, if there is one. Where kernels are compiled it is one pass over images (batch, n, m), else
    one for each axis.
    """
    shape = tuple(x.shape[x.ndim - len(grid) :])
    grid = tuple(map(max, shape, grid))
    if grid != shape and len(grid) == 2:
        laid = laid_by(x, _places, shape, grid, unit=unit, xp=xp)
        if laid is not None:
            return laid
    x = in_unit(x, unit, xp=xp)
    for axis, (n, wanted) in enumerate(zip(shape, grid, strict=True), x.ndim - len(grid)):
        if n < wanted:
            missing = (*x.shape[:axis], wanted - n, *x.shape[axis + 1 :])
            x = xp.concat([x, xp.zeros(missing, dtype=x.dtype, device=device_of(x))], axis=axis)
    return x


def _places(shape: tuple[int, ...], grid: tuple[int, ...]) -> np.ndarray:
    """(1, *grid): where in an image of `shape` each element of a grid is, -1 where it is not in it."""
    inside = np.arange(math.prod(shape)).reshape(shape)
    ends = [(0, n - k) for n, k in zip(grid, shape, strict=True)]
    return np.pad(inside, ends, constant_values=-1)[None]


def laid_by(
    x: Array, places: Callable[..., np.ndarray], *args: Any, unit: Unit | None = None, xp: Namespace
) -> Array | None:
    """Return pixels of real images (batch, n, m), in a unit, from where a table (1, ...) says, 0 where it says -1.

    ``places(*args)`` is the table. It is one kernel; None where none are compiled.
    """
    if not compiles(xp=xp) or x.ndim != 3 or xp.isdtype(x.dtype, "complex floating"):
        return None
    index = table(places, *args, dtype=xp.int32, like=x, large=True, xp=xp)
    found: Array = _gathered(Rows.of(xp.reshape(x, (x.shape[0], -1)), axes=2, xp=xp), index, unit, xp=xp)
    return found


@functools.partial(per_item, lead=3)
def _gathered(rows: Rows, index: Array, unit: Unit | None, *, xp: Namespace) -> Array:
    found = in_unit(rows.at(xp.where(index >= 0, index, 0), xp=xp), unit, xp=xp)
    return xp.where(index >= 0, found, xp.zeros_like(found))
