"""The documented shift against its transform written out, and what becomes of the Nyquist modes."""

from __future__ import annotations

import numpy as np
import pytest

from imreg_xp.fft_tools import fourier_shift, shift2d, shiftnd

SHAPES = [(8,), (9,), (6, 8), (5, 7), (6, 7), (5, 8), (4, 6, 8), (3, 4, 5)]
OFFSET = (1.3, -0.4, 2.7)


def tolerance(backend, dtype="float64"):
    return 1e-12 if backend.has_float64 and dtype in {"float64", "complex128"} else 1e-5


def turned(data, offset, phase=0.0):
    """Return the shift theorem as it stands, Nyquist modes at -1/2."""
    spectrum = np.fft.fftn(data)
    for axis, d in enumerate(offset):
        nu = np.fft.fftfreq(data.shape[axis])
        spectrum = spectrum * np.exp(-2j * np.pi * nu * d).reshape([-1 if a == axis else 1 for a in range(data.ndim)])
    return np.fft.ifftn(spectrum) * np.exp(-1j * phase)


@pytest.mark.parametrize("dtype", ["float64", "float32", "complex128", "complex64"])
@pytest.mark.parametrize("phase", [0, 0.4])
@pytest.mark.parametrize("shape", SHAPES)
def test_real_part_absolute_value_and_complex_result_are_the_shift_theorem(backend, rng, shape, phase, dtype):
    if dtype in {"float64", "complex128"} and not backend.has_float64:
        pytest.skip("no float64")
    data = rng.normal(size=shape) + (1j * rng.normal(size=shape) if dtype.startswith("c") else 0)
    data, offset = data.astype(dtype), OFFSET[: len(shape)]
    expected, wide = turned(data, offset, phase), dtype in {"float64", "complex128"}
    for options, of, kind in (
        ({}, np.real, "float"),
        ({"return_abs": True}, np.abs, "float"),
        ({"return_real": False}, np.asarray, "complex"),
    ):
        found = backend.to_numpy(shiftnd(backend.asarray(data), offset, phase=phase, **options))
        assert found.dtype.name == kind + str((64 if wide else 32) * (2 if kind == "complex" else 1))
        np.testing.assert_allclose(found, of(expected), atol=tolerance(backend, dtype))


@pytest.mark.parametrize("shape", SHAPES)
def test_whole_pixels_are_a_roll_in_every_form(backend, rng, shape):
    data = rng.normal(size=shape)
    offset, axes = (3, -2, 11)[: len(shape)], tuple(range(len(shape)))
    image, rolled = backend.asarray(data), np.roll(data, offset, axes)
    for options, expected in (({}, rolled), ({"return_abs": True}, abs(rolled)), ({"return_real": False}, rolled)):
        found = backend.to_numpy(shiftnd(image, offset, **options))
        np.testing.assert_allclose(found, expected, atol=tolerance(backend))


@pytest.mark.parametrize("n", [8, 9])
@pytest.mark.parametrize("d", [0.25, 0.5, 1.3])
def test_there_and_back_costs_a_real_image_its_nyquist_mode_only(backend, rng, n, d):
    data = rng.normal(size=n)
    mode = (-1.0) ** np.arange(n) * np.mean(data * (-1.0) ** np.arange(n)) * (n % 2 == 0)
    back = shiftnd(shiftnd(backend.asarray(data), (d,)), (-d,))
    expected = data - mode * np.sin(np.pi * d) ** 2
    np.testing.assert_allclose(backend.to_numpy(back), expected, atol=tolerance(backend))
    back = shiftnd(shiftnd(backend.asarray(data), (d,), return_real=False), (-d,))
    np.testing.assert_allclose(backend.to_numpy(back), data, atol=tolerance(backend))


def test_one_even_axis_shifts_as_fourier_shift_does(backend, rng):
    image = backend.asarray(rng.normal(size=(6, 7)))
    found, expected = shiftnd(image, (0.3, 1.6)), fourier_shift(image, (0.3, 1.6))
    np.testing.assert_allclose(backend.to_numpy(found), backend.to_numpy(expected), atol=tolerance(backend))


def test_long_shifts_of_single_precision_keep_their_digits(rng):
    data = rng.normal(size=1024).astype(np.float32)
    found = shiftnd(data, (1e6 + 0.25,), return_real=False)
    np.testing.assert_allclose(found, turned(data.astype(float), (1e6 + 0.25,)), atol=5e-6)


def test_shift2d_takes_x_first(backend, rng):
    data = rng.normal(size=(6, 7))
    found = shift2d(backend.asarray(data), 2, -1, phase=0.3, return_real=False)
    expected = np.roll(data, (-1, 2), (0, 1)) * np.exp(-0.3j)
    np.testing.assert_allclose(backend.to_numpy(found), expected, atol=tolerance(backend))


@pytest.mark.parametrize("part", [np.nan, 1j * np.nan])
def test_nan_counts_for_zero_and_stays_in_the_input(backend, rng, part):
    data = rng.normal(size=(6, 7)) + (0j if np.iscomplexobj(part) else 0)
    zero = data.copy()
    data[1, 2], zero[1, 2] = part, 0
    array = backend.asarray(data)
    found = shiftnd(array, backend.asarray(np.array([1.0, 2.0])), return_real=False)
    np.testing.assert_allclose(backend.to_numpy(found), np.roll(zero, (1, 2), (0, 1)), atol=tolerance(backend))
    np.testing.assert_array_equal(backend.to_numpy(array), data.astype(backend.to_numpy(array).dtype))


@pytest.mark.parametrize("options", [{}, {"return_real": False}])
def test_threads_and_numpy_transforms_change_nothing(rng, options):
    data = rng.normal(size=(6, 7))
    expected = shiftnd(data, (0.3, 1.6), **options)
    for how in ({"nthreads": 2}, {"use_numpy_fft": True}):
        np.testing.assert_allclose(shiftnd(data, (0.3, 1.6), **how, **options), expected, atol=1e-14)


@pytest.mark.parametrize("options", [{}, {"return_real": False}, {"return_abs": True}, {"phase": 0.2}])
def test_nothing_is_read_back(rng, no_sync, options):
    strict = pytest.importorskip("array_api_strict")
    image = strict.asarray(rng.normal(size=(6, 8)), device=strict.Device("device1"))
    with no_sync():
        shiftnd(image, (0.3, 1.2), **options)


A = np.ones((6, 7))


@pytest.mark.parametrize(
    ("kind", "name", "args"),
    [
        (TypeError, "offset", (A, -3.0, -1.0)),
        (TypeError, "offset", (A, "ab")),
        (TypeError, "offset", (A, {1, 2})),
        (TypeError, "offset", (A, (1j, 2))),
        (TypeError, "offset", (A, ("1", "2"))),
        (TypeError, "offset", (A, np.array([1j, 2]))),
        (TypeError, "offset", (A, np.array([True, False]))),
        (ValueError, "offset", (A, (1, 2, 3))),
        (ValueError, "offset", (A, np.ones((2, 2)))),
        (TypeError, "phase", (A, (1, 2), "0.3")),
        (TypeError, "data", (A > 0, (1, 2))),
        (ValueError, "data", (A[:0], (1, 2))),
    ],
)
def test_bad_input_is_named(kind, name, args):
    with pytest.raises(kind, match=f"`{name}`"):
        shiftnd(*args)


def test_two_offsets_in_place_of_one_are_told_what_to_write():
    with pytest.raises(TypeError, match=r"shiftnd\(image, \(dy, dx\)\)"):
        shiftnd(A, -3.0, -1.0)
