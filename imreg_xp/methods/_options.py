"""Options of the methods, checked by name."""

from __future__ import annotations

import math
from typing import Any

from .._array import Array, Namespace, is_number
from .._batch import broadcast_batch

__all__ = ["per_item", "positive_or_zero", "whole"]


def whole(name: str, value: Any, least: int) -> int:
    """Return a whole number of at least `least`, which may be a float."""
    if not (is_number(value) and math.isfinite(value) and value == math.floor(value) and value >= least):
        msg = f"`{name}` must be a whole number of at least {least}, got {value!r}"
        raise ValueError(msg)
    return int(value)


def positive_or_zero(name: str, value: Any) -> float:
    """Return a number of at least 0."""
    if not (is_number(value) and value >= 0):
        msg = f"`{name}` must be a number of at least 0, got {value!r}"
        raise ValueError(msg)
    return float(value)


def per_item(like: Array, lead: tuple[int, ...], x: Any, y: Any, names: tuple[str, str], *, xp: Namespace) -> Array:
    """Return numbers for each item, (batch, 2) as `like` (batch,), the second of the pair (x, y) first."""
    rows = []
    for name, value in zip(reversed(names), (y, x), strict=True):
        if is_number(value):
            if not math.isfinite(value):
                msg = f"`{name}` must be finite, got {value!r}"
                raise ValueError(msg)
            rows.append(xp.full_like(like, float(value)))
            continue
        if broadcast_batch({name: tuple(value.shape), "the images": lead}) != lead:
            msg = f"`{name}` must have the batch shape {lead} of the images, got {tuple(value.shape)}"
            raise ValueError(msg)
        rows.append(xp.reshape(xp.broadcast_to(xp.astype(value, like.dtype), lead), (-1,)))
    return xp.stack(rows, axis=-1)
