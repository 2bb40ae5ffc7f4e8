"""What no public function takes, on every array library: refused in one line that names the argument."""

from __future__ import annotations

import math

import array_api_strict
import numpy as np
import pytest
from backends import Backend

import imreg_xp

A = np.random.default_rng(0).normal(size=(16, 18))
NAN = float("nan")

REGISTER = {
    "reference is a list": (TypeError, "reference", "list", lambda _: {"reference": A.tolist()}),
    "moving is a list": (TypeError, "moving", "list", lambda _: {"moving": A.tolist()}),
    "moving is a path": (TypeError, "moving", "str", lambda _: {"moving": "image.fits"}),
    "reference boolean": (TypeError, "reference", "bool", lambda b: {"reference": b.asarray(A > 0)}),
    "moving boolean": (TypeError, "moving", "bool", lambda b: {"moving": b.asarray(A > 0)}),
    "moving complex": (TypeError, "moving", "complex", lambda b: {"moving": b.asarray(A + 0j)}),
    "error complex": (TypeError, "moving_err", "complex", lambda b: {"moving_err": b.asarray(A + 0j)}),
    "error is a list": (TypeError, "moving_err", "list", lambda _: {"moving_err": [0.1, 0.2]}),
    "error is a word": (TypeError, "reference_err", "str", lambda _: {"reference_err": "auto"}),
    "mask of numbers": (TypeError, "moving_valid", "float", lambda b: {"moving_valid": b.asarray(A)}),
    "mask of integers": (TypeError, "reference_valid", "int", lambda b: {"reference_valid": b.asarray(1 * (A > 0))}),
    "mask is a list": (TypeError, "moving_valid", "list", lambda _: {"moving_valid": (A > 0).tolist()}),
    "wrap, shapes": (ValueError, "moving", "(16, 17)", lambda b: {"moving": b.asarray(A[:, 1:]), "boundary": "wrap"}),
    "one row": (ValueError, "moving", "(1, 18)", lambda b: {"moving": b.asarray(A[:1])}),
    "one column": (ValueError, "reference", "(16, 1)", lambda b: {"reference": b.asarray(A[:, :1])}),
    "no rows": (ValueError, "reference", "(0, 18)", lambda b: {"reference": b.asarray(A[:0])}),
    "one axis": (ValueError, "moving", "(18,)", lambda b: {"moving": b.asarray(A[0])}),
    "three axes asked for": (ValueError, "reference", "(16, 18)", lambda _: {"ndim": 3}),
    "batches": (
        ValueError,
        "moving",
        "(3,)",
        lambda b: {"reference": b.asarray(np.stack([A] * 2)), "moving": b.asarray(np.stack([A] * 3))},
    ),
    "batch of errors": (
        ValueError,
        "moving_err",
        "(3,)",
        lambda b: {"moving": b.asarray(np.stack([A] * 2)), "moving_err": b.asarray(np.ones((3, 16, 18)))},
    ),
    "batch of masks": (
        ValueError,
        "reference_valid",
        "(3,)",
        lambda b: {"moving": b.asarray(np.stack([A] * 2)), "reference_valid": b.asarray(np.ones((3, 16, 18)) > 0)},
    ),
    "error shape": (ValueError, "reference_err", "(18,)", lambda b: {"reference_err": b.asarray(A[0])}),
    "mask shape": (ValueError, "moving_valid", "(15, 18)", lambda b: {"moving_valid": b.asarray(A[1:] > 0)}),
    "no error": (ValueError, "moving_err", "0.0", lambda _: {"moving_err": 0}),
    "negative error": (ValueError, "reference_err", "-2.0", lambda _: {"reference_err": -2.0}),
    "error is no number": (ValueError, "moving_err", "nan", lambda _: {"moving_err": NAN}),
    "infinite error": (ValueError, "moving_err", "inf", lambda _: {"moving_err": math.inf}),
    "NumPy scalar": (ValueError, "moving_err", "-1.0", lambda _: {"moving_err": np.float64(-1)}),
    "boundary": (ValueError, "boundary", "'mirror'", lambda _: {"boundary": "mirror"}),
    "no boundary": (ValueError, "boundary", "None", lambda _: {"boundary": None}),
    "noise": (ValueError, "noise", "'pink'", lambda _: {"noise": "pink"}),
    "limit beyond the image": (ValueError, "max_shift", "18.5", lambda _: {"max_shift": 18.5}),
    "limit beyond one axis": (ValueError, "max_shift", "(16.5, 3)", lambda _: {"max_shift": (16.5, 3)}),
    "three limits": (ValueError, "max_shift", "(1, 2, 3)", lambda _: {"max_shift": (1, 2, 3)}),
    "one limit in a list": (ValueError, "max_shift", "[3]", lambda _: {"max_shift": [3]}),
    "limit 0": (ValueError, "max_shift", "0", lambda _: {"max_shift": 0}),
    "negative limit": (ValueError, "max_shift", "-1", lambda _: {"max_shift": (3, -1)}),
    "limit is no number": (ValueError, "max_shift", "nan", lambda _: {"max_shift": NAN}),
    "no overlap": (ValueError, "min_overlap", "0", lambda _: {"min_overlap": 0}),
    "overlap over 1": (ValueError, "min_overlap", "1.01", lambda _: {"min_overlap": 1.01}),
    "overlap is no number": (ValueError, "min_overlap", "nan", lambda _: {"min_overlap": NAN}),
    "no axes": (ValueError, "ndim", "0", lambda _: {"ndim": 0}),
    "four axes": (ValueError, "ndim", "4", lambda _: {"ndim": 4}),
}


