r"""The estimating equation of the general fit, and its Newton step.

With r the reference as a `Field`, m the moving image and frozen weights w, the offset d solves

.. math:: U_i(d) = \sum_x w\, q_i(x - d)\, [m(x) - s\, r(x - d) - b] = 0, \qquad q_i = \partial_i (h * r).

h is the kernel of the maximum-likelihood weights (a delta where the reference is free of noise: then this is least
squares). U is unbiased for any even h, with noise in either image. s and b are profiled over.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from .._array import Array, Namespace, device_of
from ..fft_tools._dft import contract, derivative, dft_basis, fourier_translate, rfft
from ._linalg import inverse, symmetric
from .extend import Field, sample, slopes_of
from .problem import Options, column, inner, over_image

__all__ = [
    "Frozen",
    "Level",
    "Score",
    "Weighed",
    "gain_and_background",
    "model",
    "newton_step",
    "orthogonal_slopes",
    "score",
    "shares_of",
    "without",
]


class Weighed(Protocol):
    """The moving image with its weights, whatever moves the model."""

    @property
    def moving(self) -> Array: ...
    @property
    def weight(self) -> Array: ...
    @property
    def total(self) -> Array: ...
    @property
    def data(self) -> Array: ...
    @property
    def attenuation(self) -> Array: ...


class Frozen(NamedTuple):
    """What does not move while the offset is refined."""

    field: Field
    gains: Array
    """Transfer function of h on the modes of the field."""
    filtered: bool
    """It is not 1 for all."""
    stretch: Array
    """Sum of slopes times filtered slopes over that of filtered slopes squared, about: what a step is too long by."""
    moving: Array
    weight: Array
    weight_spectrum: Array
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
    normal: Array
    """sum_x w q_i q_j with that taken off, (batch, ndim, ndim)."""
    slope_spectra: list[Array]
    """Spectra of w q_i with that taken off."""


def _columns(grid: Sequence[int], like: Array, ndim: int, *, xp: Namespace) -> list[Array]:
    """Return the columns that turn a cross-spectrum into a correlation at lag 0 and its derivatives in the offset."""
    return dft_basis(
        grid, xp.zeros((1, ndim, 1), dtype=like.dtype, device=device_of(like)), orders=3, conjugate=True, xp=xp
    )


class Level(NamedTuple):
    """Gain and background of `moving` at one offset, w times the model, and the sums of that times 1 and the model."""

    scale: Array
    background: Array
    weighted: Array
    total: Array
    square: Array


def gain_and_background(value: Array, frozen: Weighed, options: Options, *, xp: Namespace) -> Level:
    """Fit gain and background by weighted least squares at one offset; `value` is the model there."""
    acc = frozen.total.dtype
    weighted = frozen.weight * value
    n = xp.where(frozen.total > 0, frozen.total, xp.ones_like(frozen.total))
    t = xp.sum(weighted, axis=over_image(weighted), dtype=acc)
    scale = xp.ones_like(t)
    square = inner(weighted, value, acc, xp=xp)
    if options.fit_scale:
        variance = square
        covariance = inner(weighted, frozen.moving, acc, xp=xp)
        if options.fit_background:
            variance = variance - t * t / n
            covariance = covariance - t * frozen.data / n
        scale = frozen.attenuation * covariance / xp.where(variance > 0, variance, xp.ones_like(variance))
    background = (frozen.data - scale * t) / n if options.fit_background else xp.zeros_like(t)
    return Level(scale, background, weighted, t, square)


def newton_step(
    frozen: Frozen, offset: Array, options: Options, *, moved: tuple[Array, Array] | None = None, xp: Namespace
) -> Array:
    """Return a Newton step in the offset; `moved` is the spectrum and map of the model there, if at hand.

    It is that of Gauss and Newton where the slopes are filtered: a step up to a third too long, which shrinks. The
    unfiltered slopes of a noisy reference are steep with noise and would make all steps too short: there the bend of
    the model goes in, if it leaves a minimum.
    """
    line = _linearised(frozen, offset, options, moved=moved, xp=xp)
    plain = (line.level.scale * frozen.stretch)[:, None, None] * line.normal
    if frozen.filtered:
        return _solve(plain, line.u, xp=xp)[0]
    grid, ndim = frozen.field.grid, offset.shape[-1]
    residual = rfft(frozen.weight * line.residual, ndim, xp=xp, s=grid)
    bend = xp.real(contract(xp.conj(residual) * line.moved, _columns(grid, offset, ndim, xp=xp), xp=xp))
    bent = plain - symmetric([[derivative(bend, i, j) for j in range(ndim)] for i in range(ndim)], xp=xp)
    step, usable = _solve(bent, line.u, xp=xp)
    return xp.where(usable[:, None], step, _solve(plain, line.u, xp=xp)[0])


class _Line(NamedTuple):
    """Everything at one offset that takes no further transform."""

    moved: Array
    filtered: Array
    value: Array
    slopes: list[Array]
    weighted: list[Array]
    """w q_i"""
    level: Level
    residual: Array
    u: Array
    shares: list[Array]
    normal: Array
    """sum_x w q_i q_j with what gain and background explain taken off."""


def _linearised(
    frozen: Frozen, offset: Array, options: Options, *, moved: tuple[Array, Array] | None = None, xp: Namespace
) -> _Line:
    grid, shape, acc = frozen.field.grid, frozen.moving.shape[1:], offset.dtype
    spectrum, value = model(frozen.field, offset, shape, xp=xp) if moved is None else moved
    filtered = spectrum * frozen.gains
    slopes = slopes_of(filtered, grid, shape, xp=xp)
    level = gain_and_background(value, frozen, options, xp=xp)
    residual = frozen.moving - column(level.scale, value, xp=xp) * value - column(level.background, value, xp=xp)
    weighted = [frozen.weight * q for q in slopes]
    u = xp.stack([inner(a, residual, acc, xp=xp) for a in weighted], axis=-1)
    shares, mixed = shares_of(weighted, level, value, frozen.total, options, xp=xp)
    normal = symmetric(
        [
            [inner(a, q, acc, xp=xp) - xp.sum(s * m, axis=-1) for q, m in zip(slopes, mixed, strict=True)]
            for a, s in zip(weighted, shares, strict=True)
        ],
        xp=xp,
    )
    return _Line(spectrum, filtered, value, slopes, weighted, level, residual, u, shares, normal)


def model(field: Field, offset: Array, shape: Sequence[int], *, xp: Namespace) -> tuple[Array, Array]:
    """Return the spectrum and the map of r(x - offset)."""
    spectrum = fourier_translate(field.spectrum, offset, field.grid, xp=xp)
    return spectrum, sample(spectrum, field.grid, shape, xp=xp)


def _solve(d: Array, u: Array, *, xp: Namespace) -> tuple[Array, Array]:
    """Return the Newton step, at most half a pixel, and whether D is positive definite; no step where it is not."""
    step = -xp.matmul(inverse(d, xp=xp), u[..., None])[..., 0]
    usable = xp.all(xp.isfinite(step), axis=-1)
    return xp.where(usable[:, None], xp.minimum(xp.maximum(step, -0.5), 0.5), xp.zeros_like(step)), usable


def score(frozen: Frozen, offset: Array, options: Options, *, xp: Namespace) -> Score:
    """Evaluate U and its exact derivative at `offset`."""
    grid, ndim = frozen.field.grid, offset.shape[-1]
    line = _linearised(frozen, offset, options, xp=xp)
    spectrum = rfft(frozen.weight * line.residual, ndim, xp=xp, s=grid)
    columns = _columns(grid, offset, ndim, xp=xp)
    bend = xp.real(contract(xp.conj(spectrum) * line.filtered, columns, xp=xp))
    nuisance = [line.level.weighted] * options.fit_scale + [frozen.weight] * options.fit_background
    cleaned = without(line.weighted, nuisance, line.shares, xp=xp)
    spectra = [rfft(a, ndim, xp=xp, s=grid) for a in cleaned]
    rows = []
    for i, a in enumerate(spectra):
        table = xp.real(contract(xp.conj(a) * line.moved, columns, xp=xp))
        rows.append([-line.level.scale * derivative(table, j) - derivative(bend, i, j) for j in range(ndim)])
    d = symmetric(rows, xp=xp)
    step, usable = _solve(d, line.u, xp=xp)
    return Score(
        step,
        usable,
        d,
        line.level.scale,
        line.level.background,
        line.value,
        line.residual,
        spectrum,
        line.slopes,
        line.shares,
        line.normal,
        spectra,
    )


def shares_of(
    slopes: list[Array], level: Level, value: Array, total: Array, options: Options, *, xp: Namespace
) -> tuple[list[Array], list[Array]]:
    """Return what gain and background explain of each slope, and its products with them: (batch, K) each.

    `slopes` are weighted maps, `value` is the model and `total` the sum of the weights.
    """
    acc = total.dtype
    axes = over_image(value)
    normal = [[level.square, level.total], [level.total, total]]
    chosen = [0] * options.fit_scale + [1] * options.fit_background
    if not chosen:
        none = [total[:, None][:, :0] for _ in slopes]
        return none, none
    solved = inverse(symmetric([[normal[i][j] for j in chosen] for i in chosen], xp=xp), xp=xp)
    shares, mixed = [], []
    for q in slopes:
        products = [inner(q, value, acc, xp=xp), xp.sum(q, axis=axes, dtype=acc)]
        mixed.append(xp.stack([products[i] for i in chosen], axis=-1))
        shares.append(xp.matmul(solved, mixed[-1][..., None])[..., 0])
    return shares, mixed


def orthogonal_slopes(last: Score, options: Options, *, xp: Namespace) -> list[Array]:
    """Return the maps of the slopes with what gain and background explain of them taken off."""
    nuisance = [last.value] * options.fit_scale + [xp.ones_like(last.value)] * options.fit_background
    return without(last.slopes, nuisance, last.shares, xp=xp)


def without(maps: list[Array], nuisance: list[Array], shares: list[Array], *, xp: Namespace) -> list[Array]:
    """Take off each map (or spectrum) its shares of the nuisance maps (or spectra)."""
    cleaned = []
    for q, share in zip(maps, shares, strict=True):
        for k, a in enumerate(nuisance):
            q = q - column(share[:, k], a, xp=xp) * a
        cleaned.append(q)
    return cleaned
