"""Levels and scales of periodic images: what is fitted, and what a pedestal or a unit must not change."""

from __future__ import annotations

import math

import numpy as np
import pytest
from skies import cut, random_sky

import imreg_xp
from imreg_xp._engine import periodic
from imreg_xp._engine.chunks import rows
from imreg_xp._engine.problem import Side

SHAPE = (40, 46)
MEAN_R, MEAN_M = 2000.0, 1500.0


def pair(rng, *, gain=1.0, frames=3):
    """Return a reference and frames of it moved by whole pixels, with noise, far from level 0."""
    sky = cut(random_sky(SHAPE, rng), (0, 0), SHAPE)
    moved = [np.roll(sky, (k, -2 * k), axis=(0, 1)) for k in range(frames)]
    return MEAN_R + sky, MEAN_M + gain * np.stack(moved) + 0.05 * rng.standard_normal((frames, *SHAPE))


def fourier_shifted(image, shift):
    spectrum = np.fft.rfft2(image)
    phase = np.fft.fftfreq(SHAPE[0])[:, None] * shift[0] + np.fft.rfftfreq(SHAPE[1]) * shift[1]
    return np.fft.irfft2(spectrum * np.exp(-2j * np.pi * phase), s=SHAPE)


@pytest.mark.parametrize("fit_background", [True, False])
@pytest.mark.parametrize("fit_scale", [True, False])
@pytest.mark.parametrize("noise", ["white", "correlated"])
def test_gain_background_and_chi2_are_those_of_least_squares(backend, rng, fit_scale, fit_background, noise):
    reference, frames = pair(rng, gain=1.7 if fit_scale else 1.0)
    if not fit_background:
        reference, frames = reference - MEAN_R, frames - MEAN_M + 0.3
    given = [backend.asarray(a) for a in (reference, frames)]
    found = imreg_xp.register(
        *given, boundary="wrap", moving_err=0.05, fit_scale=fit_scale, fit_background=fit_background, noise=noise
    )
    assert np.all(backend.to_numpy(found.status) == 0)
    tight = 1e-6 if backend.has_float64 else 2e-2
    for k, frame in enumerate(frames):
        model = fourier_shifted(reference, -backend.to_numpy(found.shift)[k])
        columns = [model.ravel()] * fit_scale + [np.ones(model.size)] * fit_background
        target = frame.ravel() - (0 if fit_scale else model.ravel())
        best = np.zeros(0)
        if columns:
            best = np.linalg.lstsq(np.stack(columns, axis=1), target, rcond=None)[0]
            target = target - np.stack(columns, axis=1) @ best
        scale = best[0] if fit_scale else 1.0
        background = best[-1] if fit_background else 0.0
        np.testing.assert_allclose(backend.to_numpy(found.scale)[k], scale, rtol=tight)
        np.testing.assert_allclose(backend.to_numpy(found.background)[k], background, atol=3000 * tight)
        np.testing.assert_allclose(backend.to_numpy(found.chi2)[k], np.sum(target**2) / 0.05**2, rtol=10 * tight)


@pytest.mark.parametrize("unit", [1e-30, 1e-20, 1e20, 1e30])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("fit_scale", [True, False])
def test_units_do_not_matter(rng, unit, dtype, fit_scale):
    reference, frames = (a.astype(dtype) for a in pair(rng))
    options = {"boundary": "wrap", "noise": "white", "fit_scale": fit_scale}
    plain = imreg_xp.register(reference, frames, **options)
    scaled = imreg_xp.register((reference * unit).astype(dtype), (frames * unit).astype(dtype), **options)
    assert np.all(scaled.status == 0)
    tight = 1e-9 if dtype == "float64" else 2e-4
    np.testing.assert_allclose(scaled.shift, plain.shift, atol=tight)
    np.testing.assert_allclose(scaled.shift_err, plain.shift_err, rtol=100 * tight)
    np.testing.assert_allclose(scaled.scale, plain.scale, rtol=tight)


