"""Registered frames on one grid, and their mean."""

from __future__ import annotations

import functools
import math
from typing import Any, Literal, NamedTuple

from ._array import Array, Namespace, accumulator_dtype, as_images, device_of, is_dask
from ._engine.problem import column
from ._engine.resample import shifted
from ._engine.result import Registration
from ._inputs import one_image
from .frames import Block, Frames, open_frames

__all__ = ["Coadd", "Sums", "align_stack", "coadd", "mean_of_others", "merged", "sums"]


class Coadd(NamedTuple):
    """The mean of aligned frames, in the frames' library and on their device."""

    mean: Array
    """(image axes) weighted mean, on the scale of the reference; NaN where no frame has a pixel."""
    variance: Array
    """(image axes) variance of the mean, from the scatter of the frames; NaN where fewer than two have a pixel."""
    coverage: Array
    """(image axes) number of frames that have a pixel there."""


def align_stack(
    frames: Any,
    registration: Registration,
    *,
    fill: float = math.nan,
    boundary: Literal["overlap", "wrap"] = "overlap",
    chunk: int | None = None,
) -> Array:
    """Shift each frame onto the pixels of the reference.

    Parameters
    ----------
    frames : array (n, image axes)
        The frames that were registered; a dask array gives a lazy result.
    registration : Registration
        What `register_stack` returned for them.
    fill : float
        Value of pixels that come from outside the frame or from invalid pixels, and of frames that were not aligned.
    boundary : {"overlap", "wrap"}
        Whether frames end at their border or are periodic.
    chunk : int, optional
        Frames at a time.

    Returns
    -------
    array (n, image axes)
        In the library and on the device of `registration`. Gain and background are those of the frames.

    Raises
    ------
    ValueError
        There are not as many shifts as frames, or not as many components as image axes; an unknown `boundary`.
    """
    if is_dask(frames):
        from .lazy import align_blocks  # noqa: PLC0415  (builds on this module)

        align = functools.partial(align_stack, fill=fill, boundary=boundary, chunk=chunk)
        return align_blocks(align, frames, registration)
    stack, wrap = _registered(frames, registration, boundary, chunk)

    def aligned(block: Block) -> Array:
        return _aligned(stack, block, registration, fill, wrap=wrap, xp=stack.xp)[: block.size, ...]

    return stack.xp.concat(list(stack.done(aligned, stack)), axis=0)


def coadd(
    frames: Any,
    registration: Registration,
    weights: Array | None = None,
    *,
    boundary: Literal["overlap", "wrap"] = "overlap",
    chunk: int | None = None,
) -> Coadd:
    r"""Average aligned frames on the scale of the reference, :math:`(m - b) / s`.

    .. math:: \mu = \sum w x / \sum w, \qquad \mathrm{var}(\mu) = \frac{\sum w (x - \mu)^2}{(n - 1) \sum w}

    over the n frames that have the pixel; the variance is right for weights that go as 1/variance.

    Parameters
    ----------
    frames : array (n, image axes)
        The frames that were registered; a dask array gives a lazy result. Those that could not be aligned are left out.
    registration : Registration
        What `register_stack` returned for them.
    weights : array (n,), optional
        Weights of the frames; equal if not given. Frames with a weight that is not positive and finite are left out.
    boundary : {"overlap", "wrap"}
        Whether frames end at their border or are periodic.
    chunk : int, optional
        Frames at a time.

    Returns
    -------
    Coadd
        `mean`, `variance` and `coverage`.

    Raises
    ------
    ValueError
        Shapes that do not match; an unknown `boundary`.
    """
    if is_dask(frames):
        from .lazy import coadd_blocks  # noqa: PLC0415  (builds on this module)

        return coadd_blocks(frames, registration, weights, wrap=_periodic(boundary), chunk=chunk)
    stack, wrap = _registered(frames, registration, boundary, chunk)
    if weights is not None and tuple(weights.shape) != (stack.count,):
        msg = f"`weights` must have shape ({stack.count},), one per frame, got {tuple(weights.shape)}"
        raise ValueError(msg)
    whole = sums(stack, registration, weights, wrap=wrap, xp=stack.xp)
    return whole.coadd(registration.shift.dtype, xp=stack.xp)


def _registered(frames: Any, registration: Registration, boundary: str, chunk: int | None) -> tuple[Frames, bool]:
    """Return the frames of a registration, and whether they are periodic."""
    wrap = _periodic(boundary)
    stack = open_frames(frames, chunk, like=registration.shift)
    shape = tuple(stack.source.shape)
    if tuple(registration.shift.shape) != (shape[0], len(shape) - 1):
        got = tuple(registration.shift.shape)
        msg = f"`registration` must hold shifts of shape {(shape[0], len(shape) - 1)} for these frames, got {got}"
        raise ValueError(msg)
    return stack, wrap


def _periodic(boundary: str) -> bool:
    if boundary not in ("overlap", "wrap"):
        msg = f"`boundary` must be one of ('overlap', 'wrap'), got {boundary!r}"
        raise ValueError(msg)
    return boundary == "wrap"


