"""Stacks of frames: register all of them, align them, add them up."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from ._array import Array, Namespace, accumulator_dtype, as_images, device_of
from ._engine.problem import column
from ._engine.resample import shifted
from ._engine.result import Registration
from ._inputs import one_image
from .frames import Block, Frames, open_frames
from .registration import register

__all__ = ["Coadd", "align_stack", "coadd", "register_stack"]

_ROUNDS = 3  # of registering on the mean


class Coadd(NamedTuple):
    """The mean of aligned frames, in the frames' library and on their device."""

    mean: Array
    """(image axes) weighted mean, on the scale of the reference; NaN where no frame has a pixel."""
    variance: Array
    """(image axes) variance of the mean, from the scatter of the frames; NaN where fewer than two have a pixel."""
    coverage: Array
    """(image axes) number of frames that have a pixel there."""


def register_stack(
    reference: Array | Literal["first", "mean"],
    frames: Any,
    *,
    chunk: int | None = None,
    progress: bool = False,
    **options: Any,
) -> Registration:
    r"""Register each frame of a stack on one reference.

    Frames are read and registered `chunk` at a time: the memory needed does not grow with their number.

    Parameters
    ----------
    reference : array (image axes) or {"first", "mean"}
        What to align to: an image, the first frame, or the mean of the frames. The mean is found in rounds: register on
        the first frame, then three times each frame on the mean of all others. Shifts are those to the grid of the
        mean, near that of the first frame; the errors are relative to the mean of the other frames.
    frames : array (n, image axes)
        An array of any library, a memory map, or what is read like an array (h5py, zarr). Frames on the host go to the
        device of the reference, if that is on another, in the dtype they have.
    chunk : int, optional
        Frames at a time; what fits the cache of a CPU or keeps an accelerator busy, within a quarter of the host's
        memory or the free memory of the device, if not given. The last chunk is filled up with copies.
    progress : bool
        Show a progress bar (on a terminal).
    **options
        Those of `register` but `ndim`, which follows from `frames`. `moving_err` and `moving_valid` hold for all frames
        or have the shape of `frames`.

    Returns
    -------
    Registration
        As of `register`, with a leading frame axis. A frame that cannot be aligned has NaN and its status, and changes
        nothing for the others.

    Raises
    ------
    TypeError
        As in `register`; `frames` cannot be read like an array.
    ValueError
        As in `register`; `frames` has no leading axis or is empty; `chunk` is less than 1; an unknown policy.
    """
    if isinstance(reference, str):
        if reference not in ("first", "mean"):
            msg = f"`reference` must be an array, 'first' or 'mean', got {reference!r}"
            raise ValueError(msg)
        stack = open_frames(frames, chunk)
        fixed = stack.rows(stack.source, 0, 1)[0, ...]
    else:
        stack = open_frames(frames, chunk, like=reference)
        fixed = reference
    result = _on(fixed, stack, options, progress)
    if isinstance(reference, str) and reference == "mean":
        wrap = options.get("boundary") == "wrap"
        for _ in range(_ROUNDS):
            mean = _added(stack, result, None, wrap=wrap, xp=stack.xp)
            others = functools.partial(_others, mean, stack, result, wrap=wrap, xp=stack.xp)
            result = _on(others, stack, options, progress)
    return result


def _on(
    reference: Array | Callable[[Block], Array], stack: Frames, options: dict[str, Any], show: bool
) -> Registration:
    """Register all frames on one image, or on those that a function gives for a block of frames."""
    ndim = len(stack.source.shape) - 1
    parts = []
    with _bar(stack.source.shape[0], show) as bar:
        for block in stack:
            here = {k: stack.per_frame(x, block) if k.startswith("moving") else x for k, x in options.items()}
            image = reference(block) if callable(reference) else reference
            found = register(image, block.images, ndim=ndim, **here)
            parts.append([field[: block.size, ...] for field in found])
            bar.update(block.size)
    return Registration(*(stack.xp.concat(list(field), axis=0) for field in zip(*parts, strict=True)))


def _others(
    mean: Coadd, stack: Frames, registration: Registration, block: Block, *, wrap: bool, xp: Namespace
) -> Array:
    """Return for each frame of a block the mean of all other frames; NaN where they have no pixel.

    A frame's own noise in its reference would pull it to where it was, and pass for signal that both hold.
    """
    x = _on_scale(stack, block, registration, wrap=wrap, xp=xp)
    own = xp.isfinite(x)
    left = mean.coverage - xp.astype(own, mean.coverage.dtype)
    total = xp.where(mean.coverage > 0, mean.mean * mean.coverage, xp.zeros_like(mean.mean))
    rest = total - xp.astype(xp.where(own, x, xp.zeros_like(x)), total.dtype)
    return xp.where(left > 0, rest / xp.where(left > 0, left, xp.ones_like(left)), xp.full_like(rest, math.nan))


