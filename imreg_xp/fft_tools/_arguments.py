"""What users hand over to the Fourier tools, checked once and by name."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from .._array import Array, Namespace, as_images, is_number

__all__ = ["as_coordinates", "as_numeric", "check_axes", "factor", "number", "numbers", "size", "sizes"]


def as_numeric(name: str, x: Array, *, xp: Namespace) -> Array:
    """Return a real or complex array in a floating dtype of single or double precision."""
    if xp.isdtype(x.dtype, "complex floating"):
        return xp.astype(x, xp.complex64 if x.dtype == xp.complex64 else xp.complex128, copy=False)
    return as_images(xp=xp, **{name: x})[0]


def as_coordinates(name: str, x: Array, dtype: Any, *, xp: Namespace) -> Array:
    """Return coordinates in the floating `dtype`."""
    if not xp.isdtype(x.dtype, ("real floating", "integral")):
        msg = f"`{name}` must be real-valued (floating or integer), got dtype {x.dtype}"
        raise TypeError(msg)
    return xp.astype(x, dtype)


def check_axes(name: str, x: Array, count: int) -> None:
    """Raise unless the array has `count` axes, one at least, and pixels along the last `count` of them."""
    if x.ndim < max(count, 1) or 0 in x.shape[x.ndim - count :]:
        msg = f"`{name}` must have at least {max(count, 1)} axes with pixels, got shape {tuple(x.shape)}"
        raise ValueError(msg)


def number(name: str, x: Any) -> float:
    """Return a number of Python or NumPy as a Python float, which every library takes."""
    if not is_number(x):
        msg = f"`{name}` must be a number, got {x!r}"
        raise TypeError(msg)
    return math.fsum((x,))


def numbers(name: str, given: Any, count: int, *, optional: bool = False) -> list[float]:
    """Return one number per axis; where they are `optional`, none at all are zeros."""
    if is_number(given) or isinstance(given, str) or not isinstance(given, Iterable):
        msg = f"`{name}` must be one number per axis in a row, got {given!r}"
        raise TypeError(msg)
    found = [number(name, x) for x in given]
    if optional and not found:
        return [0.0] * count
    if len(found) != count:
        msg = f"`{name}` must be one number per axis ({count}), got {given!r}"
        raise ValueError(msg)
    return found


def factor(name: str, x: Any) -> float:
    """Return a factor as a Python float."""
    if not (is_number(x) and math.isfinite(x) and x > 0):
        msg = f"`{name}` must be a positive number, got {x!r}"
        raise ValueError(msg)
    return number(name, x)


def sizes(name: str, given: Any, defaults: Sequence[int]) -> list[int]:
    """Return the number of samples along each axis; one number is for all of them."""
    each = [given] * len(defaults) if given is None or is_number(given) else list(given)
    if len(each) != len(defaults):
        msg = f"`{name}` must be one number, or one per axis ({len(defaults)}), got {given!r}"
        raise ValueError(msg)
    return [size(name, x, default) for x, default in zip(each, defaults, strict=True)]


def size(name: str, x: Any, default: int) -> int:
    """Return a number of samples, the `default` if it is not given."""
    if x is None:
        return default
    if not (is_number(x) and math.isfinite(x) and x >= 1 and x == math.floor(x)):
        msg = f"`{name}` must be a whole number of at least 1, got {x!r}"
        raise ValueError(msg)
    return round(number(name, x))
