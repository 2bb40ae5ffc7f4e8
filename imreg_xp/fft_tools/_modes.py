r"""Tables of the modes of `rfftn`, one axis at a time.

`half` tells the last axis, of which `rfftn` keeps half. The Nyquist mode of an even axis is its own conjugate: it moves
by a cosine and has no derivative.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .._array import Array, Namespace, accumulator_dtype, complex_dtype
from .._static import table

__all__ = [
    "angular_frequencies",
    "entries",
    "falling",
    "frequencies",
    "frequency",
    "half_weights",
    "interpolation_table",
    "low_frequency",
    "mode_numbers",
    "mode_sums",
    "moment_columns",
    "moving_frequency",
    "moving_modes",
    "nyquist",
    "order_columns",
    "real_powers",
    "roots_of_unity",
    "series_factor",
    "taylor_columns",
    "units_of",
]

_REACH = 0.75  # pixels: how far from a sample an interpolant is looked at, as a rule


def frequency(n: int, half: bool) -> np.ndarray:
    """Return the frequencies of one axis, on the host."""
    return np.fft.rfftfreq(n) if half else np.fft.fftfreq(n)


def real_powers(n: int, orders: int) -> np.ndarray:
    """(orders, modes): (2 pi nu)^order / order! of a whole axis, on the host."""
    return np.real(np.transpose(_powers(n, False, orders)) / units_of(orders))


def units_of(orders: int) -> np.ndarray:
    """(orders, 1): i^order, on the host."""
    order = np.arange(orders)[:, None]
    return np.where(order % 2 == 0, 1, 1j) * np.where(order % 4 < 2, 1, -1)


def mode_numbers(n: int, half: bool) -> np.ndarray:
    """Return how many waves each mode of one axis has, on the host."""
    return np.round(n * frequency(n, half)).astype(np.int64)


def roots_of_unity(n: int) -> np.ndarray:
    """Return exp(2 pi i k / n) for k from 0 to n - 1, on the host."""
    return np.exp(2j * np.pi * (np.arange(n) / n))


def low_frequency(n: int, half: bool) -> np.ndarray:
    """Return the frequencies of one axis with the Nyquist mode at -1/2, of the half axis too, on the host."""
    return np.where(_nyquist(n, half), -0.5, frequency(n, half))


def _nyquist(n: int, half: bool) -> np.ndarray:
    return 2 * abs(frequency(n, half)) == (1.0 if n % 2 == 0 else 2.0)


def _moving(n: int, half: bool) -> np.ndarray:
    return 1.0 - _nyquist(n, half)[:, None]


def moving_frequency(n: int, half: bool) -> np.ndarray:
    """Return the frequencies of one axis with the Nyquist mode at 0, on the host."""
    return np.where(_nyquist(n, half), 0.0, frequency(n, half))


def _angular(n: int, half: bool) -> np.ndarray:
    return 2 * math.pi * moving_frequency(n, half)


def _multiplicity(n: int, cosine: bool = True) -> np.ndarray:
    single = (frequency(n, True) == 0) | (cosine & _nyquist(n, True))
    return np.where(single, 1.0, 2.0)


def _orders(n: int, half: bool, orders: int, sign: int, cosine: bool) -> np.ndarray:
    """(modes, orders, 1): (sign 2 pi i nu)^order, with the weights of the half axis."""
    omega = _angular(n, half) if cosine else 2 * math.pi * frequency(n, half)
    weight = _multiplicity(n, cosine) if half else np.ones(n)
    return ((sign * 1j * omega[:, None]) ** np.arange(orders) * weight[:, None])[..., None]


def _powers(n: int, half: bool, orders: int) -> np.ndarray:
    """(modes, orders): (2 pi i nu)^order / order!."""
    steps = _angular(n, half)[:, None] * 1j / np.arange(1, orders)
    return np.cumprod(np.concatenate([np.ones((len(steps), 1)), steps], axis=1), axis=1)


def _taylor(n: int, half: bool, orders: int) -> np.ndarray:
    """(1, modes, orders): (2 pi i nu)^order / order!, with the weights of the half axis."""
    return (_powers(n, half, orders) * (_multiplicity(n)[:, None] if half else 1.0))[None]


@functools.lru_cache(maxsize=16)
def _interpolation(n: int, orders: int, rank: int) -> tuple[np.ndarray, np.ndarray]:
    """(n, rank) and (rank, orders): factors of the Taylor coefficients at pixels 0 ... n - 1 of a 1 at pixel 0.

    Next to a pixel interpolants have few degrees of freedom: these are the best of that rank for |x| below `_REACH`.
    """
    weight = _REACH ** np.arange(orders)
    period = np.fft.irfft(_powers(n, True, orders), n, axis=0)
    u, s, v = np.linalg.svd(period * weight, full_matrices=False)
    return u[:, :rank], s[:rank, None] * v[:rank] / weight


def _samples(n: int, orders: int, rank: int, rank_first: bool) -> np.ndarray:
    """(2 n, rank) or (rank, 2 n): the first factor for two periods."""
    both = np.concatenate([_interpolation(n, orders, rank)[0]] * 2)
    return np.transpose(both).copy() if rank_first else both


def series_factor(n: int, orders: int, rank: int) -> np.ndarray:
    """(rank, orders): what makes Taylor coefficients of the sums with an `interpolation_table`, on the host."""
    return _interpolation(n, orders, rank)[1]


def _moments(n: int, half: bool, twice: bool) -> np.ndarray:
    """(1, modes, 3): 1, omega and omega^2 with the weights of the half axis, each `twice` if need be."""
    columns = _angular(n, half)[:, None] ** np.arange(3)
    columns = columns * (_multiplicity(n)[:, None] if half else 1.0)
    return (np.repeat(columns, 2, axis=0) if twice else columns)[None]


def _sums(shape: tuple[int, ...]) -> np.ndarray:
    """(1, ndim, ndim): the sum of (2 pi nu)(2 pi nu)^T over all modes; odd terms cancel."""
    return np.diag([math.prod(shape) / n * np.sum(_angular(n, False) ** 2) for n in shape])[None]


def _axes(shape: Sequence[int]) -> list[tuple[int, bool]]:
    return [(n, axis == len(shape) - 1) for axis, n in enumerate(shape)]


def frequencies(shape: Sequence[int], like: Array, *, xp: Namespace) -> list[Array]:
    """Return per axis the frequencies (cycles/pixel) of `rfftn`: full axes, then the half axis."""
    dtype = accumulator_dtype(like, xp=xp)
    return [table(frequency, *axis, dtype=dtype, like=like, xp=xp) for axis in _axes(shape)]


def angular_frequencies(shape: Sequence[int], like: Array, *, xp: Namespace) -> list[Array]:
    r"""Return per axis :math:`2\pi\nu` with 0 at Nyquist: the multiplier, up to i, of the spectral derivative."""
    dtype = accumulator_dtype(like, xp=xp)
    return [table(_angular, *axis, dtype=dtype, like=like, xp=xp) for axis in _axes(shape)]


def nyquist(n: int, half: bool, like: Array, *, xp: Namespace) -> Array:
    """Return which modes of an axis are at Nyquist."""
    return table(_nyquist, n, half, dtype=xp.bool, like=like, xp=xp)


def moving_modes(n: int, half: bool, like: Array, *, xp: Namespace) -> Array:
    """Return 0 for modes at Nyquist and 1 for others, (modes, 1)."""
    return table(_moving, n, half, dtype=accumulator_dtype(like, xp=xp), like=like, xp=xp)


def half_weights(shape: Sequence[int], like: Array, *, xp: Namespace) -> Array:
    """Return the multiplicity (1 or 2) of each mode along the half axis of `rfftn`."""
    return table(_multiplicity, shape[-1], dtype=accumulator_dtype(like, xp=xp), like=like, xp=xp)


def order_columns(
    n: int, like: Array, *, half: bool, orders: int, conjugate: bool, cosine: bool, xp: Namespace
) -> Array:
    r"""Return (modes, orders, 1): what derivatives multiply :math:`e^{\pm 2\pi i\nu x}` by; `cosine` at Nyquist."""
    dtype = complex_dtype(accumulator_dtype(like, xp=xp), xp=xp)
    return table(_orders, n, half, orders, -1 if conjugate else 1, cosine, dtype=dtype, like=like, xp=xp)


def interpolation_table(
    n: int, orders: int, rank: int, dtype: object, like: Array, *, rank_first: bool, xp: Namespace
) -> Array:
    r"""Return what sums samples to all that is needed of their interpolant near a pixel, (2 n, rank) or (rank, 2 n).

    The Taylor coefficients at x from 0 to 2 n - 1 of the interpolant of a 1 at pixel 0,
    :math:`\frac{1}{n} \sum_\nu (2\pi i\nu)^j e^{2\pi i\nu x} / j!`, are the product of this and `series_factor`; the
    second period is there so that x may be a difference of indices plus n.
    """
    return table(_samples, n, orders, rank, rank_first, dtype=dtype, like=like, xp=xp)


def taylor_columns(shape: Sequence[int], orders: int, like: Array, *, dtype: Any = None, xp: Namespace) -> list[Array]:
    r"""Return per axis (1, modes, orders): :math:`(2\pi i\nu)^j / j!`, with the weights of the half axis.

    Those of the last axis are of the precision of `like`, if no complex dtype is given for all.
    """
    acc = dtype or complex_dtype(accumulator_dtype(like, xp=xp), xp=xp)
    own = dtype or complex_dtype(like.dtype, xp=xp)
    return [table(_taylor, n, half, orders, dtype=own if half else acc, like=like, xp=xp) for n, half in _axes(shape)]


def moment_columns(shape: Sequence[int], like: Array, *, parts: bool = False, xp: Namespace) -> list[Array]:
    r"""Return per axis (1, modes, 3): powers 0, 1 and 2 of :math:`2\pi\nu`, with the weights of the half axis.

    With `parts` for modes whose real and imaginary parts lie in turn along the half axis. Those of the last axis are in
    the dtype of the image.
    """
    acc = accumulator_dtype(like, xp=xp)
    return [
        table(_moments, n, half, parts and half, dtype=like.dtype if half else acc, like=like, xp=xp)
        for n, half in _axes(shape)
    ]


def mode_sums(shape: Sequence[int], like: Array, *, xp: Namespace) -> Array:
    r"""Return the sum of :math:`(2\pi\nu)(2\pi\nu)^T` over all modes, (1, ndim, ndim)."""
    return table(_sums, tuple(shape), dtype=accumulator_dtype(like, xp=xp), like=like, xp=xp)


def entries(ndim: int) -> np.ndarray:
    """Return where a flat table of 3 orders per axis holds the first, then the second derivatives, on the host."""
    unit = 3 ** np.arange(ndim - 1, -1, -1)
    return np.concatenate([unit, np.add.outer(unit, unit).ravel()])


def falling(orders: int, which: str) -> np.ndarray:
    """(orders, 3): factor or power of x in the k-th derivative of x^j, j! / (j - k)! x^(j - k), on the host."""
    j = np.arange(orders)[:, None]
    return (
        np.concatenate([np.ones_like(j), j, j * (j - 1)], axis=1)
        if which == "factor"
        else np.maximum(j - np.arange(3), 0)
    )
