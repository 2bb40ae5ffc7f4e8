"""Rotation, magnification and shift of two pointings, from no first guess."""

from __future__ import annotations

from .._array import Namespace
from .coarse import binned
from .logpolar import Known
from .motion import centre_of
from .motion_fit import fit, refine
from .motion_search import Found, find
from .problem import Options, Side, normalised
from .result import SimilarityRegistration, Status

__all__ = ["solve_similarity", "start"]

_SMALL = 96  # pixels that an image is binned down to at first, about
_STEPS_BINNED = 6
_STEPS = 3


def start(
    reference: Side, moving: Side, options: Options, known: Known, free: tuple[int, ...], *, xp: Namespace
) -> tuple[Found, int]:
    """Return the transform of normalised images that binned ones give, and the pixels in a bin along an axis."""
    shapes = [reference.image.shape[1:], moving.image.shape[1:]]
    f = max(1, min(8, min(map(min, shapes)) // _SMALL))
    small_r, small_m = (binned(side, [f, f], xp=xp) for side in (reference, moving))
    # the middle of the reference, in bins, which need not cover all of it
    centre = tuple((c - (f - 1) / 2) / f for c in centre_of(shapes[0]))
    limits = [limit / f + 1.0 for limit in options.limits]
    found = find(small_r, small_m, options, known, centre=centre, limits=limits, xp=xp)
    motion = refine(small_r, small_m, found.motion, _STEPS_BINNED, options, centre=centre, free=free, xp=xp)[1]
    return found._replace(motion=motion._replace(shift=motion.shift * f)), f


def solve_similarity(
    reference: Side, moving: Side, options: Options, *, known: Known, free: tuple[int, ...], xp: Namespace
) -> SimilarityRegistration:
    """Register `moving` on `reference`, both (batch, ny, nx), with the `free` parameters of the transform."""
    (reference, norm_r), (moving, norm_m) = normalised(reference, moving, options, xp=xp)
    found, f = start(reference, moving, options, known, free, xp=xp)
    flags = {
        Status.FLAT_IMAGE: norm_r.flat | norm_m.flat,
        Status.SEARCH_BORDER: found.on_border & found.found,
        Status.NOT_CONVERGED: ~found.found,
    }
    norms = (norm_r, norm_m)
    return fit(
        reference, moving, found.motion, flags, norms, options, free=free, steps=_STEPS, slack=2.0 * f + 2, xp=xp
    )