def test_double_precision_takes_any_unit(rng):
    reference, frames = pair(rng)
    plain = imreg_xp.register(reference, frames, boundary="wrap")
    for unit in (1e-100, 1e100):
        scaled = imreg_xp.register(reference * unit, frames * unit, boundary="wrap")
        np.testing.assert_allclose(scaled.shift, plain.shift, atol=1e-9)
        np.testing.assert_allclose(scaled.shift_err, plain.shift_err, rtol=1e-6)


def test_broad_peaks_are_found_as_well_in_single_precision(rng):
    n = 512
    k = np.hypot(np.fft.fftfreq(n)[:, None], np.fft.rfftfreq(n))
    k[0, 0] = np.inf
    spectrum = np.fft.rfft2(rng.standard_normal((n, n))) * k**-2.0
    reference = np.fft.irfft2(spectrum, s=(n, n))
    reference /= reference.std()
    moving = np.roll(reference, (3, -7), axis=(0, 1)) + 0.01 * rng.standard_normal((n, n))
    double = imreg_xp.register(reference, moving, boundary="wrap")
    single = imreg_xp.register(reference.astype("float32"), moving.astype("float32"), boundary="wrap")
    np.testing.assert_allclose(single.shift, double.shift, atol=0.1 * np.max(double.shift_err))


@pytest.mark.parametrize("scene", ["broad", "red", "white", "a wave and little else", "stripes on a slope"])
@pytest.mark.parametrize("shape", [(128, 128), (99, 160)])
def test_the_map_in_single_precision_costs_double_precision_nothing(rng, scene, shape):
    """Where its maximum is broad and flat it may lie off by a tenth of a pixel; the modes find it from there."""
    v, u = np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])
    k = np.hypot(v, u)
    k[0, 0] = np.inf
    spectrum = np.fft.rfft2(rng.standard_normal(shape))
    weak = 1e-6 * spectrum
    spectrum *= {"broad": np.exp(-8 * (np.pi * 6 * np.hypot(v, u)) ** 2), "red": k**-3}.get(scene, 1.0)
    if scene in ("a wave and little else", "stripes on a slope"):
        spectrum = weak
        spectrum[0, 1] = spectrum[1, 0] = math.prod(shape)
    if scene == "stripes on a slope":
        spectrum[0, shape[1] // 4] = 1e-4 * math.prod(shape)
    # what is at Nyquist has no place between pixels
    spectrum[:, abs(u) == 0.5] = 0
    spectrum[abs(v[:, 0]) == 0.5] = 0
    offset = np.array([2.37, -4.81])
    turned = spectrum * np.exp(-2j * np.pi * (v * offset[0] + u * offset[1]))
    reference, moving = (np.fft.irfft2(s, s=shape) for s in (spectrum, turned))
    for noise in ("white", "correlated"):
        found = imreg_xp.register(reference, moving, boundary="wrap", noise=noise)
        assert found.status == 0
        np.testing.assert_allclose(found.shift, -offset, atol=1e-9)


@pytest.mark.parametrize(("shape", "slope", "noise"), [((128, 96), 2, 0.1), ((64, 64), 3, 0.3), ((24, 20, 18), 2, 0.1)])
def test_single_precision_converges_as_double_does(rng, shape, slope, noise):
    """Modes at Nyquist once stood still in the map and moved in the step by the modes: a third did not converge."""
    axes = tuple(range(1, len(shape) + 1))
    k = np.sqrt(sum(f**2 for f in np.meshgrid(*map(np.fft.fftfreq, shape), indexing="ij")))
    k.flat[0] = np.inf
    spectrum = np.fft.fftn(rng.standard_normal((60, *shape)), axes=axes) * k**-slope
    nu = np.meshgrid(*map(np.fft.fftfreq, shape), indexing="ij")
    turned = spectrum * np.exp(-2j * np.pi * sum(d * f for d, f in zip((5.3, -3.4, 1.2), nu, strict=False)))
    sky, moving = (np.fft.ifftn(s, axes=axes).real for s in (spectrum, turned))
    level = sky.std(axis=axes, keepdims=True)
    reference, moving = (a / level + noise * rng.standard_normal(a.shape) for a in (sky, moving))
    options = {"boundary": "wrap", "noise": "white", "ndim": len(shape)}
    double = imreg_xp.register(reference, moving, **options)
    single = imreg_xp.register(reference.astype("float32"), moving.astype("float32"), **options)
    np.testing.assert_array_equal(single.status, double.status)
    assert np.mean(double.status == 0) > 0.9
    assert np.nanmax(abs(single.shift - double.shift) / double.shift_err) < 0.05


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(16, 16), (64, 64), (65, 63), (200, 200), (255, 256), (12, 14, 16)])
def test_stripes_have_no_place_along_themselves(rng, shape, dtype):
    for axis in range(len(shape)):
        for _ in range(4):
            profile = np.cumsum(rng.normal(size=shape[axis]))
            profile -= np.linspace(0, profile[-1], len(profile))
            lay = [-1 if a == axis else 1 for a in range(len(shape))]
            first = np.broadcast_to(profile.reshape(lay), shape)
            second = np.broadcast_to((np.roll(profile, 3) + 0.2 * rng.normal(size=len(profile))).reshape(lay), shape)
            for noise in ("white", "correlated"):
                images = [np.array(a, dtype=dtype) for a in (first, second)]
                found = imreg_xp.register(*images, boundary="wrap", noise=noise, ndim=len(shape))
                assert found.status == imreg_xp.Status.NOT_CONVERGED
                assert np.all(np.isnan(found.shift))


