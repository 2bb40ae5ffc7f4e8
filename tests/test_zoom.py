"""Zooms: where their samples lie, as the toolkit puts them, and arguments of every kind."""

from __future__ import annotations

import math

import numpy as np
import pytest

from imreg_xp.fft_tools.zoom import zoom1d, zoom_on_pixel, zoomnd

SHAPES = [(8,), (9,), (6, 8), (5, 7), (6, 7), (4, 5, 6)]


def tolerance(backend, dtype="float64"):
    return 1e-11 if backend.has_float64 and dtype == "float64" else 1e-4


def band_limited(shape, at):
    """Return a few waves of `shape` at the coordinates `at`, (k, ...)."""
    turns = 2 * np.pi * sum(x * m / n for x, m, n in zip(at, (1, 1, -1), shape, strict=False))
    return 1 + np.cos(turns + 0.3) + 0.5 * np.sin(2 * np.pi * at[0] / shape[0])


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_wave_is_sampled_where_the_coordinates_say(backend, shape, dtype):
    if dtype == "float64" and not backend.has_float64:
        pytest.skip("no float64")
    image = backend.asarray(band_limited(shape, np.indices(shape)).astype(dtype))
    offsets = (0.7, -1.2, 0.4)[: len(shape)]
    x, found = zoomnd(image, offsets, usfac=3, outshape=(5, 4, 2)[: len(shape)], return_xouts=True)
    x, found = backend.to_numpy(x), backend.to_numpy(found)
    assert x.dtype.name == found.dtype.name == dtype
    assert x.shape == (len(shape), *found.shape)
    np.testing.assert_allclose(found, band_limited(shape, x), atol=tolerance(backend, dtype))
    middle = (np.array(shape) - 1) / 2 + offsets
    np.testing.assert_allclose(x.reshape(len(shape), -1).mean(-1), middle, atol=1e-5)


# read off the toolkit
@pytest.mark.parametrize(
    ("n", "options", "expected"),
    [
        (8, {}, np.arange(8)),
        (9, {}, np.arange(9)),
        (8, {"usfac": 2}, np.arange(1.75, 5.3, 0.5)),
        (8, {"usfac": 2, "outsize": 6}, [2.25, 2.75, 3.25, 3.75, 4.25, 4.75]),
        (8, {"usfac": 2, "outsize": 5, "offset": 0.7}, [3.2, 3.7, 4.2, 4.7, 5.2]),
        (9, {"usfac": 3, "outsize": 4, "offset": -1}, [2.5, 2.5 + 1 / 3, 2.5 + 2 / 3, 3.5]),
    ],
)
def test_samples_in_one_dimension_lie_where_the_toolkit_puts_them(backend, n, options, expected):
    x, _ = zoom1d(backend.asarray(np.ones(n)), return_xouts=True, **options)
    np.testing.assert_allclose(backend.to_numpy(x), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("shape", "convention", "first"),
    [
        ((6, 8), float, (1.75, 2.5)),
        ((6, 8), math.floor, (1.25, 2.0)),
        ((6, 8), np.ceil, (2.25, 3.0)),
        ((5, 7), np.floor, (1.25, 2.0)),
    ],
)
def test_the_first_sample_lies_where_the_toolkit_puts_it(backend, shape, convention, first):
    image = backend.asarray(np.ones(shape))
    x, _ = zoomnd(image, middle_convention=convention, usfac=2, outshape=(4, 5), return_xouts=True)
    np.testing.assert_allclose(backend.to_numpy(x)[:, 0, 0], first, atol=1e-6)


def test_without_a_shape_it_is_that_of_the_input(backend, rng):
    x, found = zoom_on_pixel(backend.asarray(rng.normal(size=(6, 7))), (2, 3), return_xouts=True)
    assert backend.to_numpy(found).shape == (6, 7)
    np.testing.assert_allclose(backend.to_numpy(x)[:, 0, 0], (-0.5, 0), atol=1e-6)


def test_the_result_is_complex_where_asked_for(backend, rng):
    data = rng.normal(size=(5, 6))
    for given in (data, data + 1j * data[::-1]):
        image = backend.asarray(given)
        full = backend.to_numpy(zoomnd(image, usfac=2, return_real=False))
        assert np.iscomplexobj(full)
        np.testing.assert_allclose(backend.to_numpy(zoomnd(image, usfac=2)), full.real, atol=tolerance(backend))
        np.testing.assert_allclose(backend.to_numpy(zoomnd(image, return_real=False)), given, atol=tolerance(backend))


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.int64, np.array])
def test_numbers_of_numpy_are_numbers_on_every_library(backend, rng, kind):
    image = backend.asarray(rng.normal(size=(6, 7)))
    options = {"usfac": kind(2), "outshape": (kind(3), kind(4))}
    found = zoomnd(image, (kind(1), kind(2)), **options)
    expected = zoomnd(image, (1, 2), usfac=2, outshape=(3, 4))
    np.testing.assert_array_equal(backend.to_numpy(found), backend.to_numpy(expected))
    found = zoom_on_pixel(image, np.array([1.0, 2.0]), usfac=kind(2), outshape=np.array([3, 4]))
    assert backend.to_numpy(found).shape == (3, 4)


def test_batches_may_be_empty(backend):
    found = zoom1d(backend.asarray(np.ones((0, 6))), 2, 4)
    assert backend.to_numpy(found).shape == (0, 4)


def test_threads_and_numpy_transforms_change_nothing(rng):
    data = rng.normal(size=(6, 7))
    for options in ({"nthreads": 2}, {"use_numpy_fft": True}):
        np.testing.assert_allclose(zoomnd(data, usfac=2, **options), zoomnd(data, usfac=2), atol=1e-13)


def test_nothing_is_read_back_and_nothing_written(backend, rng, no_sync):
    data = rng.normal(size=(6, 7))
    image = backend.asarray(data)
    with no_sync():
        zoomnd(image, (1, 2), usfac=2, return_xouts=True)
        zoom1d(image, 2)
    np.testing.assert_array_equal(backend.to_numpy(image), data.astype(backend.to_numpy(image).dtype))


A = np.ones((6, 7))


@pytest.mark.parametrize(
    ("kind", "name", "call"),
    [
        (TypeError, "offsets", lambda: zoomnd(A[0], 1.5)),
        (TypeError, "offsets", lambda: zoomnd(A, None)),
        (TypeError, "offsets", lambda: zoomnd(A, ("1", 2))),
        (TypeError, "coordinates", lambda: zoom_on_pixel(A[0], 1.5)),
        (TypeError, "offset", lambda: zoom1d(A, offset=(1,))),
        (ValueError, "usfac", lambda: zoomnd(A, usfac=math.inf)),
        (ValueError, "usfac", lambda: zoomnd(A, usfac=math.nan)),
        (ValueError, "outshape", lambda: zoomnd(A, outshape=math.nan)),
        (ValueError, "outshape", lambda: zoomnd(A, outshape=(3, 2.5))),
        (ValueError, "outshape", lambda: zoomnd(A, outshape=(3, 0))),
        (ValueError, "outsize", lambda: zoom1d(A, outsize=math.inf)),
        (ValueError, "inp", lambda: zoomnd(A[:0])),
        (ValueError, "inp", lambda: zoomnd(np.array(1.0))),
        (ValueError, "inp", lambda: zoom1d(np.array(1.0))),
    ],
)
def test_bad_input_is_named(kind, name, call):
    with pytest.raises(kind, match=f"`{name}`"):
        call()
