"""More of `fourier_shift` and `apply_shift`: their group laws, other dimensions, borders, holes and fills."""

from __future__ import annotations

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
from skies import cut, random_sky

import imreg_xp
from imreg_xp import apply_shift, fourier_shift

SHIFTS = st.floats(-40, 40)


@hypothesis.settings(max_examples=50)
@hypothesis.given(
    st.sampled_from([(9,), (8, 7), (7, 9), (6, 10), (4, 5, 6)]), SHIFTS, SHIFTS, SHIFTS, st.integers(0, 9)
)
def test_shifts_add_up(shape, dz, dy, dx, seed):
    """Of what lies below Nyquist, that is: the Nyquist mode of an even axis loses amplitude."""
    image = np.random.default_rng(seed).normal(size=shape)
    spectrum = np.fft.fftn(image)
    for axis, n in enumerate(shape):
        if n % 2 == 0:
            spectrum[(slice(None),) * axis + (n // 2,)] = 0
    image = np.fft.ifftn(spectrum).real
    d = np.array((dz, dy, dx)[-len(shape) :])
    np.testing.assert_allclose(fourier_shift(fourier_shift(image, d), -d), image, atol=1e-11)
    np.testing.assert_allclose(fourier_shift(fourier_shift(image, d), d), fourier_shift(image, 2 * d), atol=1e-11)
    np.testing.assert_allclose(fourier_shift(image, d), cut(spectrum, -d, shape), atol=1e-11)


@pytest.mark.parametrize("n", [6, 7, 64])
def test_the_nyquist_mode_is_shifted_by_its_cosine(backend, n):
    x = np.arange(n)
    alternating = np.cos(np.pi * x)
    moved = backend.to_numpy(fourier_shift(backend.asarray(alternating), (0.3,)))
    if n % 2 == 0:
        np.testing.assert_allclose(
            moved, np.cos(0.3 * np.pi) * alternating, atol=1e-12 if backend.has_float64 else 1e-5
        )
    else:
        assert np.max(np.abs(moved - np.cos(0.3 * np.pi) * alternating)) > 0.1


@pytest.mark.parametrize("turns", [1, -3, 1000])
def test_whole_periods_change_nothing(backend, rng, turns):
    image = rng.normal(size=(9, 14))
    moved = backend.to_numpy(fourier_shift(backend.asarray(image), (9 * turns, -14 * turns)))
    # in single precision alone the phase of a shift of many turns loses digits
    np.testing.assert_allclose(moved, image, atol=1e-12 if backend.has_float64 else 1e-5 * abs(turns))


def test_flux_is_kept(rng):
    image = rng.normal(size=(12, 15)) + 3
    assert fourier_shift(image, (0.37, -4.2)).sum() == pytest.approx(image.sum(), rel=1e-12)


@pytest.mark.parametrize("function", [fourier_shift, apply_shift])
@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        ("float32", "float32"),
        ("float64", "float64"),
        ("uint8", None),
        ("int64", None),
        (">f4", "float32"),
        (">i2", None),
    ],
)
def test_dtypes(function, dtype, expected):
    image = np.arange(30).reshape(5, 6).astype(dtype)
    moved = function(image, (1, -2))
    assert moved.dtype == (expected or "float64")
    np.testing.assert_allclose(moved[1:, :-2], image[:-1, 2:], atol=1e-5)


@pytest.mark.parametrize("function", [fourier_shift, apply_shift])
@pytest.mark.parametrize(
    "shift", [(1.0, -2.0), [1, -2], np.array([1, -2]), np.array([1, -2], dtype=np.float32)], ids=repr
)
def test_any_sequence_of_numbers_is_a_shift(function, shift, rng):
    image = rng.normal(size=(6, 7))
    np.testing.assert_array_equal(function(image, shift), function(image, (1.0, -2.0)))


@pytest.mark.parametrize("function", [fourier_shift, apply_shift])
def test_batches_are_shifted_one_by_one(backend, function, rng):
    images, shifts = rng.normal(size=(3, 1, 16, 17)), rng.uniform(-3, 3, size=(2, 2))
    moved = function(backend.asarray(images), backend.asarray(shifts))
    assert backend.owns(moved)
    assert tuple(moved.shape) == (3, 2, 16, 17)
    tol = 1e-11 if backend.has_float64 else 2e-4
    for i, j in np.ndindex(3, 2):
        one = function(images[i, 0], shifts[j])
        np.testing.assert_allclose(backend.to_numpy(moved)[i, j], one, atol=tol)


