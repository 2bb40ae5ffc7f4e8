"""How an image goes on beyond its border."""

from __future__ import annotations

from .._array import Array, Namespace, device_of
from .._bounds import bounded

__all__ = ["BOUNDARIES", "continued", "within"]

BOUNDARIES = ("fill", "constant", "wrap", "reflect", "nearest")


def _source(first: int, last: int, n: int, beyond: str, like: Array, *, xp: Namespace) -> Array:
    """Return which pixel of n stands at each coordinate from `first` up to `last`."""
    x = xp.arange(first, last, dtype=xp.int32, device=device_of(like))
    if beyond == "wrap":
        return x % n
    if beyond == "reflect":
        x = x % (2 * n)
        return xp.where(x < n, x, 2 * n - 1 - x)
    return bounded(x, 0, n - 1, xp=xp)


def continued(image: Array, axis: int, first: int, last: int, beyond: str, *, xp: Namespace) -> Array:
    """Return the pixels at the coordinates from `first` up to `last` along one axis.

    `beyond` the border the image is "wrap" periodic, "reflect" its mirror image with the last pixel twice
    (d c b a | a b c d), or, for everything else, its last pixel.
    """
    if (first, last) == (0, image.shape[axis]):
        return image
    return xp.take(image, _source(first, last, image.shape[axis], beyond, image, xp=xp), axis=axis)


def within(image: Array, axis: int, first: int, last: int, *, xp: Namespace) -> Array:
    """Return 1 for coordinates on the image and 0 beyond it, to be multiplied with what `continued` returns."""
    x = xp.arange(first, last, dtype=xp.int32, device=device_of(image))
    inside = xp.astype((x >= 0) & (x < image.shape[axis]), image.dtype)
    return xp.reshape(inside, (-1,) + (1,) * (image.ndim - 1 - axis % image.ndim))
