r"""The estimating equation of the general fit, and its Newton step.

With r the reference as a `Field`, m the moving image and frozen weights w, the offset d solves

.. math:: U_i(d) = \sum_x w\, q_i(x - d)\, [m(x) - s\, r(x - d) - b] = 0, \qquad q_i = \partial_i (h * r).

h is the kernel of the maximum-likelihood weights (a delta where the reference is free of noise: then this is least
squares). U is unbiased for any even h, with noise in either image. s and b are profiled over.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from .._array import Array, Namespace, device_of
from ..fft_tools._dft import contract, derivative, dft_basis, fourier_translate, rfft
from ._linalg import inverse, symmetric
from .extend import Field, sample, slopes_of
from .problem import Options, column, inner, over_image

__all__ = ["Frozen", "Score", "gain_and_background", "model", "newton_step", "orthogonal_slopes", "score"]


class Frozen(NamedTuple):
    """What does not move while the offset is refined."""

    field: Field
    gains: Array
    """Transfer function of h on the modes of the field."""
    moving: Array
    weight: Array
    weight_spectrum: Array
    data_spectrum: Array
    """Spectrum of w m."""
    total: Array
    """Sum of w."""
    data: Array
    """Sum of w m."""
    attenuation: Array
    """Gain over the gain by least squares, which noise in the reference lowers."""
    unit: Array | None
    """Variance of a pixel of weight 1; None: not known."""
    binary: bool
    """All weights are 0 or 1."""


class Score(NamedTuple):
    """U and its derivative at one offset, with what the errors are made from."""

    step: Array
    usable: Array
    curvature: Array
    """D, (batch, ndim, ndim): minus the derivative of U."""
    scale: Array
    background: Array
    value: Array
    """The map of r(x - d)."""
    residual: Array
    residual_spectrum: Array
    """Spectrum of w rho."""
    slopes: list[Array]
    """The maps q_i."""
    shares: list[Array]
    """What gain and background explain of them, (batch, K)."""
    slope_spectra: list[Array]
    """Spectra of w q_i with that taken off."""


def _columns(grid: Sequence[int], like: Array, ndim: int, *, xp: Namespace) -> list[Array]:
    """Return the columns that turn a cross-spectrum into a correlation at lag 0 and its derivatives in the offset."""
    return dft_basis(
        grid, xp.zeros((1, ndim, 1), dtype=like.dtype, device=device_of(like)), orders=3, conjugate=True, xp=xp
    )


def gain_and_background(value: Array, frozen: Frozen, options: Options, *, xp: Namespace) -> tuple[Array, Array, Array]:
    """Return gain and background of `moving` by weighted least squares at one offset, and w times the model."""
    acc = frozen.total.dtype
    weighted = frozen.weight * value
    n = xp.where(frozen.total > 0, frozen.total, xp.ones_like(frozen.total))
    t = xp.sum(weighted, axis=over_image(weighted), dtype=acc)
    scale = xp.ones_like(t)
    if options.fit_scale:
        variance = inner(weighted, value, acc, xp=xp)
        covariance = inner(weighted, frozen.moving, acc, xp=xp)
        if options.fit_background:
            variance = variance - t * t / n
            covariance = covariance - t * frozen.data / n
        scale = frozen.attenuation * covariance / xp.where(variance > 0, variance, xp.ones_like(variance))
    background = (frozen.data - scale * t) / n if options.fit_background else xp.zeros_like(t)
    return scale, background, weighted


def newton_step(
    frozen: Frozen, offset: Array, options: Options, *, moved: tuple[Array, Array] | None = None, xp: Namespace
) -> Array:
    """Return a step in the offset from the maps of model and slopes and one contraction.

    The derivative of U leaves out how weight moves across the border of the overlap: good for a step, not for errors.
    `moved` is the spectrum and map of the model at `offset`, if they are at hand.
    """
    grid, shape = frozen.field.grid, frozen.moving.shape[1:]
    ndim, acc = offset.shape[-1], offset.dtype
    spectrum, value = model(frozen.field, offset, shape, xp=xp) if moved is None else moved
    filtered = spectrum * frozen.gains
    slopes = slopes_of(filtered, grid, shape, xp=xp)
    scale, background, weighted = gain_and_background(value, frozen, options, xp=xp)
    data = frozen.data_spectrum - column(background, frozen.data_spectrum, xp=xp) * frozen.weight_spectrum
    table = xp.real(contract(xp.conj(data) * filtered, _columns(grid, offset, ndim, xp=xp), xp=xp))
    u = [-derivative(table, i) - scale * inner(weighted, q, acc, xp=xp) for i, q in enumerate(slopes)]
    d = symmetric([[-derivative(table, i, j) for j in range(ndim)] for i in range(ndim)], xp=xp)
    return _solve(d, xp.stack(u, axis=-1), xp=xp)[0]


def model(field: Field, offset: Array, shape: Sequence[int], *, xp: Namespace) -> tuple[Array, Array]:
    """Return the spectrum and the map of r(x - offset)."""
    spectrum = fourier_translate(field.spectrum, offset, field.grid, xp=xp)
    return spectrum, sample(spectrum, field.grid, shape, xp=xp)


def _solve(d: Array, u: Array, *, xp: Namespace) -> tuple[Array, Array]:
    """Return the Newton step, at most half a pixel, and whether D is positive definite; no step where it is not."""
    step = -xp.matmul(inverse(d, xp=xp), u[..., None])[..., 0]
    usable = xp.all(xp.isfinite(step), axis=-1)
    return xp.where(usable[:, None], xp.clip(step, -0.5, 0.5), xp.zeros_like(step)), usable


def score(frozen: Frozen, offset: Array, options: Options, *, xp: Namespace) -> Score:
    """Evaluate U and its exact derivative at `offset`."""
    grid, shape, w = frozen.field.grid, frozen.moving.shape[1:], frozen.weight
    ndim, acc = offset.shape[-1], offset.dtype
    moved, value = model(frozen.field, offset, shape, xp=xp)
    filtered = moved * frozen.gains
    slopes = slopes_of(filtered, grid, shape, xp=xp)
    scale, background, model_weighted = gain_and_background(value, frozen, options, xp=xp)
    residual = frozen.moving - column(scale, value, xp=xp) * value - column(background, value, xp=xp)
    weighted = w * residual
    u = xp.stack([inner(weighted, q, acc, xp=xp) for q in slopes], axis=-1)
    spectrum = rfft(weighted, ndim, xp=xp, s=grid)
    columns = _columns(grid, offset, ndim, xp=xp)
    bend = xp.real(contract(xp.conj(spectrum) * filtered, columns, xp=xp))
    slopes_weighted = [w * q for q in slopes]
    shares = _shares(slopes_weighted, model_weighted, value, frozen.total, options, xp=xp)
    spectra = [rfft(a, ndim, xp=xp, s=grid) for a in slopes_weighted]
    nuisance = [rfft(model_weighted, ndim, xp=xp, s=grid)] * options.fit_scale
    nuisance = nuisance + [frozen.weight_spectrum] * options.fit_background
    spectra = _without(spectra, nuisance, shares, xp=xp)
    rows = []
    for i, a in enumerate(spectra):
        table = xp.real(contract(xp.conj(a) * moved, columns, xp=xp))
        rows.append([-scale * derivative(table, j) - derivative(bend, i, j) for j in range(ndim)])
    d = symmetric(rows, xp=xp)
    step, usable = _solve(d, u, xp=xp)
    return Score(step, usable, d, scale, background, value, residual, spectrum, slopes, shares, spectra)


def _shares(
    slopes: list[Array], model: Array, value: Array, total: Array, options: Options, *, xp: Namespace
) -> list[Array]:
    """Return what gain and background explain of each slope: coefficients (batch, K) of the model and of 1.

    `slopes` and `model` are weighted maps, `value` is the model and `total` the sum of the weights.
    """
    acc = total.dtype
    axes = over_image(value)
    flat = xp.sum(model, axis=axes, dtype=acc)
    normal = [[inner(model, value, acc, xp=xp), flat], [flat, total]]
    chosen = [0] * options.fit_scale + [1] * options.fit_background
    if not chosen:
        return [total[:, None][:, :0] for _ in slopes]
    solved = inverse(symmetric([[normal[i][j] for j in chosen] for i in chosen], xp=xp), xp=xp)
    shares = []
    for q in slopes:
        right = [inner(q, value, acc, xp=xp), xp.sum(q, axis=axes, dtype=acc)]
        mixed = xp.stack([right[i] for i in chosen], axis=-1)
        shares.append(xp.matmul(solved, mixed[..., None])[..., 0])
    return shares


def orthogonal_slopes(last: Score, options: Options, *, xp: Namespace) -> list[Array]:
    """Return the maps of the slopes with what gain and background explain of them taken off."""
    nuisance = [last.value] * options.fit_scale + [xp.ones_like(last.value)] * options.fit_background
    return _without(last.slopes, nuisance, last.shares, xp=xp)


def _without(maps: list[Array], nuisance: list[Array], shares: list[Array], *, xp: Namespace) -> list[Array]:
    """Take off each map (or spectrum) its shares of the nuisance maps (or spectra)."""
    cleaned = []
    for q, share in zip(maps, shares, strict=True):
        for k, a in enumerate(nuisance):
            q = q - column(share[:, k], a, xp=xp) * a
        cleaned.append(q)
    return cleaned
