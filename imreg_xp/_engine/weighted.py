"""The general estimator: the pixels both images hold, with weights, masks, gain and background."""

from __future__ import annotations

import math
from collections.abc import Sequence

from .._array import Array, Namespace, device_of
from ..fft_tools._dft import rfft
from ._linalg import inverse, symmetric
from .coarse import binned, search, weights_of
from .extend import Field, box_sides, footprint, make_field, padded, roll, single, soft_window
from .frozen import Frozen, Level, attenuated, gain_and_background, lightened, model
from .noise import pairs_in_box, pairs_of, score_covariance
from .problem import Norm, Options, Side, column, inner, normalised, over_image, precision
from .result import Registration, Status, finish
from .score import Score, after_step, orthogonal_slopes, root, score
from .spectrum import Rings, attenuation, ml_weights, power, radial_mean, sampled_spectrum, spread

__all__ = ["solve"]

_STEPS_ALONE = 4  # of Newton from the whole-pixel peak, before the last one
_STEPS_BINNED = 1
_STEPS = 3  # from there, by the cross-spectrum
_LEAST = 0.05  # of the variance of the score under white noise: less than that is not a variance


def solve(reference: Side, moving: Side, options: Options, *, xp: Namespace) -> Registration:
    """Register `moving` on `reference`, both (batch, ...)."""
    (reference, norm_r), (moving, norm_m) = normalised(reference, moving, options, xp=xp)
    n_r, n_m = reference.image.shape[1:], moving.image.shape[1:]
    factors = [min(4, max(1, min(a, b) // 128)) for a, b in zip(n_r, n_m, strict=True)]
    # one dimension costs little, and its lines would drown
    factors = factors if len(n_m) > 1 else [1]
    small_r, small_m = (binned(side, factors, xp=xp) for side in (reference, moving))
    coarse = search(
        small_r.image,
        weights_of(small_r, xp=xp),
        small_m.image,
        weights_of(small_m, xp=xp),
        wrap=options.wrap,
        limits=[math.floor(limit / f + 0.5) + 1.0 for limit, f in zip(options.limits, factors, strict=True)],
        min_overlap=options.min_overlap,
        xp=xp,
    )
    offset = coarse.offset
    if max(factors) > 1:
        offset = _stepped(_freeze(small_r, small_m, offset, options, xp=xp)[0], offset, _STEPS_BINNED, options, xp=xp)
        offset = offset * xp.asarray(factors, dtype=offset.dtype, device=device_of(offset))
    start = offset
    frozen, moved, level = _freeze(reference, moving, start, options, xp=xp)
    if max(factors) > 1:
        offset = root(frozen, start, moved, level, steps=_STEPS, xp=xp)
    else:
        offset = _stepped(frozen, start, _STEPS_ALONE, options, xp=xp)
    last = score(frozen, offset, options, xp=xp)
    flags = {
        Status.FLAT_IMAGE: norm_r.flat | norm_m.flat,
        Status.SEARCH_BORDER: coarse.on_border & coarse.found,
        Status.NOT_CONVERGED: ~coarse.found | ~last.usable | xp.any(abs(offset - start) > 2 * max(factors), axis=-1),
    }
    return _result(frozen, last, offset, flags, (norm_r, norm_m), math.prod(n_m), options, xp=xp)


def _on_grid(side: Side, grid: Sequence[int], *, xp: Namespace) -> Side:
    """Continue the maps of a side by zeros to a larger grid."""
    image, valid, err = side.image, side.valid, side.err
    valid = valid if valid is None else padded(valid, grid, xp=xp)
    err = err if err is None or err.ndim == 1 else padded(err, grid, xp=xp)
    return side._replace(image=padded(image, grid, xp=xp), valid=valid, err=err)


def _stepped(frozen: Frozen, offset: Array, steps: int, options: Options, *, xp: Namespace) -> Array:
    """Take Newton steps from `offset`, with the border of the overlap and all: small images are little but border."""
    for _ in range(steps):
        offset = offset + score(frozen, offset, options, xp=xp).step
    return offset


def _freeze(
    reference: Side, moving: Side, offset: Array, options: Options, *, xp: Namespace
) -> tuple[Frozen, Array, Level]:
    """Fix weights, attenuation and maximum-likelihood filter at an offset.

    Return them, and in single precision the spectrum of the model there, and gain and background.
    """
    shape = tuple(moving.image.shape[1:])
    field = make_field(reference.image, reference.valid, shape, wrap=options.wrap, xp=xp)
    grid, acc = field.grid, offset.dtype
    moving = _on_grid(moving, grid, xp=xp)
    image = moving.image
    w = precision(moving, xp=xp)
    w = xp.where(footprint(field, offset, shape, grid=grid, xp=xp), w, 0.0)
    none = xp.ones((1,), dtype=acc, device=device_of(image))
    totals = _totals(w, image, acc, xp=xp)
    box = None
    if not options.wrap and moving.valid is None and field.holes is None:
        box = box_sides(field, offset, shape, xp=xp)
    frozen = Frozen(field, none, False, image, w, box, *totals, none, None, True)
    light = lightened(frozen, xp=xp)
    moved, value = model(light.field, offset, grid, xp=xp)
    level = gain_and_background(value, light, options, xp=xp)
    weight, unit, binary = _combined(reference, moving, field, offset, w, level.scale, xp=xp)
    if moving.err is None or reference.err is not None:
        scale, background = (column(a, value, xp=xp) for a in level[:2])
        residual = light.moving - scale * value - background
        window = xp.astype(soft_window(field, offset, shape, grid=grid, xp=xp), value.dtype)
        rings = _rings(
            value, residual, window, single(weight, xp=xp), level.scale, grid, math.prod(shape), binary=binary, xp=xp
        )
        ratio = attenuation(rings, xp=xp) if options.fit_scale else none
        gains = ml_weights(rings, level.scale * ratio, len(shape), xp=xp)
        frozen = frozen._replace(gains=spread(gains, grid, value.dtype, xp=xp), filtered=True, attenuation=ratio)
    frozen = frozen._replace(weight=weight, unit=unit, binary=binary)
    if binary:
        return frozen, moved, attenuated(level, frozen, options, xp=xp)
    total, data = _totals(weight, image, acc, xp=xp)
    frozen = frozen._replace(total=total, data=data)
    return frozen, moved, gain_and_background(value, lightened(frozen, xp=xp), options, xp=xp)


def _totals(w: Array, image: Array, acc: object, *, xp: Namespace) -> tuple[Array, Array]:
    return xp.sum(w, axis=over_image(w), dtype=acc), inner(w, image, acc, xp=xp)


def _combined(
    reference: Side, moving: Side, field: Field, offset: Array, w: Array, scale: Array, *, xp: Namespace
) -> tuple[Array, Array | None, bool]:
    """Return the weights, the variance of a pixel of weight 1 (None: unknown), and whether all weights are 0 or 1.

    Where both images have errors the variance is that of m - s r(x - d); the weights `w` are of `moving` alone.
    """
    e_m, e_r = moving.err, reference.err
    if e_m is None:
        return w, None, True
    maps = e_m.ndim > 1 or (e_r is not None and e_r.ndim > 1)
    if e_r is None:
        # of the whole image, as the relative weights are
        return w, xp.astype(_relative(moving, w, xp=xp)[1], offset.dtype) + 0 * scale, not maps
    if not maps:
        return w, e_m**2 + scale**2 * e_r**2, True
    # the relative precision is bounded, so that rolling it by Fourier leaves only rounding errors; a variance is not
    p_r, best_r = _relative(reference, w, xp=xp)
    if p_r.shape[1:] != (1,) * len(field.shape):
        p_r = xp.maximum(roll(p_r, field, offset, w.shape[1:], xp=xp), 0.0)
    p_m, best_m = _relative(moving, w, xp=xp)
    joint = p_r * column(best_m, w, xp=xp) + p_m * column(scale**2 * best_r, w, xp=xp)
    precise = xp.where((w > 0) & (joint > 0), p_r * p_m / xp.where(joint > 0, joint, 1.0), 0 * joint)
    best = xp.max(precise, axis=over_image(precise))
    best = xp.where(best > 0, best, 1.0)
    return precise / column(best, w, xp=xp), 1 / xp.astype(best, offset.dtype), False


def _relative(side: Side, like: Array, *, xp: Namespace) -> tuple[Array, Array]:
    """Return the relative precision of the pixels (1 where the error is a number) and the smallest variance."""
    if side.err.ndim == 1:
        return xp.ones((1,) * like.ndim, dtype=like.dtype, device=device_of(like)), side.err**2
    square = xp.where(side.valid, side.err**2, xp.full_like(side.err, math.inf))
    best = xp.min(square, axis=over_image(square))
    return precision(side, xp=xp), xp.where(xp.isfinite(best), best, 1.0)


def _rings(
    value: Array,
    residual: Array,
    window: Array,
    weight: Array,
    scale: Array,
    grid: Sequence[int],
    pixels: int,
    *,
    binary: bool,
    xp: Namespace,
) -> Rings:
    """Return radial powers of the reference in a smooth window, and of data = scale * reference + residual.

    `pixels` the images have, and the `grid` more.

    Holes are in the residual alone: cut into the reference they would leak power from large scales to small ones. It is
    whitened by the weights, at the level they make of the noise.
    """
    used = weight
    if not binary:
        acc, axes = scale.dtype, over_image(weight)
        count, total = xp.sum(xp.astype(weight > 0, acc), axis=axes), xp.sum(weight, axis=axes, dtype=acc)
        level = count / xp.where(total > 0, total, 1.0)
        used = xp.sqrt(weight * column(level, weight, xp=xp))
    residual = residual * used
    f = sampled_spectrum(window * value, grid, xp=xp)
    g = sampled_spectrum(window * residual, grid, xp=xp)
    powers = xp.concat([power(f, xp=xp), power(f, g, xp=xp), power(g, xp=xp)], axis=0)
    means, modes = radial_mean(powers, grid, xp=xp)
    r, c, p = (means[i * g.shape[0] : (i + 1) * g.shape[0], :] for i in range(3))
    s = scale[:, None]
    # a mode of a padded grid is less than an independent number
    independent = modes * min(1.0, pixels / math.prod(grid))
    return Rings(r, xp.maximum(s * s * r + 2 * s * c + p, 0.0), s * r + c, xp.zeros_like(r) + independent)


def _result(
    frozen: Frozen,
    last: Score,
    offset: Array,
    flags: dict[Status, Array],
    norms: tuple[Norm, Norm],
    pixels: int,
    options: Options,
    *,
    xp: Namespace,
) -> Registration:
    """Turn the last evaluation into the result, in units of the images; `moving` has so many `pixels`."""
    acc = offset.dtype
    used = frozen.total
    if not frozen.binary:
        used = xp.sum(xp.astype(frozen.weight > 0, acc), axis=over_image(frozen.weight))
    fitted = offset.shape[-1] + options.fit_scale + options.fit_background
    dof = used - fitted
    square = last.square
    free = xp.where(dof > 0, dof, 1.0)
    unit = square / free if frozen.unit is None else frozen.unit
    j = _score_matrix(frozen, last, unit, used / free, options, xp=xp)
    d = inverse(last.curvature, xp=xp)
    covariance = xp.matmul(xp.matmul(d, j), xp.matrix_transpose(d))
    smaller = min(math.prod(frozen.field.shape), pixels)
    flags = {**flags, Status.TOO_FEW_VALID: used < 3 * fitted}
    return finish(
        offset + last.step,
        # with the exact derivative an error of second order is left
        last.step**2,
        covariance,
        scale=last.scale,
        background=last.background,
        chi2=square / xp.where(unit > 0, unit, 1.0) if frozen.unit is not None else dof,
        dof=dof,
        overlap=used / smaller,
        flags=flags,
        norms=norms,
        limits=options.limits,
        dtype=frozen.moving.dtype,
        xp=xp,
    )


def _score_matrix(
    frozen: Frozen, last: Score, unit: Array, correction: Array, options: Options, *, xp: Namespace
) -> Array:
    """Return J, the covariance of U, for noise whose variance at weight 1 is `unit`."""
    white = last.normal * unit[:, None, None]
    if not options.correlated:
        return white
    grid, ndim = frozen.field.grid, len(last.slopes)
    spectra, residual = last.slope_spectra, last.residual_spectrum
    if not frozen.binary:
        half = xp.sqrt(single(frozen.weight, xp=xp))
        spectra = [rfft(half * q, ndim, xp=xp) for q in orthogonal_slopes(last, options, xp=xp)]
        rest = half * single(last.residual, xp=xp)
        residual = after_step(rfft(rest, ndim, xp=xp), spectra, last.scale, last.step, xp=xp)
    if frozen.box is None:
        pairs = pairs_of(rfft(xp.astype(frozen.weight > 0, frozen.weight.dtype), ndim, xp=xp), grid, xp=xp)
    else:
        pairs = pairs_in_box(frozen.box, xp=xp)
    j, level = score_covariance(spectra, residual, pairs, grid, xp=xp)
    # the residuals give the shape of the noise, the given errors its level
    factor = correction if frozen.unit is None else unit / xp.where(level > 0, level, 1.0)
    j = symmetric(j, xp=xp) * factor[:, None, None]
    # sampled correlations of few pixels, or of rounding errors, need not be those of any noise
    possible = xp.all(xp.isfinite(inverse(j - _LEAST * white, xp=xp)), axis=(-1, -2), keepdims=True)
    return xp.where(possible, j, white)
