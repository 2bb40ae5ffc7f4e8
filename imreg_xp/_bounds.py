"""Values kept within bounds that are numbers, on the device and without waiting for it."""

from __future__ import annotations

from typing import Any

import numpy as np

from ._array import Array, Namespace

__all__ = ["at_least", "at_most", "bounded"]


def at_least(x: Array, low: Any, *, xp: Namespace) -> Array:
    """Return the larger of `x` and a number, NaN where `x` is."""
    return xp.clip(x, min=low) if _clips(x) else xp.maximum(x, low)


def at_most(x: Array, high: Any, *, xp: Namespace) -> Array:
    """Return the smaller of `x` and a number, NaN where `x` is."""
    return xp.clip(x, max=high) if _clips(x) else xp.minimum(x, high)


def bounded(x: Array, low: float, high: float, *, xp: Namespace) -> Array:
    """Return `x` where it lies between two numbers, elsewhere the nearer one, NaN where `x` is."""
    return xp.clip(x, low, high) if _clips(x) else xp.minimum(xp.maximum(x, low), high)


def _clips(x: Array) -> bool:
    """Tell whether `clip` is one step, and the number given to `maximum` would be copied to the device first.

    Elsewhere `maximum` takes numbers as they are, and `clip` takes many steps. Arrays that can be clamped are clipped.
    """
    return type(x) is not np.ndarray and hasattr(x, "clamp")
