"""The general estimator: the pixels both images hold, with weights, masks, gain and background."""

from __future__ import annotations

import math

from .._array import Array, Namespace, device_of
from ..fft_tools._dft import rfft
from ._linalg import inverse, symmetric
from .coarse import binned, search
from .extend import footprint, make_field, roll, soft_window
from .noise import score_covariance
from .problem import Norm, Options, Side, column, inner, normalised, over_image, precision
from .result import Registration, Status, finish
from .score import Frozen, Score, gain_and_background, model, newton_step, orthogonal_slopes, score
from .spectrum import attenuation, ml_weights, spread, step_length
from .weights import combined, rings_of, totals

__all__ = ["solve"]

_STEPS_ALONE = 6  # Newton steps from the whole-pixel peak, before the exact one
_STEPS_BINNED = 2
_STEPS_AFTER_BINNED = 1
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
        precision(small_r, xp=xp),
        small_m.image,
        precision(small_m, xp=xp),
        wrap=options.wrap,
        limits=[math.floor(limit / f + 0.5) + 1.0 for limit, f in zip(options.limits, factors, strict=True)],
        min_overlap=options.min_overlap,
        xp=xp,
    )
    offset, steps = coarse.offset, _STEPS_ALONE
    if max(factors) > 1:
        offset = _steps(small_r, small_m, offset, _STEPS_BINNED, options, xp=xp)[1]
        offset = offset * xp.asarray(factors, dtype=offset.dtype, device=device_of(offset))
        steps = _STEPS_AFTER_BINNED
    start = offset
    frozen, offset = _steps(reference, moving, offset, steps, options, xp=xp)
    last = score(frozen, offset, options, xp=xp)
    flags = {
        Status.FLAT_IMAGE: norm_r.flat | norm_m.flat,
        Status.SEARCH_BORDER: coarse.on_border & coarse.found,
        Status.NOT_CONVERGED: ~coarse.found | ~last.usable | xp.any(abs(offset - start) > 2 * max(factors), axis=-1),
    }
    return _result(frozen, last, offset, flags, (norm_r, norm_m), options, xp=xp)


def _steps(
    reference: Side, moving: Side, offset: Array, steps: int, options: Options, *, xp: Namespace
) -> tuple[Frozen, Array]:
    """Freeze the problem at `offset` and take Newton steps from there."""
    frozen, moved = _freeze(reference, moving, offset, options, xp=xp)
    offset = offset + newton_step(frozen, offset, options, moved=moved, xp=xp)
    for _ in range(steps - 1):
        offset = offset + newton_step(frozen, offset, options, xp=xp)
    return frozen, offset


def _freeze(
    reference: Side, moving: Side, offset: Array, options: Options, *, xp: Namespace
) -> tuple[Frozen, tuple[Array, Array]]:
    """Fix weights, attenuation and maximum-likelihood filter at a first offset; return them and the model there."""
    image, acc = moving.image, offset.dtype
    shape = image.shape[1:]
    ndim = len(shape)
    field = make_field(reference.image, reference.valid, shape, wrap=options.wrap, xp=xp)
    w = precision(moving, xp=xp)
    w = xp.where(footprint(field, offset, shape, xp=xp), w, xp.zeros_like(w))
    none = xp.ones((1,), dtype=acc, device=device_of(image))
    frozen = Frozen(field, none, False, none, image, w, none, *totals(w, image, acc, xp=xp), none, None, True)
    moved, value = model(field, offset, shape, xp=xp)
    scale, background = gain_and_background(value, frozen, options, xp=xp)[:2]
    weight, unit, binary = combined(reference, moving, lambda p: roll(p, field, offset, shape, xp=xp), w, scale, xp=xp)
    gains, attenuated, stretch = none, none, none
    if moving.err is None or reference.err is not None:
        residual = image - column(scale, value, xp=xp) * value - column(background, value, xp=xp)
        window = xp.astype(soft_window(field, offset, shape, xp=xp), value.dtype)
        rings = rings_of(value, residual, window, weight, scale, field.grid, xp=xp)
        attenuated = attenuation(rings, xp=xp) if options.fit_scale else none
        gains = ml_weights(rings, scale * attenuated, ndim, xp=xp)
        stretch = step_length(rings, gains, ndim, xp=xp)
    frozen = frozen._replace(
        gains=gains if gains is none else spread(gains, field.grid, value.dtype, xp=xp),
        filtered=gains is not none,
        stretch=stretch,
        weight=weight,
        weight_spectrum=rfft(weight, ndim, xp=xp, s=field.grid),
        attenuation=attenuated,
        unit=unit,
        binary=binary,
    )
    if not binary:
        total, data = totals(weight, image, acc, xp=xp)
        frozen = frozen._replace(total=total, data=data)
    return frozen, (moved, value)


def _result(
    frozen: Frozen,
    last: Score,
    offset: Array,
    flags: dict[Status, Array],
    norms: tuple[Norm, Norm],
    options: Options,
    *,
    xp: Namespace,
) -> Registration:
    """Turn the last evaluation into shift, errors and goodness of fit in the units of the images."""
    acc = offset.dtype
    used = xp.sum(xp.astype(frozen.weight > 0, acc), axis=over_image(frozen.weight))
    fitted = offset.shape[-1] + options.fit_scale + options.fit_background
    dof = used - fitted
    square = inner(frozen.weight * last.residual, last.residual, acc, xp=xp)
    free = xp.where(dof > 0, dof, xp.ones_like(dof))
    unit = square / free if frozen.unit is None else frozen.unit
    j = _score_matrix(frozen, last, unit, used / free, options, xp=xp)
    d = inverse(last.curvature, xp=xp)
    covariance = xp.matmul(xp.matmul(d, j), xp.matrix_transpose(d))
    smaller = min(math.prod(frozen.field.shape), math.prod(frozen.moving.shape[1:]))
    flags = {**flags, Status.TOO_FEW_VALID: used < 3 * fitted}
    return finish(
        offset + last.step,
        last.step,
        covariance,
        scale=last.scale,
        background=last.background,
        chi2=square / xp.where(unit > 0, unit, xp.ones_like(unit)) if frozen.unit is not None else dof,
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
    w, grid = frozen.weight, frozen.field.grid
    white = last.normal * unit[:, None, None]
    if not options.correlated:
        return white
    spectra, residual, valid = last.slope_spectra, last.residual_spectrum, frozen.weight_spectrum
    if not frozen.binary:
        root = xp.sqrt(w)
        ndim = len(grid)
        spectra = [rfft(root * q, ndim, xp=xp, s=grid) for q in orthogonal_slopes(last, options, xp=xp)]
        residual = rfft(root * last.residual, ndim, xp=xp, s=grid)
        valid = rfft(xp.astype(w > 0, w.dtype), ndim, xp=xp, s=grid)
    j, level = score_covariance(spectra, residual, valid, grid, xp=xp)
    # the residuals give the shape of the noise, the given errors its level
    factor = correction if frozen.unit is None else unit / xp.where(level > 0, level, xp.ones_like(level))
    j = symmetric(j, xp=xp) * factor[:, None, None]
    # sampled correlations of few pixels, or of rounding errors, need not be those of any noise
    possible = xp.all(xp.isfinite(inverse(j - _LEAST * white, xp=xp)), axis=(-1, -2), keepdims=True)
    return xp.where(possible, j, white)
