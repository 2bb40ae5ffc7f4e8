"""The general estimator: the pixels both images hold, with weights, masks, gain and background."""

from __future__ import annotations

import math
from collections.abc import Sequence

from .._array import Array, Namespace, device_of
from .._static import numbers
from ..fft_tools._dft import rfft
from ._linalg import inverse, symmetric
from .coarse import binned, search, weights_of
from .extend import box_sides, footprint, make_field, padded, roll, single, soft_window
from .frozen import Frozen, Level, attenuated, gain_and_background, lightened, model, residual_of
from .noise import pairs_in_box, pairs_of, plausible, score_covariance
from .problem import Norm, Options, Side, column, normalised, over_image, precision, too_few
from .result import Registration, Status, finish
from .score import Score, after_step, orthogonal_slopes, root, score
from .spectrum import attenuation, ml_weights, spread
from .weights import combined, rings_of, totals

__all__ = ["solve"]

_STEPS_ALONE = 4  # of Newton from the whole-pixel peak, before the last one
_STEPS_BINNED = 1
_STEPS = 3  # from there, by the cross-spectrum


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
        offset = offset * numbers(factors, dtype=offset.dtype, like=offset, xp=xp)
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
    sums = totals(w, image, acc, xp=xp)
    box = None
    if not options.wrap and moving.valid is None and field.holes is None:
        box = box_sides(field, offset, shape, xp=xp)
    frozen = Frozen(field, none, False, image, w, box, *sums, none, None, True)
    light = lightened(frozen, xp=xp)
    moved, value = model(light.field, offset, grid, xp=xp)
    level = gain_and_background(value, light, options, xp=xp)

    def weighed(frozen: Frozen, scale: Array) -> Frozen:
        weight, unit, binary = combined(
            reference, moving, lambda p: roll(p, field, offset, grid, xp=xp), w, scale, xp=xp
        )
        return frozen._replace(weight=weight, unit=unit, binary=binary)

    frozen = weighed(frozen, level.scale)
    if moving.err is None or reference.err is not None:
        frozen = _with_filter(frozen, light.moving, value, level, offset, shape, options, xp=xp)
        if reference.err is not None:
            # its noise counts by the gain, not by what it lowers that to
            frozen = weighed(frozen, level.scale * frozen.attenuation)
    if frozen.binary:
        return frozen, moved, attenuated(level, frozen, options, xp=xp)
    total, data = totals(frozen.weight, image, acc, xp=xp)
    frozen = frozen._replace(total=total, data=data)
    return frozen, moved, gain_and_background(value, lightened(frozen, xp=xp), options, xp=xp)


def _with_filter(
    frozen: Frozen,
    image: Array,
    value: Array,
    level: Level,
    offset: Array,
    shape: tuple[int, ...],
    options: Options,
    *,
    xp: Namespace,
) -> Frozen:
    """Return the problem with attenuation and maximum-likelihood filter, from the model at an offset."""
    grid, pixels, binary = frozen.field.grid, math.prod(shape), frozen.binary
    scale, background = (column(a, value, xp=xp) for a in level[:2])
    window = xp.astype(soft_window(frozen.field, offset, shape, grid=grid, xp=xp), value.dtype)
    weight = single(frozen.weight, xp=xp)
    residual = residual_of(image, value, scale, background, xp=xp)
    rings = rings_of(value, residual, window, weight, level.scale, grid, pixels=pixels, binary=binary, xp=xp)
    ratio = attenuation(rings, level.scale, xp=xp) if options.fit_scale else frozen.attenuation
    gains = ml_weights(rings, level.scale * ratio, len(shape), xp=xp)
    return frozen._replace(gains=spread(gains, grid, value.dtype, xp=xp), filtered=True, attenuation=ratio)


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
    flags = {**flags, Status.TOO_FEW_VALID: too_few(used, 3 * fitted, norms)}
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
        limits=numbers(options.limits, dtype=acc, like=offset, xp=xp),
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
    return plausible(j, white, xp=xp)
