"""Images that may have holes and need not be periodic, seen at any coordinates."""

from __future__ import annotations

import math
from collections.abc import Sequence

from .._array import Array, Namespace, device_of
from .._bounds import bounded
from ..fft_tools.splines import coefficients, spline_at
from .extend import make_field
from .motion import affine
from .problem import Side, less_mean

__all__ = ["inside", "nearest", "resampled", "warped"]


def inside(shape: Sequence[int], points: Sequence[Array], margin: float) -> Array:
    """Return which points (batch, ...) are at least `margin` pixels from the outermost pixels of an image."""
    ok = [(x >= margin) & (x <= n - 1 - margin) for n, x in zip(shape, points, strict=True)]
    return ok[0] & ok[1] if len(ok) > 1 else ok[0]


def nearest(image: Array, points: Sequence[Array], *, xp: Namespace) -> Array:
    """Return the values of the pixels of images (batch or 1, ...) nearest to points (batch, ...)."""
    batch, shape = points[0].shape[0], image.shape[1:]
    flat = xp.zeros((batch,) + (1,) * len(shape), dtype=xp.int64, device=device_of(image))
    if image.shape[0] > 1:
        flat = flat + xp.reshape(xp.arange(batch, dtype=xp.int64, device=device_of(image)), flat.shape)
    for n, x in zip(shape, points, strict=True):
        flat = flat * n + xp.astype(xp.round(bounded(x, 0.0, n - 1.0, xp=xp)), xp.int64)
    return xp.reshape(xp.take(xp.reshape(image, (-1,)), xp.reshape(flat, (-1,)), axis=0), flat.shape)


def warped(side: Side, matrix: Array, shape: Sequence[int], fill: float, *, xp: Namespace) -> Array:
    """Return images (batch or 1, ...) after the transforms (batch or 1, 2, 3) of their pixels, on a grid of `shape`."""
    linear, vector = _backwards(matrix, xp=xp)
    # an image per transform, or one for all of them
    size = max(side.image.shape[0], matrix.shape[0])
    points = [xp.broadcast_to(x, (size, *shape)) for x in affine(linear, vector, shape, xp=xp)]
    return resampled(side.image, side.valid, points, fill, xp=xp)


def _backwards(matrix: Array, *, xp: Namespace) -> tuple[list[list[Array]], list[Array]]:
    """Return linear part and vector, (batch,) each, of the inverse of (batch, 2, 3); NaN where there is none."""
    (a, b, u), (c, d, v) = ([matrix[:, i, j] for j in range(3)] for i in range(2))
    determinant = a * d - b * c
    unit = 1 / xp.where(determinant == 0, math.nan, determinant)
    linear = [[d * unit, -b * unit], [-c * unit, a * unit]]
    return linear, [-(row[0] * u + row[1] * v) for row in linear]


def resampled(image: Array, valid: Array | None, points: Sequence[Array], fill: float, *, xp: Namespace) -> Array:
    """Return images (batch or 1, ...) at points (batch, ...), `fill` where these are outside or nearest to a hole."""
    shape = tuple(image.shape[1:])
    level, mean = less_mean(image, valid, xp=xp)
    field = make_field(level, valid, shape, wrap=False, xp=xp)
    known = xp.isfinite(sum(points))
    points = [xp.where(known, x, xp.zeros_like(x)) for x in points]
    (value,) = spline_at(coefficients(field.spectrum, field.grid, xp=xp), points, xp=xp)
    # coordinates that came through floating point still find the outermost pixels
    seen = known & inside(shape, points, -1e-6)
    if valid is not None:
        seen = seen & nearest(valid, points, xp=xp)
    return xp.where(seen, value + mean, xp.full_like(value, fill))
