"""The maximum of a map between its samples, against direct sums over the modes."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

import imreg_xp._array as border
from imreg_xp._engine.peaks import argmax, lags
from imreg_xp._engine.subpixel import polished, refined

SHAPES = [(31,), (40,), (21, 24), (24, 33), (30, 16), (9, 12, 10)]


def bumps(rng, shape):
    """Maps (2, ...) with a smooth spectrum that is anything but symmetric about the peak."""
    nu = np.meshgrid(*[np.fft.fftfreq(n) for n in shape], indexing="ij")
    low = np.exp(-20 * sum(v**2 for v in nu))
    maps = np.fft.ifftn(
        np.fft.fftn(rng.normal(size=(2, *shape)), axes=range(1, len(shape) + 1)) * low, axes=range(1, len(shape) + 1)
    )
    return maps.real


def highest(maps, shape, single):
    """Return the whole pixel and the maximum next to it, by maps or by such in single precision and the modes."""
    xp = border.array_namespace(values=maps)
    chosen = xp.astype(maps, xp.float32) if single else maps
    index = argmax(chosen, xp=xp)
    lag = lags(index, shape, xp=xp)
    found = refined(chosen, index, lag, None, xp=xp)
    if not single:
        return index, found
    axes = tuple(range(1, maps.ndim))
    return index, polished(lag, found.offset, xp.fft.rfftn(maps, axes=axes) / math.prod(shape), shape, None, xp=xp)


def directly(values, pixel, x, orders):
    """Return a derivative of the interpolant at x by a sum over all modes; those at Nyquist stay as at the pixel."""
    coefficients = np.fft.fftn(values) / values.size
    total = coefficients
    for axis, (n, k) in enumerate(zip(values.shape, orders, strict=True)):
        nu = np.fft.fftfreq(n)
        wave = (2j * np.pi * nu) ** k * np.exp(2j * np.pi * nu * x[axis])
        if n % 2 == 0:
            wave[n // 2] = (-1) ** pixel[axis] if k == 0 else 0
        total = total * wave.reshape([-1 if a == axis else 1 for a in range(values.ndim)])
    return np.sum(total).real


@pytest.mark.parametrize("single", [False, True])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_it_is_the_maximum_of_the_interpolant(backend, rng, shape, single):
    maps = bumps(rng, shape)
    _, found = highest(backend.asarray(maps), shape, single or not backend.has_float64)
    offset, value, hessian = (backend.to_numpy(x) for x in (found.offset, found.value, found.hessian))
    double = backend.has_float64
    pixels = np.array([np.unravel_index(np.argmax(m), shape) for m in maps])
    assert np.all(abs((offset - pixels + np.array(shape) / 2) % np.array(shape) - np.array(shape) / 2) < 1)
    unit = np.eye(len(shape), dtype=int)
    for b, one in enumerate(maps):
        scale = one.max()
        gradient = [directly(one, pixels[b], offset[b], unit[i]) for i in range(len(shape))]
        np.testing.assert_allclose(gradient, 0, atol=scale * (1e-11 if double else 1e-4))
        np.testing.assert_allclose(
            value[b], directly(one, pixels[b], offset[b], 0 * unit[0]), rtol=1e-9 if double else 1e-4
        )
        expected = [[-directly(one, pixels[b], offset[b], u + v) for v in unit] for u in unit]
        # the curvature is that before the last step
        np.testing.assert_allclose(hessian[b], expected, atol=scale * (1e-5 if double else 1e-3))


@pytest.mark.parametrize("single", [False, True])
@pytest.mark.parametrize("shape", [(40,), (21, 24)], ids=str)
def test_no_point_nearby_is_higher(rng, shape, single):
    maps = bumps(rng, shape)
    index, found = highest(maps, shape, single)
    around = itertools.product(np.linspace(-0.9, 0.9, 13), repeat=len(shape))
    for move in around:
        for b, one in enumerate(maps):
            assert directly(one, index[b], index[b] + np.array(move), (0,) * len(shape)) <= found.value[b] * (1 + 1e-9)
