"""Fourier shifts against literal DFT sums, and shifts of images that are not periodic against a larger sky."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from skies import cut, random_sky

import imreg_xp


def literal_shift(image: np.ndarray, shift) -> np.ndarray:
    """Sum the DFT term by term, O(N^2); the Nyquist mode of an even axis is moved by cos(pi shift)."""
    kernels = []
    for n, d in zip(image.shape, shift, strict=True):
        lag = np.arange(n)[:, None] - np.arange(n)
        kernel = np.zeros((n, n))
        for k in range(-((n - 1) // 2), (n - 1) // 2 + 1):
            kernel += np.cos(2 * np.pi * k * (lag - d) / n)
        if n % 2 == 0:
            kernel += np.cos(np.pi * lag) * np.cos(np.pi * d)
        kernels.append(kernel / n)
    out = np.zeros(image.shape)
    for x in itertools.product(*map(range, image.shape)):
        for y in itertools.product(*map(range, image.shape)):
            out[x] += image[y] * np.prod([k[i, j] for k, i, j in zip(kernels, x, y, strict=True)])
    return out


@pytest.mark.parametrize(
    ("shape", "shift"),
    [((9,), (2.3,)), ((8,), (-0.7,)), ((6, 7), (1.4, -2.2)), ((5, 8), (0.5, 3.5)), ((4, 3, 6), (0.3, 1.6, -2.5))],
)
def test_fourier_shift_is_the_dft_sum(backend, rng, shape, shift):
    image = rng.normal(size=shape)
    tol = 1e-12 if backend.has_float64 else 1e-5
    moved = backend.to_numpy(imreg_xp.fourier_shift(backend.asarray(image), shift))
    np.testing.assert_allclose(moved, literal_shift(image, shift), atol=tol)


@pytest.mark.parametrize("shape", [(8, 9), (7, 12)])
def test_whole_pixels_are_a_roll(backend, rng, shape):
    image = rng.normal(size=shape)
    tol = 1e-12 if backend.has_float64 else 1e-5
    moved = backend.to_numpy(imreg_xp.fourier_shift(backend.asarray(image), (3, -2)))
    np.testing.assert_allclose(moved, np.roll(image, (3, -2), (0, 1)), atol=tol)


def test_back_and_forth_is_the_identity(rng):
    image = rng.normal(size=(9, 11))
    there = imreg_xp.fourier_shift(image, (1.37, -0.61))
    np.testing.assert_allclose(imreg_xp.fourier_shift(there, (-1.37, 0.61)), image, atol=1e-13)


def test_shifts_broadcast_against_images(backend, rng):
    images = rng.normal(size=(2, 1, 6, 5)).astype(np.float32)
    shifts = rng.normal(size=(3, 2)).astype(np.float32)
    moved = imreg_xp.fourier_shift(backend.asarray(images), backend.asarray(shifts))
    assert backend.owns(moved)
    assert moved.shape == (2, 3, 6, 5)
    assert backend.to_numpy(moved).dtype == np.float32
    for i, j in itertools.product(range(2), range(3)):
        one = imreg_xp.fourier_shift(images[i, 0], shifts[j])
        np.testing.assert_allclose(backend.to_numpy(moved)[i, j], one, atol=1e-5)


def test_integers_become_floating():
    moved = imreg_xp.fourier_shift(np.arange(12, dtype=np.uint16).reshape(3, 4), (1, 0))
    assert moved.dtype == np.float64
    np.testing.assert_allclose(moved, np.roll(np.arange(12.0).reshape(3, 4), 1, 0), atol=1e-12)


@pytest.mark.parametrize("bad", [(1.0,), (1.0, 2.0, 3.0)])
def test_shift_of_the_wrong_length(rng, bad):
    with pytest.raises(ValueError, match="`shift`"):
        imreg_xp.fourier_shift(rng.normal(size=(4, 5)), bad, ndim=2)


def test_apply_shift_finds_what_a_larger_sky_holds(backend, rng):
    sky = random_sky((128, 128), rng, beam=1.0)
    shape, shift = (60, 55), np.array([2.4, -3.3])
    moved = imreg_xp.apply_shift(backend.asarray(cut(sky, (30, 30), shape)), tuple(shift))
    assert backend.owns(moved)
    moved = backend.to_numpy(moved)
    truth = cut(sky, 30 - shift, shape)
    inside = np.isfinite(moved)
    # rows 0-2 and the last four columns come from outside
    assert not inside[:3].any()
    assert not inside[:, -4:].any()
    assert inside[3:, :-4].all()
    assert np.abs(moved - truth)[3:, :-4].max() < 0.03
    assert np.sqrt(np.mean((moved - truth)[8:-4, 4:-9] ** 2)) < 3e-4


def test_apply_shift_by_whole_pixels_keeps_pixels(rng):
    image = rng.normal(size=(12, 10))
    moved = imreg_xp.apply_shift(image, (2, -3), fill=-7.0)
    np.testing.assert_allclose(moved[2:, :-3], image[:-2, 3:], atol=1e-12)
    assert np.all(moved[:2] == -7.0)
    assert np.all(moved[:, -3:] == -7.0)


def test_apply_shift_fills_holes(backend, rng):
    image = rng.normal(size=(20, 18)).astype(np.float32)
    image[5:8, 6:9] = np.nan
    moved = backend.to_numpy(imreg_xp.apply_shift(backend.asarray(image), (1, 2)))
    assert np.isnan(moved[6:9, 8:11]).all()
    assert np.isnan(moved).sum() == 9 + 20 * 18 - 19 * 16
    masked = imreg_xp.apply_shift(
        backend.asarray(np.nan_to_num(image)), (1, 2), valid=backend.asarray(np.isfinite(image))
    )
    np.testing.assert_allclose(backend.to_numpy(masked), moved, atol=1e-6)


def test_apply_shift_by_nan_is_fill(rng):
    moved = imreg_xp.apply_shift(rng.normal(size=(2, 6, 7)), np.array([[np.nan, 1.0], [0.0, 0.0]]))
    assert np.isnan(moved[0]).all()
    assert np.isfinite(moved[1]).all()


def test_inputs_stay_as_they_were(backend, rng):
    image = rng.normal(size=(2, 9, 8))
    image[0, 3, 3] = np.nan
    array = backend.asarray(image)
    imreg_xp.fourier_shift(array, (0.3, 0.4))
    imreg_xp.apply_shift(array, (0.3, 0.4))
    np.testing.assert_array_equal(backend.to_numpy(array), image.astype(backend.to_numpy(array).dtype))
