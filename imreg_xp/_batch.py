"""Leading axes: broadcast, and made one."""

from __future__ import annotations

import math

import numpy as np

from ._array import Array, Namespace

__all__ = ["as_batch", "broadcast_batch"]


def as_batch(x: Array, lead: tuple[int, ...], ndim: int, *, xp: Namespace) -> Array:
    """Flatten the leading axes of `x` to one batch axis of length 1 (nothing to broadcast) or prod(`lead`)."""
    image = x.shape[x.ndim - ndim :]
    own = x.shape[: x.ndim - ndim]
    if math.prod(own) == 1:
        return xp.reshape(x, (1, *image))
    if own != lead:
        x = xp.broadcast_to(x, (*lead, *image))
    return xp.reshape(x, (-1, *image))


def broadcast_batch(shapes: dict[str, tuple[int, ...]]) -> tuple[int, ...]:
    """Return the common leading shape of the named arrays, or raise a ValueError that names them."""
    try:
        return np.broadcast_shapes(*shapes.values())
    except ValueError:
        listed = ", ".join(f"`{k}` {v}" for k, v in shapes.items())
        msg = f"leading (batch) shapes do not broadcast: {listed}"
        raise ValueError(msg) from None
