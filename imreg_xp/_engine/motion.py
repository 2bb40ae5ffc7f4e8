r"""Similarity transforms: shift, rotation and magnification about a centre.

.. math:: x_{ref} = c + \mu R(\theta)\, (x_{mov} - c) + t, \qquad
          R = \begin{pmatrix} \cos\theta & \sin\theta \\ -\sin\theta & \cos\theta \end{pmatrix}

in array-axis order (y, x): a positive angle turns the last axis towards the one before it. Coordinates are in pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from .._array import Array, Namespace, device_of
from ..fft_tools._dft import along

__all__ = ["Motion", "affine", "centre_of", "inverse_of", "linear_part", "matrix_of", "places"]


class Motion(NamedTuple):
    """What to apply to `moving` so that it matches the reference."""

    shift: Array
    """(batch, 2) pixels."""
    angle: Array
    """(batch,) radians."""
    magnification: Array
    """(batch,)"""


def centre_of(shape: Sequence[int]) -> tuple[float, ...]:
    """Return the middle of an image."""
    return tuple((n - 1) / 2 for n in shape)


def linear_part(motion: Motion, *, xp: Namespace) -> list[list[Array]]:
    r"""Return :math:`\mu R(\theta)`, a nested list of (batch,)."""
    c, s = xp.cos(motion.angle) * motion.magnification, xp.sin(motion.angle) * motion.magnification
    return [[c, s], [-s, c]]


def affine(
    linear: Sequence[Sequence[Array]], vector: Sequence[Array], shape: Sequence[int], *, xp: Namespace
) -> list[Array]:
    """Return the coordinates (batch, *shape) per axis of the pixels of `shape` after a linear map and a shift."""
    like = vector[0]
    pixels = [
        xp.reshape(xp.arange(n, dtype=like.dtype, device=device_of(like)), (1, *along(n=n, axis=axis, ndim=len(shape))))
        for axis, n in enumerate(shape)
    ]

    def laid(a: Array) -> Array:
        return xp.reshape(a, (-1,) + (1,) * len(shape))

    return [
        sum((laid(a) * x for a, x in zip(row, pixels, strict=True)), laid(v))
        for row, v in zip(linear, vector, strict=True)
    ]


def places(
    motion: Motion, centre: Sequence[float], shape: Sequence[int], *, margin: int = 0, xp: Namespace
) -> list[Array]:
    """Return where the pixels of a moving image, and of a margin around it, lie in the reference, per axis."""
    linear = linear_part(motion, xp=xp)
    vector = [_vector(motion, linear, centre, axis) - margin * sum(linear[axis]) for axis in range(2)]
    return affine(linear, vector, [n + 2 * margin for n in shape], xp=xp)


def matrix_of(motion: Motion, centre: Sequence[float], *, xp: Namespace) -> Array:
    """Return the transform as a matrix (..., 2, 3) on pixels (y, x, 1), with the leading axes of `motion`."""
    linear = linear_part(motion, xp=xp)
    rows = [[*linear[axis], _vector(motion, linear, centre, axis)] for axis in range(2)]
    return xp.stack([xp.stack(row, axis=-1) for row in rows], axis=-2)


def _vector(motion: Motion, linear: list[list[Array]], centre: Sequence[float], axis: int) -> Array:
    """Return where the pixel (0, 0) comes to, along one axis."""
    back = sum(a * b for a, b in zip(linear[axis], centre, strict=True))
    return centre[axis] + motion.shift[..., axis] - back


def inverse_of(motion: Motion, *, xp: Namespace) -> Motion:
    """Return the transform, about the same centre, that undoes this one."""
    back = Motion(motion.shift, -motion.angle, 1 / motion.magnification)
    linear = linear_part(back, xp=xp)
    moved = [-sum(a * motion.shift[..., i] for i, a in enumerate(row)) for row in linear]
    return back._replace(shift=xp.stack(moved, axis=-1))
