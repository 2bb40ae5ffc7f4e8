"""The reference as a function of real coordinates: holes filled, borders continued, then shifted by Fourier.

A finite image is not periodic. It is continued by an odd reflection (2 * edge - mirror), which keeps value and slope,
and tapered to the mean; the Fourier shift of the result is accurate to 1e-4 of the image rms a few pixels inside the
border, for one FFT per shift and with exact derivatives.
"""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from .._array import Array, Namespace, device_of
from .._bounds import bounded
from .._fft_length import fast_length
from .._kernels import elementwise, per_item
from .._layout import laid_by
from .._providers import Factors, inverse_transform, product_of
from .._static import table
from ..fft_tools._dft import along, fourier_translate, part, rfft
from ..fft_tools._modes import angular_frequencies
from .fill import crop, fill_invalid
from .rings import Gains, times

__all__ = [
    "BORDER",
    "PAD",
    "Field",
    "box_of",
    "extend",
    "footprint",
    "make_field",
    "mirrored",
    "roll",
    "sample",
    "single",
    "slopes_of",
    "soft_window",
]

PAD = 16  # pixels of continuation, where the grid has room
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
    return _continued(image, grid, odd=True, xp=xp)


def mirrored(image: Array, grid: Sequence[int], *, xp: Namespace) -> Array:
    """Continue `image` as `extend` does, by even reflection: it keeps no slope, but repeats no noise of the border."""
    laid = laid_by(image, _mirror_places, tuple(image.shape[1:]), tuple(grid), xp=xp)
    return _continued(image, grid, odd=False, xp=xp) if laid is None else laid


def _mirror_places(shape: tuple[int, int], grid: tuple[int, int]) -> np.ndarray:
    """(1, *grid): where in an image of `shape` each pixel of its even reflection is, -1 where there is none."""
    places = [_mirrored_axis(*pair) for pair in zip(shape, grid, strict=True)]
    rows, columns = places[0][:, None], places[1][None, :]
    return np.where((rows < 0) | (columns < 0), -1, rows * shape[1] + columns)[None]


def _mirrored_axis(size: int, n: int) -> np.ndarray:
    p = _padding(size, n)
    above, below = np.arange(size - 2, size - 2 - p, -1), np.arange(p, 0, -1)
    return np.concatenate([np.arange(size), above, np.full(n - size - 2 * p, -1), below])


