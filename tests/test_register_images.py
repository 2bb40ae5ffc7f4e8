"""`register_images` and `dftregistration`: shifts built in, whole and sub-pixel, real and complex, and their errors."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
from skies import cut, random_sky

import imreg_xp
from imreg_xp import register_images
from imreg_xp.register_images import dftregistration

DOCUMENTED = {
    "usfac": 1,
    "return_registered": False,
    "return_error": False,
    "zeromean": True,
    "DEBUG": False,
    "maxoff": None,
    "nthreads": 1,
    "use_numpy_fft": False,
}


@pytest.mark.parametrize("function", [register_images, dftregistration])
def test_signatures(function):
    parameters = dict(list(inspect.signature(function).parameters.items())[2:])
    assert {k: p.default for k, p in parameters.items()} == DOCUMENTED


def scene(shape, offset, rng, noise=0.0):
    sky = random_sky(shape, rng, beam=1.2)
    origin = (0,) * len(shape)
    return cut(sky, origin, shape), cut(sky, -np.asarray(offset), shape) + noise * rng.normal(size=shape)


@pytest.mark.parametrize("shape", [(32, 40), (33, 40), (31, 37)])
def test_x_first_and_how_far_im2_lies(backend, rng, shape):
    given = [backend.asarray(im) for im in scene(shape, (3.3, -2.7), rng)]
    tol = 1e-6 if backend.has_float64 else 1e-3
    np.testing.assert_allclose(register_images(*given, usfac=100), (-2.7, 3.3), atol=tol)
    assert register_images(*given) == (-3.0, 3.0)
    assert all(isinstance(v, float) for v in register_images(*given))


def test_errors_are_those_of_register(rng):
    first, second = scene((40, 44), (3.3, -2.7), rng, noise=0.2)
    native = imreg_xp.register(first, second, boundary="wrap")
    found = register_images(first, second, usfac=10, return_error=True)
    np.testing.assert_allclose(found, (*-native.shift[::-1], *native.shift_err[::-1]))


@pytest.mark.parametrize("usfac", [1, 20])
def test_the_registered_image_lies_on_the_first(backend, rng, usfac):
    first, second = scene((32, 37), (3.3, -2.7) if usfac > 1 else (3, -2), rng)
    moved = register_images(*map(backend.asarray, (first, second)), usfac=usfac, return_registered=True)[-1]
    np.testing.assert_allclose(backend.to_numpy(moved), first, atol=1e-4 if backend.has_float64 else 1e-3)


def test_pixels_that_are_nan_move_along(backend, rng):
    first, second = scene((32, 37), (3, -2), rng)
    second[5, 6] = np.nan
    moved = backend.to_numpy(
        register_images(*map(backend.asarray, (first, second)), usfac=10, return_registered=True)[-1]
    )
    assert np.argwhere(np.isnan(moved)).tolist() == [[2, 8]]
    # the hole was filled smoothly
    np.testing.assert_allclose(np.where(np.isnan(moved), first, moved), first, atol=0.05)


def test_no_further_than_maxoff(rng):
    first, second = scene((64, 64), (20, 0), rng)
    found = np.array(register_images(first, second, usfac=2, maxoff=5))
    assert np.all(np.isnan(found) | (np.abs(found) <= 5))
    np.testing.assert_allclose(register_images(first, second, usfac=2, maxoff=21), (0, 20), atol=1e-6)


def test_flat_images_have_no_shift():
    flat = np.ones((16, 18))
    *numbers, moved = register_images(flat, flat, 2, return_registered=True, return_error=True)
    assert np.all(np.isnan(numbers))
    assert np.all(np.isnan(moved))


def complex_scene(shape, offset, phase, rng, noise=0.0, *, real=False):
    def draw():
        field = rng.normal(size=shape)
        return np.fft.fftn(field if real else field + 1j * rng.normal(size=shape))

    nus = np.meshgrid(*[np.fft.fftfreq(n) for n in shape], indexing="ij")
    beam = np.exp(-40 * sum(nu**2 for nu in nus))
    first = draw() * beam
    second = first * np.exp(-2j * np.pi * sum(nu * d for nu, d in zip(nus, offset, strict=True)) - 1j * phase)
    return first + noise * draw(), second + noise * draw()


def test_the_reference_case_of_guizar_sicairos(backend, rng):
    first, second = complex_scene((64, 67), (3.48574, 8.73837), 2.0, rng)
    found = dftregistration(backend.asarray(first), backend.asarray(second), usfac=100)
    tol = 1e-6 if backend.has_float64 else 1e-3
    np.testing.assert_allclose(found[1:], (2.0, -3.48574, -8.73837), atol=tol)
    # what the Nyquist modes hold, which no shift can be told from
    assert found[0] < 1e-4 if backend.has_float64 else 1e-3
    _, _phase, *whole = dftregistration(backend.asarray(first), backend.asarray(second))
    assert whole == [-3.0, -9.0]


@pytest.mark.parametrize("shape", [(31,), (24, 25), (9, 10, 12)])
def test_the_registered_spectrum_is_the_reference(backend, rng, shape):
    offset = (2.3, -1.4, 0.8)[: len(shape)]
    first, second = complex_scene(shape, offset, -1.0, rng)
    *numbers, moved = dftregistration(backend.asarray(first), backend.asarray(second), usfac=2, return_registered=True)
    np.testing.assert_allclose(numbers[2:], np.negative(offset), atol=1e-6 if backend.has_float64 else 1e-3)
    # the Nyquist modes, which no shift can be told from, are all but empty
    scale = np.abs(first).max()
    np.testing.assert_allclose(backend.to_numpy(moved) / scale, first / scale, atol=1e-3)


def test_error_is_what_is_left_of_the_reference(rng):
    first, second = complex_scene((32, 30), (1.0, 2.0), 0.7, rng, noise=0.2)
    first = first - np.where(np.arange(first.size).reshape(first.shape) == 0, first, 0)
    error, *_, moved = dftregistration(first, 5 * second, usfac=3, return_registered=True)
    gain = np.vdot(moved, first) / np.vdot(moved, moved)
    left = np.linalg.norm(first - gain * moved) / np.linalg.norm(first)
    assert error == pytest.approx(left, rel=0.02)


@pytest.mark.parametrize("real", [True, False])
def test_errors_of_spectra_are_the_scatter(rng, real):
    pulls = []
    for _ in range(150):
        spectra = complex_scene((32, 36), (1.3, -2.2), 0.0 if real else 2.0, rng, noise=0.15, real=real)
        *_, dy, dx, ey, ex = dftregistration(*spectra, usfac=2, return_error=True)
        pulls += [(dy + 1.3) / ey, (dx - 2.2) / ex]
    assert 0.87 < np.sqrt(np.mean(np.square(pulls))) < 1.13


def test_the_correlation_of_spectra_is_largest_to_rounding(rng):
    """With so much noise that the peak is lopsided, and a step of Newton's method too few shows."""
    nu = [np.fft.fftfreq(n) for n in (41, 37)]
    low = np.exp(-40 * np.add.outer(nu[0] ** 2, nu[1] ** 2))
    for _ in range(10):
        first, second = (
            np.fft.fft2(rng.normal(size=(41, 37)) + 1j * rng.normal(size=(41, 37))) * low for _ in range(2)
        )
        shift = np.array(dftregistration(first, first + 3 * second, usfac=100, zeromean=False)[2:])
        cross = np.conj(first) * (first + 3 * second)
        turned = cross * np.exp(-2j * np.pi * np.add.outer(nu[0] * shift[0], nu[1] * shift[1]))
        slopes = [np.sum(2j * np.pi * a * turned) for a in (nu[0][:, None], nu[1])]
        gradient = np.array([(np.conj(turned.sum()) * slope).real for slope in slopes])
        np.testing.assert_allclose(gradient / abs(turned.sum()) ** 2, 0, atol=1e-12)


