r"""Matrices that evaluate images and spectra between their samples, one axis at a time.

The trigonometric interpolant of an image f, at the coordinate x in pixels, is its sum with a kernel that is real:

.. math:: f(x) = \frac{1}{n} \sum_\nu F(\nu)\, e^{2\pi i \nu x} = \sum_p f_p\, D_n(x - p), \qquad
          D_n(t) = \frac{\sin \pi t}{n \tan(\pi t / n)} \ (n\ \text{even}),\quad
          \frac{\sin \pi t}{n \sin(\pi t / n)} \ (n\ \text{odd})

Beyond the border f goes on periodically. The Nyquist mode of an even axis enters by its cosine.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from .._array import Array, Namespace, accumulator_dtype, device_of
from .._static import table
from ._dft import turns

__all__ = ["Line", "along_axis", "coordinates", "cosine_and_sine", "interpolation", "is_small", "waves"]

_SMALL = 2**12  # elements of matrices that are kept: made anew they take longer than their products
_NOWHERE = 2.0**-100  # pixels; next to it whole pixels have no other neighbour, and 0 / 0 is 1


class Line(NamedTuple):
    """Equidistant coordinates along one axis."""

    first: float
    step: float
    samples: int

    @property
    def shape(self) -> tuple[int]:
        """Shape of its array."""
        return (self.samples,)


def coordinates(line: Line, like: Array, *, xp: Namespace) -> Array:
    """Return a line as an array in the accumulator dtype."""
    samples = xp.arange(line.samples, dtype=accumulator_dtype(like, xp=xp), device=device_of(like))
    return samples * line.step + line.first


def is_small(n: int, line: Line) -> bool:
    """Tell whether matrices between n samples and a line are kept."""
    return n * line.samples <= _SMALL


def interpolation(n: int, points: Array | Line, like: Array, *, xp: Namespace) -> Array:
    """Return D(x - p), (points, pixels), at coordinates (K,) or on a line, for images `like` these."""
    if not isinstance(points, Line):
        return xp.astype(_kernel(n, points, xp=xp), like.dtype, copy=False)
    if is_small(n, points):
        return table(_kernel_on_host, n, points, dtype=like.dtype, like=like, xp=xp)
    return xp.astype(_kernel(n, coordinates(points, like, xp=xp), xp=xp), like.dtype, copy=False)


def _kernel_on_host(n: int, line: Line) -> np.ndarray:
    return _kernel(n, _on_host(line), xp=np)


def _on_host(line: Line) -> np.ndarray:
    return np.arange(line.samples) * line.step + line.first


def _pixels(n: int, signs: bool) -> np.ndarray:
    """(n,): the pixels, or their parities as signs."""
    return 1.0 - 2.0 * (np.arange(n) % 2) if signs else np.arange(n)


def _kernel(n: int, at: Array, *, xp: Namespace) -> Array:
    """Return D(x - p), (points, pixels): the whole pixels of the distance first, which are exact."""
    p, sign = (table(_pixels, n, signs, dtype=at.dtype, like=at, xp=xp) for signs in (False, True))
    nearest = xp.round(at)
    rest = at - nearest
    rest = xp.where(rest == 0, _NOWHERE, rest)
    nearest = nearest - n * xp.floor(nearest / n)
    sine = xp.sin(math.pi * rest) * (1 - 2 * (nearest % 2)) / n
    distance = nearest[:, None] - p
    periods = xp.round(distance * (1 / n))
    distance = distance - n * periods + rest[:, None]
    if n % 2 == 0:
        return sine[:, None] * sign / xp.tan(distance * (math.pi / n))
    half = xp.tan(distance * (math.pi / (2 * n)))
    # 1 / sin by the half angle; a period more changes its sign
    return sine[:, None] * sign * (0.5 - periods * periods) * (half + 1 / half)


def along_axis(axis: int, matrix: Array, x: Array, *, xp: Namespace) -> Array:
    """Multiply `x` by a matrix (K, n) along one axis."""
    before, after = x.shape[:axis], x.shape[axis + 1 :]
    if after:
        result = xp.matmul(matrix, xp.reshape(x, (math.prod(before), x.shape[axis], math.prod(after))))
    else:
        result = xp.matmul(xp.reshape(x, (math.prod(before), x.shape[axis])), xp.matrix_transpose(matrix))
    return xp.reshape(result, (*before, matrix.shape[0], *after))


def waves(n: int, line: Line, like: Array, *, xp: Namespace) -> Array:
    """Return e^(-2 pi i x k / n), (points, modes), k counted as frequencies, in the dtype of `like`; it is kept."""
    return table(_waves, n, line, dtype=like.dtype, like=like, xp=xp)


def _waves(n: int, line: Line) -> np.ndarray:
    phase = np.multiply.outer(_on_host(line), np.fft.fftfreq(n))
    return np.exp(-2j * math.pi * (phase - np.round(phase)))


def cosine_and_sine(n: int, at: Array, *, xp: Namespace) -> tuple[Array, Array]:
    """Return cos and sin of 2 pi x k / n, (points, modes), k from 0 to n // 2, by the tangent of half the angle."""
    k = table(_half_frequency, n, dtype=at.dtype, like=at, xp=xp)
    tangent = xp.tan(math.pi * turns(at[:, None], k, xp=xp))
    double = 2 / (1 + tangent * tangent)
    return double - 1, tangent * double


def _half_frequency(n: int) -> np.ndarray:
    return np.arange(n // 2 + 1) / n
