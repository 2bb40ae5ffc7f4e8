r"""The maximum of a periodic map between its samples, by the map and, where that is in single precision, by its modes.

The trigonometric interpolant of a map of real samples is, next to a whole pixel p, its Taylor polynomial

.. math:: C(p + x) = \sum_{jk} T_{jk}\, x_0^j x_1^k, \qquad T = A^{(0)T} \mathrm{map}\, A^{(1)}

with the columns A of each axis a piece of a table that depends on its length alone: one product of real matrices gives
the whole neighbourhood. The terms die out as :math:`(\pi x)^j / j!`, and A is the product of a table with fewer columns
and a small one. The Taylor polynomial of the modes at the point found needs few terms, that at p fourteen: what the
next ones hold is, to rounding, in these. With noise the maximum may be more than a pixel from p: waves near the highest
frequency are then known to 1e-5 (at 1.25 pixels).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.polynomial import chebyshev

from .._array import Array, Namespace, accumulator_dtype, complex_dtype
from .._bounds import bounded
from .._kernels import Lookup, per_item
from .._static import table
from .._sums import largest
from ..fft_tools._dft import taylor_basis
from ..fft_tools._modes import interpolation_table, series_factor
from ..fft_tools._sums import contract, contract_at_pixels, derivative, slopes_and_bends, taylor_sums
from ._linalg import ascent
from .problem import column

__all__ = ["Nearby", "Peak", "highest", "nearby", "polished", "refined"]

_Maker = Callable[..., np.ndarray]

_REACH = 1.0  # pixels around the whole-pixel peak that are looked at
_FINE = 16  # samples per pixel of the local grid, in three dimensions half of it
# Taylor coefficients per axis of a map (to 1e-6 and 1e-8 a pixel away), what they are made of, and steps, by its bits
_ON_MAP = {32: (16, 12, 1), 64: (20, 14, 3)}
_BY_MODES = {32: 4, 64: 6}  # coefficients next to a maximum that is known but for a step, by the bits of the modes
_STEPS = 2  # from there
_NEARBY, _ORDERS = 14, 18  # coefficients next to a pixel, and to how many they are continued: to 2e-7 a pixel away
_STEPS_NEARBY = 3


class Peak(NamedTuple):
    """Maximum of C: offset (batch, ndim) and last step, and C (batch,) and minus its Hessian there."""

    offset: Array
    step: Array
    value: Array
    hessian: Array


class Nearby(NamedTuple):
    """C next to where it is largest: Taylor coefficients (batch, orders, ...) at a whole pixel (batch, ndim).

    They are still to be divided by a `unit` (batch,), if any.
    """

    taylor: Array
    lag: Array
    unit: Array | None


def refined(values: Array, index: Array, lag: Array, unit: Array | None, *, xp: Namespace) -> Peak:
    """Return the maximum of the interpolant of maps (batch, ...) next to the pixel `index` (batch, ndim), at `lag`.

    Maps are still to be divided by their `unit` (batch,), if any. In double precision it is exact to rounding.

    The best of a grid comes first: from the whole-pixel peak Newton's method diverges in one of ten shallow spectra,
    from there it was not seen to.
    """
    orders, rank, steps = _ON_MAP[min(xp.finfo(values.dtype).bits, 64)]
    return _best(_coefficients(values, index, orders, rank, xp=xp), lag, unit, steps=steps, xp=xp)


def nearby(
    spectrum: Array, lag: Array, shape: Sequence[int], unit: Array | None, *, keep: bool = True, xp: Namespace
) -> Nearby:
    """Return what the modes of maps in single precision, which `unit` (batch,) is to divide, say next to a pixel.

    They may be written over if they need not be kept.
    """
    acc = complex_dtype(lag.dtype, xp=xp)
    sums = contract_at_pixels(spectrum, lag, shape, _NEARBY, keep=keep, dtype=acc, xp=xp)
    return Nearby(xp.real(sums), lag, unit)


def highest(found: Nearby | Peak, *, xp: Namespace) -> Peak:
    """Return the maximum next to a pixel, if it is not known yet."""
    if isinstance(found, Peak):
        return found
    taylor, ndim = found.taylor, found.lag.shape[1]
    taylor = _by_tables(taylor, _continued, [(_NEARBY, _ORDERS)] * ndim, dtype=taylor.dtype, xp=xp)
    return _best(taylor, found.lag, found.unit, steps=_STEPS_NEARBY, xp=xp)


def _best(taylor: Array, lag: Array, unit: Array | None, *, steps: int, xp: Namespace) -> Peak:
    """Return the maximum of Taylor series about `lag`, whose first axis is the last: the best of a grid, and steps."""
    ndim, orders = lag.shape[1], taylor.shape[-1]
    taylor = taylor if unit is None else taylor / column(unit, taylor, xp=xp)
    grid = _by_tables(taylor, _powers, [(ndim, orders)] * ndim, dtype=taylor.dtype, xp=xp)
    best = largest(xp.reshape(grid, (grid.shape[0], -1)), xp=xp)
    points = table(_points, ndim, dtype=taylor.dtype, like=taylor, xp=xp)
    taylor = xp.permute_dims(taylor, (0, ndim, *range(1, ndim)))
    return _climbed(taylor, lag, None, Lookup(points), best, steps=steps, xp=xp)


def polished(
    lag: Array, offset: Array, spectrum: Array, shape: Sequence[int], unit: Array | None, *, xp: Namespace
) -> Peak:
    """Return the maximum next to `offset` (batch, ndim), by the modes themselves, which `unit` (batch,) is to divide.

    It is near the whole pixel `lag`.

    Rounding errors are those of the highest value all over a map, which moves the maximum of one that is broad and flat
    by more than its noise does. Those of a sum over the modes are as small as its terms: the strong modes of least
    frequency hardly count in the slope.
    """
    bits, acc = xp.finfo(spectrum.dtype).bits, complex_dtype(lag.dtype, xp=xp)
    columns = taylor_basis(shape, lag, offset, _BY_MODES[bits], dtype=spectrum.dtype, xp=xp)
    taylor = xp.real(contract(spectrum, columns, dtype=acc, xp=xp))
    taylor = taylor if unit is None else taylor / column(unit, taylor, xp=xp)
    return _climbed(taylor, lag, offset, steps=_STEPS, xp=xp)


@per_item
def _climbed(
    taylor: Array,
    lag: Array,
    about: Array | None,
    points: Lookup | None = None,
    best: Array | None = None,
    *,
    steps: int,
    xp: Namespace,
) -> Peak:
    """Take some Newton steps up a Taylor series about `about` or else `lag` (batch, ndim), from one of some points."""
    x = xp.zeros_like(lag) if points is None else points.at(best, xp=xp)
    for _ in range(steps):
        peak = _stepped(x, taylor_sums(taylor, x, xp=xp), xp=xp)
        x = peak.offset
    return peak._replace(offset=lag + (x if about is None else about - lag + x))


def _stepped(offset: Array, here: Array, *, xp: Namespace) -> Peak:
    """Take a Newton step, given all derivatives at an offset.

    Value and curvature are those before it: the last one is small or no convergence.
    """
    slope, bend = slopes_and_bends(here, xp=xp)
    step = ascent(slope, bend, xp=xp)
    step = bounded(step, -0.25, 0.25, xp=xp)
    return Peak(offset + step, step, derivative(here), -bend)


def _coefficients(values: Array, index: Array, orders: int, rank: int, *, xp: Namespace) -> Array:
    """Return the Taylor coefficients (batch, orders, ..., orders) at a pixel, in the accumulator dtype.

    The first axis is the last. The long sums are in the dtype of the maps.
    """
    shape = tuple(values.shape[1:])
    last = len(shape) - 1
    sums, series = [], []
    for axis, n in enumerate(shape):
        kept = min(rank, n)
        samples = interpolation_table(n, orders, kept, values.dtype, values, rank_first=axis < last, xp=xp)
        away = table(_differences, n, kept if axis < last else 1, dtype=index.dtype, like=index, xp=xp)
        samples = samples if axis == last else xp.reshape(samples, (-1,))
        found = _looked_up(Lookup(samples), index[:, axis, None], away, xp=xp)
        sums.append(found if axis == last else xp.matrix_transpose(xp.reshape(found, (-1, kept, n))))
        series.append((n, orders, kept))
    acc = accumulator_dtype(values, xp=xp)
    return _by_tables(contract(values, sums, xp=xp), series_factor, series, dtype=acc, xp=xp)


@per_item(lead=2)
def _looked_up(samples: Lookup, index: Array, away: Array, *, xp: Namespace) -> Array:
    """Return the rows of a table for pixels that are as far `away` (1, m) from an index (batch, 1)."""
    return samples.at(index + away, xp=xp)


def _differences(n: int, rank: int) -> np.ndarray:
    """(1, rank n): where in each row of a table (rank, 2 n) the entry of pixel x is for an index of 0."""
    return (2 * n * np.arange(rank)[:, None] + (n - np.arange(n))).reshape(1, -1)


def _by_tables(values: Array, make: _Maker, args: Sequence[tuple[int, ...]], *, dtype: Any, xp: Namespace) -> Array:
    """Sum each axis of (batch, n_1, ..., n_k) with a table (n_i, m_i), the last first: (batch, m_2, ..., m_k, m_1).

    The tables are those that a function of the host makes of the arguments for each axis; the sums are in a `dtype`.
    """
    ndim = values.ndim - 1
    for axis in range(ndim - 1, -1, -1):
        if axis < ndim - 1:
            values = xp.permute_dims(values, (0, ndim, *range(1, ndim)))
        values = _BY_TABLE[ndim](values, make, args[axis], dtype, xp=xp)
    return values


def _by_table(values: Array, make: _Maker, args: tuple[int, ...], dtype: Any, *, xp: Namespace) -> Array:
    values = xp.astype(values, dtype, copy=False)
    made = table(make, *args, dtype=values.dtype, like=values, xp=xp)
    if isinstance(values, np.ndarray):
        # the last bits of a product depend on how large it is: each item has its own
        return np.matmul(values[:, None, :], made)[:, 0, :] if values.ndim == 2 else np.matmul(values, made)
    flat = xp.matmul(xp.reshape(values, (-1, values.shape[-1])), made)
    return xp.reshape(flat, (*values.shape[:-1], flat.shape[1]))


_BY_TABLE = {ndim: per_item(_by_table, lead=ndim) for ndim in (1, 2, 3)}


def _continued(orders: int, more: int) -> np.ndarray:
    """(orders, more): Taylor coefficients of waves of up to half a cycle per pixel, continued by sums of these.

    They are powers of the frequency, and the next one is, but for Chebyshev polynomials of high degree in it, a sum of
    lower ones (economization of power series).
    """
    columns = [*np.eye(orders)]
    for j in range(orders, more):
        lower = chebyshev.cheb2poly(chebyshev.poly2cheb(np.eye(j + 1)[j])[:orders])
        # z^j is the sum of lower_k z^k, the coefficient (i pi z)^j / j!, and j - k even
        k = np.arange(orders)
        share = np.append(lower, np.zeros(orders - len(lower))) * (-1.0) ** ((j - k) // 2) * math.pi ** (j - k)
        columns.append(share / [math.perm(j, j - a) for a in range(orders)])
    return np.stack(columns, axis=1)


def _grid(ndim: int) -> np.ndarray:
    fine = _FINE if ndim < 3 else _FINE // 2
    count = round(fine * _REACH)
    return np.arange(-count, count + 1) / fine


def _powers(ndim: int, orders: int) -> np.ndarray:
    """(orders, points along an axis): what sums a Taylor series on the grid."""
    return _grid(ndim)[None, :] ** np.arange(orders)[:, None]


def _points(ndim: int) -> np.ndarray:
    """(points, ndim): the coordinates of the grid, which went through `_by_tables` twice."""
    axes = np.meshgrid(*[_grid(ndim)] * ndim, indexing="ij")
    return np.stack([np.transpose(a, np.roll(range(ndim), -2)).ravel() for a in axes], axis=-1)