def _bar(total: int, progress: bool) -> Any:
    from tqdm import tqdm  # noqa: PLC0415  (needed here alone, and slow to import)

    return tqdm(total=total, unit="frame", disable=None if progress else True)


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
        The frames that were registered.
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
    stack, wrap = _registered(frames, registration, boundary, chunk)
    parts = [_aligned(stack, block, registration, fill, wrap=wrap, xp=stack.xp)[: block.size, ...] for block in stack]
    return stack.xp.concat(parts, axis=0)


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
        The frames that were registered. Those that could not be aligned are left out.
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
    stack, wrap = _registered(frames, registration, boundary, chunk)
    if weights is not None and tuple(weights.shape) != (stack.source.shape[0],):
        msg = f"`weights` must have shape ({stack.source.shape[0]},), one per frame, got {tuple(weights.shape)}"
        raise ValueError(msg)
    return _added(stack, registration, weights, wrap=wrap, xp=stack.xp)


def _registered(frames: Any, registration: Registration, boundary: str, chunk: int | None) -> tuple[Frames, bool]:
    """Return the frames of a registration, and whether they are periodic."""
    if boundary not in ("overlap", "wrap"):
        msg = f"`boundary` must be one of ('overlap', 'wrap'), got {boundary!r}"
        raise ValueError(msg)
    stack = open_frames(frames, chunk, like=registration.shift)
    shape = tuple(stack.source.shape)
    if tuple(registration.shift.shape) != (shape[0], len(shape) - 1):
        got = tuple(registration.shift.shape)
        msg = f"`registration` must hold shifts of shape {(shape[0], len(shape) - 1)} for these frames, got {got}"
        raise ValueError(msg)
    return stack, boundary == "wrap"


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


def _on_scale(stack: Frames, block: Block, registration: Registration, *, wrap: bool, xp: Namespace) -> Array:
    """Return the aligned frames of a block with the gain and background of the reference, NaN where there is none."""
    x = _aligned(stack, block, registration, math.nan, wrap=wrap, xp=xp)
    x = xp.astype(x, accumulator_dtype(x, xp=xp))
    background, scale = (
        column(stack.rows(a, block.start, block.stop), x, xp=xp) for a in (registration.background, registration.scale)
    )
    return (x - background) / scale


def _added(stack: Frames, registration: Registration, weights: Array | None, *, wrap: bool, xp: Namespace) -> Coadd:
    """Average the frames: mean and scatter of each block, merged (Chan et al. 1983) so that no digits are lost."""
    shape = tuple(stack.source.shape[1:])
    acc = accumulator_dtype(registration.shift, xp=xp)
    mean, weight, scatter, count = (xp.zeros(shape, dtype=acc, device=device_of(registration.shift)) for _ in range(4))
    dtype = registration.shift.dtype
    for block in stack:
        x = _on_scale(stack, block, registration, wrap=wrap, xp=xp)
        # copies that fill the last block have no weight
        w = xp.astype(xp.arange(stack.chunk, device=device_of(x), dtype=xp.int64) < block.size, acc)
        if weights is not None:
            given = xp.astype(stack.rows(weights, block.start, block.stop), acc)
            w = w * xp.where(xp.isfinite(given) & (given > 0), given, xp.zeros_like(given))
        good = xp.isfinite(x) & (column(w, x, xp=xp) > 0)
        x, w = xp.where(good, x, xp.zeros_like(x)), xp.where(good, column(w, x, xp=xp), xp.zeros_like(x))
        here = xp.sum(w, axis=0)
        centre = xp.sum(w * x, axis=0) / xp.where(here > 0, here, xp.ones_like(here))
        total = weight + here
        share = here / xp.where(total > 0, total, xp.ones_like(total))
        scatter = scatter + xp.sum(w * (x - centre) ** 2, axis=0) + (centre - mean) ** 2 * weight * share
        mean, weight = mean + (centre - mean) * share, total
        count = count + xp.sum(xp.astype(good, acc), axis=0)
    several = count > 1
    variance = scatter / xp.where(several, (count - 1) * weight, xp.ones_like(weight))
    nan = xp.full_like(mean, math.nan)
    parts = (xp.where(count > 0, mean, nan), xp.where(several, variance, nan), count)
    return Coadd(*(xp.astype(part, dtype) for part in parts))
