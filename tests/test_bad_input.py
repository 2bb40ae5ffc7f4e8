"""What cannot be registered is refused in one line that names the argument."""

from __future__ import annotations

import array_api_strict
import numpy as np
import pytest

import imreg_xp

A = np.random.default_rng(0).normal(size=(16, 18))

ROWS = {
    "list": (TypeError, "reference", {"reference": [[1.0, 2.0], [3.0, 4.0]]}),
    "boolean": (TypeError, "moving", {"moving": A > 0}),
    "complex": (TypeError, "moving", {"moving": A + 0j}),
    "masked array": (TypeError, "moving", {"moving": np.ma.masked_less(A, 0)}),
    "other library": (TypeError, "moving", {"moving": array_api_strict.asarray(A)}),
    "mask not boolean": (TypeError, "moving_valid", {"moving_valid": A}),
    "shapes": (ValueError, "moving", {"moving": A[:, :-1], "boundary": "wrap"}),
    "batch shapes": (ValueError, "reference", {"reference": np.stack([A, A]), "moving": np.stack([A, A, A])}),
    "one pixel": (ValueError, "moving", {"moving": A[:1]}),
    "too few axes": (ValueError, "moving", {"moving": A[0]}),
    "zero error": (ValueError, "moving_err", {"moving_err": 0}),
    "negative error": (ValueError, "reference_err", {"reference_err": -1.0}),
    "NaN error": (ValueError, "moving_err", {"moving_err": float("nan")}),
    "error shape": (ValueError, "moving_err", {"moving_err": A[1:]}),
    "mask shape": (ValueError, "reference_valid", {"reference_valid": A[1:] > 0}),
    "boundary": (ValueError, "boundary", {"boundary": "mirror"}),
    "noise": (ValueError, "noise", {"noise": "pink"}),
    "max_shift too large": (ValueError, "max_shift", {"max_shift": 19}),
    "max_shift negative": (ValueError, "max_shift", {"max_shift": -1}),
    "max_shift length": (ValueError, "max_shift", {"max_shift": (1, 2, 3)}),
    "min_overlap": (ValueError, "min_overlap", {"min_overlap": 0}),
    "ndim": (ValueError, "ndim", {"ndim": 4}),
}


@pytest.mark.parametrize("row", ROWS)
def test_register_refuses(row):
    kind, name, given = ROWS[row]
    with pytest.raises(kind, match=f"`{name}`") as caught:
        imreg_xp.register(**{"reference": A, "moving": A, **given})
    assert "\n" not in str(caught.value)


def test_devices_do_not_mix():
    a, b = (array_api_strict.asarray(A, device=array_api_strict.Device(d)) for d in ("CPU_DEVICE", "device1"))
    with pytest.raises(TypeError, match="`moving` must be on the device of `reference`"):
        imreg_xp.register(a, b)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, ">i2", ">f4", np.float16])
def test_other_numbers_are_promoted(dtype):
    images = [(50 * im + 100).astype(dtype) for im in (A, np.roll(A, 2, 0))]
    result = imreg_xp.register(*images, boundary="wrap")
    np.testing.assert_allclose(result.shift, [-2, 0], atol=0.02)
    assert result.shift.dtype == (np.float32 if np.dtype(dtype).kind == "f" else np.float64)


def test_read_only_and_strided_inputs():
    a = np.asfortranarray(A)
    b = np.roll(A, 3, 1)[:, ::-1][:, ::-1]
    a.flags.writeable = b.flags.writeable = False
    np.testing.assert_allclose(imreg_xp.register(a, b, boundary="wrap").shift, [0, -3], atol=1e-9)


@pytest.mark.parametrize("boundary", ["overlap", "wrap"])
def test_too_few_pixels_to_fit(boundary):
    """As many parameters as pixels: no division by zero on the way to the status."""
    result = imreg_xp.register(A[:2, :2], A[:2, :2], boundary=boundary)
    assert result.status == imreg_xp.Status.TOO_FEW_VALID
    assert np.isnan(result.shift).all()


@pytest.mark.parametrize("shape", [(0, 8, 8), (2, 0, 8, 8)])
def test_no_image_at_all_is_said(shape):
    with pytest.raises(ValueError, match="`reference` and `moving` must hold at least one image"):
        imreg_xp.register(np.ones(shape), np.ones(shape))


@pytest.mark.parametrize("shift", [np.inf, np.nan])
def test_a_shift_that_is_no_number_gives_nan_to_its_image_alone(rng, shift):
    images = rng.normal(size=(2, 8, 9))
    moved = imreg_xp.fourier_shift(images, np.array([[1.0, 0.0], [shift, 0.0]]))
    np.testing.assert_allclose(moved[0], np.roll(images[0], 1, 0), atol=1e-12)
    assert np.all(np.isnan(moved[1]))


@pytest.mark.parametrize("noise", ["white", "correlated"])
@pytest.mark.parametrize("boundary", ["wrap", "overlap"])
@pytest.mark.parametrize("kind", ["flat", "empty", "zero"])
def test_hopeless_images_warn_of_nothing(rng, boundary, noise, kind):
    good = rng.normal(size=(30, 32))
    bad = {"flat": np.ones_like(good), "empty": np.full_like(good, np.nan), "zero": np.zeros_like(good)}[kind]
    # warnings are errors here
    for pair in ((good, bad), (bad, good), (bad, bad)):
        for errors in ({}, {"moving_err": 0.1}, {"moving_err": 0.1, "reference_err": 0.1}):
            result = imreg_xp.register(*pair, boundary=boundary, noise=noise, **errors)
            assert result.status != 0
            assert np.all(np.isnan(result.shift))


def test_two_pixels_are_too_few():
    result = imreg_xp.register(np.array([1.0, 2.0]), np.array([2.0, 1.0]), ndim=1, boundary="wrap", reference_err=0.1)
    assert imreg_xp.Status(int(result.status)) & imreg_xp.Status.TOO_FEW_VALID
