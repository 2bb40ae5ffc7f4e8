"""Stacks registered on an image, or in rounds on what the frames have in common."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ._array import Array, Namespace, array_namespace, device_of, is_array, is_traced, is_traced_or_remote, to_host
from ._bounds import at_least
from ._engine import solve
from ._engine.result import Registration, Status
from ._inputs import Seen, unflatten
from ._sums import image_means, seen_in
from .coadds import mean_of_others, sums
from .frames import Block, Frames
from .registration import arrays_in, checked, register

__all__ = ["jointly", "on_frame", "on_image", "on_mean"]

_ROUNDS = 3  # of registering on the mean
_MOST_ROUNDS = 12  # of the joint estimate
_SETTLED = 0.05  # of the error: a step of the joint estimate that is none
_STILL_MOVING = 0.5  # of the error: a last step that is too large

_Advance = Callable[[int], Any]


def on_image(
    reference: Array | Callable[[Block], Array], stack: Frames, options: dict[str, Any], advance: _Advance
) -> Registration:
    """Register all frames on one image, or on those that a function gives for a block of frames."""
    ndim = len(stack.source.shape) - 1
    parts: list[list[Array]] = []
    kept: dict[Any, Any] | None = None if callable(reference) else {}
    seen = None if callable(reference) else _Look(reference, stack, options, xp=stack.xp)

    def read() -> Iterator[tuple[Block, dict[str, Any]]]:
        for block in stack:
            yield block, {k: stack.per_frame(x, block) if k.startswith("moving") else x for k, x in options.items()}

    def registered(part: tuple[Block, dict[str, Any]]) -> Registration:
        block, here = part
        image = reference(block) if callable(reference) else reference
        # what others have in common has holes where none of them has a pixel
        here = {**here, "check_finite": True} if callable(reference) else here
        xp = array_namespace(reference=image, moving=block.images, optional=arrays_in(here))
        sides, chosen, lead = checked(image, block.images, here, ndim=ndim, seen=seen(block) if seen else None, xp=xp)
        return unflatten(solve(*sides, chosen, kept=kept, xp=xp), lead, xp=xp)

    for start, found in zip(range(0, stack.count, stack.chunk), stack.done(registered, read()), strict=True):
        size = min(stack.chunk, stack.count - start)
        parts.append([field[:size, ...] for field in found])
        advance(size)
    fields = zip(*parts, strict=True)
    return Registration(*(stack.xp.concat(list(x), axis=0) if len(x) > 1 else x[0] for x in fields))


class _Look:
    """What is known of the pixels of the reference and of each block, from one look at an accelerator.

    Frames that are not on the accelerator yet are looked at on their way. None says "not known": each registration
    looks for itself.
    """

    def __init__(self, reference: Array, stack: Frames, options: dict[str, Any], *, xp: Namespace) -> None:
        self._stack = stack
        # of the reference, and of the frames: which are finite (on the host), their means, and their ends
        self._seen: list[tuple[np.ndarray, Any, Any]] = []
        masks = [options[f"{side}_valid"] for side in ("reference", "moving")]
        maps = [err for side in ("reference", "moving") if getattr(err := options[f"{side}_err"], "ndim", 0)]
        # with masks all go to the general estimator
        if maps or any(mask is not None for mask in masks) or not options["check_finite"]:
            return
        if not is_traced_or_remote(reference) or is_traced(reference):
            return
        images = [reference[None, ...]]
        if is_array(stack.source) and not isinstance(stack.source, np.ndarray):
            images.append(stack.source)
        seen = [_means_and_ends(x, xp=xp) for x in images]
        told = iter(to_host(*(mean for mean, _ in seen if mean is not None)))
        finite = [
            np.ones(x.shape[0], dtype=bool) if mean is None else np.isfinite(next(told))
            for x, (mean, _) in zip(images, seen, strict=True)
        ]
        # images of two dtypes, or of half precision, will be of another one when they are registered, and their means
        precise = xp.isdtype(images[0].dtype, (xp.float32, xp.float64))
        kept = precise and all(x.dtype == images[0].dtype for x in images)
        self._seen = [(good, *(pair if kept else (None, None))) for good, pair in zip(finite, seen, strict=True)]

    def __call__(self, block: Block) -> Seen | None:
        if not self._seen:
            return None
        (reference, *of_one), *frames = self._seen
        finite: bool | None = block.finite
        of_all: tuple[Array | None, ...] = (None, None)
        if frames:
            finite = bool(np.all(frames[0][0][block.start : block.stop]))
            of_all = frames[0][1:]
        if finite is None:
            return None
        if not (finite and reference[0]):
            return Seen(finite=False)
        first = [None if x is None else x[0, ...] for x in of_one]
        rows = [None if x is None else self._stack.rows(x, block.start, block.stop) for x in of_all]
        return Seen(True, (first[0], rows[0]), (first[1], rows[1]))


def _means_and_ends(images: Array, *, xp: Namespace) -> tuple[Array | None, Array | None]:
    """Return what `seen_in` does; None of whole numbers, and no ends of one image: they cost as much where needed."""
    if not xp.isdtype(images.dtype, "real floating"):
        return None, None
    ndim = images.ndim - 1
    return seen_in(images, ndim, xp=xp) if images.shape[0] > 1 else (image_means(images, ndim, xp=xp), None)


def on_frame(index: int, stack: Frames, options: dict[str, Any], advance: _Advance) -> Registration:
    """Register all frames on one of them, which has noise as they have."""
    rows = (index, index + 1)
    block = Block(stack.rows(stack.source, *rows), *rows)
    err = options["moving_err"]
    if options["reference_err"] is None and err is not None:
        own = stack.per_frame(err, block)
        options = {**options, "reference_err": own if own is err else own[0, ...]}
    return on_image(block.images[0, ...], stack, options, advance)


def on_mean(stack: Frames, options: dict[str, Any], advance: _Advance, *, xp: Namespace) -> Registration:
    """Register each frame on the mean of all others, some times over."""
    result = on_frame(_first_usable(stack, options), stack, options, advance)
    for _ in range(_ROUNDS):
        others = _Others(stack, result, None, wrap=options["boundary"] == "wrap", xp=xp)
        if options["moving_err"] is not None:
            options = {**options, "reference_err": others.noise(xp=xp)}
        result = on_image(others, stack, options, advance)
    return result


def jointly(stack: Frames, options: dict[str, Any], advance: _Advance, *, xp: Namespace) -> Registration:
    """Register each frame on the mean of all others, weighted by its noise, until nothing moves."""
    wrap = options["boundary"] == "wrap"
    result = on_frame(_first_usable(stack, options), stack, options, advance)
    # the errors on one frame say nothing of that frame itself
    weights = xp.astype(result.status == 0, result.shift.dtype)
    for _ in range(_MOST_ROUNDS):
        total = xp.sum(weights)
        rest = 1 - weights / xp.where(total > 0, total, xp.ones_like(total))
        others = _Others(stack, result, weights, wrap=wrap, xp=xp)
        if wrap or options["moving_err"] is not None:
            options = {**options, "reference_err": others.noise(xp=xp)}
        found = on_image(others, stack, options, advance)
        step = rest[:, None] * (found.shift - result.shift)
        both = xp.isfinite(step)
        result = found._replace(shift=xp.where(both, result.shift + step, found.shift))
        weights = _inverse(xp.sum(result.shift_err**2, axis=-1), xp=xp)
        moved = xp.max(xp.where(both, abs(step) / found.shift_err, xp.zeros_like(step)), axis=-1)
        if np.max(to_host(moved)[0]) < _SETTLED:
            break
    return _from_the_first(_without(result, moved > _STILL_MOVING, xp=xp), rest, xp=xp)


class _Others:
    """For a block of frames the means of all other frames."""

    def __init__(
        self, stack: Frames, registration: Registration, weights: Array | None, *, wrap: bool, xp: Namespace
    ) -> None:
        self._whole = sums(stack, registration, weights, wrap=wrap, xp=xp)
        self._dtype = registration.shift.dtype
        self._of = functools.partial(mean_of_others, self._whole, stack, registration, weights, wrap=wrap, xp=xp)

    def __call__(self, block: Block) -> Array:
        return self._of(block)

    def noise(self, *, xp: Namespace) -> Array:
        """Return the noise of such a mean, one number on the device, from the scatter of the frames."""
        coadd = self._whole.coadd(self._dtype, xp=xp)
        known = coadd.coverage > 1
        # one frame less than in the mean
        variance = coadd.variance * coadd.coverage / xp.where(known, coadd.coverage - 1, xp.ones_like(coadd.coverage))
        count = at_least(xp.sum(xp.astype(known, variance.dtype)), 1.0, xp=xp)
        mean = xp.sum(xp.where(known, variance, xp.zeros_like(variance))) / count
        return xp.sqrt(xp.where(mean > 0, mean, xp.full_like(mean, xp.finfo(mean.dtype).smallest_normal)))


def _inverse(x: Array, *, xp: Namespace) -> Array:
    """Return 1/x, 0 where it is not a positive number."""
    good = x > 0
    return xp.where(good, 1 / xp.where(good, x, xp.ones_like(x)), xp.zeros_like(x))


def _first_usable(stack: Frames, options: dict[str, Any]) -> int:
    """Return which frame is the first that can be registered on itself, 0 if there is none."""
    for block in stack:
        here = {k: stack.per_frame(x, block) if k.startswith("moving") else x for k, x in options.items()}
        status = to_host(register(block.images, block.images, ndim=block.images.ndim - 1, **here).status)[0]
        if np.any(status[: block.size] == 0):
            return block.start + int(np.argmax(status == 0))
    return 0


def _without(result: Registration, failed: Array, *, xp: Namespace) -> Registration:
    """Return a result with NaN and a status where the estimate has not settled."""
    failed = failed & (result.status == 0)
    status = xp.where(failed, xp.full_like(result.status, int(Status.NOT_CONVERGED)), result.status)

    def kept(x: Array) -> Array:
        return xp.where(xp.reshape(failed, (-1,) + (1,) * (x.ndim - 1)), xp.full_like(x, math.nan), x)

    return Registration._make([*map(kept, result[:-1]), status])


def _from_the_first(result: Registration, rest: Array, *, xp: Namespace) -> Registration:
    """Return a result relative to the first frame aligned; `rest` (frames,) is the share that the others have."""
    index = xp.argmax(xp.astype(result.status == 0, xp.int32), axis=0)

    def first(x: Array) -> Array:
        return xp.take(x, xp.reshape(index, (1,)), axis=0)

    covariance = rest[:, None, None] * result.covariance
    origin = xp.arange(rest.shape[0], dtype=index.dtype, device=device_of(index)) == index
    covariance = covariance + first(covariance)
    good = result.status == 0
    covariance = xp.where((origin & good)[:, None, None], xp.zeros_like(covariance), covariance)
    unit = xp.eye(covariance.shape[-1], dtype=covariance.dtype, device=device_of(covariance))
    scale = result.scale / first(result.scale)
    return result._replace(
        shift=result.shift - first(result.shift),
        shift_err=xp.sqrt(xp.sum(covariance * unit, axis=-1)),
        covariance=covariance,
        scale=scale,
        background=result.background - scale * first(result.background),
    )
