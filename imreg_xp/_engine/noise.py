r"""Errors that are true: the variance of the score under noise that is correlated and sits in both images.

The fit solves :math:`U_i = \sum_x \tilde g_i(x) \tilde\rho(x) = 0`, slope times residual, both weighted by
:math:`\sqrt w`. For Gaussian noise its covariance follows from Wick's theorem,

.. math:: J_{ij} = \sum_\ell (\tilde g_i \star \tilde g_j)(\ell)\, c(\ell)
          + \sum_\ell n(\ell)\, c_{g_i\rho}(\ell)\, c_{g_j\rho}(-\ell)

with c the autocovariance of the residuals over the n pairs of valid pixels at lag :math:`\ell`. The second term is what
noise in the reference does: it enters slope and residual together. Lags are tapered to zero at `REACH` pixels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from .._array import Array, Namespace, accumulator_dtype, complex_dtype, device_of
from .._bounds import at_least
from .._providers import power, powers
from .._static import table
from ..fft_tools._dft import along
from ..fft_tools._modes import frequency
from ..fft_tools._sums import contract_each
from ._linalg import inverse
from .problem import column, over_image

__all__ = [
    "REACH",
    "Products",
    "Scatter",
    "direct",
    "mixed",
    "pairs_in_box",
    "pairs_of",
    "plausible",
    "products_of",
    "scatter_of",
    "score_covariance",
    "slope_products",
]

REACH = 12
_LEAST = 0.05  # of the variance of the score under white noise: less than that is not a variance


def _lag_columns(grid: Sequence[int], like: Array, *, even: bool, xp: Namespace) -> list[Array]:
    """Return the columns that evaluate a correlation on the lags -REACH ... REACH.

    Of one that is `even`, its spectrum real, those of the last axis are 0 ... REACH.
    """
    acc, own = (complex_dtype(x, xp=xp) for x in (accumulator_dtype(like, xp=xp), like.dtype))
    *first, last = grid
    columns = [table(_waves, n, False, -REACH, dtype=acc, like=like, xp=xp) for n in first]
    start, pixels = 0 if even else -REACH, math.prod(grid)
    return [*columns, table(_waves, last, True, start, pixels, dtype=own, like=like, xp=xp)]


def _waves(n: int, half: bool, start: int, divisor: int = 1) -> np.ndarray:
    """(1, modes, lags): e^(2 pi i nu l) for the lags start ... REACH, with the weights of the half axis."""
    nu = frequency(n, half)
    waves = np.exp(2j * math.pi * nu[:, None] * np.arange(start, REACH + 1)) / divisor
    return (waves * np.where((nu == 0) | (2 * nu == 1) | (not half), 1.0, 2.0)[:, None])[None]


def _patches(
    products: Callable[..., tuple[Array, ...]],
    *args: Any,
    even: Sequence[bool],
    grid: Sequence[int],
    like: Array,
    xp: Namespace,
    **options: Any,
) -> list[Array]:
    """Return the correlations on a patch of lags with the `rfftn` spectra ``products``, `even` ones on half of it."""
    columns = {k: _lag_columns(grid, like, even=k, xp=xp) for k in set(even)}
    dtype = complex_dtype(accumulator_dtype(like, xp=xp), xp=xp)
    found = contract_each(products, *args, columns=[columns[k] for k in even], dtype=dtype, xp=xp, **options)
    return [xp.real(a) for a in found]


def _taper(grid: tuple[int, ...]) -> np.ndarray:
    """(1, lags...): 1 to REACH/2, then a cosine to 0; short axes use a quarter of their length."""
    lag = np.abs(np.arange(-REACH, REACH + 1))
    total = np.ones((1,) * (len(grid) + 1))
    for axis, n in enumerate(grid):
        reach = min(REACH, max(n // 4, 1))
        t = 0.5 + 0.5 * np.cos(math.pi * np.clip(2 * lag / reach - 1, 0.0, 1.0))
        total = total * t.reshape(along(n=2 * REACH + 1, axis=axis, ndim=len(grid)))
    return total


def _half_taper(grid: tuple[int, ...]) -> np.ndarray:
    """Return the lags 0 ... REACH of the last axis, each of which stands for its mirror image too."""
    return _taper(grid)[..., REACH:] * np.where(np.arange(REACH + 1) > 0, 2.0, 1.0)


def pairs_of(valid: Array, grid: Sequence[int], *, xp: Namespace) -> Array:
    """Return the number of pairs of valid pixels at each lag, from the spectrum of their mask."""
    (found,) = _patches(powers, valid, even=(True,), grid=grid, like=valid, xp=xp)
    return xp.round(found)


def pairs_in_box(sides: Sequence[Array], *, xp: Namespace) -> Array:
    """Return the number of pairs of pixels at each lag of a box with `sides` (batch,)."""
    total = xp.ones_like(xp.reshape(sides[0], (-1, *(1,) * len(sides))))
    for axis, side in enumerate(sides):
        low = 0 if axis == len(sides) - 1 else -REACH
        lag = abs(xp.arange(low, REACH + 1, dtype=side.dtype, device=device_of(side)))
        pairs = at_least(side[:, None] - lag, 0.0, xp=xp)
        total = total * xp.reshape(pairs, (side.shape[0], *along(n=lag.shape[0], axis=axis, ndim=len(sides))))
    return total


class Scatter(NamedTuple):
    """Autocovariance of residuals and pairs of valid pixels, on lags (batch, ...); the last axis holds 0 ... REACH."""

    covariance: Array
    """Tapered, each lag with its mirror image."""
    pairs: Array
    taper: Array
    level: Array
    """c(0), (batch,)."""


def scatter_of(correlation: Array, pairs: Array, grid: Sequence[int], *, xp: Namespace) -> Scatter:
    """Return the autocovariance of residuals from their autocorrelation on a patch of lags.

    `pairs` of valid pixels there are at these lags; those of the last axis are from 0.
    """
    # no pair of valid pixels: no estimate at that lag
    pairs = xp.where(pairs > 0.5, pairs, math.inf)
    c = correlation / pairs
    taper = table(_taper, tuple(grid), dtype=c.dtype, like=c, xp=xp)
    half = table(_half_taper, tuple(grid), dtype=c.dtype, like=c, xp=xp)
    level = c[(slice(None), *(REACH,) * (len(grid) - 1), 0)]
    return Scatter(c * half, pairs, taper, level)


class Products(NamedTuple):
    """Correlations of residuals and slopes on a patch of lags; of even ones the last axis holds 0 ... REACH."""

    residual: Array
    """With itself."""
    crosses: list[Array]
    """Of each slope with the residual."""
    slopes: list[list[Array]]
    """Of the slopes with each other, as far as they are even: rows of the upper triangle."""


def products_of(
    residual: Array,
    slopes: Sequence[Array],
    grid: Sequence[int],
    change: Array | None = None,
    *,
    rows: bool = True,
    xp: Namespace,
) -> Products:
    """Return the correlations, from spectra of slopes and residuals; the slopes are added to these, times `change`.

    That is a small step, (batch, slopes): the misfit at the end of a search would count as noise where there is little.
    Without `rows` those of the slopes with each other are left out.
    """
    count, pairs = len(slopes), len(slopes) * (len(slopes) + 1) // 2 if rows else 0
    numbers = () if change is None else tuple([column(change[:, k], residual, xp=xp) for k in range(count)])
    args = residual, tuple(slopes), numbers
    even = (True, *(False,) * count, *(True,) * pairs)
    own, *rest = _patches(_products, *args, even=even, grid=grid, like=residual, rows=rows, xp=xp)
    return Products(own, rest[:count], _in_rows(rest[count:], count) if rows else [])


def slope_products(slopes: Sequence[Array], grid: Sequence[int], *, xp: Namespace) -> list[list[Array]]:
    """Return the `slopes` of `Products` alone."""
    count = len(slopes)
    even = (True,) * (count * (count + 1) // 2)
    return _in_rows(_patches(_upper, *slopes, even=even, grid=grid, like=slopes[0], xp=xp), count)


def _in_rows(upper: list[Array], count: int) -> list[list[Array]]:
    """Return the rows of the upper triangle of a matrix, from one after the other."""
    upper = list(upper)
    return [[upper.pop(0) for _ in range(count - k)] for k in range(count)]


def _products(
    residual: Array, slopes: tuple[Array, ...], numbers: tuple[Array, ...], *, rows: bool, xp: Namespace
) -> tuple[Array, ...]:
    for slope, number in zip(slopes, numbers, strict=False):
        residual = residual + number * slope
    found = power(residual, xp=xp), *(xp.conj(g) * residual for g in slopes)
    return (*found, *_upper(*slopes, xp=xp)) if rows else found


def _upper(*slopes: Array, xp: Namespace) -> tuple[Array, ...]:
    return tuple([power(g, h if j else None, xp=xp) for k, g in enumerate(slopes) for j, h in enumerate(slopes[k:])])


def direct(slopes: Sequence[Sequence[Array]], scatter: Scatter, *, xp: Namespace) -> list[list[Array]]:
    """Return the first sum of J, from the correlations of the slopes, for correlated residuals."""
    axes = over_image(scatter.covariance)
    return _mirrored([[xp.sum(a * scatter.covariance, axis=axes) for a in row] for row in slopes])


def mixed(crosses: Sequence[Array], scatter: Scatter, *, xp: Namespace) -> list[list[Array]]:
    """Return the second sum of J: noise in the reference enters slopes and residual together."""
    axes = over_image(scatter.pairs)
    mixing = scatter.taper / _unfolded(scatter.pairs, xp=xp)
    turned = [xp.flip(c, axis=axes) for c in crosses]
    return _mirrored([[xp.sum(c * t * mixing, axis=axes) for t in turned[a:]] for a, c in enumerate(crosses)])


def _mirrored(upper: list[list[Array]]) -> list[list[Array]]:
    """Return a symmetric matrix from the rows of its upper triangle."""
    return [[upper[min(a, b)][abs(a - b)] for b in range(len(upper))] for a in range(len(upper))]


def score_covariance(
    products: Products, pairs: Array, grid: Sequence[int], *, xp: Namespace
) -> tuple[list[list[Array]], Array]:
    """Return J (nested list of (batch,)) and the residual variance c(0)."""
    scatter = scatter_of(products.residual, pairs, grid, xp=xp)
    sums = zip(direct(products.slopes, scatter, xp=xp), mixed(products.crosses, scatter, xp=xp), strict=True)
    return [[a + b for a, b in zip(*rows, strict=True)] for rows in sums], scatter.level


def plausible(j: Array, white: Array, *, xp: Namespace) -> Array:
    """Return J, that of white noise where it is no covariance.

    Sampled correlations of few pixels, or of rounding errors, need not be those of any noise.
    """
    possible = xp.all(xp.isfinite(inverse(j - _LEAST * white, xp=xp)), axis=(-1, -2), keepdims=True)
    return xp.where(possible, j, white)


def _unfolded(half: Array, *, xp: Namespace) -> Array:
    """Return an even correlation on all lags from its non-negative lags on the last axis."""
    return xp.concat([xp.flip(half[..., 1:], axis=over_image(half)), half], axis=-1)
