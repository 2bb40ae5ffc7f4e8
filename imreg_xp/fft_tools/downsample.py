"""Averages over blocks of pixels."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from .._array import (
    Array,
    Namespace,
    array_namespace,
    as_images,
    device_of,
    is_number,
    is_traced_or_remote,
    known_finite,
)
from .._bounds import at_least
from .._providers import in_library
from ._dft import part

__all__ = ["block_average", "downsample", "downsample_1d", "downsample_axis", "downsample_cube"]

_Estimator = Callable[..., Array]


def downsample(myarr: Array, factor: int, estimator: _Estimator = np.nanmean) -> Array:
    """Downsample an image by averaging over blocks of `factor` pixels along its last two axes.

    Parameters
    ----------
    myarr : array (..., ny, nx)
        Real-valued.
    factor : int
        Pixels per block and axis; what does not fill a block at the end is left out.
    estimator : function
        Called as ``estimator(blocks, axis=0)`` with the pixels of the blocks along axis 0. The default, the mean of the
        pixels that are not NaN, and `numpy.nansum`, `sum`, `mean`, `max`, `min` are for arrays of any library.

    Returns
    -------
    array (..., ny // factor, nx // factor)
        NaN where all pixels of a block are.

    Raises
    ------
    TypeError
        `myarr` is not a real array.
    ValueError
        `factor` is not a whole number of at least 1, or larger than an axis.
    """
    return block_average(myarr, factor, estimator, (-2, -1), xp=array_namespace(myarr=myarr))


def downsample_1d(myarr: Array, factor: int, estimator: _Estimator = np.nanmean) -> Array:
    """Downsample along the last axis; see `downsample`."""
    return block_average(myarr, factor, estimator, (-1,), xp=array_namespace(myarr=myarr))


def downsample_axis(
    myarr: Array, factor: int, axis: int, estimator: _Estimator = np.nanmean, truncate: bool = False
) -> Array:
    """Downsample along one axis; see `downsample`. Without `truncate` NaN fill up the last block."""
    xp = array_namespace(myarr=myarr)
    return block_average(myarr, factor, estimator, (axis,), whole=not truncate, xp=xp)


def downsample_cube(myarr: Array, factor: int, ignoredim: int = 0) -> Array:
    """Downsample a cube along all axes but one; see `downsample`."""
    xp = array_namespace(myarr=myarr)
    if myarr.ndim != 3:
        msg = f"`myarr` must have three axes, got shape {tuple(myarr.shape)}"
        raise ValueError(msg)
    return block_average(myarr, factor, np.nanmean, tuple(a for a in range(3) if a != ignoredim % 3), xp=xp)


def block_average(
    myarr: Array,
    factor: Any,
    estimator: _Estimator,
    axes: tuple[int, ...],
    *,
    whole: bool = False,
    xp: Namespace,
) -> Array:
    """Average over blocks of `factor` pixels along the given axes; `whole`: with the last ones, filled up with NaN."""
    if myarr.ndim < len(axes):
        msg = f"`myarr` must have at least {len(axes)} axes, got shape {tuple(myarr.shape)}"
        raise ValueError(msg)
    if not (is_number(factor) and factor == round(factor) and 1 <= factor <= min(myarr.shape[a] for a in axes)):
        msg = f"`factor` must be a whole number from 1 to the size of the array {tuple(myarr.shape)}, got {factor!r}"
        raise ValueError(msg)
    (image,) = as_images(xp=xp, myarr=myarr)
    axes = tuple(a % image.ndim for a in axes)
    if whole:
        image = _filled_up(image, round(factor), axes, xp=xp)
    if estimator is np.nanmean and not is_traced_or_remote(image):
        mean = _mean(image, round(factor), axes)
        if known_finite(mean, xp=xp):
            return mean
    blocks = _blocks(image, round(factor), axes, xp=xp)
    if estimator is np.nanmean:
        return _nanmean(blocks, xp=xp)
    if estimator is np.nansum:
        return xp.sum(xp.where(xp.isnan(blocks), xp.zeros_like(blocks), blocks), axis=0)
    return in_library(estimator, xp=xp)(blocks, axis=0)


def _filled_up(image: Array, factor: int, axes: tuple[int, ...], *, xp: Namespace) -> Array:
    """Return the image with NaN at the end, up to whole blocks."""
    for axis in axes:
        missing = (*image.shape[:axis], -image.shape[axis] % factor, *image.shape[axis + 1 :])
        nan = xp.full(missing, math.nan, dtype=image.dtype, device=device_of(image))
        image = xp.concat([image, nan], axis=axis)
    return image


def _blocks(image: Array, factor: int, axes: tuple[int, ...], *, xp: Namespace) -> Array:
    """Return the pixels of each block along a new axis 0."""
    for axis in axes:
        image = part(image, axis, 0, image.shape[axis] // factor * factor)
    split = [k for axis, n in enumerate(image.shape) for k in ((n // factor, factor) if axis in axes else (n,))]
    within = [axis + 1 + sum(a < axis for a in axes) for axis in axes]
    image = xp.reshape(image, tuple(split))
    image = xp.permute_dims(image, (*within, *(a for a in range(image.ndim) if a not in within)))
    return xp.reshape(image, (math.prod(image.shape[: len(axes)]), *image.shape[len(axes) :]))


def _mean(image: Array, factor: int, axes: tuple[int, ...]) -> Array:
    """Return the mean over blocks by adding every `factor`-th pixel, axis by axis."""
    for axis in axes:
        whole = image.shape[axis] // factor * factor
        phases = (image[(*(slice(None),) * axis, slice(k, whole, factor), ...)] for k in range(factor))
        image = functools.reduce(operator.add, phases)
    return image * (1 / factor ** len(axes))


def _nanmean(blocks: Array, *, xp: Namespace) -> Array:
    good = ~xp.isnan(blocks)
    count = xp.sum(xp.astype(good, blocks.dtype), axis=0)
    total = xp.sum(xp.where(good, blocks, xp.zeros_like(blocks)), axis=0)
    return xp.where(count > 0, total / at_least(count, 1.0, xp=xp), xp.full_like(total, math.nan))