def refused(kind, name, got, function, *args, **kwargs):
    with pytest.raises(kind, match=f"`{name}`") as caught:
        function(*args, **kwargs)
    message = str(caught.value)
    assert "\n" not in message
    assert got in message


@pytest.mark.parametrize("row", REGISTER)
def test_register(backend, row):
    kind, name, got, given = REGISTER[row]
    refused(
        kind,
        name,
        got,
        imreg_xp.register,
        **{"reference": backend.asarray(A), "moving": backend.asarray(A)} | given(backend),
    )


@pytest.mark.parametrize("which", ["moving", "reference_err", "moving_err", "reference_valid", "moving_valid"])
def test_libraries_do_not_mix(backend, which):
    other = Backend.STRICT if backend.library == "numpy" else Backend.NUMPY
    images = {"reference": backend.asarray(A), "moving": backend.asarray(A)}
    stranger = other.asarray(A > 0) if which.endswith("valid") else other.asarray(np.abs(A))
    refused(TypeError, which, "numpy", imreg_xp.register, **{**images, which: stranger})


@pytest.mark.parametrize("which", ["moving", "moving_err", "reference_valid"])
def test_devices_do_not_mix(which):
    here, there = (array_api_strict.Device(d) for d in ("CPU_DEVICE", "device1"))
    images = {k: array_api_strict.asarray(A, device=here) for k in ("reference", "moving")}
    stranger = array_api_strict.asarray(A > 0 if which.endswith("valid") else np.abs(A), device=there)
    refused(TypeError, which, "device1", imreg_xp.register, **{**images, which: stranger})


@pytest.mark.parametrize("which", ["reference", "moving", "moving_err"])
def test_masked_arrays_are_told_what_to_do_instead(which):
    given = {"reference": A, "moving": A, which: np.ma.masked_less(A, 0)}
    refused(TypeError, which, "valid", imreg_xp.register, **given)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int32", "int64"])
def test_integers_are_images(backend, dtype):
    image = np.round(40 * A + 125).clip(0, 250).astype(dtype)
    result = imreg_xp.register(*map(backend.asarray, (image, np.roll(image, (2, -3), (0, 1)))), boundary="wrap")
    tol = 1e-6 if backend.has_float64 and backend.library != "torch" else 1e-3
    np.testing.assert_allclose(backend.to_numpy(result.shift), (-2, 3), atol=tol)


SHIFT = {
    "list": (TypeError, "image", "list", lambda _: (A.tolist(), (1, 2)), {}),
    "boolean": (TypeError, "image", "bool", lambda b: (b.asarray(A > 0), (1, 2)), {}),
    "complex": (TypeError, "image", "complex", lambda b: (b.asarray(A + 0j), (1, 2)), {}),
    "masked": (TypeError, "image", "masked", lambda _: (np.ma.masked_less(A, 0), (1, 2)), {}),
    "too short": (ValueError, "shift", "(1,)", lambda b: (b.asarray(A), (1,)), {"ndim": 2}),
    "too long": (ValueError, "shift", "(3,)", lambda b: (b.asarray(A), (1, 2, 3)), {}),
    "too many axes": (ValueError, "shift", "(3,)", lambda b: (b.asarray(A), (1, 2, 3)), {"ndim": 3}),
    "empty": (ValueError, "shift", "(0,)", lambda b: (b.asarray(A), ()), {}),
    "batches": (
        ValueError,
        "shift",
        "(3,)",
        lambda b: (b.asarray(np.stack([A] * 2)), b.asarray(np.zeros((3, 2)))),
        {},
    ),
}


@pytest.mark.parametrize("function", [imreg_xp.fourier_shift, imreg_xp.apply_shift])
@pytest.mark.parametrize("row", SHIFT)
def test_shifts(backend, function, row):
    kind, name, got, args, options = SHIFT[row]
    refused(kind, name, got, function, *args(backend), **options)


@pytest.mark.parametrize("function", [imreg_xp.fourier_shift, imreg_xp.apply_shift])
def test_shift_and_image_of_two_libraries(backend, function):
    other = Backend.STRICT if backend.library == "numpy" else Backend.NUMPY
    refused(TypeError, "shift", "numpy", function, backend.asarray(A), other.asarray(np.array([1.0, 2.0])))


VALID = {
    "integers": (TypeError, "int", lambda b: b.asarray(1 * (A > 0))),
    "list": (TypeError, "list", lambda _: (A > 0).tolist()),
    "shape": (ValueError, "(15, 18)", lambda b: b.asarray(A[1:] > 0)),
}


