r"""The estimating equation of the general fit, and its derivative.

With r the reference as a `Field`, m the moving image and frozen weights w, the offset d solves

.. math:: U_i(d) = \sum_x w\, q_i(x - d)\, [m(x) - s\, r(x - d) - b] = 0, \qquad q_i = \partial_i (h * r).

h is the kernel of the maximum-likelihood weights (a delta where the reference is free of noise: then this is least
squares). U is unbiased for any even h, with noise in either image. s and b are profiled over. All maps are on the grid
of the field.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from .._array import Array, Namespace
from .._bounds import at_least
from .._kernels import Total, elementwise, per_item
from .._providers import Factors, product_of
from ..fft_tools._dft import rfft
from ..fft_tools._sums import slopes_and_bends, taylor_sums
from ._linalg import inverse, symmetric
from .extend import single, slopes_of
from .frozen import (
    Frozen,
    Level,
    Weights,
    level_of,
    model,
    residual_of,
    sums_with_model,
)
from .problem import Options, column
from .rings import Gains, times
from .root import newton_step, series_at_0

__all__ = ["Maps", "Score", "chosen", "cleaned", "score", "shares_of"]


class Maps(NamedTuple):
    """What errors are made from where weights are not all 0 or 1, in single precision."""

    value: Array
    """r(x - d)."""
    residual: Array
    slopes: tuple[Array, ...]
    """q_i."""
    shares: list[Array]
    """What gain and background explain of them, (batch, K)."""


class Score(NamedTuple):
    """U and its derivative at one offset, with what the errors are made from."""

    step: Array
    usable: Array
    count: Array
    """Sum of w."""
    curvature: Array
    """D, (batch, ndim, ndim): the derivative of U."""
    scale: Array
    background: Array
    square: Array
    """Sum of w rho^2 after the step."""
    normal: Array
    """sum_x w q_i q_j with what gain and background explain of the slopes taken off, (batch, ndim, ndim)."""
    residual_spectrum: Array
    """Spectrum of w rho."""
    slope_spectra: list[Array]
    """Spectra of w q_i with that taken off."""
    maps: Maps | None
    """None where all weights are 0 or 1."""


def score(frozen: Frozen, offset: Array, options: Options, *, xp: Namespace) -> Score:
    """Evaluate U and its exact derivative at `offset`."""
    grid, acc, ndim = frozen.field.grid, offset.dtype, offset.shape[-1]
    moved, level, normal, square, u, clean, maps = _in_pixels(frozen, offset, options, xp=xp)
    left, *spectra = [rfft(clean.pop(0), ndim, xp=xp) for _ in range(1 + ndim)]
    d = _derivative(level.scale, normal, (left, *spectra), (moved, frozen.gains), offset, grid, xp=xp)
    u, square = xp.stack([xp.astype(a, acc, copy=False) for a in u], axis=-1), xp.astype(square, acc, copy=False)
    step, usable, square = _last_step(d, level.scale, normal, u, square, xp=xp)
    return Score(step, usable, level.count, d, level.scale, level.background, square, normal, left, list(spectra), maps)


class _InPixels(NamedTuple):
    """What is made of maps."""

    moved: Factors
    """Spectrum of the model."""
    level: Level
    normal: Array
    square: Array
    u: tuple[Array, ...]
    clean: list[Array]
    """w rho and the w q_i with what gain and background explain of them taken off."""
    maps: Maps | None


def _in_pixels(frozen: Frozen, offset: Array, options: Options, *, xp: Namespace) -> _InPixels:
    moved, value = model(frozen.field, offset, frozen.field.grid, xp=xp)
    moved = single(moved, xp=xp)
    slopes = tuple(slopes_of(moved, frozen.gains, frozen.field.grid, xp=xp))
    rough = None if value.dtype == xp.float32 else (single(frozen.weight, xp=xp), single(value, xp=xp))
    maps, fitted = (frozen.weight, value, frozen.moving, slopes, rough), (options.fit_scale, options.fit_background)
    sums = _all_sums(*maps, fit_scale=options.fit_scale, xp=xp)
    which = chosen(options)
    level, shares, normal = _level_and_matrices(
        sums, frozen.attenuation, fitted=fitted, chosen=which, ndim=len(slopes), xp=xp
    )
    numbers, parts = tuple([column(a, value, xp=xp) for a in level[:2]]), _laid(shares, slopes[0], xp=xp)
    square, u, clean, residual = _last_maps(*maps, numbers, parts, chosen=which, keep=not frozen.binary, xp=xp)
    kept = None if residual is None else Maps(single(value, xp=xp), residual, slopes, shares)
    return _InPixels(moved, level, normal, square, u, list(clean), kept)


_Rough = tuple[Weights, Array] | None
"""Weights and model in single precision; None where they are."""


@elementwise
def _all_sums(
    weight: Weights,
    value: Array,
    moving: Array,
    slopes: tuple[Array, ...],
    rough: _Rough,
    *,
    fit_scale: bool,
    xp: Namespace,
) -> tuple[Total, ...]:
    """Return the sums that a `Level` is made of, and of w times the slopes times model, 1 and each other (i <= j)."""
    found = sums_with_model(weight, value, moving, fit_scale=fit_scale, xp=xp)
    weight, value = (weight, value) if rough is None else rough
    weight = product_of(weight)
    for axis, slope in enumerate(slopes):
        weighted = weight * slope
        found = *found, Total(weighted, value), Total(weighted), *(Total(weighted, q) for q in slopes[axis:])
    return found


@per_item
def _level_and_matrices(
    sums: tuple[Array, ...],
    attenuation: Array,
    *,
    fitted: tuple[bool, bool],
    chosen: tuple[int, ...],
    ndim: int,
    xp: Namespace,
) -> tuple[Level, list[Array], Array]:
    """Return the level, and `shares_of` and the normal matrix of the slopes, from `_all_sums`."""
    own = 4 + fitted[0]
    level = level_of(sums[:own], attenuation, fitted=fitted, xp=xp)
    rest = [xp.astype(a, level.scale.dtype, copy=False) for a in sums[own:]]
    products, upper = [], []
    for axis in range(ndim):
        more = 2 + ndim - axis
        products.append(rest[:2])
        upper.append(rest[2:more])
        rest = rest[more:]
    shares, mixed = shares_of(products, level, chosen=chosen, xp=xp) if chosen else ([], [])
    if chosen:
        upper = [
            [n - xp.sum(share * m, axis=-1) for n, m in zip(row, mixed[axis:], strict=True)]
            for axis, (row, share) in enumerate(zip(upper, shares, strict=True))
        ]
    whole = [[upper[min(i, j)][abs(i - j)] for j in range(ndim)] for i in range(ndim)]
    return level, shares, symmetric(whole, xp=xp)


@elementwise
def _last_maps(
    weight: Weights,
    value: Array,
    moving: Array,
    slopes: tuple[Array, ...],
    rough: _Rough,
    level: tuple[Array, Array],
    shares: tuple[tuple[Array, ...], ...],
    *,
    chosen: tuple[int, ...],
    keep: bool,
    xp: Namespace,
) -> tuple[Total, tuple[Total, ...], tuple[Array, ...], Array | None]:
    """Return the sums of w rho^2 and of w rho times the slopes, w rho and what `cleaned` does, and rho to `keep`."""
    residual = residual_of(moving, value, *level, xp=xp)
    left = product_of(weight) * residual
    square, left = Total(left, residual), single(left, xp=xp)
    along = tuple([Total(q, left) for q in slopes])
    clean = _cleaned(*((weight, value) if rough is None else rough), slopes, shares, chosen=chosen, xp=xp)
    return square, along, (left, *clean), single(residual, xp=xp) if keep else None


@per_item
def _last_step(
    d: Array, scale: Array, normal: Array, u: Array, square: Array, *, xp: Namespace
) -> tuple[Array, Array, Array]:
    """Return the step, whether it is one, and the sum of squares after it."""
    step, usable = newton_step(d, scale[:, None, None] * normal, u, xp=xp)
    change = scale[:, None] * step
    square = square + xp.sum(change * (2 * u + xp.matmul(normal, change[..., None])[..., 0]), axis=-1)
    return step, usable, at_least(square, 0.0, xp=xp)


def _derivative(
    scale: Array,
    normal: Array,
    spectra: Sequence[Array],
    model: tuple[Factors, Gains | None],
    offset: Array,
    grid: tuple[int, ...],
    *,
    xp: Namespace,
) -> Array:
    """Return D from the spectra of w rho and the w q_i, and that of the model and the transfer function of h."""
    still = xp.zeros_like(offset)
    spectra = spectra[:1] if model[1] is None else spectra
    series = series_at_0(_with_model, *model, *spectra, grid=grid, orders=(3,) * len(spectra), xp=xp)
    found: Array = _derivative_of(series, still, scale, normal, xp=xp)
    return found


@per_item
def _derivative_of(series: list[Array], still: Array, scale: Array, normal: Array, *, xp: Namespace) -> Array:
    rest, *slopes = (slopes_and_bends(taylor_sums(a, still, xp=xp), xp=xp) for a in series)
    steep = -xp.stack([a for a, _ in slopes], axis=-2) if slopes else normal
    return scale[:, None, None] * steep - rest[1]


def _with_model(model: Factors, gains: Gains | None, rest: Array, *slopes: Array, xp: Namespace) -> tuple[Array, ...]:
    """Return the spectrum of w rho times the conjugate of the filtered model, and slopes times that of the model."""
    ahead = xp.conj(product_of(model))
    return rest * times(ahead, gains, xp=xp), *(a * ahead for a in slopes)


def chosen(options: Options) -> tuple[int, ...]:
    """Return which are fitted of model (0) and background (1)."""
    return (0,) * options.fit_scale + (1,) * options.fit_background


def shares_of(
    products: Sequence[Sequence[Array]], level: Level, *, chosen: tuple[int, ...], xp: Namespace
) -> tuple[list[Array], list[Array]]:
    """Return what gain and background explain of each slope, and its products with them: (batch, K) each.

    `products` are the sums of each weighted slope times the model and times 1.
    """
    normal = [[level.square, level.total], [level.total, level.count]]
    if not chosen:
        none = [level.count[:, None][:, :0] for _ in products]
        return none, none
    solved = inverse(symmetric([[normal[i][j] for j in chosen] for i in chosen], xp=xp), xp=xp)
    mixed = [xp.stack([pair[i] for i in chosen], axis=-1) for pair in products]
    return [xp.matmul(solved, m[..., None])[..., 0] for m in mixed], mixed


def cleaned(
    weight: Weights, value: Array, slopes: Sequence[Array], shares: Sequence[Array], options: Options, *, xp: Namespace
) -> tuple[Array, ...]:
    """Return the slopes with what gain and background explain of them taken off, times the weights."""
    parts = _laid(shares, value, xp=xp)
    found: tuple[Array, ...] = _cleaned(weight, value, tuple(slopes), parts, chosen=chosen(options), xp=xp)
    return found


def _laid(shares: Sequence[Array], like: Array, *, xp: Namespace) -> tuple[tuple[Array, ...], ...]:
    """Return shares (batch, K) of each slope as numbers that go with maps."""
    return tuple([tuple([column(a[:, k], like, xp=xp) for k in range(a.shape[1])]) for a in shares])


@elementwise
def _cleaned(
    weight: Weights,
    value: Array,
    slopes: tuple[Array, ...],
    shares: tuple[tuple[Array, ...], ...],
    *,
    chosen: tuple[int, ...],
    xp: Namespace,  # noqa: ARG001
) -> tuple[Array, ...]:
    weight, found = product_of(weight), []
    for axis, q in enumerate(slopes):
        for share, which in zip(shares[axis] if chosen else (), chosen, strict=True):
            q = q - (share * value if which == 0 else share)
        found.append(weight * q)
    return tuple(found)
