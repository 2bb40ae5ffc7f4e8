"""A first transform: angle and magnification from the spectra, then the offset of the transformed image."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from .._array import Array, Namespace, device_of
from ..fft_tools.splines import coefficients, spline_at
from .coarse import Coarse, search
from .extend import make_field
from .logpolar import Known, turns
from .motion import Motion, affine, centre_of, linear_part
from .problem import Options, Side, precision
from .warp import inside, nearest

__all__ = ["Found", "best_of", "find", "repeated"]

_CANVAS = 1.5  # times the longest side of either image


class Found(NamedTuple):
    """Candidates."""

    motion: Motion
    on_border: Array
    found: Array
    score: Array
    """The log-likelihood per pixel that each gains."""


def find(
    reference: Side,
    moving: Side,
    options: Options,
    known: Known,
    *,
    centre: tuple[float, ...],
    limits: Sequence[float],
    count: int = 3,
    xp: Namespace,
) -> tuple[Found, int]:
    """Find the transform of normalised images, of shapes that are only known here, about `centre`.

    Return the best candidate of each item or, where an angle and the opposite one are possible, the best of either one
    after the other; and how many there are for an item.
    """
    found = turns(reference, moving, known, count, xp=xp)
    # the spectra do not tell an angle from the opposite one, unless it is known
    both = known.angle is None or known.angle[1] > 0
    angle = xp.concat([found.angle, found.angle + math.pi], axis=1) if both else found.angle
    magnification = xp.concat([found.magnification] * 2, axis=1) if both else found.magnification
    batch, tries = angle.shape
    flat = Motion(
        xp.zeros((batch * tries, 2), dtype=angle.dtype, device=device_of(angle)),
        xp.reshape(angle, (-1,)),
        xp.reshape(magnification, (-1,)),
    )
    ref, mov = (repeated(side, batch, tries, xp=xp) for side in (reference, moving))
    image, weight, corner = _turned(mov, flat, ref.image.shape[1:], xp=xp)
    away = [m - c for m, c in zip(centre_of(moving.image.shape[1:]), centre, strict=True)]
    lag = search(
        ref.image,
        precision(ref, xp=xp),
        image,
        weight,
        wrap=False,
        limits=[limit + 3 * max(map(abs, away)) for limit in limits],
        origin=[-c for c in corner],
        min_overlap=options.min_overlap,
        level=not options.fit_background,
        xp=xp,
    )
    # content at y of the turned image lies at y - lag in the reference
    shift = [
        away[axis] - corner[axis] - lag.offset[:, axis] - sum(a * b for a, b in zip(row, away, strict=True))
        for axis, row in enumerate(linear_part(flat, xp=xp))
    ]
    candidates = _preferred(flat._replace(shift=xp.stack(shift, axis=-1)), lag, known, xp=xp)
    return best_of(candidates, candidates.score, tries // 2 if both else tries, xp=xp), 2 if both else 1


def repeated(side: Side, batch: int, tries: int, *, xp: Namespace) -> Side:
    """Return each image of a batch as many times as there are candidates for it; one image is for all."""

    def again(x: Array) -> Array:
        if x is None or (x.shape[0] == 1 and batch * tries > 1 and x.ndim == 1):
            return x
        wide = xp.broadcast_to(x[:, None, ...], (batch, tries, *x.shape[1:]))
        return xp.reshape(wide, (batch * tries, *x.shape[1:]))

    return side.with_image(again(side.image), valid=again(side.valid), err=again(side.err))


def _turned(
    side: Side, motion: Motion, other: Sequence[int], *, xp: Namespace
) -> tuple[Array, Array, tuple[float, ...]]:
    """Return images turned and magnified about their middle on a larger canvas, its weights, and its first pixel.

    The first pixel is counted from that of the image.
    """
    shape = side.image.shape[1:]
    canvas = tuple(math.ceil(_CANVAS * max(n, *shape)) for n in other)
    middle, centre = centre_of(shape), centre_of(canvas)
    linear = linear_part(Motion(motion.shift, -motion.angle, 1 / motion.magnification), xp=xp)
    vector = [m - sum(a * b for a, b in zip(row, centre, strict=True)) for m, row in zip(middle, linear, strict=True)]
    points = affine(linear, vector, canvas, xp=xp)
    field = make_field(side.image, side.valid, shape, wrap=False, xp=xp)
    (image,) = spline_at(coefficients(field.spectrum, field.grid, xp=xp), points, xp=xp)
    weight = xp.where(inside(shape, points, 0.0), nearest(precision(side, xp=xp), points, xp=xp), xp.zeros_like(image))
    return image, weight, tuple(m - c for m, c in zip(middle, centre, strict=True))


def _preferred(motion: Motion, lag: Coarse, known: Known, *, xp: Namespace) -> Found:
    """Return candidates with their scores, those near an angle that is known about raised."""
    score = xp.where(lag.found, lag.score, -math.inf)
    if known.angle is not None and known.angle[1] > 0:
        centre, softness = known.angle
        turn = (motion.angle - centre) / (2 * math.pi)
        off = (turn - xp.round(turn)) * (2 * math.pi / softness)
        score = score * xp.exp(-0.5 * off**2)
    return Found(motion, lag.on_border, lag.found, score)


def best_of(found: Found, score: Array, count: int, *, xp: Namespace) -> Found:
    """Return of every `count` candidates in turn the one with the highest score."""
    best = xp.astype(xp.argmax(xp.reshape(score, (-1, count)), axis=1), xp.int64)
    index = best + count * xp.arange(best.shape[0], dtype=xp.int64, device=device_of(best))
    motion, *rest = (found.motion, found.on_border, found.found, found.score)
    taken = Motion(*(xp.take(x, index, axis=0) for x in motion))
    return Found(taken, *(xp.take(x, index, axis=0) for x in rest))
