r"""Images evaluated between their pixels: the trigonometric interpolant at coordinates of choice.

.. math:: f(x) = \frac{1}{N} \sum_\nu F(\nu)\, e^{2\pi i \nu \cdot x}

x in pixels; beyond the border f goes on periodically. The Nyquist mode of an even axis enters by its cosine.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from .._array import Array, Namespace, accumulator_dtype, complex_dtype, device_of
from ._dft import axes_of, contract, dft_basis, rfft

__all__ = ["as_complex", "at_points", "columns_at", "coordinates", "on_grid", "real_or_complex"]

_BLOCK = 2**24  # elements of the largest intermediate table for scattered points


def coordinates(first: float, step: float, count: int, like: Array, *, xp: Namespace) -> Array:
    """Return `count` equidistant coordinates in the accumulator dtype."""
    return xp.arange(count, dtype=accumulator_dtype(like, xp=xp), device=device_of(like)) * step + first


def columns_at(
    shape: Sequence[int],
    points: Sequence[Array],
    *,
    half: bool,
    conjugate: bool = False,
    nyquist: bool = True,
    xp: Namespace,
) -> list[Array]:
    """Return per axis the columns (1, modes, K_i) that evaluate a spectrum at the coordinates (K_i,) along it."""
    last = len(shape) - 1
    return [
        dft_basis((n,), at[None, None, :], half=half and axis == last, conjugate=conjugate, nyquist=nyquist, xp=xp)[0]
        for axis, (n, at) in enumerate(zip(shape, points, strict=True))
    ]


def as_complex(x: Array, *, xp: Namespace) -> Array:
    """Return the complex array of the precision of `x`."""
    if xp.isdtype(x.dtype, "complex floating"):
        return x
    return xp.astype(x, complex_dtype(x.dtype, xp=xp))


def real_or_complex(x: Array, *, return_real: bool, xp: Namespace) -> Array:
    """Return the real part, or a complex array."""
    if not return_real:
        return as_complex(x, xp=xp)
    return xp.real(x) if xp.isdtype(x.dtype, "complex floating") else x


def _spectrum(data: Array, ndim: int, *, xp: Namespace) -> tuple[Array, bool]:
    """Return the spectrum over N and whether it is the half of a real image."""
    n = math.prod(data.shape[data.ndim - ndim :])
    if xp.isdtype(data.dtype, "complex floating"):
        return xp.fft.fftn(data, axes=axes_of(ndim)) / n, False
    return rfft(data, ndim, xp=xp) / n, True


def on_grid(data: Array, points: Sequence[Array], *, xp: Namespace) -> Array:
    """Evaluate images (batch, n_1, ..., n_k) on the grid of the coordinates (K_i,) per axis: (batch, K_1, ..., K_k)."""
    ndim = len(points)
    if data.shape[0] == 0:
        # not every library transforms nothing
        return xp.zeros((0, *(at.shape[0] for at in points)), dtype=data.dtype, device=device_of(data))
    spectrum, half = _spectrum(data, ndim, xp=xp)
    table = contract(spectrum, columns_at(data.shape[1:], points, half=half, xp=xp), xp=xp)
    return xp.astype(xp.real(table) if half else table, data.dtype)


def at_points(data: Array, points: Sequence[Array], *, xp: Namespace) -> Array:
    """Evaluate images (batch, n_1, ..., n_k) at P scattered points, (P,) per axis: (batch, P).

    The sum over all modes at each point: N P operations.
    """
    ndim, count = len(points), points[0].shape[0]
    spectrum, half = _spectrum(data, ndim, xp=xp)
    modes = spectrum.shape[1:]
    rest = math.prod(modes[:-1])
    block = max(1, _BLOCK // max(rest * data.shape[0], modes[-1]))
    parts = []
    for start in range(0, count, block):
        columns = columns_at(data.shape[1:], [p[start : min(start + block, count)] for p in points], half=half, xp=xp)
        flat = xp.reshape(spectrum, (-1, rest, modes[-1]))
        t = xp.astype(xp.matmul(flat, xp.astype(columns[-1], spectrum.dtype)), columns[-1].dtype)
        for n, column in zip(modes[-2::-1], columns[-2::-1], strict=True):
            t = xp.reshape(t, (t.shape[0], -1, n, t.shape[-1]))
            t = xp.sum(t * column[:, None, :, :], axis=2)
        parts.append(xp.reshape(t, (t.shape[0], -1)))
    table = (
        xp.concat(parts, axis=1) if parts else xp.zeros((data.shape[0], 0), dtype=data.dtype, device=device_of(data))
    )
    return xp.astype(xp.real(table) if half else table, data.dtype)
