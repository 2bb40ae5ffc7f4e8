r"""A Gaussian on a constant fitted to boxes, many at a time.

.. math:: f(y, x) = c + a\, e^{-(y - y_0)^2 / 2 s_y^2}\, e^{-(x - x_0)^2 / 2 s_x^2}

All its derivatives are products of a function of y and one of x, so the normal equations are products of small ones.
Levenberg and Marquardt's method in a fixed number of steps, with c and a at their best for every centre and width.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from .._array import Array, Namespace, device_of
from .._static import numbers
from ._linalg import inverse
from .problem import over_image

__all__ = ["Fitted", "fit_gaussian"]

_STEPS = 24


class _Fit(NamedTuple):
    """Centre and log width per axis, (batch, 4); what is not explained; the step from here; the amplitude."""

    at: Array
    cost: Array
    normal: Array
    gradient: Array
    amplitude: Array


class Fitted(NamedTuple):
    """The Gaussian of each box."""

    centre: Array
    """(batch, 2) pixels from the middle; NaN where there is no peak in the box."""
    parameters: Array
    """(batch, 4) centre and log width per axis."""


def fit_gaussian(
    values: Array, inside: Sequence[Array], *, start: Array | None = None, steps: int = _STEPS, xp: Namespace
) -> Fitted:
    """Fit boxes (batch, n_y, n_x) with weights `inside` per axis, (batch, n), from the parameters `start` if given."""
    weight = inside[0][:, :, None] * inside[1][:, None, :]
    axes = over_image(values)
    far = xp.full_like(values, math.inf)
    low = xp.min(xp.where(weight > 0, values, far), axis=axes, keepdims=True)
    high = xp.max(xp.where(weight > 0, values, -far), axis=axes, keepdims=True)
    there = high > low
    span = xp.where(there, high - low, xp.ones_like(high))
    values = weight * (values - xp.where(there, low, xp.zeros_like(low))) / span
    # as wide as what is above half of the height
    area = xp.sum(xp.astype(values > 0.5, values.dtype), axis=axes)
    width = 0.5 * xp.log((area + 1) / (2 * math.pi * math.log(2)))
    zero = xp.zeros_like(width)
    start = xp.stack([zero, zero, width, width], axis=-1) if start is None else start
    best = _evaluated(values, inside, start, xp=xp)
    damping = xp.full_like(width, 1e-2)
    unit = xp.eye(4, dtype=values.dtype, device=device_of(values))
    for _ in range(steps):
        damped = best.normal * (1 + damping[:, None, None] * unit)
        step = xp.matmul(inverse(damped, xp=xp), best.gradient[..., None])[..., 0]
        limit = xp.where(xp.isfinite(step), xp.ones_like(step), xp.zeros_like(step))
        step = xp.minimum(xp.maximum(xp.where(limit > 0, step, limit), -limit), limit)
        trial = _evaluated(values, inside, best.at + step, xp=xp)
        better = trial.cost < best.cost
        best = _Fit(*(_either(better, new, old, xp=xp) for new, old in zip(trial, best, strict=True)))
        damping = damping * xp.where(better, 0.2 + zero, 5 + zero)
    reach = numbers((n / 2 for n in values.shape[1:]), dtype=values.dtype, like=values, xp=xp)
    centre = best.at[:, :2]
    found = there[:, 0, 0] & (best.amplitude > 0) & xp.all(abs(centre) < reach, axis=-1)
    return Fitted(xp.where(found[:, None], centre, xp.full_like(centre, math.nan)), best.at)


def _either(mask: Array, a: Array, b: Array, *, xp: Namespace) -> Array:
    return xp.where(xp.reshape(mask, (-1,) + (1,) * (a.ndim - 1)), a, b)


def _evaluated(values: Array, inside: Sequence[Array], at: Array, *, xp: Namespace) -> _Fit:
    """Return the fit for given centres and widths."""
    lines = [_functions(w, at[:, k], at[:, 2 + k], xp=xp) for k, w in enumerate(inside)]
    # 1, g, and the derivatives with respect to centre and log width along y and x
    rows = xp.stack([lines[0][i] for i in (0, 1, 2, 1, 3, 1)], axis=1)
    columns = xp.stack([lines[1][i] for i in (0, 1, 1, 2, 1, 3)], axis=1)
    weighted = [f * w[:, None, :] for f, w in zip((rows, columns), inside, strict=True)]
    normal = xp.matmul(weighted[0], xp.matrix_transpose(rows)) * xp.matmul(weighted[1], xp.matrix_transpose(columns))
    # the values carry the weight already
    data = xp.sum(xp.matmul(rows, values) * columns, axis=-1)
    block = inverse(normal[:, :2, :2], xp=xp)
    linear = xp.matmul(block, data[:, :2, None])[..., 0]
    linear = xp.where(xp.isfinite(linear), linear, xp.zeros_like(linear))
    amplitude = linear[:, 1]
    # from the residuals, not from differences of sums: in single precision those hide the last hundredths of a pixel
    residual = values - xp.matmul(xp.matrix_transpose(weighted[0][:, :2, :] * linear[..., None]), weighted[1][:, :2, :])
    cost = xp.sum(residual * residual, axis=over_image(values))
    # what the others leave for centre and width, with constant and amplitude free
    left = xp.sum(xp.matmul(rows[:, 2:, :], residual) * columns[:, 2:, :], axis=-1)
    inner = xp.matmul(block, normal[:, :2, 2:])
    reduced = normal[:, 2:, 2:] - xp.matmul(normal[:, 2:, :2], inner)
    scale = amplitude[:, None]
    return _Fit(at, cost, reduced * scale[..., None] ** 2, left * scale, amplitude)


def _functions(w: Array, centre: Array, log_width: Array, *, xp: Namespace) -> list[Array]:
    """Return 1, the Gaussian and its derivatives with respect to centre and log width along one axis, (batch, n)."""
    n = w.shape[1]
    x = xp.arange(n, dtype=w.dtype, device=device_of(w)) - n // 2
    top = math.log(10.0 * n)
    bounded = xp.maximum(xp.minimum(log_width, xp.full_like(log_width, top)), xp.full_like(log_width, -1.0))
    width = xp.exp(bounded)[:, None]
    u = (x - centre[:, None]) / width
    g = xp.exp(-0.5 * u * u)
    return [xp.ones_like(g), g, g * u / width, g * u * u]