@pytest.mark.parametrize(
    ("shape", "shift"),
    [((60,), (2.6,)), ((61,), (-3.2,)), ((33, 60), (1.5, -6.4)), ((24, 26, 25), (0.5, -1.3, 2.2))],
    ids=str,
)
def test_apply_shift_in_any_dimension(backend, shape, shift):
    rng = np.random.default_rng(len(shape))
    sky = random_sky(tuple(2 * n + 16 for n in shape), rng, beam=1.2)
    origin = np.array(shape) / 2
    moved = backend.to_numpy(apply_shift(backend.asarray(cut(sky, origin, shape) + 100), shift))
    truth = cut(sky, origin - shift, shape) + 100
    source = np.meshgrid(*[np.arange(n) - d for n, d in zip(shape, shift, strict=True)], indexing="ij")
    # distance to the border, negative outside
    depth = np.min([np.minimum(x, n - 1 - x) for x, n in zip(source, shape, strict=True)], axis=0)
    inside, inner = depth >= 0, depth >= 4
    np.testing.assert_array_equal(np.isfinite(moved), inside)
    assert inner.any()
    assert np.sqrt(np.mean((moved - truth)[inner] ** 2)) < 1e-3


@pytest.mark.parametrize("beam", [0.8, 1.0, 1.5])
def test_apply_shift_is_accurate_inside_the_border(beam):
    """The error is 1e-3 of the rms at most, whatever the offset; spline interpolation of order 3 is at 1e-2."""
    errors = []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        sky = random_sky((150, 150), rng, beam=beam)
        shift = rng.uniform(-6, 6, 2)
        moved = apply_shift(cut(sky, (40, 40), (70, 64)), shift)
        inner = (slice(11, -11),) * 2
        errors.append((moved - cut(sky, 40 - shift, (70, 64)))[inner])
    assert np.sqrt(np.mean(np.square(errors))) < 1e-3


@hypothesis.settings(max_examples=40)
@hypothesis.given(st.integers(-14, 14), st.integers(-14, 14), st.sampled_from([(12, 13), (13, 12), (2, 9)]))
def test_whole_pixels_come_from_where_they_were(dy, dx, shape):
    image = np.random.default_rng(0).normal(size=shape)
    moved = apply_shift(image, (dy, dx), fill=-5)
    y, x = (i - d for i, d in zip(np.indices(shape), (dy, dx), strict=True))
    inside = (y >= 0) & (y < shape[0]) & (x >= 0) & (x < shape[1])
    expected = np.where(inside, image[np.where(inside, y, 0), np.where(inside, x, 0)], -5)
    np.testing.assert_allclose(moved, expected, atol=1e-11)


@pytest.mark.parametrize("fill", [np.nan, 0.0, -7, np.inf])
def test_what_comes_from_outside_or_from_a_hole_is_the_fill(backend, rng, fill):
    image = rng.normal(size=(20, 18)).astype(np.float32)
    hole = np.zeros(image.shape, dtype=bool)
    hole[5:8, 6:9] = True
    for bad in (np.nan, np.inf, -np.inf):
        spoiled = backend.asarray(np.where(hole, np.float32(bad), image))
        moved = backend.to_numpy(apply_shift(spoiled, (-2, 3), fill=fill))
        expected = np.full(image.shape, fill, dtype=np.float32)
        expected[:-2, 3:] = np.where(hole, fill, image)[2:, :-3]
        np.testing.assert_allclose(moved, expected, atol=1e-4)


def test_pixels_beside_a_hole_stay_near_the_truth(rng):
    sky = random_sky((128, 128), rng, beam=1.5)
    image, truth = cut(sky, (30, 30), (64, 64)), cut(sky, (29.6, 30.3), (64, 64))
    image[20:26, 30:38] = np.nan
    moved = apply_shift(image, (0.4, -0.3))
    assert np.isnan(moved[20:26, 30:38]).all()
    assert np.isnan(moved[4:-4, 4:-4]).sum() == 48
    error = np.abs(moved - truth)
    error[error.shape[0] - 4 :] = error[:4] = error[:, :4] = error[:, -4:] = 0
    assert np.nanmax(error) < 0.1
    far = error.copy()
    far[14:32, 24:44] = 0
    assert np.nanmax(far) < 5e-3


def test_an_image_without_a_valid_pixel_is_all_fill(backend):
    image = backend.asarray(np.full((2, 9, 8), np.nan))
    moved = backend.to_numpy(apply_shift(image, (0.3, 0.4), fill=3))
    np.testing.assert_array_equal(moved, np.full((2, 9, 8), 3))


def test_the_shift_of_a_registration_can_be_applied(backend):
    """One call after the other, with one failed item in the batch."""
    rng = np.random.default_rng(2)
    sky = random_sky((120, 120), rng)
    reference = cut(sky, (30, 30), (48, 44))
    moving = np.stack([cut(sky, (32.4, 28.7), (48, 44)), np.ones((48, 44))])
    moving[0] += 0.001 * rng.normal(size=(48, 44))
    result = imreg_xp.register(*map(backend.asarray, (reference, moving)))
    aligned = backend.to_numpy(apply_shift(backend.asarray(moving), result.shift))
    assert np.isnan(aligned[1]).all()
    # the last columns and the first rows lay outside
    assert np.isnan(aligned[0, :2]).all()
    np.testing.assert_allclose(aligned[0, 10:-10, 10:-10], reference[10:-10, 10:-10], atol=0.02)