def test_real_images_have_one_answer_both_ways(rng):
    first, second = scene((33, 36), (3.3, -2.7), rng, noise=0.1)
    dx, dy = register_images(first, second, usfac=2)
    *_, row, column = dftregistration(np.fft.fft2(first), np.fft.fft2(second), usfac=2)
    np.testing.assert_allclose((row, column), (-dy, -dx), atol=1e-7)


def test_an_empty_spectrum_has_no_shift(rng):
    first, _ = complex_scene((16, 16), (1, 1), 0, rng)
    assert np.all(np.isnan(dftregistration(first, 0 * first, usfac=2, return_error=True)))


@pytest.mark.parametrize("function", [register_images, dftregistration])
@pytest.mark.parametrize(
    ("kind", "name", "change"),
    [
        (ValueError, "usfac", {"usfac": 0}),
        (ValueError, "usfac", {"usfac": "2"}),
        (ValueError, "maxoff", {"maxoff": 0}),
        (ValueError, "maxoff", {"maxoff": 100}),
        (TypeError, r"(im1|buf1ft)", {0: [[1.0]]}),
        (TypeError, r"(im2|buf2ft)", {1: np.ones((16, 16), dtype=bool)}),
        (ValueError, r"(im1|im2|buf2ft)", {1: np.ones((16, 15), dtype=complex)}),
    ],
)
def test_bad_input_is_named(rng, function, kind, name, change):
    first, second = complex_scene((16, 16), (1, 1), 0, rng)
    given = [first, second] if function is dftregistration else [first.real, second.real]
    options = {k: v for k, v in change.items() if isinstance(k, str)}
    for k, v in change.items():
        if isinstance(k, int):
            given[k] = v.real if function is register_images and np.iscomplexobj(v) else v
    with pytest.raises(kind, match=f"`{name}`"):
        function(*given, **options)
