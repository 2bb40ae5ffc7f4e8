"""The general estimator: the pixels both images hold, with weights, masks, gain and background."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from .._array import Array, Namespace, device_of
from .._layout import zero_padded
from .._providers import Factors, factored, product_of
from .._static import Keep, keeping, numbers
from ..fft_tools._dft import rfft
from ._linalg import inverse, symmetric
from .binning import binned, weights_of
from .coarse import search
from .extend import box_of, footprint, make_field, roll, single, soft_window
from .frozen import (
    Frozen,
    Level,
    attenuated,
    gain_and_background,
    lightened,
    model,
)
from .ml_weights import attenuation, ml_weights
from .noise import pairs_in_box, pairs_of, plausible, products_of, score_covariance
from .problem import Norm, Options, Side, normalised, over_image, too_few
from .result import Registration, Status, finish
from .rings import laid
from .root import root
from .score import Score, cleaned, score
from .weights import combined, rings_of

__all__ = ["solve"]

_STEPS = 3  # of Newton, by the cross-spectrum
_NARROW = 100  # pixels
_STEPS_ALONE = 4  # from the whole-pixel peak, before the last one: where there is much noise that may be far


def solve(
    reference: Side, moving: Side, options: Options, *, kept: dict[Any, Any] | None = None, xp: Namespace
) -> Registration:
    """Register `moving` on `reference`, both (batch, ...).

    `kept` holds what is made of the reference, for the other frames that are registered on it.
    """
    # without a gain the scale of the reference is that of both
    if kept is not None:
        kept = kept.setdefault(("general", reference.valid is None), {}) if options.fit_scale else None
    keep = keeping(kept)
    n_m = moving.image.shape[1:]
    factors = _factors(reference.image.shape[1:], n_m)
    (reference, norm_r), (moving, norm_m) = normalised(
        reference, moving, options, keep=keep, later=max(factors) > 1, xp=xp
    )
    small_r = keep("binned", lambda: binned(reference, factors, xp=xp))
    small_m = binned(moving, factors, xp=xp)
    coarse = search(
        small_r.image,
        weights_of(small_r, xp=xp),
        small_m.image,
        weights_of(small_m, xp=xp),
        wrap=options.wrap,
        limits=[math.floor(limit / f + 0.5) + 1.0 for limit, f in zip(options.limits, factors, strict=True)],
        min_overlap=options.min_overlap,
        level=not options.fit_background,
        kept=kept,
        xp=xp,
    )
    offset = coarse.offset
    if max(factors) > 1:
        # the narrow are little but border
        steps = 1 if min(*small_r.image.shape[1:], *small_m.image.shape[1:]) < _NARROW else 0
        offset = _refined(_freeze(small_r, small_m, offset, options, keep, xp=xp), offset, steps, options, xp=xp)
        offset = offset * numbers(factors, dtype=offset.dtype, like=offset, xp=xp)
    start = offset
    there = _freeze(reference, moving, start, options, keep, xp=xp)
    offset = _refined(there, start, _STEPS_ALONE if max(factors) == 1 else 0, options, xp=xp)
    frozen = there.frozen
    last = score(frozen, offset, options, xp=xp)
    flags = {
        Status.FLAT_IMAGE: norm_r.flat | norm_m.flat,
        Status.SEARCH_BORDER: coarse.on_border & coarse.found,
        Status.NOT_CONVERGED: ~coarse.found | ~last.usable | xp.any(abs(offset - start) > 2 * max(factors), axis=-1),
    }
    return _result(frozen, last, offset, flags, (norm_r, norm_m), math.prod(n_m), options, xp=xp)


def _factors(first: Sequence[int], second: Sequence[int]) -> list[int]:
    """Return how many pixels go into one for the search, per axis."""
    # one dimension costs little, and its lines would drown
    return [min(4, max(1, min(a, b) // 128)) if len(first) > 1 else 1 for a, b in zip(first, second, strict=True)]


class _There(NamedTuple):
    """The problem frozen at an offset; and in single precision, with spectrum and map of the model there, and level."""

    frozen: Frozen
    light: Frozen
    model: tuple[Factors, Array]
    level: Level


def _refined(there: _There, offset: Array, steps: int, options: Options, *, xp: Namespace) -> Array:
    """Return the offset after Newton steps with the border of the overlap and all; or, of 0 steps, by cross-spectra.

    These take the border for what it is at `offset`.
    """
    if not steps:
        return root(there.light, offset, there.model, there.level, steps=_STEPS, xp=xp)
    for _ in range(steps):
        offset = offset + score(there.frozen, offset, options, xp=xp).step
    return offset


def _on_grid(side: Side, grid: Sequence[int], *, xp: Namespace) -> Side:
    """Continue the maps of a side by zeros to a larger grid."""
    image, valid, err = side.image, side.valid, side.err
    valid = valid if valid is None else zero_padded(valid, grid, xp=xp)
    err = err if err is None or err.ndim == 1 else zero_padded(err, grid, xp=xp)
    return side.with_image(zero_padded(image, grid, unit=side.unit, xp=xp), valid=valid, err=err)


def _freeze(reference: Side, moving: Side, offset: Array, options: Options, keep: Keep, *, xp: Namespace) -> _There:
    """Fix weights, attenuation and maximum-likelihood filter at an offset."""
    shape = tuple(moving.image.shape[1:])
    field = keep(shape, lambda: make_field(reference.image, reference.valid, shape, wrap=options.wrap, xp=xp))
    grid, acc = field.grid, offset.dtype
    moving = _on_grid(moving, grid, xp=xp)
    image = moving.image
    none = xp.ones((1,), dtype=acc, device=device_of(image))
    maps, box = weights_of(moving, xp=xp), None
    if options.wrap or field.holes is not None or maps is not None:
        maps = xp.ones((1,) * image.ndim, dtype=image.dtype, device=device_of(image)) if maps is None else maps
        w = footprint(maps, field, offset, shape, grid=grid, xp=xp)
    else:
        box = box_of(field, offset, shape, grid, image.dtype, xp=xp)
        w = factored(box, xp=xp)
    frozen = Frozen(field, None, image, w, box, none, None, True)
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
    light = lightened(frozen._replace(field=light.field, moving=light.moving), xp=xp)
    if frozen.binary:
        level = attenuated(level, frozen, options, xp=xp)
    else:
        level = gain_and_background(value, light, options, xp=xp)
    return _There(frozen, light, (moved, value), level)


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
    grid = frozen.field.grid
    window = soft_window(frozen.field, offset, shape, grid=grid, xp=xp)
    light = frozen._replace(moving=image, weight=single(frozen.weight, xp=xp))
    rings = rings_of(value, light, level, window, grid, pixels=math.prod(shape), binary=frozen.binary, xp=xp)
    ratio = attenuation(rings, level.scale, xp=xp) if options.fit_scale else frozen.attenuation
    gains = ml_weights(rings, level.scale * ratio, len(shape), xp=xp)
    return frozen._replace(gains=laid(gains, grid, value.dtype, xp=xp), attenuation=ratio)


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
    used = last.count
    if not frozen.binary:
        weight = product_of(frozen.weight)
        used = xp.sum(xp.astype(weight > 0, acc), axis=over_image(weight))
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
    grid, ndim, acc = frozen.field.grid, last.step.shape[-1], last.step.dtype
    change = last.scale[:, None] * last.step
    products = products_of(*_whitened(frozen, last, options, xp=xp), grid, change, xp=xp)
    if frozen.box is None:
        weight = product_of(frozen.weight)
        pairs = pairs_of(rfft(xp.astype(weight > 0, weight.dtype), ndim, xp=xp), grid, xp=xp)
    else:
        pairs = pairs_in_box([xp.sum(a, axis=over_image(a), dtype=acc) for a in frozen.box], xp=xp)
    j, level = score_covariance(products, pairs, grid, xp=xp)
    # the residuals give the shape of the noise, the given errors its level
    factor = correction if frozen.unit is None else unit / xp.where(level > 0, level, 1.0)
    j = symmetric(j, xp=xp) * factor[:, None, None]
    return plausible(j, white, xp=xp)


def _whitened(frozen: Frozen, last: Score, options: Options, *, xp: Namespace) -> tuple[Array, list[Array]]:
    """Return the spectra of residuals and slopes times the roots of the weights."""
    if last.maps is None:
        return last.residual_spectrum, last.slope_spectra
    half, m = xp.sqrt(single(product_of(frozen.weight), xp=xp)), last.maps
    maps = half * m.residual, *cleaned(half, m.value, m.slopes, m.shares, options, xp=xp)
    rest, *slopes = (rfft(a, last.step.shape[-1], xp=xp) for a in maps)
    return rest, slopes
