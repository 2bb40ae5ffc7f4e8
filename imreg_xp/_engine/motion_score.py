r"""The estimating equations of shift, angle and magnification, and their Newton step.

With r the reference as a spline, m the moving image and frozen weights w, the parameters p of the transform x' solve

.. math:: U_i(p) = \sum_x w\, Q_i(x)\, [m(x) - s\, r(x') - b] = 0, \qquad
          Q_i = \sum_a \frac{\partial x'_a}{\partial p_i}\, (h * \partial_a r)(x)

with h the kernel of the maximum-likelihood weights on the pixels of `moving` (a delta where the reference is free of
noise: then this is least squares). Pixel by pixel the noise of the reference has no correlation with its own slope, so
U is unbiased for any even h, with noise in either image. s and b are profiled over.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from .._array import Array, Namespace
from .._bounds import bounded
from ..fft_tools._dft import irfft, rfft
from ..fft_tools.splines import spline_at
from ._linalg import inverse, symmetric
from .frozen import gain_and_background, residual_of
from .motion import Motion, places
from .problem import Options, column
from .score import chosen, cleaned, shares_of
from .warp import inside

__all__ = ["MotionScore", "Scene", "filtered", "motion_score", "motion_step", "moved_by", "products"]

_CONTINUED = 10.0  # pixels beyond its border where the reference is still something
_LONGEST = 1.0  # pixels that any pixel moves in a step, about


class Scene(NamedTuple):
    """What does not move while a transform is refined."""

    coefficients: Array
    """Of the reference."""
    within: tuple[int, ...]
    """Shape of the reference."""
    centre: tuple[float, ...]
    grid: tuple[int, ...]
    """What the images of `moving` are transformed on."""
    free: tuple[int, ...]
    """Which parameters are free of 0, 1: shift, 2: angle, 3: magnification; the first two always."""
    gains: Array
    """Transfer function of h."""
    margin: int
    """Pixels around the moving image where slopes are known too; 0: h is a delta."""
    stretch: Array
    """Sum of slopes times filtered slopes over that of filtered slopes squared, about."""
    moving: Array
    weight: Array
    attenuation: Array
    """Gain over the gain by least squares, which noise in the reference lowers."""
    unit: Array | None
    """Variance of a pixel of weight 1; None: not known."""
    binary: bool
    """All weights are 0 or 1."""


class MotionScore(NamedTuple):
    """U and its derivative at one transform, with what the errors are made from."""

    step: Array
    usable: Array
    curvature: Array
    """D, (batch, free, free): minus the derivative of U."""
    scale: Array
    background: Array
    residual: Array
    slopes: list[Array]
    """The maps of the slopes along each axis of the reference, filtered."""
    levers: list[list[Array]]
    """Derivatives of the place in the reference: per axis, per parameter."""
    cleaned: list[Array]
    """The maps w Q_i with what gain and background explain taken off."""
    normal: Array
    """sum_x w Q_i Q_j with that taken off."""


class _Line(NamedTuple):
    """Everything at one transform that the step of Gauss and Newton takes."""

    tables: list[Array]
    known: Array
    """Where these can be used, 1 or 0."""
    place: list[Array]
    """Of the pixels relative to that of the centre, in the reference."""
    levers: list[list[Array]]
    slopes: list[Array]
    own: list[Array]
    """The maps P_i of the slopes of the model, not filtered."""
    combined: list[Array]
    """The maps Q_i."""
    value: Array
    scale: Array
    background: Array
    residual: Array
    u: Array
    shares: list[Array]
    normal: Array


def filtered(maps: Sequence[Array], scene: Scene, *, xp: Namespace) -> list[Array]:
    """Return maps, known a margin around `moving` too, convolved with h on its pixels."""
    if not scene.margin:
        return list(maps)
    ndim = len(scene.grid)
    gains = scene.gains / math.prod(scene.grid)
    return [_inner(irfft(gains * rfft(a, ndim, xp=xp, s=scene.grid), scene.grid, xp=xp), scene) for a in maps]


def _inner(x: Array, scene: Scene) -> Array:
    """Return the pixels of `moving` of a map with a margin around it."""
    return x[(slice(None), *(slice(scene.margin, scene.margin + n) for n in scene.moving.shape[1:]))]


def products(a: Sequence[Array], b: Sequence[Array], acc: object, *, xp: Namespace) -> Array:
    """Return sum_x a_i b_j, (batch, len(a), len(b)): sums of rows in the dtype of the images, their sum in `acc`."""
    left, right = xp.stack(list(a), axis=-2), xp.stack(list(b), axis=-1)
    return xp.sum(xp.matmul(left, right), axis=1, dtype=acc)


def _levers(motion: Motion, place: Sequence[Array], free: Sequence[int], *, xp: Namespace) -> list[list[Array]]:
    """Return the derivatives of the place (y, x) in the reference by shift, angle and magnification."""
    y, x = place
    one, none = xp.ones_like(y[:1, :1, :1]), xp.zeros_like(y[:1, :1, :1])
    per = column(1 / motion.magnification, y, xp=xp)
    rows = [[one, none, x, y * per], [none, one, -y, x * per]]
    return [[row[i] for i in free] for row in rows]


def _combine(levers: list[list[Array]], slopes: Sequence[Array]) -> list[Array]:
    return [k * slopes[0] + m * slopes[1] for k, m in zip(*levers, strict=True)]


def _linearised(scene: Scene, motion: Motion, options: Options, orders: int, *, xp: Namespace) -> _Line:
    image, acc = scene.moving, motion.shift.dtype
    points = places(motion, scene.centre, image.shape[1:], margin=scene.margin, xp=xp)
    tables = spline_at(scene.coefficients, points, orders=orders, xp=xp)
    first = [tables[1], tables[2 if orders == 2 else 3]]
    # beyond what the reference is continued by there is nothing, or its other side
    known = xp.astype(inside(scene.within, points, -_CONTINUED), image.dtype)
    slopes = filtered([known * a for a in first], scene, xp=xp)
    value, points, first = (
        _inner(tables[0], scene),
        [_inner(x, scene) for x in points],
        [_inner(a, scene) for a in first],
    )
    place = [
        xp.astype(x - column(motion.shift[:, axis], x, xp=xp) - c, image.dtype)
        for axis, (x, c) in enumerate(zip(points, scene.centre, strict=True))
    ]
    levers = _levers(motion, place, scene.free, xp=xp)
    combined = _combine(levers, slopes)
    level = gain_and_background(value, scene, options, xp=xp)
    residual = residual_of(image, value, *(column(x, value, xp=xp) for x in (level.scale, level.background)), xp=xp)
    weighted = [scene.weight * q for q in combined]
    sums = products(weighted, [*combined, residual, value, xp.ones_like(value)], acc, xp=xp)
    with_both = [[sums[:, k, -2], sums[:, k, -1]] for k in range(len(combined))]
    shares, mixed = shares_of(with_both, level, chosen=chosen(options), xp=xp)
    explained = xp.matmul(xp.stack(shares, axis=1), xp.matrix_transpose(xp.stack(mixed, axis=1)))
    return _Line(
        tables,
        known,
        place,
        levers,
        slopes,
        _combine(levers, first),
        combined,
        value,
        level.scale,
        level.background,
        residual,
        sums[..., -3],
        shares,
        sums[..., :-3] - explained,
    )


def _bends(scene: Scene, motion: Motion, line: _Line, acc: object, *, xp: Namespace) -> Array:
    """Return sum_x w rho times the derivative of Q_i by p_j, (batch, free, free)."""
    tables, levers = line.tables, line.levers
    yy, yx, xx = filtered([line.known * tables[i] for i in (2, 4, 5)], scene, xp=xp)
    weighted = scene.weight * line.residual
    along = [_combine(levers, (yy, yx)), _combine(levers, (yx, xx))]
    bend = sum(products([weighted * k for k in row], maps, acc, xp=xp) for row, maps in zip(levers, along, strict=True))
    # the place itself is not linear in angle and magnification
    (y, x), (q, p) = line.place, line.slopes
    per = 1 / motion.magnification
    turned, grown = (products([weighted], [a], acc, xp=xp)[:, 0, 0] for a in (x * q - y * p, y * q + x * p))
    none = xp.zeros_like(grown)
    curved = {(2, 2): -grown, (2, 3): turned * per, (3, 2): turned * per}
    return bend + symmetric([[curved.get((i, j), none) for j in scene.free] for i in scene.free], xp=xp)


def _solve(scene: Scene, d: Array, u: Array, *, xp: Namespace) -> tuple[Array, Array]:
    """Return a Newton step, shortened where pixels would move far, and whether D is regular; no step where not."""
    step = xp.matmul(inverse(d, xp=xp), u[..., None])[..., 0]
    usable = xp.all(xp.isfinite(step), axis=-1)
    step = xp.where(usable[:, None], step, xp.zeros_like(step))
    arm = math.hypot(*(n / 4 for n in scene.moving.shape[1:]))
    far = xp.sum(abs(step[:, :2]), axis=-1) + arm * xp.sum(abs(step[:, 2:]), axis=-1)
    return step * (_LONGEST / xp.where(far > _LONGEST, far, _LONGEST + xp.zeros_like(far)))[:, None], usable


def motion_step(scene: Scene, motion: Motion, options: Options, *, near: bool, xp: Namespace) -> Motion:
    """Return the transform after a step: of Newton, where that leads to a minimum, else of Gauss and Newton.

    The unfiltered slopes of a noisy reference are steep with noise and would make all steps too short without the bend
    of the model. Filtered ones make them a little too long or short, which matters once the minimum is `near` only.
    """
    newton = near or not scene.margin
    line = _linearised(scene, motion, options, 3 if newton else 2, xp=xp)
    plain = (line.scale * scene.stretch)[:, None, None] * line.normal
    step, _ = _solve(scene, plain, line.u, xp=xp)
    if newton:
        exact, usable = _solve(scene, _curvature(scene, motion, line, options, xp=xp)[0], line.u, xp=xp)
        step = xp.where(usable[:, None], exact, step)
    return moved_by(motion, step, scene.free, xp=xp)


def _curvature(
    scene: Scene, motion: Motion, line: _Line, options: Options, *, xp: Namespace
) -> tuple[Array, list[Array]]:
    """Return minus the derivative of U, (batch, free, free), and the maps w Q_i less gain and background."""
    acc = motion.shift.dtype
    maps = list(cleaned(scene.weight, line.value, line.combined, line.shares, options, xp=xp))
    d = line.scale[:, None, None] * products(maps, line.own, acc, xp=xp)
    return d - _bends(scene, motion, line, acc, xp=xp), maps


def moved_by(motion: Motion, step: Array, free: Sequence[int], *, xp: Namespace) -> Motion:
    """Return the transform with a step (batch, free) added; the magnification stays within what makes sense."""
    shift, angle, magnification = motion
    for k, parameter in enumerate(free):
        if parameter == 2:
            angle = angle + step[:, k]
        elif parameter == 3:
            magnification = bounded(magnification + step[:, k], 0.25, 4.0, xp=xp)
    return Motion(shift + step[:, :2], angle, magnification)


def motion_score(scene: Scene, motion: Motion, options: Options, *, xp: Namespace) -> MotionScore:
    """Evaluate U and its exact derivative at a transform."""
    line = _linearised(scene, motion, options, 3, xp=xp)
    d, maps = _curvature(scene, motion, line, options, xp=xp)
    step, usable = _solve(scene, d, line.u, xp=xp)
    return MotionScore(
        step,
        usable,
        d,
        line.scale,
        line.background,
        line.residual,
        line.slopes,
        line.levers,
        maps,
        line.normal,
    )
