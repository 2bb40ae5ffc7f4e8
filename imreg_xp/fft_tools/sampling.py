"""Images evaluated between their pixels: the trigonometric interpolant at coordinates of choice, in pixels."""

from __future__ import annotations

import math
from collections.abc import Sequence

from .._array import Array, Namespace, complex_dtype, device_of
from ._matrices import Line, along_axis, interpolation

__all__ = ["as_complex", "at_points", "on_grid", "parts", "real_or_complex", "whole"]

_BLOCK = 2**24  # elements of the largest intermediate table for scattered points


def as_complex(x: Array, *, xp: Namespace) -> Array:
    """Return the complex array of the precision of `x`."""
    if xp.isdtype(x.dtype, "complex floating"):
        return x
    return xp.astype(x, complex_dtype(x.dtype, xp=xp))


def real_or_complex(x: Array, *, return_real: bool, xp: Namespace) -> Array:
    """Return the real part, or a complex array."""
    if not return_real:
        return as_complex(x, xp=xp)
    return xp.real(x) if xp.isdtype(x.dtype, "complex floating") else x


def parts(data: Array, *, xp: Namespace) -> tuple[Array, bool]:
    """Return real and imaginary parts as images of one batch, and whether there are both."""
    if not xp.isdtype(data.dtype, "complex floating"):
        return data, False
    return xp.concat([xp.real(data), xp.imag(data)], axis=0), True


def whole(images: Array, both: bool) -> Array:
    """Return what `parts` took apart."""
    half = images.shape[0] // 2
    return images[:half, ...] + 1j * images[half:, ...] if both else images


def on_grid(data: Array, points: Sequence[Array | Line], *, xp: Namespace) -> Array:
    """Evaluate images (batch, n_1, ..., n_k) on the grid of the coordinates (K_i,) per axis: (batch, K_1, ..., K_k)."""
    result, both = parts(data, xp=xp)
    # the axis that shrinks most first: what is left is less work
    for axis in sorted(range(len(points)), key=lambda a: points[a].shape[0] / data.shape[a + 1]):
        result = along_axis(axis + 1, interpolation(data.shape[axis + 1], points[axis], result, xp=xp), result, xp=xp)
    return whole(result, both)


def at_points(data: Array, points: Sequence[Array], *, xp: Namespace) -> Array:
    """Evaluate images (batch, n_1, ..., n_k) at P scattered points, (P,) per axis: (batch, P).

    The sum over all pixels at each point: N P operations.
    """
    images, both = parts(data, xp=xp)
    count, shape = points[0].shape[0], images.shape[1:]
    rest = math.prod(shape[:-1])
    block = max(1, _BLOCK // max(rest * images.shape[0], shape[-1]))
    blocks = []
    for start in range(0, count, block):
        kernels = [
            xp.matrix_transpose(interpolation(n, p[start : min(start + block, count)], images, xp=xp))
            for n, p in zip(shape, points, strict=True)
        ]
        t = xp.matmul(xp.reshape(images, (-1, rest, shape[-1])), kernels[-1])
        for n, kernel in zip(shape[-2::-1], kernels[-2::-1], strict=True):
            t = xp.reshape(t, (t.shape[0], -1, n, t.shape[-1]))
            t = xp.sum(t * kernel, axis=2)
        blocks.append(xp.reshape(t, (t.shape[0], -1)))
    if not blocks:
        return xp.zeros((data.shape[0], 0), dtype=data.dtype, device=device_of(data))
    return whole(xp.concat(blocks, axis=1), both)
