"""The search of `correl_optimize`: from images of a few blocks to pixels, and parts of them."""

from __future__ import annotations

from .._array import Array, Namespace
from .._engine.binning import bin_down
from .._engine.overlap import Best, Pair, best_of, correlation_around, magnified_around, pair_of
from .._engine.problem import Side, precision

__all__ = ["reduced", "search"]

_SMALLEST = 8  # pixels of the shorter side of the images of the first search


def search(
    sides: tuple[Side, Side], offset: Array, magnification: int, numpix: bool, threshold: float, *, xp: Namespace
) -> tuple[Best, Array]:
    """Return the best correlation of each item, and its offset."""
    sizes = [tuple(side.image.shape[1:]) for side in sides]
    reach = [max(n) for n in zip(*sizes, strict=True)]
    reduction = max(1, min(min(n) for n in sizes) // _SMALLEST)
    while reduction > 1:
        centre = xp.round(offset / reduction)
        found = correlation_around(reduced(sides, reduction, xp=xp), centre, [k // reduction for k in reach], xp=xp)
        offset = (centre + best_of(*_weighed(found, numpix), None, xp=xp).offset) * reduction
        reach = [2 * reduction] * 2
        reduction //= 2
    pair, centre = reduced(sides, 1, xp=xp), xp.round(offset)
    found = correlation_around(pair, centre, [k // 2 for k in reach], xp=xp)
    best = best_of(*_weighed(found, numpix), None, xp=xp)
    offset = centre + best.offset
    if magnification > 1:
        found = magnified_around(pair, offset, magnification, xp=xp)
        best = best_of(*_weighed(found, numpix), threshold, xp=xp)
        offset = offset + best.offset / magnification
    return best, offset


def _weighed(found: tuple[Array, Array], numpix: bool) -> tuple[Array, Array | None]:
    return found[0], found[1] if numpix else None


def reduced(sides: tuple[Side, Side], factor: int, *, xp: Namespace) -> Pair:
    """Return the pair in blocks of `factor` pixels."""
    small = []
    for side in sides:
        if min(side.image.shape[1:]) < 2 * factor:
            msg = f"`reduction` must leave 2 blocks along each axis, got {factor} for {tuple(side.image.shape[1:])}"
            raise ValueError(msg)
        image, weight = bin_down(side.image, precision(side, xp=xp), (factor, factor), xp=xp)
        small.append(Side(image, None if side.valid is None else weight > 0, None))
    return pair_of(*small, xp=xp)