def test_stars_tell_the_periods_of_a_lattice_apart(rng):
    """Its correlation has 256 maxima which differ by less than single precision can tell."""
    y, x = np.mgrid[:256, :256]
    lattice = np.cos(np.pi * x / 8) + np.cos(np.pi * y / 8)
    stars = sum(np.exp(-((y - v) ** 2 + (x - u) ** 2) / 8) for v, u in rng.uniform(20, 230, (8, 2)))
    for brightness in (0.1, 1e-3, 1e-5):
        image = lattice + brightness * stars
        found = imreg_xp.register(image, np.roll(image, (37, -60), axis=(0, 1)), boundary="wrap")
        np.testing.assert_allclose(found.shift, [-37, 60], atol=1e-6)
        # in a batch of which single precision tells the others
        images = np.stack([stars, image, image + stars])
        moved = np.stack([np.roll(a, (37 - k, -60), axis=(0, 1)) for k, a in enumerate(images)])
        batch = imreg_xp.register(images, moved, boundary="wrap")
        np.testing.assert_allclose(batch.shift, [[-37, 60], [-36, 60], [-35, 60]], atol=1e-6)


def test_a_limited_search_takes_the_map_in_double_precision(rng, monkeypatch):
    """What single precision tells of the whole map it may not tell of the part that is searched."""
    calls = []

    def counted(*args, **kwargs):
        calls.append(1)
        return whole(*args, **kwargs)

    whole = periodic.maps_in_single
    monkeypatch.setattr(periodic, "maps_in_single", counted)
    image = rng.normal(size=(256, 256))
    for limit, used in ((5, 0), (None, 1)):
        calls.clear()
        found = imreg_xp.register(image, np.roll(image, 2, axis=0), boundary="wrap", max_shift=limit)
        np.testing.assert_allclose(found.shift, [-2, 0], atol=1e-9)
        assert len(calls) == used


def test_a_mean_stays_with_its_image(rng):
    images, means = rng.normal(size=(5, 4, 6)), np.arange(5.0)
    some = rows(Side(images, None, None, mean=means), 1, 3)
    np.testing.assert_array_equal(some.mean, [1, 2])
    np.testing.assert_array_equal(some.image, images[1:3])


def test_a_negative_gain_without_background_is_no_answer(rng):
    reference, frames = pair(rng)
    found = imreg_xp.register(reference, -frames, boundary="wrap", fit_background=False)
    assert np.all(found.status & imreg_xp.Status.NOT_CONVERGED)
    assert np.all(np.isnan(found.shift))
