"""Small symmetric systems, many at a time, without exceptions.

`linalg.inv` raises on one singular matrix in a batch on some libraries, returns garbage on others and does not
broadcast on CuPy. Elimination on (..., K, K) arrays with K <= 6 is a few vectorised steps and turns a singular item
into NaN.
"""

from __future__ import annotations

import math

import numpy as np

from .._array import Array, Namespace, device_of
from .._kernels import per_item
from .._static import table

__all__ = ["ascent", "inverse", "symmetric", "trace"]


@per_item
def inverse(a: Array, *, xp: Namespace) -> Array:
    """Invert matrices (batch, ..., K, K) with positive leading minors by Gauss-Jordan elimination, others to NaN.

    Rows and columns are scaled to a unit diagonal first, so units do not matter; a pivot below the rounding error of
    the elimination counts as singular.
    """
    k = a.shape[-1]
    if k <= 2:
        return _small_inverse(a, xp=xp)
    unit = xp.eye(k, dtype=a.dtype, device=device_of(a))
    diagonal = xp.sum(a * unit, axis=-1)
    bad = ~(diagonal > 0)
    scale = 1 / xp.sqrt(xp.where(bad, xp.ones_like(diagonal), diagonal))
    outer = scale[..., :, None] * scale[..., None, :]
    m = xp.concat([a * outer, xp.broadcast_to(unit, a.shape)], axis=-1)
    bad = xp.any(bad, axis=-1)
    tiny = 16 * k * xp.finfo(a.dtype).eps
    for i in range(k):
        pivot = m[..., i : i + 1, i : i + 1]
        bad = bad | ~(pivot[..., 0, 0] > tiny)
        row = m[..., i : i + 1, :] / xp.where(pivot > tiny, pivot, xp.ones_like(pivot))
        here = unit[:, i : i + 1]
        m = xp.where(here > 0, row, m - m[..., :, i : i + 1] * row)
    return xp.where(bad[..., None, None], xp.full_like(outer, math.nan), m[..., k:] * outer)


def _small_inverse(a: Array, *, xp: Namespace) -> Array:
    """Invert matrices (..., K, K), K <= 2, by the formula: a third of the operations."""
    p = a[..., :1, :1]
    if a.shape[-1] == 1:
        return 1 / xp.where(p > 0, p, math.nan)
    product = p * a[..., 1:, 1:]
    determinant = product - a[..., :1, 1:] * a[..., 1:, :1]
    # with p positive and p q not, the determinant of a symmetric matrix is not above the bound
    regular = (p > 0) & (determinant > 32 * xp.finfo(a.dtype).eps * product)
    adjugate = table(_signs, dtype=a.dtype, like=a, xp=xp) * xp.flip(xp.matrix_transpose(a), axis=(-2, -1))
    return adjugate / xp.where(regular, determinant, math.nan)


def _signs() -> np.ndarray:
    return 2 * np.eye(2) - 1


def ascent(slope: Array, bend: Array, *, xp: Namespace) -> Array:
    """Return Newton's step :math:`-H^{-1} g` (batch, K) to a maximum, for g (batch, K) and H (batch, K, K).

    In two dimensions nobody looks whether there is a maximum.
    """
    if slope.shape[-1] != 2:
        return xp.matmul(inverse(-bend, xp=xp), slope[..., None])[..., 0]
    entries = xp.reshape(bend, (-1, 4))
    diagonal, off = entries[:, ::3], entries[:, 1:2]
    determinant = diagonal[:, :1] * diagonal[:, 1:] - off * off
    step = off * xp.flip(slope, axis=-1) - xp.flip(diagonal, axis=-1) * slope
    return step / xp.where(determinant != 0, determinant, math.nan)


def trace(a: Array) -> Array:
    """Return the traces (...) of matrices (..., K, K)."""
    first, *rest = (a[..., i, i] for i in range(a.shape[-1]))
    return sum(rest, start=first)


def symmetric(rows: list[list[Array]], *, xp: Namespace) -> Array:
    """Stack a nested list of (...) arrays into (..., K, L) matrices."""
    return xp.stack([xp.stack(row, axis=-1) for row in rows], axis=-2)
