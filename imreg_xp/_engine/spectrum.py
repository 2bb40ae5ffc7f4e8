"""Filters made from isotropic spectra: for known noise, and to take noise off one image."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from .._array import Array, Namespace
from .._bounds import at_least
from .._kernels import Rows, Total, elementwise
from .._providers import power, powers
from .._static import table
from .ml_weights import FLOOR, SIGNIFICANT, Near, filter_of, relative, ring_frequencies, safe, smoothed
from .rings import Rings, radial_mean

__all__ = ["power", "smooth", "step_length", "weights_from_all_powers", "white_floor", "wiener"]


_smoothed = elementwise(smoothed)


def smooth(rings: Array, *, xp: Namespace) -> Array:
    """Smooth values per ring (batch, rings) by (1/4, 1/2, 1/4)."""
    found: Array = _smoothed(Rows.of(rings, xp=xp), Near.of(rings, xp=xp), xp=xp)
    return found


def white_floor(rings: Array, shape: Sequence[int], *, xp: Namespace) -> Array:
    """Return the noise floor (batch,) of radial powers: the mean of the outermost quarter of the rings to Nyquist."""
    return xp.mean(rings[:, _outermost(rings.shape[1], shape)], axis=1)


def _outermost(rings: int, shape: Sequence[int]) -> slice:
    top = rings - 1 if len(shape) == 1 else max(shape) // 2
    return slice((3 * top) // 4, top + 1)


def _mean(x: Array, weight: Array, *, xp: Namespace) -> Array:
    """Return the weighted mean over the rings, (batch, 1)."""
    return xp.sum(weight * x, axis=1, keepdims=True) / safe(xp.sum(weight, axis=1, keepdims=True), xp=xp)


def wiener(spectrum: Array, shape: Sequence[int], *, xp: Namespace) -> Array:
    """Return sqrt(S / (S + P)) / N per ring, P the noise floor of the isotropic spectrum S + P and N the pixels."""
    rings, _ = radial_mean(spectrum, shape, powers, xp=xp)
    share = table(_shares_of_floor, rings.shape[1], tuple(shape), dtype=rings.dtype, like=rings, xp=xp)
    total, floor = _smooth_with_floor(Rows.of(rings, xp=xp), Near.of(rings, xp=xp), share, xp=xp)
    found: Array = _signal_share(total, floor[:, None], pixels=math.prod(shape), xp=xp)
    return found


def _shares_of_floor(rings: int, shape: tuple[int, ...]) -> np.ndarray:
    """(1, rings): what each ring has of the mean that `white_floor` is."""
    inside = np.isin(np.arange(rings), np.arange(rings)[_outermost(rings, shape)])[None]
    return inside / np.sum(inside)


@elementwise
def _smooth_with_floor(rows: Rows, near: Near, share: Array, *, xp: Namespace) -> tuple[Array, Total]:
    total = smoothed(rows, near, xp=xp)
    return total, Total(share * total)


@elementwise
def _signal_share(total: Array, floor: Array, *, pixels: int, xp: Namespace) -> Array:
    return xp.sqrt(at_least(total - floor, 0.0, xp=xp) / safe(total, xp=xp)) / pixels


def step_length(rings: Rings, gains: Array, ndim: int, *, xp: Namespace) -> Array:
    """Return the sum of slopes times filtered slopes over that of filtered slopes squared, (batch,)."""
    nu = table(ring_frequencies, gains.shape[1], ndim, dtype=gains.dtype, like=gains, xp=xp)
    square = rings.modes * rings.reference * nu**2
    return xp.sum(square * gains, axis=1) / safe(xp.sum(square * gains**2, axis=1), xp=xp)


def weights_from_all_powers(rings: Rings, gain: Array, noise: tuple[Array, Array], *, xp: Namespace) -> Array:
    r"""Return W per ring (batch, rings), largest 1, for known white noise powers (batch,) of reference and moving.

    The signal is the mean of what both auto-powers less their noise and, if there is one, the cross-power say, each
    with its own variance: per mode :math:`2 P (2 S + P)` of an auto-power and :math:`S P_m + s^2 S P_r + P_r P_m` of
    the cross-power. The mean of many frames knows the signal far better than one more frame does.
    """
    s = gain[:, None]
    modes = at_least(rings.modes, 1.0, xp=xp)
    # noise too small to matter must not be divided by, nor that of flat images
    least = [FLOOR * _mean(x, modes, xp=xp) for x in rings[:2]]
    p_r, p_m = (xp.where(low > 0, xp.maximum(p[:, None], low), 1.0) for p, low in zip(noise, least, strict=True))
    in_r, in_m = smooth(rings.reference - p_r, xp=xp), smooth(rings.moving - p_m, xp=xp) / s**2
    first = at_least(in_r, 0.0, xp=xp)
    parts = [
        (in_r, 1 / (2 * p_r * (2 * first + p_r))),
        (in_m, s**4 / (2 * p_m * (2 * s**2 * first + p_m))),
    ]
    if rings.cross is not None:
        parts.append((smooth(rings.cross, xp=xp) / s, s**2 / (first * (p_m + s**2 * p_r) + p_r * p_m)))
    precision = sum(w for _, w in parts)
    signal = sum(w * x for x, w in parts) / precision
    error = 1 / xp.sqrt(precision * modes)
    signal = xp.where(signal > SIGNIFICANT * error, signal, 0.0)
    w = filter_of(signal, s, p_r, p_m, xp=xp)
    found: Array = relative(w, xp.max(w, axis=1, keepdims=True), xp=xp)
    return found
