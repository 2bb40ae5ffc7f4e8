"""More of `chi2_shift`: the examples of its documentation, every option on every array library, the chi² array."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.fft
import scipy.stats
from skies import cut, random_sky

import imreg_xp
from imreg_xp import chi2_shift, fourier_shift

SHAPE, DX, DY = (30, 33), -2.7, 3.3
# sqrt of the 68.27 % quantile of chi² for 1, 2, 3 parameters, from tables
EXTENT = {1: 1.0, 2: 1.5152, 3: 1.8779}


@pytest.fixture
def images():
    rng = np.random.default_rng(5)
    sky = random_sky(SHAPE, rng, beam=1.2)
    return cut(sky, (0, 0), SHAPE) + 2, cut(sky, (-DY, -DX), SHAPE) + 2 + 0.1 * rng.normal(size=SHAPE)


def test_the_documented_examples(rng):
    rr = ((np.indices([100, 100]) - np.array([50.0, 50.0])[:, None, None]) ** 2).sum(axis=0) ** 0.5
    image = np.exp(-(rr**2) / (3.0**2 * 2.0)) * 20
    shifted = np.roll(np.roll(image, 12, 0), 5, 1) + rng.normal(size=(100, 100))
    dx, dy, edx, edy = chi2_shift(image, shifted, upsample_factor="auto")
    assert abs(dx - 5) < 3 * edx < 0.3
    assert abs(dy - 12) < 3 * edy < 0.3
    # x first in `shift2d(image, 3.665, -4.25)`, axis order here
    shifted2 = fourier_shift(image, (-4.25, 3.665)) + rng.normal(size=(100, 100))
    dx2, dy2, edx2, edy2 = chi2_shift(image, shifted2, upsample_factor="auto")
    assert abs(dx2 - 3.665) < 3 * edx2 < 0.3
    assert abs(dy2 + 4.25) < 3 * edy2 < 0.3


def test_the_quick_example(images):
    """Shift the second image back to match the first."""
    image, offset_image = images
    xoff, yoff, exoff, eyoff = chi2_shift(image, offset_image, 0.1, return_error=True, upsample_factor="auto")
    corrected = fourier_shift(offset_image, (-yoff, -xoff))
    assert np.std(corrected - image) < 0.11
    assert (xoff, yoff) == pytest.approx((DX, DY), abs=5 * max(exoff, eyoff))


@pytest.mark.parametrize("return_error", [True, False])
@pytest.mark.parametrize("return_chi2array", [True, False])
def test_what_is_returned(backend, images, return_error, return_chi2array):
    arrays = list(map(backend.asarray, images))
    result = chi2_shift(*arrays, 0.1, return_error=return_error, return_chi2array=return_chi2array, upsample_factor=20)
    assert type(result) is tuple
    assert len(result) == 2 + 2 * return_error + return_chi2array
    numbers = result[: 2 + 2 * return_error]
    assert all(type(v) is float for v in numbers)
    assert numbers[:2] == pytest.approx((DX, DY), abs=0.2)
    if return_chi2array:
        assert len(result[-1]) == 3
        x, y, chi2 = (backend.to_numpy(a) for a in result[-1])
        assert x.shape == y.shape == chi2.shape
        assert np.ptp(x[:, 0]) == np.ptp(y[0]) == 0
        best = np.unravel_index(np.argmin(chi2), chi2.shape)
        assert (x[best], y[best]) == pytest.approx(numbers[:2], abs=1 / 20)
        # the numbers of the reference library
        ours = chi2_shift(*images, 0.1, return_chi2array=True, upsample_factor=20)[-1]
        tol = 1e-6 if backend.has_float64 else 1e-2
        for a, b in zip((x, y, chi2), ours, strict=True):
            np.testing.assert_allclose(a, b, rtol=tol, atol=tol)


@pytest.mark.parametrize("nfitted", EXTENT)
@pytest.mark.parametrize("boundary", ["wrap", "constant"])
def test_errors_are_the_extent_of_the_region(images, nfitted, boundary):
    one = chi2_shift(*images, 0.1, nfitted=1, boundary=boundary)[2:]
    many = chi2_shift(*images, 0.1, nfitted=nfitted, boundary=boundary)[2:]
    np.testing.assert_allclose(many, EXTENT[nfitted] * np.array(one), rtol=1e-4)
    native = imreg_xp.register(
        *images,
        moving_err=0.1,
        boundary="wrap" if boundary == "wrap" else "overlap",
        fit_scale=False,
        fit_background=False,
    )
    np.testing.assert_allclose(one, native.shift_err[::-1], rtol=1e-9)


def test_the_region_in_the_chi2_array_has_the_extent_of_the_errors():
    """White noise of known level, whole extent sampled: counting pixels must agree with the computed errors."""
    rng = np.random.default_rng(8)
    shape = (96, 90)
    sky = random_sky(shape, rng, beam=1.5)
    pair = cut(sky, (0, 0), shape), cut(sky, (1.3, -0.6), shape) + 0.3 * rng.normal(size=shape)
    _, _, ex, ey, (x, y, chi2) = chi2_shift(*pair, 0.3, return_chi2array=True, max_nsig=1.6, nfitted=2)
    inside = chi2 - chi2.min() < scipy.stats.chi2.ppf(math.erf(math.sqrt(0.5)), 2)
    # the errors allow for the noise as it is in this image, which is white to a few per cent only
    assert np.ptp(x[inside]) / 2 == pytest.approx(ex, rel=0.15)
    assert np.ptp(y[inside]) / 2 == pytest.approx(ey, rel=0.15)


@pytest.mark.parametrize("factor", [1, 7, 50, 2.5])
@pytest.mark.parametrize("err", [None, 0.1, "map"])
def test_the_array_is_sampled_at_the_factor(images, factor, err):
    given = 0.05 + 0.1 * np.random.default_rng(1).uniform(size=SHAPE) if isinstance(err, str) else err
    *numbers, (x, y, chi2) = chi2_shift(*images, given, upsample_factor=factor, return_chi2array=True, max_nsig=3)
    assert numbers == list(chi2_shift(*images, given))
    for values in (x[0], y[:, 0]):
        np.testing.assert_allclose(np.diff(values), 1 / factor, rtol=1e-9)
        # whole multiples of a sample from zero, so that whole shifts are among them
        np.testing.assert_allclose(values * factor, np.round(values * factor), atol=1e-9)
    spectrum = np.fft.fftn(images[0])
    sums = np.empty(chi2.shape)
    for index in np.ndindex(chi2.shape):
        model = cut(spectrum, (-y[index], -x[index]), SHAPE)
        sums[index] = np.sum(((images[1] - model) / (1 if given is None else given)) ** 2)
    if given is None:
        # scaled so that the least is the number of degrees of freedom
        sums *= (SHAPE[0] * SHAPE[1] - 2) / sums.min()
    np.testing.assert_allclose(chi2, sums, rtol=1e-9)


def test_the_array_is_exact_up_to_the_corner_of_the_nyquist_modes(rng):
    """White images of even size: every mode has power, those that are shifted by a product of cosines too."""
    shape = (8, 10)
    first = rng.normal(size=shape)
    second = np.roll(first, 1, 0) + 0.3 * rng.normal(size=shape)
    err = rng.uniform(0.2, 0.4, size=shape)
    for given in (0.3, err):
        x, y, chi2 = chi2_shift(first, second, given, upsample_factor=9, return_chi2array=True, max_nsig=5)[-1]
        for index in np.ndindex(chi2.shape):
            model = cut(np.fft.fftn(first), (-y[index], -x[index]), shape)
            assert chi2[index] == pytest.approx(np.sum(((second - model) / given) ** 2), rel=1e-9)


@pytest.mark.parametrize("size", [16, 65])
def test_the_size_of_the_automatic_array_is_limited(images, size):
    x, _, chi2 = chi2_shift(*images, 0.1, return_chi2array=True, max_auto_size=size, max_nsig=3)[-1]
    assert max(chi2.shape) <= size + 2
    assert np.ptp(x) > 0


@pytest.mark.parametrize("nsig", [1.5, 4.0])
def test_the_array_reaches_as_far_as_asked(images, nsig):
    dx, dy, ex, ey, (x, y, _) = chi2_shift(*images, 0.1, return_chi2array=True, max_nsig=nsig)
    step = np.diff(x[0])[0]
    assert dx - x.min() == pytest.approx(nsig * ex, abs=1.6 * step)
    assert y.max() - dy == pytest.approx(nsig * ey, abs=1.6 * step)


def test_fft_providers_are_switched(images, monkeypatch):
    expected = chi2_shift(*images)
    used = []

    def watched(module, name):
        original = getattr(module, name)

        def call(*args, **kwargs):
            used.append(module.__name__)
            return original(*args, **kwargs)

        monkeypatch.setattr(module, name, call)

    for module in (scipy.fft, np.fft):
        for name in ("rfftn", "irfftn"):
            watched(module, name)
    np.testing.assert_allclose(chi2_shift(*images), expected, rtol=1e-9)
    assert set(used) == {"scipy.fft"}
    used.clear()
    np.testing.assert_allclose(chi2_shift(*images, use_numpy_fft=True, return_chi2array=True)[:4], expected, rtol=1e-9)
    assert set(used) == {"numpy.fft"}


def test_threads_are_those_asked_for_and_only_there(images, monkeypatch):
    seen = []
    original = scipy.fft.rfftn

    def watched(*args, **kwargs):
        seen.append(scipy.fft.get_workers())
        return original(*args, **kwargs)

    monkeypatch.setattr(scipy.fft, "rfftn", watched)
    before = scipy.fft.get_workers()
    assert chi2_shift(*images, nthreads=2) == pytest.approx(chi2_shift(*images), rel=1e-9)
    assert set(seen) == {1, 2}
    assert scipy.fft.get_workers() == before


@pytest.mark.parametrize("boundary", ["wrap", "constant"])
def test_zeromean_makes_levels_of_no_account(images, boundary):
    base = chi2_shift(*images, 0.1, zeromean=True, boundary=boundary)
    first = images[0] + 50
    for second in (images[1] - 20, images[1] + 20):
        np.testing.assert_allclose(
            chi2_shift(first, second, 0.1, zeromean=True, boundary=boundary), base, rtol=1e-6, atol=1e-9
        )
    if boundary == "wrap":
        means = chi2_shift(*(im - im.mean() for im in images), 0.1)
        np.testing.assert_allclose(means[:2], base[:2], rtol=1e-9)
        # a mean is one parameter more
        np.testing.assert_allclose(means[2:], base[2:], rtol=1e-3)


@pytest.mark.parametrize("boundary", ["overlap", "constant", "fill", "reflect", "nearest"])
def test_boundaries_that_are_not_periodic_compare_the_overlap(boundary):
    rng = np.random.default_rng(3)
    sky = random_sky((120, 120), rng, beam=1.2)
    pair = cut(sky, (30, 30), (56, 60)), cut(sky, (37.3, 26.6), (56, 60)) + 0.02 * rng.normal(size=(56, 60))
    dx, dy, ex, ey = chi2_shift(*pair, 0.02, boundary=boundary)
    assert dx == pytest.approx(3.4, abs=4 * ex)
    assert dy == pytest.approx(-7.3, abs=4 * ey)
    assert max(ex, ey) < 0.02
    wrapped = chi2_shift(*pair, 0.02)
    assert max(abs(wrapped[0] - 3.4) / wrapped[2], abs(wrapped[1] + 7.3) / wrapped[3]) > 5


def test_the_overlap_array_has_its_minimum_at_the_shift():
    rng = np.random.default_rng(3)
    sky = random_sky((120, 120), rng, beam=1.2)
    pair = cut(sky, (30, 30), (56, 60)), cut(sky, (37.3, 26.6), (56, 60)) + 0.05 * rng.normal(size=(56, 60))
    dx, dy, ex, ey, (x, y, chi2) = chi2_shift(*pair, 0.05, boundary="constant", return_chi2array=True, max_nsig=2)
    best = np.unravel_index(np.argmin(chi2), chi2.shape)
    # the fit weighs the modes, the array does not: 0.25 of these errors apart in the mean
    assert x[best] == pytest.approx(dx, abs=ex)
    assert y[best] == pytest.approx(dy, abs=ey)
    assert chi2.min() == pytest.approx(56 * 60 * (1 - 7.3 / 56) * (1 - 3.4 / 60), rel=0.25)


@pytest.mark.parametrize("spoil", ["flat", "nan"])
@pytest.mark.parametrize("boundary", ["wrap", "constant"])
def test_what_cannot_be_registered_is_nan(backend, images, spoil, boundary):
    bad = np.full(SHAPE, 3.0 if spoil == "flat" else np.nan)
    *numbers, (x, y, chi2) = chi2_shift(
        backend.asarray(images[0]), backend.asarray(bad), boundary=boundary, return_chi2array=True, verbose=True
    )
    assert len(numbers) == 4
    assert all(math.isnan(v) for v in numbers)
    assert x.shape == y.shape == chi2.shape


def test_verbose_is_silent_where_the_factor_is_fine(images, recwarn):
    chi2_shift(*images, 0.1, upsample_factor=100, verbose=True)
    chi2_shift(*images, 0.1, upsample_factor=2)
    assert not recwarn.list


def test_inputs_stay_as_they_were(backend, images):
    spoiled = images[1].copy()
    spoiled[3, 4] = np.nan
    arrays = [backend.asarray(im) for im in (images[0], spoiled, np.full(SHAPE, 0.1))]
    before = [backend.to_numpy(a) for a in arrays]
    chi2_shift(*arrays, zeromean=True, return_chi2array=True, upsample_factor=10)
    for array, values in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(backend.to_numpy(array), values)
