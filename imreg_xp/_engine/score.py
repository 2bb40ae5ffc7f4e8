r"""The estimating equation of the general fit, its root, and its derivative there.

With r the reference as a `Field`, m the moving image and frozen weights w, the offset d solves

.. math:: U_i(d) = \sum_x w\, q_i(x - d)\, [m(x) - s\, r(x - d) - b] = 0, \qquad q_i = \partial_i (h * r).

h is the kernel of the maximum-likelihood weights (a delta where the reference is free of noise: then this is least
squares). U is unbiased for any even h, with noise in either image. s and b are profiled over. All maps are on the grid
of the field.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from .._array import Array, Namespace
from .._bounds import at_least, bounded
from .._kernels import elementwise
from .._providers import inner
from ..fft_tools._dft import rfft
from ..fft_tools._modes import taylor_columns
from ..fft_tools._sums import contract, slopes_and_bends, taylor_sums
from ._linalg import inverse, symmetric
from .extend import single, slopes_of
from .frozen import Frozen, Level, gain_and_background, lightened, model, residual_of
from .problem import Options, column, over_image

__all__ = ["Score", "after_step", "orthogonal_slopes", "root", "score", "shares_of", "without"]

_ORDERS = 16  # of Taylor series: to rounding of single precision within 1.5 pixels, (pi x)^j / j! has died out
_REACH = 1.5


class Score(NamedTuple):
    """U and its derivative at one offset, with what the errors are made from."""

    step: Array
    usable: Array
    curvature: Array
    """D, (batch, ndim, ndim): the derivative of U."""
    scale: Array
    background: Array
    square: Array
    """Sum of w rho^2 after the step."""
    value: Array
    """The map of r(x - d)."""
    residual: Array
    residual_spectrum: Array
    """Spectrum of w rho after the step."""
    slopes: list[Array]
    """The maps q_i."""
    shares: list[Array]
    """What gain and background explain of them, (batch, K)."""
    normal: Array
    """sum_x w q_i q_j with that taken off, (batch, ndim, ndim)."""
    slope_spectra: list[Array]
    """Spectra of w q_i with that taken off."""


def root(frozen: Frozen, offset: Array, moved: Array, level: Level, *, steps: int, xp: Namespace) -> Array:
    r"""Return the offset after Newton steps from `offset`, where the model has the spectrum `moved`, and `level`.

    With gain and background as they are,

    .. math:: U_i(d) = s\, \partial_i (w r_d \star h * r)(d) - \partial_i (w [m - b] \star h * r)(d).

    The last term is a cross-spectrum, exact at any d with its derivatives; the first is what the border of the overlap
    contributes, and stays what it is at `offset`: no map is made on the way. Noise in the reference does not steepen
    the correlation of two images.
    """
    grid, ndim = frozen.field.grid, offset.shape[-1]
    light = lightened(frozen, xp=xp)
    ahead = xp.conj(moved * light.gains if frozen.filtered else moved)
    data = light.weight * (light.moving - column(level.background, light.moving, xp=xp))
    cross, own = (rfft(a, ndim, xp=xp) * ahead for a in (data, level.weighted))

    still = xp.zeros_like(offset)
    ahead_of = _series(cross, grid, _ORDERS, xp=xp)
    pull, bend = slopes_and_bends(taylor_sums(_series(own, grid, 3, xp=xp), still, xp=xp), xp=xp)
    pull = level.scale[:, None] * pull
    # where the correlation has no maximum near, as far as that of the model with itself is wide
    plain = -level.scale[:, None, None] * bend
    d = still
    for _ in range(steps):
        slope, bend = slopes_and_bends(taylor_sums(ahead_of, d, xp=xp), xp=xp)
        d = bounded(d + _newton(-bend, plain, pull - slope, xp=xp)[0], -_REACH, _REACH, xp=xp)
    return offset + d


def _series(product: Array, grid: Sequence[int], orders: int, *, xp: Namespace) -> Array:
    """Return the Taylor series (batch, orders, ...) at lag 0 of the correlation with this cross-spectrum."""
    return xp.real(contract(product, taylor_columns(grid, orders, product, xp=xp), xp=xp))


def _newton(d: Array, plain: Array, u: Array, *, xp: Namespace) -> tuple[Array, Array]:
    """Return the Newton step for U and its derivative D, at most half a pixel, and whether D is positive definite.

    Where it is not the step is that of the `plain` matrix, if that is.
    """
    sharp = inverse(d, xp=xp)
    usable = xp.all(xp.isfinite(sharp), axis=(-2, -1))
    step = -xp.matmul(xp.where(usable[:, None, None], sharp, inverse(plain, xp=xp)), u[..., None])[..., 0]
    step = xp.where(xp.isfinite(step), bounded(step, -0.5, 0.5, xp=xp), 0.0)
    return step, usable


def score(frozen: Frozen, offset: Array, options: Options, *, xp: Namespace) -> Score:
    """Evaluate U and its exact derivative at `offset`."""
    grid, acc, ndim = frozen.field.grid, offset.dtype, offset.shape[-1]
    moved, value = model(frozen.field, offset, grid, xp=xp)
    level = gain_and_background(value, frozen, options, xp=xp)
    numbers = (column(x, value, xp=xp) for x in (level.scale, level.background))
    residual, left = _residuals(frozen.moving, value, frozen.weight, *numbers, xp=xp)
    square = inner(left, residual, acc, xp=xp)
    moved, value, left, w = (single(a, xp=xp) for a in (moved, value, left, frozen.weight))
    filtered = moved * single(frozen.gains, xp=xp) if frozen.filtered else moved
    slopes = slopes_of(filtered, grid, grid, xp=xp)
    weighted = [w * q for q in slopes]
    u = xp.stack([inner(q, left, acc, xp=xp) for q in slopes], axis=-1)
    shares, mixed = shares_of(weighted, level, value, frozen.total, options, xp=xp)
    normal = _normal(weighted, slopes, shares, mixed, acc, xp=xp)
    nuisance = [single(level.weighted, xp=xp)] * options.fit_scale + [w] * options.fit_background
    spectra = [rfft(a, ndim, xp=xp) for a in without(weighted, nuisance, shares, xp=xp)]
    rest = rfft(left, ndim, xp=xp)
    d = _derivative(frozen, level.scale, normal, spectra, rest, (moved, filtered), offset, xp=xp)
    step, usable = _newton(d, level.scale[:, None, None] * normal, u, xp=xp)
    change = level.scale[:, None] * step
    square = square + xp.sum(change * (2 * u + xp.matmul(normal, change[..., None])[..., 0]), axis=-1)
    rest = after_step(rest, spectra, level.scale, step, xp=xp)
    return Score(
        step,
        usable,
        d,
        level.scale,
        level.background,
        at_least(square, 0.0, xp=xp),
        value,
        residual,
        rest,
        slopes,
        shares,
        normal,
        spectra,
    )


@elementwise
def _residuals(
    moving: Array,
    value: Array,
    weight: Array,
    scale: Array,
    background: Array,
    *,
    xp: Namespace,
) -> tuple[Array, Array]:
    """Return what the model leaves, and that times the weights."""
    residual = residual_of(moving, value, scale, background, xp=xp)
    return residual, weight * residual


def after_step(residual: Array, spectra: list[Array], scale: Array, step: Array, *, xp: Namespace) -> Array:
    """Return the spectrum of weighted residuals after a small step, from that and those of weighted slopes before.

    The misfit at the end of a search would count as noise where there is little.
    """
    shares = [column(-(scale * step[:, axis]), a, xp=xp) for axis, a in enumerate(spectra)]
    return _less(residual, *spectra, *shares, xp=xp)


def _normal(
    weighted: list[Array], slopes: list[Array], shares: list[Array], mixed: list[Array], acc: Any, *, xp: Namespace
) -> Array:
    """Return sum_x w q_i q_j less what gain and background explain of it."""
    rows = [
        [inner(a, q, acc, xp=xp) - xp.sum(s * m, axis=-1) for q, m in zip(slopes, mixed, strict=True)]
        for a, s in zip(weighted, shares, strict=True)
    ]
    return symmetric(rows, xp=xp)


def _derivative(
    frozen: Frozen,
    scale: Array,
    normal: Array,
    spectra: list[Array],
    rest: Array,
    models: tuple[Array, Array],
    offset: Array,
    *,
    xp: Namespace,
) -> Array:
    """Return D from the spectra of w q_i and w rho and those of the model, as it is and filtered."""
    grid, still = frozen.field.grid, xp.zeros_like(offset)

    def derivatives(product: Array) -> tuple[Array, Array]:
        return slopes_and_bends(taylor_sums(_series(product, grid, 3, xp=xp), still, xp=xp), xp=xp)

    bend = derivatives(rest * xp.conj(models[1]))[1]
    slopes = normal
    if frozen.filtered:
        ahead = xp.conj(models[0])
        slopes = -xp.stack([derivatives(a * ahead)[0] for a in spectra], axis=-2)
    return scale[:, None, None] * slopes - bend


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
    return [
        _less(q, *nuisance, *(column(share[:, k], a, xp=xp) for k, a in enumerate(nuisance)), xp=xp) if nuisance else q
        for q, share in zip(maps, shares, strict=True)
    ]


@elementwise
def _less(q: Array, *terms: Array, xp: Namespace) -> Array:  # noqa: ARG001
    """Return an image less others, each times a number of those that follow them."""
    count = len(terms) // 2
    for a, number in zip(terms[:count], terms[count:], strict=True):
        q = q - number * a
    return q
