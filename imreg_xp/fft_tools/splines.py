r"""Images at coordinates of choice, each pixel its own: B-splines on a grid made finer by Fourier.

.. math:: f(x) = \sum_j c_j \prod_i \beta^5(2 x_i - j_i)

The coefficients come from the spectrum: padded with zeros to twice the grid it is divided by the transform of the
sampled B-spline, so that f is the trigonometric interpolant at every half pixel. Between them it is off by
:math:`2 [\nu / (2 - \nu)]^6` of a wave of :math:`\nu` cycles per pixel.
Derivatives are those of f, exactly. A sum over 6 x 6 coefficients per pixel, with 36 gathers.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np

from .._array import Array, Namespace, accumulator_dtype, device_of
from .._memory import pixels_per_chunk
from .._static import table
from ._dft import along, irfft, part

__all__ = ["FINER", "coefficients", "orders_of", "spline_at"]

FINER = 2  # coefficients per pixel along an axis
_DEGREE = 5
_BLOCKS = 8  # of a chunk, each of which some dozen arrays are made of
_BYTES_PER_PIXEL = 125  # of a chunk: those of a block have 1000


def _filter(n: int, half: bool) -> np.ndarray:
    """Return what turns samples on a finer axis of n into coefficients, for the modes of one axis."""
    nu = np.fft.rfftfreq(n) if half else np.fft.fftfreq(n)
    return 120 / (66 + 52 * np.cos(2 * math.pi * nu) + 2 * np.cos(4 * math.pi * nu))


def _split(n: int, half: bool) -> np.ndarray:
    """Return the weights of the modes of an axis of n pixels on a finer one: Nyquist becomes two modes."""
    nu = np.fft.rfftfreq(n) if half else np.fft.fftfreq(n)
    return np.where(2 * abs(nu) == 1.0, 0.5, 1.0)


def coefficients(spectrum: Array, shape: Sequence[int], *, xp: Namespace) -> Array:
    """Return the coefficients (batch, *finer shape) of images with this `rfftn` spectrum / N."""
    ndim = len(shape)
    finer = [FINER * n for n in shape]
    for axis, (n, more) in enumerate(zip(shape, finer, strict=True)):
        half = axis == ndim - 1
        spectrum = _padded(spectrum, axis, n, more, half, xp=xp)
        gain = table(_filter, more, half, dtype=accumulator_dtype(spectrum, xp=xp), like=spectrum, xp=xp)
        spectrum = spectrum * _laid(gain, spectrum, axis, ndim, xp=xp)
    return irfft(spectrum, finer, xp=xp)


def _laid(gain: Array, spectrum: Array, axis: int, ndim: int, *, xp: Namespace) -> Array:
    return xp.reshape(xp.astype(gain, spectrum.dtype), along(n=gain.shape[0], axis=axis, ndim=ndim))


def _padded(spectrum: Array, axis: int, n: int, more: int, half: bool, *, xp: Namespace) -> Array:
    """Continue one axis of a spectrum with zeros, from n pixels to more."""
    k = axis + 1
    if n % 2 == 0:
        weights = table(_split, n, half, dtype=accumulator_dtype(spectrum, xp=xp), like=spectrum, xp=xp)
        spectrum = spectrum * _laid(weights, spectrum, axis, spectrum.ndim - 1, xp=xp)
    low = part(spectrum, k, 0, n // 2 + 1)
    high = [] if half else [part(spectrum, k, n // 2 + n % 2, n)]
    rest = (more // 2 + 1 if half else more) - low.shape[k] - sum(x.shape[k] for x in high)
    zeros = xp.zeros((*low.shape[:k], rest, *low.shape[k + 1 :]), dtype=spectrum.dtype, device=device_of(spectrum))
    return xp.concat([low, zeros, *high], axis=k)


def _weights(t: Array, degree: int, *, xp: Namespace) -> list[Array]:
    """Return the B-splines of `degree` that are not zero at t in [0, 1) after a knot, in the order of their knots."""
    values = [xp.ones_like(t)]
    for d in range(1, degree + 1):
        values = [
            ((t + (d - k)) * values[k - 1] if k > 0 else 0.0) / d + ((k + 1 - t) * values[k] if k < d else 0.0) / d
            for k in range(d + 1)
        ]
    return values


def _differences(values: list[Array]) -> list[Array]:
    """Return the derivatives of B-splines of the next degree."""
    inner = [a - b for a, b in itertools.pairwise(values)]
    return [-values[0], *inner, values[-1]]


def _taps(x: Array, orders: int, dtype: object, *, xp: Namespace) -> tuple[Array, list[list[Array]]]:
    """Return the first coefficient along an axis, and per derivative the weights of it and of those that follow."""
    fine = FINER * x
    knot = xp.floor(fine)
    t = xp.astype(fine - knot, dtype)
    weights = [_weights(t, _DEGREE, xp=xp)]
    if orders > 1:
        weights.append([FINER * w for w in _differences(_weights(t, _DEGREE - 1, xp=xp))])
    if orders > 2:
        twice = _differences(_differences(_weights(t, _DEGREE - 2, xp=xp)))
        weights.append([FINER**2 * w for w in twice])
    return xp.astype(knot, xp.int64) - _DEGREE // 2, weights


def orders_of(ndim: int, orders: int) -> list[tuple[int, ...]]:
    """Return the derivatives that `spline_at` gives, in its order: how often along each axis."""
    if ndim == 0:
        return [()]
    return [(d, *rest) for rest in orders_of(ndim - 1, orders) for d in range(orders - sum(rest))]


def spline_at(coefs: Array, points: Sequence[Array], *, orders: int = 1, xp: Namespace) -> list[Array]:
    """Evaluate images at coordinates, continued periodically.

    Parameters
    ----------
    coefs
        (batch or 1, ...), what `coefficients` gives.
    points
        Per axis the coordinates (batch, ...), pixels, accumulator dtype, finite.
    orders
        1: values; 2: and first derivatives; 3: and second ones, per pixel.

    Returns
    -------
    Arrays (batch, ...) in the dtype of `coefs`, one per entry of ``orders_of(ndim, orders)``.
    """
    pixels = math.prod(points[0].shape)
    rows = max(1, points[0].shape[1] * pixels_per_chunk(coefs, _BYTES_PER_PIXEL, xp=xp) // (_BLOCKS * pixels))
    parts = [
        _spline_at(coefs, [part(x, 1, start, min(start + rows, x.shape[1])) for x in points], orders, xp=xp)
        for start in range(0, points[0].shape[1], rows)
    ]
    return parts[0] if len(parts) == 1 else [xp.concat(list(column), axis=1) for column in zip(*parts, strict=True)]


def _spline_at(coefs: Array, points: Sequence[Array], orders: int, *, xp: Namespace) -> list[Array]:
    shape, batch = coefs.shape[1:], points[0].shape[0]
    taps = [_taps(x, orders, coefs.dtype, xp=xp) for x in points]
    first = xp.zeros((1,) * points[0].ndim, dtype=xp.int64, device=device_of(coefs))
    if coefs.shape[0] > 1:
        first = xp.arange(batch, dtype=xp.int64, device=device_of(coefs)) * math.prod(shape)
        first = xp.reshape(first, (-1,) + (1,) * (points[0].ndim - 1))
    flat = xp.reshape(coefs, (-1,))

    def total(axis: int, base: Array) -> list[Array]:
        """Sum over the taps of this axis and those after it: one array per derivative."""
        if axis == len(shape):
            return [xp.reshape(xp.take(flat, xp.reshape(base, (-1,)), axis=0), base.shape)]
        start, weights = taps[axis]
        rest, stride = orders_of(len(shape) - 1 - axis, orders), math.prod(shape[axis + 1 :])
        sums: list[Array] = []
        for k in range(_DEGREE + 1):
            inner = total(axis + 1, base + (start + k) % shape[axis] * stride)
            terms = [weights[d][k] * v for v, r in zip(inner, rest, strict=True) for d in range(orders - sum(r))]
            sums = [a + b for a, b in zip(sums, terms, strict=True)] if sums else terms
        return sums

    return total(0, first)
