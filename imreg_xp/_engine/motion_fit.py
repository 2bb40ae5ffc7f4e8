"""The general estimator with rotation and magnification: the pixels both images hold, with weights and masks."""

from __future__ import annotations

import math
from collections.abc import Sequence

from .._array import Array, Namespace, device_of
from .._bounds import at_least, bounded
from .._fft_length import fast_length
from .._sums import inner
from ..fft_tools._dft import along, rfft
from ..fft_tools.splines import coefficients, spline_at
from ._linalg import inverse, symmetric
from .extend import BORDER, make_field
from .frozen import gain_and_background
from .ml_weights import attenuation, ml_weights
from .motion import Motion, centre_of, places
from .motion_score import MotionScore, Scene, motion_score, motion_step, moved_by, products
from .noise import direct, mixed, pairs_of, plausible, products_of, scatter_of, slope_products
from .problem import Norm, Options, Side, column, over_image, precision, too_few
from .result import SimilarityRegistration, Status, finish_similarity
from .rings import Rings, spread
from .spectrum import step_length
from .warp import inside, nearest
from .weights import combined, rings_of

__all__ = ["agreement", "fit", "refine"]

_MARGIN = 8  # pixels around an image where slopes are known too, for what the filter takes from there
_PAD = 24  # pixels between the ends of an image that is transformed


def refine(
    reference: Side,
    moving: Side,
    motion: Motion,
    steps: int,
    options: Options,
    *,
    centre: tuple[float, ...],
    free: tuple[int, ...],
    near: bool,
    xp: Namespace,
) -> tuple[Scene, Motion]:
    """Freeze the problem at a transform and take steps from there; `near` tells whether the minimum is."""
    scene = _freeze(reference, moving, motion, options, centre, free, xp=xp)
    for _ in range(steps):
        motion = motion_step(scene, motion, options, near=near, xp=xp)
    return scene, motion


