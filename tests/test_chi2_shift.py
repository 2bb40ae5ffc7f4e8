"""`chi2_shift`: the documented signature, convention and errors, and its chi² array against brute force."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import scipy.fft
import scipy.stats
from skies import cut, random_sky

import imreg_xp
from imreg_xp import chi2_shift

SHAPE, OFFSET = (30, 33), np.array([3.3, -2.7])

DOCUMENTED = {
    "err": None,
    "upsample_factor": "auto",
    "boundary": "wrap",
    "nthreads": 1,
    "use_numpy_fft": False,
    "zeromean": False,
    "nfitted": 2,
    "verbose": False,
    "return_error": True,
    "return_chi2array": False,
    "max_auto_size": 512,
    "max_nsig": 1.1,
}


@pytest.fixture
def images(rng):
    sky = random_sky(SHAPE, rng, beam=1.2)
    return cut(sky, (0, 0), SHAPE), cut(sky, -OFFSET, SHAPE) + 0.1 * rng.normal(size=SHAPE)


def test_signature():
    parameters = inspect.signature(chi2_shift).parameters
    assert list(parameters) == ["im1", "im2", *DOCUMENTED]
    assert {k: p.default for k, p in parameters.items() if k in DOCUMENTED} == DOCUMENTED
    assert chi2_shift is imreg_xp.chi2_shifts.chi2_shift


def test_x_first_and_how_far_im2_lies(images):
    dx, dy, ex, ey = chi2_shift(*images, 0.1)
    assert dx == pytest.approx(-2.7, abs=4 * ex)
    assert dy == pytest.approx(3.3, abs=4 * ey)
    native = imreg_xp.register(*images, moving_err=0.1, boundary="wrap", fit_scale=False, fit_background=False)
    np.testing.assert_allclose((dx, dy), -native.shift[::-1], atol=1e-12)


@pytest.mark.parametrize("nfitted", [1, 2, 3])
def test_errors_are_the_documented_region(images, nfitted):
    errors = chi2_shift(*images, 0.1, nfitted=nfitted)[2:]
    native = imreg_xp.register(*images, moving_err=0.1, boundary="wrap", fit_scale=False, fit_background=False)
    level = scipy.stats.chi2.ppf(scipy.stats.chi2.cdf(1, 1), nfitted)
    np.testing.assert_allclose(errors, np.sqrt(level) * native.shift_err[::-1], rtol=1e-9)


def test_returns(images):
    assert len(chi2_shift(*images, return_error=False)) == 2
    assert len(chi2_shift(*images)) == 4
    short = chi2_shift(*images, return_error=False, return_chi2array=True)
    assert len(short) == 3
    assert all(isinstance(v, float) for v in short[:2])
    x, y, chi2 = short[2]
    assert x.shape == y.shape == chi2.shape


@pytest.mark.parametrize("err", ["number", "map"])
def test_chi2_array_is_the_sum_over_shifted_images(images, rng, err):
    err = 0.1 if err == "number" else 0.05 + 0.1 * rng.uniform(size=SHAPE)
    spectrum = np.fft.fftn(images[0])
    x, y, chi2 = chi2_shift(*images, err, upsample_factor=40, max_nsig=4, return_chi2array=True)[-1]
    np.testing.assert_allclose(np.diff(x, axis=1), 1 / 40, rtol=1e-9)
    np.testing.assert_allclose(np.diff(y, axis=0), 1 / 40, rtol=1e-9)
    for index in np.ndindex(chi2.shape):
        model = cut(spectrum, (-y[index], -x[index]), SHAPE)
        assert chi2[index] == pytest.approx(np.sum(((images[1] - model) / err) ** 2), rel=1e-9)


def test_the_minimum_of_the_array_is_the_shift(images):
    dx, dy, ex, ey, (x, y, chi2) = chi2_shift(*images, 0.1, return_chi2array=True, max_nsig=2)
    best = np.unravel_index(np.argmin(chi2), chi2.shape)
    assert x[best] == pytest.approx(dx, abs=0.06 * ex)
    assert y[best] == pytest.approx(dy, abs=0.06 * ey)
    assert max(chi2.shape) <= 512


@pytest.mark.parametrize("factor", [1, 7, 100])
def test_the_upsampling_does_not_quantise(images, factor):
    np.testing.assert_array_equal(chi2_shift(*images, upsample_factor=factor), chi2_shift(*images))


def test_threads_and_fft_provider(images, monkeypatch):
    expected = chi2_shift(*images)
    np.testing.assert_allclose(chi2_shift(*images, nthreads=2), expected, rtol=1e-9)

    def refuse(*_args, **_kwargs):
        raise AssertionError

    monkeypatch.setattr(scipy.fft, "rfftn", refuse)
    np.testing.assert_allclose(chi2_shift(*images, use_numpy_fft=True), expected, rtol=1e-9)
    with pytest.raises(AssertionError):
        chi2_shift(*images)


def test_zeromean_frees_the_level(images):
    base = chi2_shift(*images, 0.1, zeromean=True)
    np.testing.assert_allclose(chi2_shift(images[0], images[1] + 50, 0.1, zeromean=True), base, rtol=1e-6)


@pytest.mark.parametrize("boundary", ["wrap", "overlap", "constant", "fill", "reflect", "nearest"])
def test_boundaries(images, boundary):
    dx, dy, ex, ey = chi2_shift(*images, 0.1, boundary=boundary)
    assert abs(dx + 2.7) < 5 * ex
    assert abs(dy - 3.3) < 5 * ey


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("boundary", {"boundary": "periodic"}),
        ("upsample_factor", {"upsample_factor": 0}),
        ("nfitted", {"nfitted": 0}),
        ("err", {"err": -1.0}),
        ("im2", {"im2": np.ones((3, 4))}),
    ],
)
def test_bad_input(images, name, given):
    with pytest.raises(ValueError, match=f"`{name}`"):
        chi2_shift(**{"im1": images[0], "im2": images[1], **given})


def test_every_library(backend, images):
    tol = 1e-6 if backend.has_float64 else 1e-3
    arrays = [backend.asarray(im) for im in images]
    *numbers, (x, y, chi2) = chi2_shift(*arrays, 0.1, return_chi2array=True, upsample_factor=20)
    assert all(isinstance(v, float) for v in numbers)
    np.testing.assert_allclose(numbers, chi2_shift(*images, 0.1), atol=tol)
    assert all(backend.owns(a) for a in (x, y, chi2))


def test_verbose_warns_of_a_coarse_array(images):
    with pytest.warns(UserWarning, match="does not resolve the errors"):
        chi2_shift(*images, 0.1, upsample_factor=2, verbose=True)


@pytest.mark.parametrize("boundary", ["wrap", "overlap"])
def test_chi2_array_in_single_precision(images, boundary):
    """A small difference of large sums: not in the precision of the images."""
    narrow = [(im + 10).astype(np.float32) for im in images]
    single, double = (
        chi2_shift(*pair, 0.1, boundary=boundary, upsample_factor=40, max_nsig=3, return_chi2array=True)[-1][2]
        for pair in (narrow, [im.astype(np.float64) for im in narrow])
    )
    np.testing.assert_allclose(single, double, atol=1e-3)


def test_the_minimum_in_the_overlap_is_the_shift(images):
    dx, dy, ex, ey, (x, y, chi2) = chi2_shift(*images, 0.1, boundary="overlap", return_chi2array=True, max_nsig=2)
    best = np.unravel_index(np.argmin(chi2), chi2.shape)
    assert x[best] == pytest.approx(dx, abs=0.1 * ex)
    assert y[best] == pytest.approx(dy, abs=0.1 * ey)


@pytest.mark.parametrize("shape", [(12, 14), (11, 14), (13, 9)])
def test_chi2_array_with_the_highest_frequencies(rng, shape):
    """White images hold Nyquist modes, which move by their cosine."""
    image = rng.normal(size=shape)
    err = 0.5 + rng.uniform(size=shape)
    other = np.roll(image, 1, 0) + 0.2 * rng.normal(size=shape)
    x, y, chi2 = chi2_shift(image, other, err, upsample_factor=9, max_nsig=3, return_chi2array=True)[-1]
    for index in np.ndindex(chi2.shape):
        model = cut(np.fft.fftn(image), (-y[index], -x[index]), shape)
        assert chi2[index] == pytest.approx(np.sum(((other - model) / err) ** 2), rel=1e-9)


@pytest.mark.parametrize("max_nsig", [1.1, 3.0])
def test_the_array_covers_max_nsig_errors(images, max_nsig):
    dx, dy, ex, ey, (x, y, _) = chi2_shift(*images, 0.1, max_nsig=max_nsig, return_chi2array=True)
    for axis, best, error in ((x, dx, ex), (y, dy, ey)):
        for reach in (axis.max() - best, best - axis.min()):
            assert reach / error == pytest.approx(max_nsig, abs=0.2)