def _padding(size: int, n: int) -> int:
    """Return by how many pixels an axis is continued at either end on a grid of n."""
    return min(PAD, (n - size) // 2, size - 1)


def _continued(image: Array, grid: Sequence[int], *, odd: bool, xp: Namespace) -> Array:
    ndim = len(grid)
    for axis, n in enumerate(grid):
        k = axis + 1
        size = image.shape[k]
        p = _padding(size, n)
        above = xp.flip(part(image, k, size - 1 - p, size - 1), axis=k)
        below = xp.flip(part(image, k, 1, p + 1), axis=k)
        if odd:
            taper = table(_taper, p, dtype=image.dtype, like=image, xp=xp)
            taper = xp.reshape(taper, (1, *along(n=p, axis=axis, ndim=ndim)))
            above = _reflected(part(image, k, size - 1, size), above, taper, xp=xp)
            below = _reflected(part(image, k, 0, 1), below, xp.flip(taper, axis=k), xp=xp)
        rest = (*image.shape[:k], n - size - 2 * p, *image.shape[k + 1 :])
        zeros = xp.zeros(rest, dtype=image.dtype, device=device_of(image))
        image = xp.concat([image, above, zeros, below], axis=k)
    return image


def _taper(n: int) -> np.ndarray:
    return np.cos(math.pi / 2 * np.arange(1, n + 1) / (n + 1)) ** 2


@elementwise
def _reflected(edge: Array, mirror: Array, taper: Array, *, xp: Namespace) -> Array:  # noqa: ARG001
    return taper * (2 * edge - mirror)


def sample(spectrum: Array, grid: Sequence[int], shape: Sequence[int], *, keep: bool = True, xp: Namespace) -> Array:
    """Return the first `shape` pixels of the real grid with this `rfftn` spectrum / N, which need not be kept."""
    return crop(inverse_transform(spectrum, grid, keep=keep, xp=xp), shape)


def slopes_of(spectrum: Factors, gains: Gains | None, grid: Sequence[int], *, xp: Namespace) -> list[Array]:
    """Return per axis the derivative of what `sample` returns, convolved by a transfer function if there is one."""
    ndim, ramps = len(grid), []
    like = spectrum[0] if isinstance(spectrum, tuple) else spectrum
    for axis, omega in enumerate(angular_frequencies(grid, like, xp=xp)):
        ramp = xp.astype(omega, like.dtype) * 1j
        ramps.append(xp.reshape(ramp, (1, *along(n=ramp.shape[0], axis=axis, ndim=ndim))))
    steep = _times_each(spectrum, gains, *ramps, xp=xp)
    return [sample(a, grid, grid, keep=False, xp=xp) for a in steep]


@elementwise
def _times_each(spectrum: Factors, gains: Gains | None, *ramps: Array, xp: Namespace) -> tuple[Array, ...]:
    spectrum = times(product_of(spectrum), gains, xp=xp)
    return tuple([spectrum * ramp for ramp in ramps])


def _along(offset: Array, axis: int, n: int, *, xp: Namespace) -> tuple[Array, Array]:
    """Return n pixels (1, n) along one axis, and the offset along it (batch, 1)."""
    return table(np.arange, n, dtype=offset.dtype, like=offset, xp=xp)[None, :], offset[:, axis, None]


def _inside(field: Field, offset: Array, shape: Sequence[int], grid: Sequence[int], *, xp: Namespace) -> list[Array]:
    """Return per axis which pixels (batch, n) of an image of `shape` have a source inside the border of the field."""
    return [
        _is_inside(*_along(offset, axis, grid[axis], xp=xp), lengths=(n, field.shape[axis]), xp=xp)
        for axis, n in enumerate(shape)
    ]


@functools.partial(per_item, lead=2)
def _is_inside(i: Array, offset: Array, *, lengths: tuple[int, int], xp: Namespace) -> Array:
    n, length = lengths
    x = i - xp.round(offset)
    # a narrow image keeps its middle two thirds
    border = min(BORDER, length // 6)
    return (i < n) & (x >= border) & (x <= length - 1 - border)


def box_of(
    field: Field, offset: Array, shape: Sequence[int], grid: Sequence[int], dtype: object, *, xp: Namespace
) -> list[Array]:
    """Return the factors, one per axis, of the `footprint` as a map of ones and zeros, of a field without holes."""
    ndim = len(shape)
    return [
        xp.astype(xp.reshape(ok, (ok.shape[0], *along(n=ok.shape[1], axis=axis, ndim=ndim))), dtype)
        for axis, ok in enumerate(_inside(field, offset, shape, grid, xp=xp))
    ]


def footprint(
    weight: Array,
    field: Field,
    offset: Array,
    shape: Sequence[int],
    *,
    grid: Sequence[int] | None = None,
    xp: Namespace,
) -> Array:
    """Return the weights of the pixels of an image of `shape`, 0 where those of `field` at `offset` are not trusted.

    `offset` is rounded to whole pixels, so that the mask does not move while a fit converges. Left out are what lies
    outside the image or within `BORDER` pixels of its border, and holes: the smooth fill spares the pixels beside them.
    The image may be the first pixels of a `grid`. `weight` is a map or one number for all, (1, ..., 1).
    """
    ndim, grid = len(shape), shape if grid is None else grid
    inside = [
        xp.reshape(ok, (ok.shape[0], *along(n=ok.shape[1], axis=axis, ndim=ndim)))
        for axis, ok in enumerate([] if field.wrap else _inside(field, offset, shape, grid, xp=xp))
    ]
    if field.holes is not None:
        holes = fourier_translate(field.holes, xp.round(offset), field.grid, xp=xp)
        inside.append(sample(holes, field.grid, grid, keep=False, xp=xp) < 0.5)
    if not inside:
        return weight * xp.ones((offset.shape[0], *grid), dtype=weight.dtype, device=device_of(weight))
    found: Array = _where_all(weight, *inside, xp=xp)
    return found


@elementwise
def _where_all(weight: Array, *inside: Array, xp: Namespace) -> Array:
    return xp.where(functools.reduce(operator.and_, inside), weight, xp.zeros_like(weight))


def soft_window(
    field: Field, offset: Array, shape: Sequence[int], *, grid: Sequence[int] | None = None, xp: Namespace
) -> list[Array]:
    """Return the factors, one per axis, of a cosine-tapered window over the overlap of `field` and an image of `shape`.

    They are laid as `footprint` is. There are none for a periodic field.
    """
    ndim, grid = len(shape), shape if grid is None else grid
    factors = []
    for axis, n in enumerate(() if field.wrap else shape):
        t = _rise(*_along(offset, axis, grid[axis], xp=xp), lengths=(n, field.shape[axis]), xp=xp)
        factors.append(xp.reshape(t, (t.shape[0], *along(n=t.shape[1], axis=axis, ndim=ndim))))
    return factors


@functools.partial(per_item, lead=2)
def _rise(i: Array, offset: Array, *, lengths: tuple[int, int], xp: Namespace) -> Array:
    """Return a window that falls off to the ends of an image and of a field of some lengths."""
    n, length = lengths
    x = i - xp.round(offset)
    edge = xp.minimum(xp.minimum(x, length - 1 - x), xp.minimum(i, n - 1 - i)) + 1
    return xp.sin(math.pi / 2 * bounded(edge / max(n / 8, 1.0), 0.0, 1.0, xp=xp)) ** 2


def single(x: Any, *, xp: Namespace) -> Any:
    """Return an array, or each of several, in single precision.

    It is enough for slopes, for errors and on the way to the minimum, whose place residuals of full precision decide.
    """
    if isinstance(x, tuple):
        return tuple([single(a, xp=xp) for a in x])
    lower = xp.complex64 if xp.isdtype(x.dtype, "complex floating") else xp.float32
    return xp.astype(x, lower, copy=False)


def roll(image: Array, field: Field, offset: Array, shape: Sequence[int], *, xp: Namespace) -> Array:
    """Return `image` (shape of `field`) displaced by the whole-pixel part of `offset`, on the pixels of `shape`."""
    spectrum = rfft(image, len(shape), xp=xp, s=field.grid)
    spectrum = fourier_translate(spectrum, xp.round(offset), field.grid, xp=xp)
    return sample(spectrum, field.grid, shape, xp=xp) / math.prod(field.grid)
