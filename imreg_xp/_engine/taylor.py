"""The peak of a map sampled on whole pixels, by a parabola through its neighbours."""

from __future__ import annotations

import functools
import itertools
import math

import numpy as np

from .._array import Array, Namespace, accumulator_dtype
from .._bounds import bounded
from .._static import table
from ..fft_tools._dft import along, fourier_translate, rfft
from ..fft_tools._modes import angular_frequencies, half_weights
from ._linalg import inverse, symmetric
from .lattice import Lattice
from .peaks import argmax, take_at
from .problem import over_image

__all__ = ["patch_at", "taylor_covariance", "taylor_peak"]


def taylor_peak(values: Array, allowed: Array | None, *, xp: Namespace) -> tuple[Array, Array, Array]:
    r"""Return the index (batch, ndim) of the largest allowed sample, the step from it to the peak, and -H.

    The second-order Taylor expansion has its maximum at :math:`-H^{-1} g`, with central differences for g and H, no
    further than a pixel away. Beyond the border the map goes on periodically.
    """
    ndim = values.ndim - 1
    index = argmax(values if allowed is None else xp.where(allowed, values, -math.inf), xp=xp)
    around = xp.reshape(patch_at(values, index, (1,) * ndim, xp=xp), (-1, 3**ndim))
    differences = table(_differences, ndim, dtype=around.dtype, like=around, xp=xp)
    # from the largest sample: the level takes no digits
    found = xp.matmul(around - around[:, 3**ndim // 2, None], differences)
    slope, hessian = found[:, :ndim], xp.reshape(found[:, ndim:], (-1, ndim, ndim))
    step = xp.matmul(inverse(hessian, xp=xp), slope[..., None])[..., 0]
    usable = xp.all(xp.isfinite(step), axis=-1, keepdims=True)
    return index, xp.where(usable, bounded(step, -1.0, 1.0, xp=xp), 0.0), hessian


def _differences(ndim: int) -> np.ndarray:
    """Return what sums the samples around a point to its slopes and minus its bends, (samples, ndim + ndim^2)."""
    x = np.arange(-1.0, 2.0)
    value, slope, bend = 1 - np.abs(x), x / 2, 3 * np.abs(x) - 2

    def stencil(*along: int) -> np.ndarray:
        factors = [(value, slope, bend)[along.count(axis)] for axis in range(ndim)]
        return functools.reduce(np.multiply.outer, factors).ravel()

    pairs = itertools.product(range(ndim), repeat=2)
    return np.stack([*(stencil(i) for i in range(ndim)), *(-stencil(i, j) for i, j in pairs)], axis=1)


def taylor_covariance(images: Lattice, offset: Array, step: Array, hessian: Array, *, xp: Namespace) -> Array:
    r"""Return the covariance (batch, ndim, ndim) of the peak of the correlation of periodic images.

    The trace of the noise is :math:`\mathrm{Im}\,Y`, Y the cross-spectrum at the offset. Central differences
    weigh it with :math:`s_i = \sin\omega_i` in the slope and :math:`b_i = \sum_j B_{ij} \delta_j` in the bend that the
    step :math:`\delta` goes by, :math:`B_{ii} = 2 - 2 \cos\omega_i`, :math:`B_{ij} = s_i s_j`:

    .. math:: J = 2 \sum (\mathrm{Im}\,Y)^2 (s s^T + b b^T), \qquad cov = H^{-1} J H^{-1}

    Pixels left out count as noise.
    """
    shape = tuple(images.moving.shape[1:])
    ndim, pixels = len(shape), math.prod(shape)
    m = xp.where(images.weight > 0, images.moving, xp.zeros_like(images.moving))
    cross = xp.conj(rfft(images.reference, ndim, xp=xp)) * rfft(m, ndim, xp=xp)
    noise = 2 * xp.imag(fourier_translate(cross, -offset, shape, xp=xp)) ** 2 * half_weights(shape, offset, xp=xp)
    omegas = [
        xp.reshape(omega, along(n=omega.shape[0], axis=axis, ndim=ndim))
        for axis, omega in enumerate(angular_frequencies(shape, noise, xp=xp))
    ]
    sines = [xp.sin(omega) for omega in omegas]
    steps = [xp.reshape(step[:, axis], (-1,) + (1,) * ndim) for axis in range(ndim)]
    swing = sum(s * d for s, d in zip(sines, steps, strict=True))
    bends = [
        s * (swing - s * d) + (2 - 2 * xp.cos(omega)) * d for s, d, omega in zip(sines, steps, omegas, strict=True)
    ]

    def total(i: int, j: int) -> Array:
        values = noise * (sines[i] * sines[j] + bends[i] * bends[j])
        return xp.sum(values, axis=over_image(values)) / pixels**2

    j = symmetric([[total(i, k) for k in range(ndim)] for i in range(ndim)], xp=xp)
    h = inverse(hessian, xp=xp)
    return xp.matmul(xp.matmul(h, j), h)


def patch_at(values: Array, index: Array, halves: tuple[int, ...], *, xp: Namespace) -> Array:
    """Return the samples (batch, 2 half + 1, ...) around `index` (batch, ndim), wrapped, in the accumulator dtype."""
    points = index[:, None, :] + table(_moves, halves, dtype=index.dtype, like=index, xp=xp)
    samples = take_at(values, points, xp=xp)
    samples = xp.astype(samples, accumulator_dtype(values, xp=xp))
    return xp.reshape(samples, (-1, *(2 * h + 1 for h in halves)))


def _moves(halves: tuple[int, ...]) -> np.ndarray:
    return np.stack(
        [a.ravel() - h for a, h in zip(np.indices([2 * h + 1 for h in halves]), halves, strict=True)], axis=1
    )