def _freeze(
    reference: Side,
    moving: Side,
    motion: Motion,
    options: Options,
    centre: tuple[float, ...],
    free: tuple[int, ...],
    *,
    xp: Namespace,
) -> Scene:
    """Fix weights, attenuation and maximum-likelihood filter at a first transform."""
    image, acc = moving.image, motion.shift.dtype
    shape, ndim = image.shape[1:], image.ndim - 1
    field = make_field(reference.image, reference.valid, reference.image.shape[1:], wrap=False, xp=xp)
    coefs = coefficients(field.spectrum, field.grid, xp=xp)
    points = places(motion, centre, shape, xp=xp)
    seen = inside(field.shape, points, min(BORDER, min(field.shape) // 6))
    if reference.valid is not None:
        seen = seen & nearest(reference.valid, points, xp=xp)
    w = precision(moving, xp=xp) * xp.astype(seen, image.dtype)
    one = xp.ones((1,), dtype=acc, device=device_of(image))
    grid = fast_length([n + 2 * _MARGIN + _PAD for n in shape])
    scene = Scene(coefs, field.shape, centre, grid, free, one, 0, one, image, w, one, None, True)
    (value,) = spline_at(coefs, points, xp=xp)
    level = gain_and_background(value, scene, options, xp=xp)
    scale = level.scale

    def weighed(scale: Array) -> tuple[Array, Array | None, bool]:
        return combined(reference, moving, lambda p: nearest(p, points, xp=xp), w, scale, xp=xp)

    weight, unit, binary = weighed(scale)
    if moving.err is None or reference.err is not None:
        window = _window(points, field.shape, shape, xp=xp)
        rings = rings_of(value, scene._replace(weight=weight), level, [window], grid, xp=xp)
        attenuated = attenuation(rings, scale, xp=xp) if options.fit_scale else one
        rings = _within_band(rings, scale, motion.magnification / 2 * max(grid), xp=xp)
        gains = ml_weights(rings, scale * attenuated, ndim, xp=xp)
        scene = scene._replace(
            gains=spread(gains, grid, value.dtype, xp=xp),
            margin=_MARGIN,
            stretch=step_length(rings, gains, ndim, xp=xp),
            attenuation=attenuated,
        )
        # the noise of the reference counts by the gain, not by what it lowers that to
        weight, unit, binary = weighed(scale * attenuated) if reference.err is not None else (weight, unit, binary)
    return scene._replace(weight=weight, unit=unit, binary=binary)


def agreement(scene: Scene, motion: Motion, options: Options, count: int, *, xp: Namespace) -> Array:
    """Return how well every `count` transforms of one pair in turn explain the moving image, more is better.

    It is the log-likelihood per pixel that a transform gains, when all that it can leave unexplained of a match is
    twice the least that any of them leaves: a large overlap must not win by explaining a little of a lot.
    """
    acc, image, w = motion.shift.dtype, scene.moving, scene.weight
    (value,) = spline_at(scene.coefficients, places(motion, scene.centre, image.shape[1:], xp=xp), xp=xp)
    level = gain_and_background(value, scene, options, xp=xp)
    residual = image - column(level.scale, value, xp=xp) * value - column(level.background, value, xp=xp)
    total = xp.where(level.count > 0, level.count, 1.0)
    spread_out = inner(w * image, image, acc, xp=xp) - level.data * level.data / total
    used = xp.sum(xp.astype(w > 0, acc), axis=over_image(w))
    unit = at_least(used, 1.0, xp=xp) * (1.0 if scene.unit is None else scene.unit)
    left, all_of_it, used = (
        xp.reshape(x + 0 * used, (-1, count))
        for x in (inner(w * residual, residual, acc, xp=xp) / unit, spread_out / unit, used)
    )
    usable = (left > 0) & xp.reshape(level.scale > 0, (-1, count))
    least = xp.min(xp.where(usable, left, math.inf), axis=1, keepdims=True)
    ratio = xp.where(usable, xp.minimum(all_of_it, 2 * least) / xp.where(usable, left, 1.0), 1.0)
    share = used / at_least(xp.max(used, axis=1, keepdims=True), 1.0, xp=xp)
    score = share * xp.log(at_least(ratio, xp.finfo(acc).smallest_normal, xp=xp))
    return xp.reshape(xp.where(usable, score, -math.inf), (-1,))


def _within_band(rings: Rings, scale: Array, last: Array, *, xp: Namespace) -> Rings:
    """Put what the outer rings have of noise, and no signal, into those beyond the band of the reference."""
    index = xp.arange(rings.modes.shape[1], dtype=scale.dtype, device=device_of(scale))[None, :]
    last = xp.minimum(last, index[0, -1])[:, None]
    beyond = index > last
    outer = xp.astype(~beyond & (index > 0.75 * last), scale.dtype) * rings.modes
    outer = outer / at_least(xp.sum(outer, axis=1, keepdims=True), 1.0, xp=xp)

    def level(total: Array, signal: Array) -> Array:
        noise = xp.sum(outer * (total - signal), axis=1, keepdims=True)
        return xp.where(beyond, xp.maximum(noise, 1e-3 * xp.sum(outer * total, axis=1, keepdims=True)), total)

    gain = xp.where(scale == 0, xp.ones_like(scale), scale)[:, None]
    reference, moving = level(rings.reference, rings.cross / gain), level(rings.moving, rings.cross * gain)
    return Rings(reference, moving, xp.where(beyond, xp.zeros_like(rings.cross), rings.cross), rings.modes)


def _window(points: Sequence[Array], within: Sequence[int], shape: Sequence[int], *, xp: Namespace) -> Array:
    """Return a cosine-tapered window (batch, *shape) over what both images hold."""
    window = xp.ones_like(points[0])
    for axis, (n, x, size) in enumerate(zip(within, points, shape, strict=True)):
        i = xp.arange(size, dtype=x.dtype, device=device_of(x))
        own = xp.reshape(xp.minimum(i, size - 1 - i), along(n=size, axis=axis, ndim=len(shape)))
        for edge, length in ((xp.minimum(x, n - 1 - x), n), (own, size)):
            t = bounded((edge + 1) / max(length / 8, 1.0), 0.0, 1.0, xp=xp)
            window = window * xp.sin(math.pi / 2 * t) ** 2
    return window


def fit(
    reference: Side,
    moving: Side,
    start: Motion,
    flags: dict[Status, Array],
    norms: tuple[Norm, Norm],
    options: Options,
    *,
    free: tuple[int, ...],
    steps: int,
    slack: float,
    xp: Namespace,
) -> SimilarityRegistration:
    """Refine a transform on normalised images, and find its errors; no pixel may go further than `slack` pixels."""
    centre = centre_of(reference.image.shape[1:])
    scene, motion = refine(reference, moving, start, steps, options, centre=centre, free=free, near=True, xp=xp)
    last = motion_score(scene, motion, options, xp=xp)
    acc = motion.shift.dtype
    used = xp.sum(xp.astype(scene.weight > 0, acc), axis=over_image(scene.weight))
    fitted = len(free) + options.fit_scale + options.fit_background
    dof = used - fitted
    square = inner(scene.weight * last.residual, last.residual, acc, xp=xp)
    positive = xp.where(dof > 0, dof, xp.ones_like(dof))
    unit = square / positive if scene.unit is None else scene.unit
    finer = _finer_noise(reference, moving, motion, last, xp=xp)
    j = _score_matrix(scene, last, unit, used, positive, finer, options, xp=xp)
    d = inverse(last.curvature, xp=xp)
    covariance = xp.matmul(xp.matmul(d, j), xp.matrix_transpose(d))
    arm = math.hypot(*(n / 4 for n in moving.image.shape[1:]))
    flags = {
        **flags,
        Status.TOO_FEW_VALID: too_few(used, 3 * fitted, norms),
        Status.NOT_CONVERGED: flags[Status.NOT_CONVERGED] | ~last.usable | (_way(start, motion, arm, xp=xp) > slack),
    }
    return finish_similarity(
        moved_by(motion, last.step, free, xp=xp),
        last.step,
        covariance,
        free=free,
        arm=arm,
        scale=last.scale,
        background=last.background,
        chi2=square / xp.where(unit > 0, unit, xp.ones_like(unit)) if scene.unit is not None else dof,
        dof=dof,
        overlap=used / min(math.prod(reference.image.shape[1:]), math.prod(moving.image.shape[1:])),
        flags=flags,
        norms=norms,
        limits=options.limits,
        dtype=moving.image.dtype,
        xp=xp,
    )


def _way(a: Motion, b: Motion, arm: float, *, xp: Namespace) -> Array:
    """Return about how far pixels lie apart after two transforms, (batch,)."""
    turn = abs(a.angle - b.angle) + abs(a.magnification - b.magnification)
    return xp.max(abs(a.shift - b.shift), axis=-1) + arm * turn


def _finer_noise(reference: Side, moving: Side, motion: Motion, last: MotionScore, *, xp: Namespace) -> Array:
    """Return the factor on the variance of white noise in both images that the sampling of the reference makes.

    White noise of the reference seen at steps below its pixel is no longer white: its power per mode is larger.
    """
    one = xp.ones_like(motion.magnification)
    if reference.err is None or moving.err is None:
        return one

    def mean(side: Side) -> Array:
        if side.err.ndim == 1:
            return side.err**2
        v = xp.astype(side.valid, one.dtype)
        count = xp.sum(v, axis=over_image(v))
        return xp.sum(v * side.err**2, axis=over_image(v), dtype=one.dtype) / xp.where(
            count > 0, count, 1.0 + 0 * count
        )

    own, other = mean(moving), last.scale**2 * mean(reference)
    finer = xp.maximum(1 / motion.magnification**2, one)
    return (own + other * finer) / (own + other)


def _score_matrix(
    scene: Scene,
    last: MotionScore,
    unit: Array,
    used: Array,
    dof: Array,
    finer: Array,
    options: Options,
    *,
    xp: Namespace,
) -> Array:
    """Return J, the covariance of U, for noise whose variance at weight 1 is `unit`."""
    ndim, grid = len(scene.grid), scene.grid
    root = xp.sqrt(scene.weight)
    on = xp.astype(scene.weight > 0, root.dtype)
    whitened = [a / xp.where(root > 0, root, xp.ones_like(root)) for a in last.cleaned]
    spectra = [rfft(a, ndim, xp=xp, s=grid) for a in (root * last.residual, on, *(root * q for q in last.slopes))]
    residual, valid, slopes = spectra[0], spectra[1], spectra[2:]
    found = products_of(residual, slopes, grid, rows=False, xp=xp)
    scatter = scatter_of(found.residual, pairs_of(valid, grid, xp=xp), grid, xp=xp)
    # the residuals give the shape of the noise, the given errors its level
    level = xp.where(scatter.level > 0, scatter.level, xp.ones_like(scatter.level))
    factor = (used / dof if scene.unit is None else unit / level)[:, None, None]
    white = last.normal * (unit * finer)[:, None, None]
    second = _second_term(mixed(found.crosses, scatter, xp=xp), last.levers, on, used, xp=xp)
    if options.correlated:
        rows = slope_products([rfft(a, ndim, xp=xp, s=grid) for a in whitened], grid, xp=xp)
        first = symmetric(direct(rows, scatter, xp=xp), xp=xp) * factor
    else:
        first = white
    return plausible(first + second * factor, white, xp=xp)


def _second_term(both: list[list[Array]], levers: list[list[Array]], on: Array, used: Array, *, xp: Namespace) -> Array:
    """Return what noise of the reference that is in slope and residual together adds to J.

    It is much the same all over the image; what it is multiplied by is not.
    """
    acc = used.dtype
    parts = [[on * k for k in row] for row in levers]
    sums = sum(
        both[a][b][:, None, None] * products(parts[a], parts[b], acc, xp=xp)
        for a in range(len(parts))
        for b in range(len(parts))
    )
    return sums / xp.where(used > 0, used, xp.ones_like(used))[:, None, None]
