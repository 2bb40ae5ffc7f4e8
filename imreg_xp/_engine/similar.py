"""Rotation, magnification and shift of two pointings, from no first guess."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence

from .._array import Array, Namespace
from .binning import binned
from .chunks import joined, rows, spans
from .logpolar import Known
from .motion import Motion, centre_of
from .motion_fit import agreement, fit, refine
from .motion_search import Found, best_of, find, repeated
from .problem import Options, Side, normalised
from .result import SimilarityRegistration, Status

__all__ = ["guess_similarity", "solve_similarity"]

_SMALL = 96  # pixels that an image is binned down to at first, about
_STEPS_BINNED = 5  # twice
_STEPS = 3
_SPREAD = 16  # pixels of the padded maps of all candidates, per pixel of an image
_BYTES_PER_PIXEL = 500  # of these


def _guess(
    reference: Side, moving: Side, options: Options, known: Known, free: tuple[int, ...], *, xp: Namespace
) -> tuple[Found, int]:
    """Return the transform of normalised images that binned ones give, and the pixels in a bin along an axis.

    It is refined if there are parameters that are `free`.
    """
    shapes = [reference.image.shape[1:], moving.image.shape[1:]]
    f = max(1, min(8, min(map(min, shapes)) // _SMALL))
    small_r, small_m = (binned(side, [f, f], xp=xp) for side in (reference, moving))
    # the middle of the reference, in bins, which need not cover all of it
    centre = tuple((c - (f - 1) / 2) / f for c in centre_of(shapes[0]))
    limits = [limit / f + 1.0 for limit in options.limits]
    found, count = find(small_r, small_m, options, known, centre=centre, limits=limits, xp=xp)
    how = functools.partial(refine, options=options, centre=centre, free=free, near=False, xp=xp)
    score = found.score
    # what overlaps, and what is noise, shows better after a first round, and so does which of two angles is right
    if free:
        items = found.score.shape[0] // count
        ref, mov = (repeated(side, items, count, xp=xp) for side in (small_r, small_m))
        scene, motion = how(ref, mov, found.motion, _STEPS_BINNED)
        found = found._replace(motion=motion)
        if known.angle is None:
            score = xp.where(found.found, agreement(scene, motion, options, count, xp=xp), -math.inf)
    found = best_of(found, score, count, xp=xp)
    motion = how(small_r, small_m, found.motion, _STEPS_BINNED)[1] if free else found.motion
    return found._replace(motion=motion._replace(shift=motion.shift * f)), f


def guess_similarity(reference: Side, moving: Side, options: Options, known: Known, *, xp: Namespace) -> Motion:
    """Return the transform of images (batch, ny, nx) by correlations alone; NaN where nothing correlates."""

    def one(reference: Side, moving: Side) -> list[Array]:
        (reference, norm_r), (moving, norm_m) = normalised(reference, moving, options, xp=xp)
        found, _ = _guess(reference, moving, options, known, (), xp=xp)
        good = found.found & ~(norm_r.flat | norm_m.flat)
        shift, angle, magnification = found.motion
        blank = [xp.where(good, x, xp.full_like(x, math.nan)) for x in (angle, magnification)]
        return [xp.where(good[:, None], shift, xp.full_like(shift, math.nan)), *blank]

    return Motion(*_in_chunks(one, reference, moving, xp=xp))


def solve_similarity(
    reference: Side, moving: Side, options: Options, *, known: Known, free: tuple[int, ...], xp: Namespace
) -> SimilarityRegistration:
    """Register `moving` on `reference`, both (batch, ny, nx), with the `free` parameters of the transform."""

    def one(reference: Side, moving: Side) -> SimilarityRegistration:
        (reference, norm_r), (moving, norm_m) = normalised(reference, moving, options, xp=xp)
        found, f = _guess(reference, moving, options, known, free, xp=xp)
        flags = {
            Status.FLAT_IMAGE: norm_r.flat | norm_m.flat,
            Status.SEARCH_BORDER: found.on_border & found.found,
            Status.NOT_CONVERGED: ~found.found,
        }
        norms = (norm_r, norm_m)
        slack = 2.0 * f + 2
        return fit(reference, moving, found.motion, flags, norms, options, free=free, steps=_STEPS, slack=slack, xp=xp)

    return SimilarityRegistration(*_in_chunks(one, reference, moving, xp=xp))


def _in_chunks(
    one: Callable[[Side, Side], Sequence[Array]], reference: Side, moving: Side, *, xp: Namespace
) -> list[Array]:
    """Return the results of some items at a time: what is made of each takes much memory."""
    images = (reference.image, moving.image)
    pixels = _SPREAD * sum(math.prod(x.shape[1:]) for x in images)
    count = max(x.shape[0] for x in images)
    parts = [
        one(rows(reference, *span), rows(moving, *span))
        for span in spans(count, None, images[0], pixels, _BYTES_PER_PIXEL, xp=xp)
    ]
    return [joined(list(field), xp=xp) for field in zip(*parts, strict=True)]