def _aligned(
    stack: Frames, block: Block, registration: Registration, fill: float, *, wrap: bool, xp: Namespace
) -> Array:
    """Return the frames of a block on the pixels of the reference."""
    (images,) = as_images(xp=xp, frames=block.images)
    names = ("frames", "err", "valid")
    side = one_image(images, None, None, (stack.chunk,), images.ndim - 1, names=names, xp=xp)
    offset = xp.astype(stack.rows(registration.shift, block.start, block.stop), accumulator_dtype(images, xp=xp))
    known = xp.all(xp.isfinite(offset), axis=-1)
    offset = xp.where(known[:, None], offset, xp.zeros_like(offset))
    moved = shifted(side.image, side.valid, offset, fill, wrap=wrap, xp=xp)
    return xp.where(xp.reshape(known, (-1,) + (1,) * (images.ndim - 1)), moved, xp.full_like(moved, fill))


class Sums(NamedTuple):
    """What is known of aligned frames, pixel by pixel."""

    mean: Array
    weight: Array
    scatter: Array
    """Sum of weight (x - mean)^2."""
    count: Array

    def coadd(self, dtype: Any, *, xp: Namespace) -> Coadd:
        """Return mean, variance and coverage."""
        several = self.count > 1
        variance = self.scatter / xp.where(several, (self.count - 1) * self.weight, xp.ones_like(self.weight))
        nan = xp.full_like(self.mean, math.nan)
        parts = (xp.where(self.count > 0, self.mean, nan), xp.where(several, variance, nan), self.count)
        return Coadd(*(xp.astype(part, dtype) for part in parts))


def sums(stack: Frames, registration: Registration, weights: Array | None, *, wrap: bool, xp: Namespace) -> Sums:
    """Add up the frames: mean and scatter of each block, merged."""
    shape = tuple(stack.source.shape[1:])
    acc = accumulator_dtype(registration.shift, xp=xp)
    total = Sums(*(xp.zeros(shape, dtype=acc, device=device_of(registration.shift)) for _ in range(4)))

    def summed(block: Block) -> Sums:
        x, w = _weighted(stack, block, registration, weights, wrap=wrap, xp=xp)
        # copies that fill the last block count for nothing
        fresh = xp.astype(xp.arange(stack.chunk, device=device_of(x), dtype=xp.int64) < block.size, acc)
        w = w * column(fresh, x, xp=xp)
        here = xp.sum(w, axis=0)
        centre = xp.sum(w * x, axis=0) / xp.where(here > 0, here, xp.ones_like(here))
        scatter = xp.sum(w * (x - centre) ** 2, axis=0)
        return Sums(centre, here, scatter, xp.sum(xp.astype(w > 0, acc), axis=0))

    for part in stack.done(summed, stack):
        total = merged(total, part, xp=xp)
    return total


def merged(a: Sums, b: Sums, *, xp: Namespace) -> Sums:
    """Return the sums over both sets of frames (Chan et al. 1983): no digits are lost."""
    total = a.weight + b.weight
    share = b.weight / xp.where(total > 0, total, xp.ones_like(total))
    scatter = a.scatter + b.scatter + (b.mean - a.mean) ** 2 * a.weight * share
    return Sums(a.mean + (b.mean - a.mean) * share, total, scatter, a.count + b.count)


def _weighted(
    stack: Frames, block: Block, registration: Registration, weights: Array | None, *, wrap: bool, xp: Namespace
) -> tuple[Array, Array]:
    """Return the aligned frames of a block on the scale of the reference, and their weights: 0 where there is none."""
    x = _aligned(stack, block, registration, math.nan, wrap=wrap, xp=xp)
    acc = accumulator_dtype(x, xp=xp)
    x = xp.astype(x, acc)
    background, scale = (
        column(stack.rows(a, block.start, block.stop), x, xp=xp) for a in (registration.background, registration.scale)
    )
    x = (x - background) / scale
    good = xp.isfinite(x)
    w = xp.astype(good, acc)
    if weights is not None:
        given = xp.astype(stack.rows(weights, block.start, block.stop), acc)
        w = w * column(xp.where(xp.isfinite(given) & (given > 0), given, xp.zeros_like(given)), x, xp=xp)
    return xp.where(good, x, xp.zeros_like(x)), w


def mean_of_others(
    whole: Sums,
    stack: Frames,
    registration: Registration,
    weights: Array | None,
    block: Block,
    *,
    wrap: bool,
    xp: Namespace,
) -> Array:
    """Return for each frame of a block the mean of all other frames; NaN where they have no pixel.

    A frame's own noise in its reference would pull it to where it was, and pass for signal that both hold.
    """
    x, w = _weighted(stack, block, registration, weights, wrap=wrap, xp=xp)
    left = whole.weight - w
    # what rounding leaves of a weight is none
    several = left > 1e-6 * whole.weight
    rest = (whole.mean * whole.weight - w * x) / xp.where(several, left, xp.ones_like(left))
    return xp.astype(xp.where(several, rest, xp.full_like(rest, math.nan)), registration.shift.dtype)
