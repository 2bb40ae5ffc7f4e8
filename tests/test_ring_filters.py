"""Filters made from isotropic spectra against their formulas, ring by ring, on every array library."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import array_api_compat.numpy as on_numpy
import numpy as np
import pytest

from imreg_xp._array import array_namespace
from imreg_xp._engine.coarse import _likeness_of
from imreg_xp._engine.extend import mirrored
from imreg_xp._engine.frozen import Level
from imreg_xp._engine.ml_weights import attenuation, folded_power, ml_weights
from imreg_xp._engine.rings import Rings, Spread, filtered, laid, radial_mean, spread, times
from imreg_xp._engine.spectrum import smooth, wiener
from imreg_xp._engine.weights import rings_of

RINGS = 90


def smoothed(values):
    padded = np.pad(values, ((0, 0), (1, 1)), mode="edge")
    return 0.25 * padded[:, :-2] + 0.5 * values + 0.25 * padded[:, 2:]


def mean(x, w):
    return np.sum(w * x, axis=1, keepdims=True) / np.sum(w, axis=1, keepdims=True)


def ramp(x, limit):
    """Return 1 where x is well beyond a limit, 0 where it is not."""
    return np.clip(4 * x / np.where(limit > 0, limit, np.inf) - 3.5, 0, 1)


def weights_by_formula(r, m, x, modes, s, ndim):
    """Return W as the documentation of the estimator puts it, in plain NumPy."""
    r, m, x, s = smoothed(r), smoothed(m), smoothed(x), s[:, None]
    shown = ramp(x, 2 * np.sqrt(r * m / np.maximum(modes, 1)))
    seen = np.maximum(x, 0) / s
    nu = np.maximum(np.linspace(0, math.sqrt(ndim) / 2, RINGS), 1e-3)
    w = modes * shown * ((seen > 0) & (nu > 0.15) & (nu < 0.5))
    folded = np.zeros_like(seen)
    for k in range(len(seen)):
        if np.any(w[k] > 0):
            rows = w[k] > 0
            slope, level = np.polyfit(np.log(nu[rows]), np.log(seen[k, rows]), 1, w=np.sqrt(w[k, rows]))
            x0, y0 = (np.average(a, weights=w[k, rows]) for a in (np.log(nu[rows]), np.log(seen[k, rows])))
            folded[k] = np.exp(y0 + min(slope, 0) * (np.log(np.maximum(1 - nu, 0.05)) - x0))
            assert level == pytest.approx(y0 - slope * x0)
    least_r, least_m = (1e-6 * mean(a, modes) for a in (r, m))
    trust = modes / (np.maximum(r, least_r) * np.maximum(m, least_m))
    signal = shown * seen
    p_r = np.maximum(mean(r - signal - folded, trust), least_r) + folded
    p_m = np.maximum(mean(m - s**2 * (signal + folded), trust), least_m) + s**2 * folded
    signal = signal + (1 - shown) * ramp(r - p_r, 4 * r * np.sqrt(2 / np.maximum(modes, 1))) * np.maximum(r - p_r, 0)
    found = s * signal / (p_r * p_m + s**2 * signal * p_r + signal * p_m)
    best = np.max(found, axis=1, keepdims=True)
    return np.where(best > 0, found / np.where(best > 0, best, 1), 1)


def powers(rng, *, noise):
    """Return r, m, cross, modes and gains of items: one alike the next, one all noise."""
    nu = np.maximum(np.linspace(0, math.sqrt(0.5), RINGS), 0.01)
    signal, gains = nu**-3 * np.exp(-((nu / 0.25) ** 2)), np.array([1.0, 0.4, 2.5])
    modes = np.broadcast_to(2 * math.pi * np.arange(1, RINGS + 1), (3, RINGS))
    scatter = 1 + rng.normal(size=(3, 3, RINGS)) / np.sqrt(modes)
    share = np.array([1.0, 1.0, 0.0])[:, None]
    r = (share * signal + noise) * scatter[0]
    m = (share * gains[:, None] ** 2 * signal + 3 * noise) * scatter[1]
    cross = share * gains[:, None] * signal * scatter[2] + noise * rng.normal(size=r.shape) / np.sqrt(modes)
    return r, m, cross, modes, gains


@pytest.mark.parametrize("noise", [1e-9, 0.3, 30.0])
@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_weights_are_those_of_the_formula(backend, noise, ndim, rng):
    *rings, gains = powers(rng, noise=noise)
    here = [backend.asarray(a) for a in (*rings, gains)]
    xp = array_namespace(a=here[0])
    found = backend.to_numpy(ml_weights(Rings(here[0], here[1], here[2], here[3]), here[4], ndim, xp=xp))
    want = weights_by_formula(*rings, gains, ndim)
    digits = 1e-9 if backend.has_float64 else 2e-3
    np.testing.assert_allclose(found, want, rtol=digits, atol=digits)
    assert np.max(found) == pytest.approx(1)


def test_one_reference_for_many(backend, rng):
    r, m, cross, modes, gains = powers(rng, noise=0.3)
    one = [backend.asarray(a) for a in (r[:1], m, cross, modes[:1], gains)]
    xp = array_namespace(a=one[0])
    whole = [backend.asarray(np.broadcast_to(a, m.shape).copy()) for a in (r[:1], modes[:1])]
    found, want = (
        backend.to_numpy(ml_weights(Rings(a, one[1], one[2], b), one[4], 2, xp=xp))
        for a, b in ((one[0], one[3]), (whole[0], whole[1]))
    )
    np.testing.assert_allclose(found, want, rtol=1e-6)


def test_smoothing(backend, rng):
    values = rng.normal(size=(3, RINGS))
    here = backend.asarray(values)
    found = backend.to_numpy(smooth(here, xp=array_namespace(a=here)))
    np.testing.assert_allclose(found, smoothed(values), rtol=1e-5, atol=1e-6)


def test_attenuation_is_that_of_the_coherent_rings(backend, rng):
    r, m, cross, modes, gains = powers(rng, noise=0.3)
    given = [backend.asarray(a) for a in (r, m, cross, modes, gains * 0.8)]
    xp = array_namespace(a=given[0])
    rings = Rings(given[0], given[1], given[2], given[3])
    h = modes * (np.maximum(cross, 0) ** 2 / (r * m)) ** 8
    want = np.maximum(np.sum(h * cross, axis=1) / np.sum(h * r, axis=1) / (0.8 * gains) - 1e-5, 1)
    found = backend.to_numpy(attenuation(rings, given[4], xp=xp))
    np.testing.assert_allclose(found, want, rtol=1e-9 if backend.has_float64 else 1e-4)
    assert found[0] > 1.05
    # no gain, or one of the other sign, is no gain
    for gain in (0.0, -1.0):
        nothing = backend.to_numpy(attenuation(rings, 0 * given[4] + gain, xp=xp))
        np.testing.assert_array_equal(nothing, 1)


def test_the_folded_power_on_every_library(backend, rng):
    _, _, cross, modes, _ = powers(rng, noise=0.3)
    signal = np.maximum(cross, 0)
    here = [backend.asarray(a) for a in (signal, modes)]
    found = backend.to_numpy(folded_power(*here, 2, xp=array_namespace(a=here[0])))
    nu = np.maximum(np.linspace(0, math.sqrt(0.5), RINGS), 1e-3)
    for k in range(3):
        rows = (signal[k] > 0) & (nu > 0.15) & (nu < 0.5)
        slope, level = np.polyfit(np.log(nu[rows]), np.log(signal[k, rows]), 1, w=np.sqrt(modes[k, rows]))
        if slope < 0:
            want = np.exp(level + slope * np.log(np.maximum(1 - nu, 0.05)))
            np.testing.assert_allclose(found[k], want, rtol=1e-8 if backend.has_float64 else 1e-2)


class Weighed(NamedTuple):
    """What `rings_of` looks at."""

    moving: Any
    weight: Any
    attenuation: Any = None


@pytest.mark.parametrize("pixels", [None, 300])
def test_rings_of_a_model_and_the_data(backend, pixels, rng):
    """The data are what the model makes of the reference, and what it leaves; padding adds no independent modes."""
    value, moving = rng.normal(size=(2, 2, 24, 20))
    scale, background = np.array([0.7, 2.0]), np.array([0.1, -0.3])
    window = rng.uniform(size=(2, 24, 1))
    here = [backend.asarray(a) for a in (value, moving, scale, background, window, np.ones((1, 1, 1)))]
    xp = array_namespace(a=here[0])
    level = Level(here[2], here[3], *[None] * 4)
    scene = Weighed(here[1], here[5])
    found = rings_of(here[0], scene, level, [here[4]], (24, 20), pixels=pixels, binary=True, xp=xp)
    f, g = (np.fft.rfft2(window * a) for a in (value, moving - background[:, None, None]))
    want = [radial_mean(a, (24, 20), xp=on_numpy) for a in (abs(f) ** 2, abs(g) ** 2, np.real(f.conj() * g))]
    for got, (mean_, _) in zip(found, want, strict=False):
        np.testing.assert_allclose(backend.to_numpy(got), mean_, rtol=1e-4, atol=1e-3)
    modes = want[0][1] * (1 if pixels is None else pixels / 480)
    np.testing.assert_allclose(backend.to_numpy(found.modes), np.broadcast_to(modes, found.modes.shape), rtol=1e-6)


def test_the_least_that_any_lag_leaves(backend, rng):
    sums = [rng.uniform(1, 2, size=(2, 9, 8)) for _ in range(6)]
    most, near = [np.full((2, 1, 1), 2.0)] * 3, rng.uniform(size=(1, 9, 8)) > 0.3
    here = [backend.asarray(a) for a in (*sums, *most, near)]
    _, left, least = _likeness_of(*here, min_overlap=0.3, xp=array_namespace(a=here[0]))
    left = backend.to_numpy(left)
    np.testing.assert_array_equal(np.isfinite(left), np.broadcast_to(near, left.shape))
    np.testing.assert_allclose(backend.to_numpy(least), np.min(left, axis=(1, 2)), rtol=1e-6)


@pytest.mark.parametrize("shape", [(120,), (60, 64), (12, 16, 20)])
def test_the_noise_floor_is_taken_off(backend, shape, rng):
    axes = tuple(range(1, 1 + len(shape)))
    spectrum = np.fft.rfftn(rng.normal(size=(2, *shape)), axes=axes)
    spectrum[1, (0,) * (len(shape) - 1)] *= 300
    here = backend.asarray(spectrum)
    found = backend.to_numpy(wiener(here, shape, xp=array_namespace(a=here)))
    total = smoothed(radial_mean(np.abs(spectrum) ** 2, shape, xp=on_numpy)[0])
    top = total.shape[1] - 1 if len(shape) == 1 else max(shape) // 2
    floor = np.mean(total[:, 3 * top // 4 : top + 1], axis=1, keepdims=True)
    want = np.sqrt(np.maximum(total - floor, 0) / total) / math.prod(shape)
    np.testing.assert_allclose(
        found, want, rtol=1e-4, atol=1e-2 / math.prod(shape) if not backend.has_float64 else 1e-9
    )


@pytest.mark.parametrize("shape", [(40,), (12, 10), (6, 8, 10)])
def test_values_of_rings_are_laid_over_their_modes(backend, shape, rng):
    modes = (*shape[:-1], shape[-1] // 2 + 1)
    spectrum = rng.normal(size=(3, *modes, 2)) @ [1, 1j]
    here = backend.asarray(spectrum)
    xp = array_namespace(a=here)
    rings = backend.asarray(rng.uniform(size=(3, 60)))
    dtype = xp.real(here).dtype
    whole = backend.to_numpy(spread(rings, shape, dtype, xp=xp))
    gains = laid(rings, shape, dtype, xp=xp)
    if not isinstance(gains, Spread):
        np.testing.assert_allclose(backend.to_numpy(times(here, gains, xp=xp)), spectrum * whole, rtol=1e-6)
    np.testing.assert_allclose(backend.to_numpy(filtered(1.0 * here, rings, shape, xp=xp)), spectrum * whole, rtol=1e-6)
    assert times(here, None, xp=xp) is here


@pytest.mark.parametrize(
    ("shape", "grid"), [((7,), (20,)), ((30, 21), (60, 60)), ((5, 40), (16, 45)), ((4, 5, 6), (8,) * 3)]
)
def test_even_reflections(backend, shape, grid, rng):
    image = rng.normal(size=(2, *shape))
    here = backend.asarray(image)
    found = backend.to_numpy(mirrored(here, grid, xp=array_namespace(a=here)))
    ends = [min(16, (n - k) // 2, k - 1) for n, k in zip(grid, shape, strict=True)]
    padded = np.pad(image, [(0, 0), *((p, p) for p in ends)], mode="reflect")
    padded = np.pad(padded, [(0, 0), *((0, n - k - 2 * p) for n, k, p in zip(grid, shape, ends, strict=True))])
    want = np.roll(padded, [-p for p in ends], axis=range(1, image.ndim))
    np.testing.assert_allclose(found, want, rtol=1e-6)
