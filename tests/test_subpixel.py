"""The maximum of a map between its samples, against direct sums over the modes."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

import imreg_xp._array as border
from imreg_xp._engine.peaks import argmax, lags
from imreg_xp._engine.subpixel import _NEARBY, _ORDERS, _continued, highest, nearby, polished, refined
from imreg_xp.fft_tools._dft import lag_basis, taylor_basis
from imreg_xp.fft_tools._sums import contract, contract_at_pixels

SHAPES = [(31,), (40,), (21, 24), (24, 33), (30, 16), (9, 12, 10)]


def bumps(rng, shape):
    """Maps (2, ...) with a smooth spectrum that is anything but symmetric about the peak."""
    nu = np.meshgrid(*[np.fft.fftfreq(n) for n in shape], indexing="ij")
    low = np.exp(-20 * sum(v**2 for v in nu))
    maps = np.fft.ifftn(
        np.fft.fftn(rng.normal(size=(2, *shape)), axes=range(1, len(shape) + 1)) * low, axes=range(1, len(shape) + 1)
    )
    return maps.real


def found_by(maps, shape, way):
    """Return the whole pixel and the maximum next to it, told in one of three ways."""
    xp = border.array_namespace(values=maps)
    chosen = maps if way == "map" else xp.astype(maps, xp.float32)
    index = argmax(chosen, xp=xp)
    lag = lags(index, shape, xp=xp)
    spectrum = xp.fft.rfftn(maps, axes=tuple(range(1, maps.ndim))) / math.prod(shape)
    if way == "modes":
        return index, highest(nearby(xp.astype(spectrum, xp.complex64), lag, shape, None, xp=xp), xp=xp)
    found = refined(chosen, index, lag, None, xp=xp)
    return index, found if way == "map" else polished(lag, found.offset, spectrum, shape, None, xp=xp)


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


@pytest.mark.parametrize("way", ["map", "map and modes", "modes"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_it_is_the_maximum_of_the_interpolant(backend, rng, shape, way):
    maps = bumps(rng, shape)
    _, found = found_by(
        backend.asarray(maps), shape, "map and modes" if way == "map" and not backend.has_float64 else way
    )
    offset, value, hessian = (backend.to_numpy(x) for x in (found.offset, found.value, found.hessian))
    double = backend.has_float64 and way != "modes"
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


@pytest.mark.parametrize("way", ["map", "map and modes", "modes"])
@pytest.mark.parametrize("shape", [(40,), (21, 24)], ids=str)
def test_no_point_nearby_is_higher(rng, shape, way):
    maps = bumps(rng, shape)
    index, found = found_by(maps, shape, way)
    around = itertools.product(np.linspace(-0.9, 0.9, 13), repeat=len(shape))
    least = found.value * (1 + (1e-6 if way == "modes" else 1e-9))
    for move in around:
        for b, one in enumerate(maps):
            assert directly(one, index[b], index[b] + np.array(move), (0,) * len(shape)) <= least[b]


@pytest.mark.parametrize(("reach", "most"), [(0.5, 2e-12), (0.75, 1e-9), (1.0, 2e-7)])
def test_few_coefficients_tell_the_next_ones(reach, most):
    """Waves of up to half a cycle per pixel, from their first Taylor coefficients; alone these are off by 1e-4."""
    nu, x = np.linspace(-0.5, 0.5, 101)[:, None], np.linspace(-reach, reach, 41)
    j = np.arange(_NEARBY)
    first = (2j * np.pi * nu) ** j / [math.factorial(k) for k in j]
    found = first @ _continued(_NEARBY, _ORDERS) @ x ** np.arange(_ORDERS)[:, None]
    assert np.max(abs(found - np.exp(2j * np.pi * nu * x))) < most


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
@pytest.mark.parametrize("shape", [(7,), (12, 9), (9, 12), (4, 5, 6)], ids=str)
def test_columns_at_whole_pixels_are_those_of_any_place(backend, rng, shape, dtype):
    if dtype == "complex128" and not backend.has_float64:
        pytest.skip("no double precision")
    lag = backend.asarray(rng.integers(-20, 20, (3, len(shape))).astype(float))
    xp = border.array_namespace(lag=lag)
    dtype = getattr(xp, dtype)
    found = lag_basis(shape, lag, 5, dtype=dtype, xp=xp)
    expected = taylor_basis(shape, lag, lag, 5, dtype=dtype, xp=xp)
    for a, b in zip(found, expected, strict=True):
        assert a.dtype == dtype
        a, b = backend.to_numpy(a), backend.to_numpy(b)
        np.testing.assert_allclose(a, b, atol=5e-5 if dtype == xp.complex64 else 1e-12)


@pytest.mark.parametrize("way", ["map", "map and modes", "modes"])
@pytest.mark.parametrize("shape", [(40,), (24, 17), (9, 12, 10)], ids=str)
def test_the_last_bits_do_not_depend_on_other_items(rng, shape, way):
    maps = np.concatenate([bumps(rng, shape) for _ in range(10)])
    _, whole = found_by(maps, shape, way)
    for some in (slice(0, 1), slice(3, 10)):
        _, part = found_by(maps[some], shape, way)
        for a, b in zip(part, whole, strict=True):
            np.testing.assert_array_equal(a, b[some])


@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize("shape", [(40,), (24, 17), (17, 24), (12, 12), (9, 12, 10)], ids=str)
@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
def test_sums_at_whole_pixels(backend, rng, shape, keep, dtype):
    """Turned first or not: the sums over the modes with the columns of any place; and what is to be kept stays."""
    if dtype == "complex128" and not backend.has_float64:
        pytest.skip("no double precision")
    spectrum = np.fft.rfftn(bumps(rng, shape), axes=range(1, len(shape) + 1))
    given = backend.asarray(spectrum)
    xp = border.array_namespace(x=given)
    own = getattr(xp, dtype)
    given = xp.astype(given, own)
    acc = xp.complex128 if backend.has_float64 else xp.complex64
    lag = backend.asarray(rng.integers(-9, 9, (2, len(shape))).astype(float))
    columns = taylor_basis(shape, lag, lag, 6, dtype=own, xp=xp)
    expected = backend.to_numpy(contract(given, columns, dtype=acc, xp=xp))
    found = contract_at_pixels(given, lag, shape, 6, keep=keep, dtype=acc, xp=xp)
    assert found.dtype == acc
    tolerance = (2e-6 if dtype == "complex64" else 1e-13) * np.max(abs(expected))
    np.testing.assert_allclose(backend.to_numpy(found), expected, atol=tolerance)
    if keep:
        np.testing.assert_array_equal(backend.to_numpy(given), spectrum.astype(dtype))
