r"""The maximum of a periodic map between its samples, by the map and, where that is in single precision, by its modes.

The trigonometric interpolant of a map of real samples is, next to a whole pixel p, its Taylor polynomial

.. math:: C(p + x) = \sum_{jk} T_{jk}\, x_0^j x_1^k, \qquad T = A^{(0)T} \mathrm{map}\, A^{(1)}

with the columns A of each axis a piece of a table that depends on its length alone: one product of real matrices gives
the whole neighbourhood. The terms die out as :math:`(\pi x)^j / j!`, and A is the product of a table with fewer columns
and a small one. The Taylor polynomial of the modes at the point found needs few terms.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .._array import Array, Namespace, accumulator_dtype
from .._providers import largest
from .._static import table
from ..fft_tools._dft import contract, derivative, slopes_and_bends, taylor_basis, taylor_sums
from ..fft_tools._modes import interpolation_table, series_table
from ._linalg import ascent
from .problem import column

__all__ = ["Peak", "polished", "refined"]

_REACH = 1.0  # pixels around the whole-pixel peak that are looked at
_FINE = 16  # samples per pixel of the local grid, in three dimensions half of it
# Taylor coefficients per axis of a map (to 1e-6 and 1e-8 a pixel away), what they are made of, and steps, by its bits
_ON_MAP = {32: (16, 12, 1), 64: (20, 14, 3)}
_BY_MODES = {32: 4, 64: 6}  # coefficients next to a maximum that is known but for a step, by the bits of the modes
_STEPS = 2  # from there


class Peak(NamedTuple):
    """Maximum of C: offset (batch, ndim) and last step, and C (batch,) and minus its Hessian there."""

    offset: Array
    step: Array
    value: Array
    hessian: Array


def refined(values: Array, index: Array, lag: Array, unit: Array | None, *, xp: Namespace) -> Peak:
    """Return the maximum of the interpolant of maps (batch, ...) next to the pixel `index` (batch, ndim), at `lag`.

    Maps are still to be divided by their `unit` (batch,), if any. In double precision it is exact to rounding.

    The best of a grid comes first: from the whole-pixel peak Newton's method diverges in one of ten shallow spectra,
    from there it was not seen to.
    """
    ndim = index.shape[1]
    orders, rank, steps = _ON_MAP[min(xp.finfo(values.dtype).bits, 64)]
    taylor = _coefficients(values, index, orders, rank, xp=xp)
    taylor = taylor if unit is None else taylor / column(unit, taylor, xp=xp)
    kept = functools.partial(table, dtype=taylor.dtype, like=taylor, xp=xp)
    best = largest(_on_grid(taylor, kept(_powers, ndim, orders), xp=xp), xp=xp)
    peak = _climbed(taylor, xp.take(kept(_points, ndim), best, axis=0), steps, xp=xp)
    return peak._replace(offset=lag + peak.offset)


def polished(lag: Array, x: Array, spectrum: Array, shape: Sequence[int], unit: Array | None, *, xp: Namespace) -> Peak:
    """Return the maximum next to lag + x (batch, ndim), by the modes themselves, which `unit` (batch,) is to divide.

    Rounding errors are those of the highest value all over a map, which moves the maximum of one that is broad and flat
    by more than its noise does. Those of a sum over the modes are as small as its terms: the strong modes of least
    frequency hardly count in the slope.
    """
    columns = taylor_basis(shape, lag, x, _BY_MODES[xp.finfo(spectrum.dtype).bits], dtype=spectrum.dtype, xp=xp)
    taylor = xp.real(contract(spectrum, columns, xp=xp))
    taylor = taylor if unit is None else taylor / column(unit, taylor, xp=xp)
    peak = _climbed(taylor, xp.zeros_like(x), _STEPS, xp=xp)
    return peak._replace(offset=lag + (x + peak.offset))


def _climbed(taylor: Array, x: Array, steps: int, *, xp: Namespace) -> Peak:
    """Take some Newton steps up a Taylor series from x (batch, ndim)."""
    for _ in range(steps):
        peak = _stepped(x, taylor_sums(taylor, x, xp=xp), xp=xp)
        x = peak.offset
    return peak


def _stepped(offset: Array, here: Array, *, xp: Namespace) -> Peak:
    """Take a Newton step, given all derivatives at an offset.

    Value and curvature are those before it: the last one is small or no convergence.
    """
    slope, bend = slopes_and_bends(here, xp=xp)
    step = ascent(slope, bend, xp=xp)
    step = xp.minimum(xp.maximum(step, -0.25), 0.25)
    return Peak(offset + step, step, derivative(here), -bend)


def _coefficients(values: Array, index: Array, orders: int, rank: int, *, xp: Namespace) -> Array:
    """Return the Taylor coefficients (batch, orders, ..., orders) at a pixel, in the accumulator dtype.

    The long sums, over the last axis, are in the dtype of the maps.
    """
    shape = tuple(values.shape[1:])
    acc, last = accumulator_dtype(values, xp=xp), len(shape) - 1
    sums, series = [], []
    for axis, n in enumerate(shape):
        kept = min(rank, n)
        dtype = values.dtype if axis == last else acc
        samples = interpolation_table(n, orders, kept, dtype, values, rank_first=axis < last, xp=xp)
        away = table(_differences, n, kept if axis < last else 1, dtype=index.dtype, like=index, xp=xp)
        at = xp.reshape(index[:, axis, None] + away, (-1,))
        if axis == last:
            sums.append(xp.reshape(xp.take(samples, at, axis=0), (-1, n, kept)))
        else:
            sums.append(xp.matrix_transpose(xp.reshape(xp.take(xp.reshape(samples, (-1,)), at), (-1, kept, n))))
        series.append(series_table(n, orders, kept, acc, values, xp=xp))
    return contract(contract(values, sums, xp=xp, dtype=acc), series, xp=xp)


def _differences(n: int, rank: int) -> np.ndarray:
    """(1, rank n): where in each row of a table (rank, 2 n) the entry of pixel x is for an index of 0."""
    return (2 * n * np.arange(rank)[:, None] + (n - np.arange(n))).reshape(1, -1)


def _on_grid(taylor: Array, powers: Array, *, xp: Namespace) -> Array:
    """Return the values on the grid, (batch, points), points in the order of `_points`."""
    batch, orders = taylor.shape[:2]
    ndim = taylor.ndim - 1
    for axis in range(ndim):
        if axis:
            taylor = xp.permute_dims(taylor, (0, ndim, *range(1, ndim)))
        sizes = taylor.shape[:-1]
        taylor = xp.reshape(xp.matmul(xp.reshape(taylor, (-1, orders)), powers), (*sizes, powers.shape[1]))
    return xp.reshape(taylor, (batch, -1))


def _grid(ndim: int) -> np.ndarray:
    fine = _FINE if ndim < 3 else _FINE // 2
    count = round(fine * _REACH)
    return np.arange(-count, count + 1) / fine


def _powers(ndim: int, orders: int) -> np.ndarray:
    """(orders, points along an axis): what sums a Taylor series on the grid."""
    return _grid(ndim)[None, :] ** np.arange(orders)[:, None]


def _points(ndim: int) -> np.ndarray:
    """(points, ndim): the coordinates of the grid; the first axis runs fastest, then the last to the second."""
    axes = np.meshgrid(*[_grid(ndim)] * ndim, indexing="ij")
    return np.stack([np.moveaxis(a, 0, -1).ravel() for a in axes], axis=-1)
