"""Periodic images of any flux, level and precision: the numbers must not depend on what they are counted in."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from imreg_xp import Status, fourier_shift, register

OPTIONS = list(itertools.product((None, 0.03), (None, 0.05), ("white", "correlated")))


def scene(rng, shape, slope=1.5):
    """A periodic image of mean 0 and rms 1 with a power law spectrum of amplitudes and a beam."""
    nu = np.sqrt(sum(f**2 for f in np.meshgrid(*[np.fft.fftfreq(n) for n in shape], indexing="ij")))
    nu.flat[0] = np.inf
    image = np.fft.ifftn(np.fft.fftn(rng.normal(size=shape)) * nu**-slope * np.exp(-20 * np.minimum(nu, 1) ** 2)).real
    return image / image.std()


@pytest.mark.parametrize("flux", [1e-100, 1e-60, 1e60, 1e100])
@pytest.mark.parametrize(("err_r", "err_m", "noise"), OPTIONS)
def test_flux_does_not_matter(rng, flux, err_r, err_m, noise):
    r = scene(rng, (24, 31))
    m = 2 * fourier_shift(r, [1.3, -2.4]) + 0.05 * rng.normal(size=r.shape) + 3
    base = register(r, m, boundary="wrap", reference_err=err_r, moving_err=err_m, noise=noise)
    errs = {"reference_err": err_r and err_r * flux, "moving_err": err_m and err_m * flux}
    found = register(r * flux, m * flux, boundary="wrap", noise=noise, **errs)
    assert found.status == base.status == 0
    for name in ("shift", "shift_err", "scale", "chi2"):
        np.testing.assert_allclose(getattr(found, name), getattr(base, name), rtol=1e-8)
    assert found.background == pytest.approx(base.background * flux, rel=1e-8)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("pedestal", [0, 1e4])
def test_single_precision_is_as_good_as_its_pixels(rng, pedestal, weighted):
    """Rounding errors of a map are those of its peak: they moved broad maxima by several errors."""
    for slope in (1.5, 2.5):
        r = scene(rng, (256, 256), slope)
        m = fourier_shift(r, rng.uniform(-2, 2, 2)) + 0.01 * rng.normal(size=r.shape)
        r, m = ((x + pedestal).astype(np.float32) for x in (r, m))
        err = 0.01 if weighted else None
        single = register(r, m, boundary="wrap", reference_err=err)
        double = register(r.astype(np.float64), m.astype(np.float64), boundary="wrap", reference_err=err)
        assert np.all(abs(single.shift - double.shift) < 0.02 * double.shift_err)
        np.testing.assert_allclose(single.shift_err, double.shift_err, rtol=0.01)


@pytest.mark.parametrize("level", [0.0, 1e20, 1e30])
@pytest.mark.parametrize(("fit_scale", "fit_background"), list(itertools.product((False, True), repeat=2)))
@pytest.mark.parametrize(("err_r", "err_m", "noise"), OPTIONS)
def test_flat_images_of_any_level(rng, level, fit_scale, fit_background, err_r, err_m, noise):
    """The suite turns warnings into errors: there must be none of overflow."""
    images = [np.full((8, 9), level, dtype=np.float32), (1e20 * scene(rng, (8, 9))).astype(np.float32)]
    errs = {"reference_err": err_r and err_r * 1e20, "moving_err": err_m and err_m * 1e20}
    for a, b in (images, images[::-1]):
        found = register(a, b, boundary="wrap", noise=noise, fit_scale=fit_scale, fit_background=fit_background, **errs)
        assert found.status == Status.FLAT_IMAGE


@pytest.mark.parametrize("boundary", ["wrap", "overlap"])
def test_one_reference_for_frames_of_which_one_has_a_bad_pixel(rng, boundary):
    r = scene(rng, (30, 32))
    frames = np.stack([r, 1.1 * fourier_shift(r, [0.3, 0.4]), r + 1]) + 0.01 * rng.normal(size=(3, 30, 32))
    frames[1, 3, 4] = np.nan
    options = {"boundary": boundary, "fit_scale": False}
    for pairs in ((r, frames), (frames, r)):
        many = register(*pairs, **options)
        for i in range(3):
            one = register(*(x[i] if x.ndim == 3 else x for x in pairs), **options)
            np.testing.assert_allclose(many.shift[i], one.shift, atol=1e-8)
            np.testing.assert_allclose(many.shift_err[i], one.shift_err, rtol=1e-6)


def test_without_background_a_gain_below_zero_is_no_answer(rng):
    """The largest C is the worst offset then."""
    r = scene(rng, (30, 32))
    found = register(r + 50, r - 80, boundary="wrap", fit_background=False)
    assert found.status == Status.NOT_CONVERGED
    assert np.all(np.isnan(found.shift))


@pytest.mark.parametrize("fit_scale", [False, True])
def test_a_level_that_is_not_fitted_does_not_make_errors_small(rng, fit_scale):
    """The given error is the level of the noise, and a difference of means is none of that."""
    r = scene(rng, (48, 50))
    m = fourier_shift(r, [0.4, 0.7]) + 0.05 * rng.normal(size=r.shape)
    options = {"boundary": "wrap", "moving_err": 0.05, "fit_scale": fit_scale}
    free = register(r, m + 2, **options)
    fixed = register(r, m + 2, fit_background=False, **options)
    assert fixed.chi2 > 100 * free.chi2
    np.testing.assert_allclose(fixed.shift_err, free.shift_err, rtol=0.01)
