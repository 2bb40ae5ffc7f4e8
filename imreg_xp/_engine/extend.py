"""The reference as a function of real coordinates: holes filled, borders continued, then shifted by Fourier.

A finite image is not periodic. It is continued by an odd reflection (2 * edge - mirror), which keeps value and slope,
and tapered to the mean; the Fourier shift of the result is accurate to 1e-4 of the image rms a few pixels inside the
border, for one FFT per shift and with exact derivatives.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from .._array import Array, Namespace, accumulator_dtype, device_of
from .._bounds import bounded
from .._fft_length import fast_length
from .._providers import inverse_transform
from ..fft_tools._dft import along, fourier_translate, part, rfft
from ..fft_tools._modes import angular_frequencies
from .fill import crop, fill_invalid

__all__ = [
    "BORDER",
    "Field",
    "box_sides",
    "extend",
    "footprint",
    "make_field",
    "padded",
    "roll",
    "sample",
    "single",
    "slopes_of",
    "soft_window",
]

_PAD = 16  # pixels of continuation, where the grid has room
_LEAST_PAD = 12
BORDER = 4  # pixels inside the border where the continued image is not trusted


class Field(NamedTuple):
    """A real image (batch, *shape) with mean near 0 that can be evaluated at any real offset."""

    spectrum: Array
    """Its `rfftn` on `grid`, divided by the number of pixels of the grid."""
    shape: tuple[int, ...]
    grid: tuple[int, ...]
    holes: Array | None
    """Spectrum of the mask of invalid pixels, divided likewise; None: there are none."""
    wrap: bool


def make_field(image: Array, valid: Array | None, other: Sequence[int], *, wrap: bool, xp: Namespace) -> Field:
    """Prepare `image` (batch, ...) for sampling on the pixels of an image of shape `other`.

    `valid` (boolean, same shape) marks the pixels to trust; the others are filled smoothly.
    """
    shape = tuple(image.shape[1:])
    ndim = len(shape)
    grid = shape
    if not wrap:
        grid = fast_length([max(n, k) + 2 * _LEAST_PAD for n, k in zip(shape, other, strict=True)])
    holes = None
    if valid is not None:
        image = fill_invalid(image, valid, grid, xp=xp)
        holes = rfft(xp.astype(~valid, image.dtype) / math.prod(grid), ndim, xp=xp, s=grid)
    if not wrap:
        image = extend(image, grid, xp=xp)
    return Field(rfft(image / math.prod(grid), ndim, xp=xp), shape, grid, holes, wrap)


def extend(image: Array, grid: Sequence[int], *, xp: Namespace) -> Array:
    """Continue `image` by up to 16 pixels of odd reflection, tapered to zero by a cosine, on a larger `grid`.

    Pixel 0 stays at index 0: what continues the image below it lies at the end of the grid.
    """
    ndim = len(grid)
    for axis, n in enumerate(grid):
        k = axis + 1
        size = image.shape[k]
        p = min(_PAD, (n - size) // 2, size - 1)
        t = xp.arange(1, p + 1, dtype=accumulator_dtype(image, xp=xp), device=device_of(image))
        taper = xp.astype(xp.cos(math.pi / 2 * t / (p + 1)) ** 2, image.dtype)
        taper = xp.reshape(taper, along(n=p, axis=axis, ndim=ndim))
        first, last = part(image, k, 0, 1), part(image, k, size - 1, size)
        below = taper * (2 * first - part(image, k, 1, p + 1))
        above = taper * (2 * last - xp.flip(part(image, k, size - 1 - p, size - 1), axis=k))
        rest = (*image.shape[:k], n - size - 2 * p, *image.shape[k + 1 :])
        zeros = xp.zeros(rest, dtype=image.dtype, device=device_of(image))
        image = xp.concat([image, above, zeros, xp.flip(below, axis=k)], axis=k)
    return image


def sample(spectrum: Array, grid: Sequence[int], shape: Sequence[int], *, keep: bool = True, xp: Namespace) -> Array:
    """Return the first `shape` pixels of the real grid with this `rfftn` spectrum / N, which need not be kept."""
    return crop(inverse_transform(spectrum, grid, keep=keep, xp=xp), shape)


def slopes_of(spectrum: Array, grid: Sequence[int], shape: Sequence[int], *, xp: Namespace) -> list[Array]:
    """Return per axis the derivative of what `sample` returns."""
    ndim = len(grid)
    slopes = []
    for axis, omega in enumerate(angular_frequencies(grid, spectrum, xp=xp)):
        ramp = xp.astype(omega, spectrum.dtype) * 1j
        ramp = xp.reshape(ramp, along(n=ramp.shape[0], axis=axis, ndim=ndim))
        slopes.append(sample(spectrum * ramp, grid, shape, keep=False, xp=xp))
    return slopes


def _places(n: int, offset: Array, axis: int, *, xp: Namespace) -> tuple[Array, Array]:
    """Return n pixels along one axis and, (batch, n), where they come from in the field, offset in whole pixels."""
    i = xp.arange(n, dtype=offset.dtype, device=device_of(offset))
    return i, i - xp.round(offset[:, axis, None])


def _inside(field: Field, offset: Array, shape: Sequence[int], grid: Sequence[int], *, xp: Namespace) -> list[Array]:
    """Return per axis which pixels (batch, n) of an image of `shape` have a source inside the border of the field."""
    inside = []
    for axis, n in enumerate(shape):
        i, x = _places(grid[axis], offset, axis, xp=xp)
        # a narrow image keeps its middle two thirds
        border = min(BORDER, field.shape[axis] // 6)
        inside.append((i < n) & (x >= border) & (x <= field.shape[axis] - 1 - border))
    return inside


def box_sides(field: Field, offset: Array, shape: Sequence[int], *, xp: Namespace) -> list[Array]:
    """Return per axis the length (batch,) of the `footprint`, which is a box if there are no holes."""
    return [xp.sum(xp.astype(ok, offset.dtype), axis=1) for ok in _inside(field, offset, shape, shape, xp=xp)]


def footprint(
    field: Field, offset: Array, shape: Sequence[int], *, grid: Sequence[int] | None = None, xp: Namespace
) -> Array:
    """Return the mask of the pixels of an image of `shape` whose source in `field` at `offset` can be trusted.

    `offset` is rounded to whole pixels, so that the mask does not move while a fit converges. Left out are what lies
    outside the image or within `BORDER` pixels of its border, and holes: the smooth fill spares the pixels beside them.
    The image may be the first pixels of a `grid`.
    """
    ndim, grid = len(shape), shape if grid is None else grid
    inside = xp.ones((1,) * (ndim + 1), dtype=xp.bool, device=device_of(offset))
    for axis, ok in enumerate([] if field.wrap else _inside(field, offset, shape, grid, xp=xp)):
        inside = inside & xp.reshape(ok, (ok.shape[0], *along(n=ok.shape[1], axis=axis, ndim=ndim)))
    if field.holes is not None:
        holes = fourier_translate(field.holes, xp.round(offset), field.grid, xp=xp)
        inside = inside & (sample(holes, field.grid, grid, xp=xp) < 0.5)
    return inside


def soft_window(
    field: Field, offset: Array, shape: Sequence[int], *, grid: Sequence[int] | None = None, xp: Namespace
) -> Array:
    """Return a cosine-tapered window over the overlap of `field` and an image of `shape`, laid as `footprint` is.

    It is 1 everywhere for a periodic field.
    """
    ndim, grid = len(shape), shape if grid is None else grid
    window = xp.ones((1,) * (ndim + 1), dtype=offset.dtype, device=device_of(offset))
    for axis, n in enumerate(() if field.wrap else shape):
        i, x = _places(grid[axis], offset, axis, xp=xp)
        edge = xp.minimum(xp.minimum(x, field.shape[axis] - 1 - x), xp.minimum(i, n - 1 - i)) + 1
        t = xp.sin(math.pi / 2 * bounded(edge / max(n / 8, 1.0), 0.0, 1.0, xp=xp)) ** 2
        window = window * xp.reshape(t, (t.shape[0], *along(n=t.shape[1], axis=axis, ndim=ndim)))
    return window


def padded(x: Array, grid: Sequence[int], *, xp: Namespace) -> Array:
    """Continue an image (batch, ...) with zeros (False) at the end of its axes."""
    for axis, n in enumerate(grid):
        k = axis + 1
        if x.shape[k] < n:
            rest = (*x.shape[:k], n - x.shape[k], *x.shape[k + 1 :])
            x = xp.concat([x, xp.zeros(rest, dtype=x.dtype, device=device_of(x))], axis=k)
    return x


def single(x: Array, *, xp: Namespace) -> Array:
    """Return `x` in single precision.

    It is enough for slopes, for errors and on the way to the minimum, whose place residuals of full precision decide.
    """
    lower = xp.complex64 if xp.isdtype(x.dtype, "complex floating") else xp.float32
    return xp.astype(x, lower, copy=False)


def roll(image: Array, field: Field, offset: Array, shape: Sequence[int], *, xp: Namespace) -> Array:
    """Return `image` (shape of `field`) displaced by the whole-pixel part of `offset`, on the pixels of `shape`."""
    spectrum = rfft(image, len(shape), xp=xp, s=field.grid)
    spectrum = fourier_translate(spectrum, xp.round(offset), field.grid, xp=xp)
    return sample(spectrum, field.grid, shape, xp=xp) / math.prod(field.grid)
