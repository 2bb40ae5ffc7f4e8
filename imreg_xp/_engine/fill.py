"""Holes in an image filled by the smooth surface through the pixels around them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from .._array import Array, Namespace
from .._kernels import elementwise
from .._providers import inverse_transform
from .._static import table
from ..fft_tools._dft import along, axes_of, irfft, rfft
from ..fft_tools._modes import frequencies, frequency

__all__ = ["crop", "fill_invalid", "gaussian"]

_SCALES = (16.0, 8.0, 4.0, 2.0, 1.4, 1.0, 0.7, 0.7)  # the fine ones decide how sharp images fare
_RELAX_STEPS = 12


def crop(image: Array, shape: Sequence[int]) -> Array:
    """Return the first `shape` pixels of a grid (batch, ...)."""
    return image[(slice(None), *(slice(0, n) for n in shape))]


def gaussian(grid: Sequence[int], sigma: float, like: Array, *, xp: Namespace) -> Array:
    """Return the transfer function exp(-2 (pi nu sigma)^2) of a Gaussian beam on the `rfftn` modes of `grid`."""
    ndim = len(grid)
    total = None
    for axis, n in enumerate(grid):
        g = table(_beam, n, axis == ndim - 1, sigma, dtype=like.dtype, like=like, xp=xp)
        g = xp.reshape(g, along(n=g.shape[0], axis=axis, ndim=ndim))
        total = g if total is None else total * g
    return total


def _beam(n: int, half: bool, sigma: float) -> np.ndarray:
    return np.exp(-2 * (math.pi * sigma * frequency(n, half)) ** 2)


def fill_invalid(image: Array, valid: Array, grid: Sequence[int], *, xp: Namespace) -> Array:
    """Replace invalid pixels by the smooth surface through the valid ones.

    A multi-scale normalised convolution (Knutsson & Westin 1993, doi:10.1109/CVPR.1993.341081) gives the large scales,
    then a few conjugate-gradient steps towards the thin plate, the surface of least bending energy through the valid
    pixels, take the kink out of the edges of holes: it is the kink that a Fourier shift would spread.

    Parameters
    ----------
    image, valid
        (batch, ...); `image` is finite everywhere.
    grid
        Shape, at least that of the image, on which to transform.
    """
    ndim = len(grid)
    shape = image.shape[1:]
    weights = rfft(xp.astype(valid, image.dtype), ndim, xp=xp, s=grid)
    # pixel by pixel on the grid: 1 where known, 0 where to be filled
    v = irfft(weights, grid, xp=xp) / math.prod(grid)
    data = irfft(rfft(xp.where(valid, image, 0.0), ndim, xp=xp, s=grid), grid, xp=xp) / math.prod(grid)
    filled = xp.zeros_like(data)
    share = v
    for sigma in _SCALES:
        kernel = gaussian(grid, sigma, image, xp=xp) / math.prod(grid)
        share = inverse_transform(weights * kernel, grid, keep=False, xp=xp)
        step = inverse_transform(rfft(_missing(v, data, filled, xp=xp), ndim, xp=xp) * kernel, grid, keep=False, xp=xp)
        filled = _corrected(filled, step, share, xp=xp)
    filled = _relax(xp.where(v > 0.5, data, filled), xp.astype(v < 0.5, data.dtype), xp=xp)
    return xp.where(valid, image, crop(filled, shape))


@elementwise
def _missing(v: Array, data: Array, filled: Array, *, xp: Namespace) -> Array:  # noqa: ARG001
    return v * (data - filled)


@elementwise
def _corrected(filled: Array, step: Array, share: Array, *, xp: Namespace) -> Array:
    # far from any valid pixel both are rounding errors: the correction fades out instead
    return filled + step / xp.where(share > 1e-3, share, 1.0)


@elementwise
def _sum(a: Array, number: Array, b: Array, *, xp: Namespace) -> Array:  # noqa: ARG001
    return a + number * b


def _relax(start: Array, free: Array, *, xp: Namespace) -> Array:
    """Lower the bending energy sum_nu |2 pi nu|^4 |F|^2 over the pixels where `free` is 1, by conjugate gradients."""
    grid = start.shape[1:]
    ndim = len(grid)
    square = 0.0
    for axis, nu in enumerate(frequencies(grid, start, xp=xp)):
        square = square + xp.reshape((2 * math.pi * nu) ** 2, along(n=nu.shape[0], axis=axis, ndim=ndim))
    energy = xp.astype(square * square / math.prod(grid), start.dtype)

    def gradient(x: Array) -> Array:
        return free * inverse_transform(energy * rfft(x, ndim, xp=xp), grid, keep=False, xp=xp)

    def dot(a: Array, b: Array) -> Array:
        return xp.sum(a * b, axis=axes_of(ndim), keepdims=True)

    x = start
    left = -gradient(x)
    direction = left
    size = dot(left, left)
    for _ in range(_RELAX_STEPS):
        bent = gradient(direction)
        curve = dot(direction, bent)
        step = size / xp.where(curve > 0, curve, 1.0)
        x = _sum(x, step, direction, xp=xp)
        left = _sum(left, -step, bent, xp=xp)
        new = dot(left, left)
        direction = _sum(left, new / xp.where(size > 0, size, 1.0), direction, xp=xp)
        size = new
    return x
