"""Stacks registered on an image, or in rounds on what the frames have in common."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from ._array import Array, Namespace, device_of, to_host
from ._bounds import at_least
from ._engine import Found, concluded, joined, measured
from ._engine.problem import Options
from ._engine.result import Registration, Status
from .blocks import Pairs
from .coadds import mean_of_others, sums
from .frames import Block, Frames
from .registration import register

__all__ = ["jointly", "on_frame", "on_image", "on_mean"]

_AT_ONCE = {1: 256, 2: 256, 3: 16}  # images by their axes, of some hundred numbers or, of three, thousands
_ROUNDS = 3  # of registering on the mean
_MOST_ROUNDS = 12  # of the joint estimate
_SETTLED = 0.05  # of the error: a step of the joint estimate that is none
_STILL_MOVING = 0.5  # of the error: a last step that is too large

_Advance = Callable[[int], Any]


def on_image(
    reference: Array | Callable[[Block], Array], stack: Frames, options: dict[str, Any], advance: _Advance
) -> Registration:
    """Register all frames on one image, or on those that a function gives for a block of frames."""
    kept: dict[Any, Any] | None = None if callable(reference) else {}
    pairs = Pairs(reference, stack, options)

    def read() -> Iterator[tuple[Block, dict[str, Any]]]:
        for block in stack:
            yield block, options | {k: stack.per_frame(options[k], block) for k in ("moving_err", "moving_valid")}

    def registered(part: tuple[Block, dict[str, Any]]) -> tuple[Found | Registration, Options, int]:
        sides, chosen = pairs.of(*part)
        found = measured(*sides, chosen, kept=kept, xp=stack.xp)
        return found if kept is not None else concluded(found, chosen, xp=stack.xp), chosen, part[0].size

    parts = list(_concluded(stack.done(registered, read()), len(stack.source.shape) - 1, advance, xp=stack.xp))
    fields = zip(*parts, strict=True)
    return Registration(*(stack.xp.concat(list(x), axis=0) if len(x) > 1 else x[0] for x in fields))


def _concluded(
    found: Iterable[tuple[Found | Registration, Options, int]], ndim: int, advance: _Advance, *, xp: Namespace
) -> Iterator[Registration]:
    """Conclude what was measured of blocks of frames, their first so many each, of many frames at once."""
    waiting: list[tuple[Found, int]] = []
    count = 0
    for part, options, size in found:
        advance(size)
        done = None
        if isinstance(part, Registration):
            done = Registration(*(field[:size, ...] for field in part))
        else:
            waiting.append((part, size))
            count += size
        if waiting and (done or count >= _AT_ONCE[ndim]):
            yield concluded(joined(waiting, xp=xp), options, xp=xp)
            waiting, count = [], 0
        if done:
            yield done
    if waiting:
        yield concluded(joined(waiting, xp=xp), options, xp=xp)


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
