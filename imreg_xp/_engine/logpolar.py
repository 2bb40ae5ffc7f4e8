r"""Angle and magnification from the magnitudes of spectra on log-polar axes (Reddy & Chatterji 1996).

For :math:`m(x) = r(c + \mu R (x - c) + t)` it is :math:`|M(\rho, \phi)| \propto |R(\rho / \mu, \phi + \theta)|` at the
frequency :math:`\rho` (cycles per pixel, so the shape of the images does not matter) and direction :math:`\phi`,
whatever the shift. On axes of :math:`\phi` and :math:`\ln\rho` that is a shift. Magnitudes are the same at opposite
frequencies: the angle is found up to half a turn. doi:10.1109/83.506761
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .._array import Array, Namespace, accumulator_dtype, complex_dtype, device_of
from .._bounds import at_least
from .._fft_length import fast_length
from .._static import table
from ..fft_tools._dft import along, irfft, rfft
from ..fft_tools.splines import coefficients, spline_at
from .fill import fill_invalid
from .peaks import argmax, parabola
from .problem import Side, over_image
from .result import MAGNIFICATIONS

__all__ = ["Known", "Turns", "turns"]

_LOWEST = 3.0  # cycles over an image: below that the window decides
_LEAK = 30.0  # that of images with power at less than the lowest frequency is some times what a wave there would let
_TOP = 0.5  # cycles per pixel


class Known(NamedTuple):
    """What is known of a transform: (centre, softness) of a Gaussian, or nothing; with a softness of 0 it is fixed."""

    angle: tuple[float, float] | None = None
    """Radians."""
    magnification: tuple[float, float] | None = None


class Turns(NamedTuple):
    """Candidates (batch, count), best first."""

    angle: Array
    """Radians, up to half a turn."""
    magnification: Array


class _Axes(NamedTuple):
    """Sampling of directions and radii: equal steps of an angle and of a logarithm."""

    angles: int
    radii: int
    step: float


def _axes(shapes: Sequence[Sequence[int]]) -> _Axes:
    angles = fast_length([max(64, 3 * min(max(s) for s in shapes) // 2)])[0]
    step = math.pi / angles
    lowest = _LOWEST / min(min(s) for s in shapes)
    return _Axes(angles, max(16, math.floor(math.log(_TOP / min(lowest, _TOP / 4)) / step)), step)


def _frequencies(axes: _Axes) -> np.ndarray:
    """Return the frequencies (2, angles, radii) along y and x."""
    phi = axes.step * np.arange(axes.angles)[:, None]
    rho = _radii(axes)[None, :]
    return np.stack([rho * np.sin(phi), rho * np.cos(phi)])


def _radii(axes: _Axes) -> np.ndarray:
    return _TOP * np.exp(axes.step * (np.arange(axes.radii) - axes.radii))


def _leak(axes: _Axes) -> np.ndarray:
    """Return about how much power of the lowest frequencies the window lets through, along its axes."""
    cycles = _LOWEST * np.exp(axes.step * np.arange(axes.radii))
    return _LEAK / (4 * cycles**2) ** 2


def _sine(n: int) -> np.ndarray:
    return np.sin(math.pi * (np.arange(n) + 0.5) / n)


def _magnitudes(side: Side, axes: _Axes, *, xp: Namespace) -> Array:
    """Return |F| (batch, angles, radii) of an apodised image.

    The power spectrum on twice the grid is the transform of the autocorrelation, a finite one: a spline finds its
    values between modes.
    """
    x = side.image
    shape, ndim = x.shape[1:], x.ndim - 1
    twice = fast_length([2 * n for n in shape])
    if side.valid is not None:
        x = fill_invalid(x, side.valid, fast_length(shape), xp=xp)
    window = xp.ones((1,) * x.ndim, dtype=x.dtype, device=device_of(x))
    for axis, n in enumerate(shape):
        sine = table(_sine, n, dtype=x.dtype, like=x, xp=xp)
        window = window * xp.reshape(sine, along(n=n, axis=axis, ndim=ndim))
    mean = xp.sum(x * window, axis=over_image(x), keepdims=True) / xp.sum(window)
    f = rfft((x - mean) * window, ndim, xp=xp, s=twice)
    lags = irfft(f * xp.conj(f), twice, xp=xp)[..., : twice[-1] // 2 + 1]
    coefs = coefficients(xp.astype(lags, complex_dtype(lags.dtype, xp=xp)), twice, xp=xp)
    nu = table(_frequencies, axes, dtype=accumulator_dtype(x, xp=xp), like=x, large=True, xp=xp)
    points = [xp.broadcast_to(nu[i, ...] * n, (x.shape[0], *nu.shape[1:])) for i, n in enumerate(twice)]
    return xp.sqrt(at_least(spline_at(coefs, points, xp=xp)[0], 0.0, xp=xp))


def _pattern(magnitudes: Array, axes: _Axes, *, xp: Namespace) -> Array:
    """Return how magnitudes differ along each ring, with the weight of its number of modes and of its signal."""
    mean = xp.mean(magnitudes, axis=1, keepdims=True)
    power = xp.mean(magnitudes**2, axis=1, keepdims=True)
    top = axes.radii - max(1, axes.radii // 16)
    floor = xp.mean(power[:, :, top:], axis=2, keepdims=True)
    floor = floor + xp.max(power, axis=2, keepdims=True) * table(_leak, axes, dtype=power.dtype, like=power, xp=xp)
    signal = at_least(power - floor, 0.0, xp=xp) / xp.where(power > 0, power, xp.ones_like(power))
    weight = table(_radii, axes, dtype=magnitudes.dtype, like=magnitudes, xp=xp)
    return (magnitudes / xp.where(mean > 0, mean, xp.ones_like(mean)) - 1) * signal * weight


def _prior(axes: _Axes, lags: int, known: Known) -> np.ndarray:
    """Return the weight (angles, 2 lags + 1) of every angle and magnification."""
    phi = axes.step * np.arange(axes.angles)
    mu = np.exp(axes.step * np.arange(lags, -lags - 1, -1))
    weight = np.ones((axes.angles, 2 * lags + 1))
    for value, axis in ((known.angle, 0), (known.magnification, 1)):
        if value is None:
            continue
        centre, softness = value
        if axis == 0:
            off = np.abs((phi - centre + math.pi / 2) % math.pi - math.pi / 2)
            cell = axes.step
        else:
            off, cell = np.abs(mu - centre), centre * axes.step
        one = np.exp(-0.5 * (off / softness) ** 2) if softness > 0 else 1.0 * (off <= 0.5001 * cell)
        weight = weight * (one[:, None] if axis == 0 else one[None, :])
    return weight


def turns(reference: Side, moving: Side, known: Known, count: int, *, xp: Namespace) -> Turns:
    """Return the `count` angles and magnifications that the spectra of two images say."""
    axes = _axes([reference.image.shape[1:], moving.image.shape[1:]])
    r, m = (_pattern(_magnitudes(side, axes, xp=xp), axes, xp=xp) for side in (reference, moving))
    lags = min(math.ceil(math.log(MAGNIFICATIONS[1]) / axes.step) + 1, axes.radii - 1)
    grid = (axes.angles, fast_length([axes.radii + lags])[0])
    cross = rfft(r, 2, xp=xp, s=grid) * xp.conj(rfft(m, 2, xp=xp, s=grid))
    full = irfft(cross, grid, xp=xp)
    # a lag of the radii is minus the logarithm of the magnification
    score = xp.concat([full[..., grid[1] - lags :], full[..., : lags + 1]], axis=-1)
    prior = table(_prior, axes, lags, known, dtype=score.dtype, like=score, large=True, xp=xp)
    score = (score - xp.min(score, axis=(1, 2), keepdims=True)) * prior
    found: list[list[Array]] = [[], []]
    for _ in range(count):
        index = argmax(score, xp=xp)
        step, _ = parabola(score, index, xp=xp)
        at = xp.astype(index, step.dtype) + step
        found = [[*found[0], at[:, 0] * axes.step], [*found[1], xp.exp(axes.step * (lags - at[:, 1]))]]
        score = _without_peak(score, index, xp=xp)
    angle, magnification = (xp.stack(x, axis=1) for x in found)
    if known.angle is not None and known.angle[1] == 0:
        angle = xp.full_like(angle, known.angle[0])
    if known.magnification is not None and known.magnification[1] == 0:
        magnification = xp.full_like(magnification, known.magnification[0])
    return Turns(angle, magnification)


def _without_peak(score: Array, index: Array, *, xp: Namespace) -> Array:
    """Return the map with a neighbourhood of a maximum set to 0; angles are periodic."""
    near = xp.ones((1, 1, 1), dtype=xp.bool, device=device_of(score))
    for axis, n in enumerate(score.shape[1:]):
        i = xp.arange(n, dtype=xp.int64, device=device_of(score))
        off = abs(xp.reshape(i, (1, *along(n=n, axis=axis, ndim=2))) - index[:, axis, None, None])
        off = xp.minimum(off, n - off) if axis == 0 else off
        near = near & (off <= max(3, n // 32))
    return xp.where(near, xp.zeros_like(score), score)
