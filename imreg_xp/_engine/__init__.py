"""The estimators: written once, batched, in any number of dimensions."""

from __future__ import annotations

from .._array import Array, Namespace
from . import periodic, weighted
from .problem import Options, Side, over_image
from .result import Registration
from .transformed import Transformed, transformed

__all__ = ["solve", "transformed"]


def solve(
    reference: Side, moving: Side, options: Options, *, known: Transformed | None = None, xp: Namespace
) -> Registration:
    """Register `moving` on `reference`, both (batch, ...); `known` is what `transformed` gives for the reference.

    Periodic images with uniform noise take the fast estimator item by item, the others the general one. Where only the
    pixel values can tell (is one of them NaN?) and they are on an accelerator, both run: looking would make it wait.
    """
    sides = (reference, moving)
    if not options.wrap or any(side.masked for side in sides):
        return weighted.solve(*sides, options, xp=xp)
    fast = periodic.solve(*sides, options, known=known, xp=xp)
    masks = [side.valid for side in sides if side.valid is not None]
    if not masks:
        return fast
    general = weighted.solve(*sides, options, xp=xp)
    complete = [xp.all(mask, axis=over_image(mask)) for mask in masks]
    keep = complete[0] & complete[-1]

    def pick(a: Array, b: Array) -> Array:
        return xp.where(xp.reshape(keep, (-1,) + (1,) * (a.ndim - 1)), a, b)

    return Registration(*(pick(a, b) for a, b in zip(fast, general, strict=True)))
