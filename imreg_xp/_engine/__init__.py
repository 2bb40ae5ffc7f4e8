"""The estimators: written once, batched, in any number of dimensions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .._array import Array, Namespace, constant
from . import periodic, weighted
from .periodic import Found, joined
from .problem import Options, Side, complete_items, items_of, over_image
from .result import Registration

__all__ = ["Found", "concluded", "joined", "measured", "solve"]


def solve(reference: Side, moving: Side, options: Options, *, xp: Namespace) -> Registration:
    """Register `moving` on `reference`, both (batch, ...)."""
    return concluded(measured(reference, moving, options, xp=xp), options, xp=xp)


def concluded(found: Found | Registration, options: Options, *, xp: Namespace) -> Registration:
    """Return the result of what was measured with these options, if it is not one already."""
    return found if isinstance(found, Registration) else periodic.concluded(found, options, xp=xp)


def measured(
    reference: Side, moving: Side, options: Options, *, kept: dict[Any, Any] | None = None, xp: Namespace
) -> Found | Registration:
    """Register `moving` on `reference`, both (batch, ...), but for what is better `concluded` of many batches at once.

    `kept` holds what is made of the reference, for the other frames that are registered on it.

    Periodic images with uniform noise take the fast estimator item by item, the others the general one. Where only the
    pixel values can tell (is one of them NaN?), it looks, item by item; on an accelerator, which would have to wait for
    that, both run.
    """
    sides = (reference, moving)
    masks = [side.valid for side in sides if side.valid is not None]
    if any(side.masked for side in sides) or not (masks or options.wrap):
        return weighted.solve(*sides, options, kept=kept, xp=xp)

    def without_masks(reference: Side, moving: Side) -> Found | Registration:
        if options.wrap:
            return periodic.measured(reference, moving, options, kept=kept, xp=xp)
        return weighted.solve(reference, moving, options, kept=kept, xp=xp)

    if not masks:
        return without_masks(*sides)
    complete = complete_items(masks, max(side.image.shape[0] for side in sides), xp=xp)
    if complete is not None and any(complete):
        return _apart(sides, complete, without_masks, options, kept, xp=xp)
    general = weighted.solve(*sides, options, kept=kept, xp=xp)
    if complete is not None or not options.wrap:
        return general
    whole = [xp.all(mask, axis=over_image(mask)) for mask in masks]
    keep = whole[0] & whole[-1]

    def pick(a: Array, b: Array) -> Array:
        return xp.where(xp.reshape(keep, (-1,) + (1,) * (a.ndim - 1)), a, b)

    fast = concluded(without_masks(*sides), options, xp=xp)
    return Registration(*(pick(a, b) for a, b in zip(fast, general, strict=True)))


def _apart(
    sides: tuple[Side, Side],
    complete: list[bool],
    without_masks: Callable[[Side, Side], Found | Registration],
    options: Options,
    kept: dict[Any, Any] | None,
    *,
    xp: Namespace,
) -> Registration:
    """Register the items whose pixels are all valid, and the others: those leave these as they are, to the last bit."""
    good, bad = ([k for k, whole in enumerate(complete) if whole is wanted] for wanted in (True, False))
    reference, moving = (items_of(side, good, xp=xp)._replace(valid=None) for side in sides)
    parts = [concluded(without_masks(reference, moving), options, xp=xp)]
    if bad:
        reference, moving = (items_of(side, bad, xp=xp) for side in sides)
        parts.append(weighted.solve(reference, moving, options, kept=kept, xp=xp))
    places = [(good + bad).index(k) for k in range(len(complete))]
    index = constant(places, xp.int64, parts[0].shift, xp=xp)
    return Registration(
        *(xp.take(xp.concat(list(fields), axis=0), index, axis=0) for fields in zip(*parts, strict=True))
    )
