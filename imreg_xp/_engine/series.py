r"""A correlation next to a whole-pixel lag as its Taylor series: every point nearby from one pass over the spectrum.

.. math:: C(lag + x) = \sum_\nu X_\nu\, e^{2\pi i \nu \cdot (lag + x)}
          = \sum_j \frac{x^j}{j!} \sum_\nu X_\nu\, (2\pi i \nu)^j\, e^{2\pi i \nu \cdot lag}

with j one order per axis. Within 1.25 pixels of the lag it is exact to rounding: :math:`(1.25 \pi)^{28} / 28!` is
1e-13.
"""

from __future__ import annotations

import math

import numpy as np

from .._array import Array, Namespace, complex_dtype
from .._static import table
from ..fft_tools._dft import phasor
from ..fft_tools._modes import frequency
from ..fft_tools._sums import contract

__all__ = ["on_fine_grid", "series_at"]

_ORDERS = 28


def series_at(cross: Array, lag: Array, *, xp: Namespace) -> Array:
    """Return the coefficients (batch, orders, ...) at whole-pixel lags (batch, ndim), of a full spectrum."""
    columns = []
    for axis, n in enumerate(cross.shape[1:]):
        nu = table(frequency, n, False, dtype=lag.dtype, like=lag, xp=xp)
        powers = table(_powers_of_modes, n, dtype=complex_dtype(lag.dtype, xp=xp), like=lag, xp=xp)
        columns.append(phasor(nu, lag[:, axis, None], 1.0, xp=xp) * powers)
    return contract(cross, columns, xp=xp)


def on_fine_grid(series: Array, fine: int, *, xp: Namespace) -> Array:
    """Return the values up to a pixel from the lag, `fine` to the pixel."""
    return contract(series, [table(_grid, fine, dtype=series.dtype, like=series, xp=xp)] * (series.ndim - 1), xp=xp)


def _powers_of_modes(n: int) -> np.ndarray:
    """(modes, orders): (2 pi i nu)^j / j!; the Nyquist mode has no derivative."""
    nu = frequency(n, False)
    steps = 2j * math.pi * np.where(2 * np.abs(nu) == 1.0, 0.0, nu)[:, None] / np.arange(1, _ORDERS)
    return np.cumprod(np.concatenate([np.ones((n, 1)), steps], axis=1), axis=1)


def _grid(fine: int) -> np.ndarray:
    """(1, orders, points): what sums a series on a grid of `fine` points per pixel."""
    return (np.arange(-fine, fine + 1) / fine)[None, None, :] ** np.arange(_ORDERS)[None, :, None]