@pytest.mark.parametrize("row", VALID)
def test_masks_of_apply_shift(backend, row):
    kind, got, valid = VALID[row]
    refused(kind, "valid", got, imreg_xp.apply_shift, backend.asarray(A), (1, 2), valid=valid(backend))


CHI2 = {
    "list": (TypeError, "im1", "list", lambda _: {"im1": A.tolist()}),
    "boolean": (TypeError, "im2", "bool", lambda b: {"im2": b.asarray(A > 0)}),
    "one axis": (ValueError, "im1", "(18,)", lambda b: {"im1": b.asarray(A[0])}),
    "cube": (ValueError, "im2", "(2, 16, 18)", lambda b: {"im2": b.asarray(np.stack([A, A]))}),
    "shapes": (ValueError, "im2", "(15, 18)", lambda b: {"im2": b.asarray(A[1:])}),
    "one row": (ValueError, "im1", "(1, 18)", lambda b: {"im1": b.asarray(A[:1]), "im2": b.asarray(A[:1])}),
    "no error": (ValueError, "err", "0.0", lambda _: {"err": 0.0}),
    "negative error": (ValueError, "err", "-1.0", lambda _: {"err": -1}),
    "error is no number": (ValueError, "err", "nan", lambda _: {"err": NAN}),
    "error shape": (ValueError, "err", "(18,)", lambda b: {"err": b.asarray(np.abs(A[0]))}),
    "boundary": (ValueError, "boundary", "'mirror'", lambda _: {"boundary": "mirror"}),
    "factor below 1": (ValueError, "upsample_factor", "0", lambda _: {"upsample_factor": 0}),
    "factor is a word": (ValueError, "upsample_factor", "'best'", lambda _: {"upsample_factor": "best"}),
    "factor is no number": (ValueError, "upsample_factor", "nan", lambda _: {"upsample_factor": NAN}),
    "nothing fitted": (ValueError, "nfitted", "0", lambda _: {"nfitted": 0}),
}


@pytest.mark.parametrize("row", CHI2)
def test_chi2_shift(backend, row):
    kind, name, got, given = CHI2[row]
    refused(
        kind, name, got, imreg_xp.chi2_shift, **{"im1": backend.asarray(A), "im2": backend.asarray(A)} | given(backend)
    )


ODD = {
    "no reference": (TypeError, "reference", imreg_xp.register, {"reference": None, "moving": A}),
    "no moving": (TypeError, "moving", imreg_xp.register, {"reference": A, "moving": None}),
    "reference is a number": (TypeError, "reference", imreg_xp.register, {"reference": 1.0, "moving": A}),
    "error is True": (TypeError, "moving_err", imreg_xp.register, {"reference": A, "moving": A, "moving_err": True}),
    "mask is True": (TypeError, "moving_valid", imreg_xp.register, {"reference": A, "moving": A, "moving_valid": True}),
    "error map of booleans": (
        TypeError,
        "moving_err",
        imreg_xp.register,
        {"reference": A, "moving": A, "moving_err": A > 0},
    ),
    "overlap is a word": (
        TypeError,
        "min_overlap",
        imreg_xp.register,
        {"reference": A, "moving": A, "min_overlap": "a"},
    ),
    "ndim is no integer": (ValueError, "ndim", imreg_xp.register, {"reference": A, "moving": A, "ndim": 2.0}),
    "mask of more items": (
        ValueError,
        "valid",
        imreg_xp.apply_shift,
        {"image": np.stack([A] * 2), "shift": (1, 2), "valid": np.ones((3, 16, 18), dtype=bool)},
    ),
    "no shift": (TypeError, "shift", imreg_xp.fourier_shift, {"image": A, "shift": None}),
    "max_nsig": (
        ValueError,
        "max_nsig",
        imreg_xp.chi2_shift,
        {"im1": A, "im2": A, "max_nsig": 0, "return_chi2array": True},
    ),
}


@pytest.mark.parametrize("row", ODD)
def test_odd_ones(row):
    kind, name, function, given = ODD[row]
    refused(kind, name, "", function, **given)


@pytest.mark.parametrize(
    ("library", "err"),
    [("strict", np.float32(0.1)), ("numpy", np.array(0.1)), ("strict", array_api_strict.asarray(0.1))],
    ids=["number", "array", "strict array"],
)
def test_the_standard_deviation_of_an_array_is_an_error(library, err):
    images = [Backend(library).asarray(im) for im in (A, np.roll(A, 2, 0))]
    imreg_xp.register(*images, moving_err=err, boundary="wrap")


def test_an_array_is_one_limit_per_axis():
    imreg_xp.register(A, A, max_shift=np.array([3, 4]), boundary="wrap")


def test_a_numpy_integer_is_an_upsampling_factor():
    imreg_xp.chi2_shift(A, A, upsample_factor=np.int64(3))


def test_both_infinities_are_invalid_without_a_warning():
    image = A.copy()
    image[3, 3:5] = np.inf, -np.inf
    imreg_xp.register(image, A)
