"""Upsampled transforms against double sums; upsampled images against zero-padded spectra."""

from __future__ import annotations

import math

import numpy as np
import pytest

from imreg_xp.fft_tools import dftups, upsample_image
from imreg_xp.fft_tools.upsample import dftups1d, odddftups

SHAPES = [(6, 8), (5, 7), (6, 7), (1, 4)]


def tolerance(backend, dtype="complex128"):
    return 1e-11 if backend.has_float64 and dtype in {"complex128", "float64"} else 1e-4


@pytest.mark.parametrize("dtype", ["complex128", "complex64", "float32"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("function", [dftups, odddftups])
def test_dftups_is_its_double_sum(backend, rng, function, shape, dtype):
    if dtype == "complex128" and not backend.has_float64:
        pytest.skip("no float64")
    data = rng.normal(size=shape) + (1j * rng.normal(size=shape) if dtype.startswith("c") else 0)
    data = data.astype(dtype)
    found = backend.to_numpy(function(backend.asarray(data), 3, 4, 2.5, 1.5, -0.75))
    assert found.dtype.name == ("complex128" if dtype == "complex128" else "complex64")
    expected = np.zeros((3, 4), dtype=complex)
    ky, kx = (np.fft.fftfreq(n) for n in shape)
    for r, c in np.ndindex(3, 4):
        for y, x in np.ndindex(*shape):
            expected[r, c] += data[y, x] * np.exp(-2j * np.pi * ((r - 1.5) * ky[y] + (c + 0.75) * kx[x]) / 2.5)
    np.testing.assert_allclose(found, expected, atol=tolerance(backend, dtype))


def test_the_region_starts_at_minus_the_offsets(rng):
    data = rng.normal(size=(6, 7))
    whole = dftups(data, 40, 40, 3, 10, 10)
    np.testing.assert_allclose(dftups(data, 5, 5, 3, 2, -4), whole[8:13, 14:19], atol=1e-12)


@pytest.mark.parametrize("n", [8, 9])
def test_a_stretch_of_dftups1d_starts_at_plus_the_offset_as_in_the_toolkit(backend, rng, n):
    data = rng.normal(size=n) + 1j * rng.normal(size=n)
    x, found = dftups1d(backend.asarray(data), 3, 5, -2, return_xouts=True)
    at = np.array([-2, -1, 0, 1, 2]) / 3
    np.testing.assert_allclose(backend.to_numpy(x), at, atol=1e-7)
    expected = np.exp(-2j * np.pi * at[:, None] * np.fft.fftfreq(n)) @ data
    np.testing.assert_allclose(backend.to_numpy(found), expected, atol=tolerance(backend))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("shape", [(5, 7), (6, 8), (6, 7)])
@pytest.mark.parametrize("factor", [2, 3])
def test_an_upsampled_image_is_that_of_the_padded_spectrum(backend, rng, shape, factor, dtype):
    if dtype == "float64" and not backend.has_float64:
        pytest.skip("no float64")
    image = rng.normal(size=(2, *shape)).astype(dtype)
    spectrum, k = np.fft.fft2(image), [np.fft.fftfreq(n, 1 / n).astype(int) for n in shape]
    padded = np.zeros((2, *(n * factor for n in shape)), dtype=complex)
    for y, x in np.ndindex(*shape):
        # each half of a Nyquist mode goes to its end of the spectrum
        ends = [(i, -i) if 2 * abs(i) == n else (i,) for i, n in zip((k[0][y], k[1][x]), shape, strict=True)]
        for a in ends[0]:
            for b in ends[1]:
                padded[:, a, b] += spectrum[:, y, x] / (len(ends[0]) * len(ends[1]))
    expected = np.fft.ifft2(padded) * factor**2
    assert abs(expected.imag).max() < 1e-5
    found = backend.to_numpy(upsample_image(backend.asarray(image), factor))
    assert found.dtype.name == dtype
    np.testing.assert_allclose(found, expected.real, atol=tolerance(backend, dtype))
    moved = upsample_image(backend.asarray(image), factor, (4, 5), xshift=2, yshift=-1)
    rolled = np.roll(expected.real, (-1, 2), (1, 2))[:, :4, :5]
    np.testing.assert_allclose(backend.to_numpy(moved), rolled, atol=tolerance(backend, dtype))


@pytest.mark.parametrize("kind", [np.float32, np.int64, np.array])
def test_numbers_of_numpy_are_numbers_on_every_library(backend, rng, kind):
    image = backend.asarray(rng.normal(size=(6, 7)))
    for one, other in (
        (dftups(image, kind(3), kind(4), kind(2), kind(1), kind(2)), dftups(image, 3, 4, 2, 1, 2)),
        (upsample_image(image, kind(2), xshift=kind(1)), upsample_image(image, 2, xshift=1)),
        (dftups1d(image, kind(2), kind(5), kind(1)), dftups1d(image, 2, 5, 1)),
    ):
        np.testing.assert_array_equal(backend.to_numpy(one), backend.to_numpy(other))


def test_batches_may_be_empty(backend):
    none = backend.asarray(np.ones((0, 6, 7)))
    assert backend.to_numpy(dftups(none, 3, 4)).shape == (0, 3, 4)
    assert backend.to_numpy(dftups1d(none, outsize=3)).shape == (0, 6, 3)
    assert backend.to_numpy(upsample_image(none, 2)).shape == (0, 12, 14)


def test_nothing_is_read_back_and_nothing_written(backend, rng, no_sync):
    data = rng.normal(size=(6, 7))
    image = backend.asarray(data)
    with no_sync():
        dftups(image, usfac=2, roff=1)
        dftups1d(image, usfac=2, return_xouts=True)
        upsample_image(image, 2, xshift=1)
    np.testing.assert_array_equal(backend.to_numpy(image), data.astype(backend.to_numpy(image).dtype))


def test_threads_and_numpy_transforms_change_nothing(rng):
    data = rng.normal(size=(6, 7))
    for options in ({"nthreads": 2}, {"use_numpy_fft": True}):
        np.testing.assert_allclose(upsample_image(data, 2, **options), upsample_image(data, 2), atol=1e-13)


A = np.ones((6, 7))


@pytest.mark.parametrize(
    ("kind", "name", "call"),
    [
        (TypeError, "inp", lambda: dftups(A > 0)),
        (TypeError, "roff", lambda: dftups(A, roff="1")),
        (TypeError, "coff", lambda: dftups(A, coff=None)),
        (TypeError, "offset", lambda: dftups1d(A, offset=None)),
        (TypeError, "xshift", lambda: upsample_image(A, xshift=None)),
        (TypeError, "image", lambda: upsample_image(A * 1j)),
        (ValueError, "inp", lambda: dftups(A[:, :0])),
        (ValueError, "inp", lambda: dftups1d(A[:, :0])),
        (ValueError, "nor", lambda: dftups(A, nor=math.nan)),
        (ValueError, "noc", lambda: dftups(A, noc=math.inf)),
        (ValueError, "nor", lambda: dftups(A, nor=True)),
        (ValueError, "usfac", lambda: dftups(A, usfac=math.inf)),
        (ValueError, "image", lambda: upsample_image(A[:0])),
        (ValueError, "upsample_factor", lambda: upsample_image(A, math.inf)),
        (ValueError, "output_size", lambda: upsample_image(A, 2, 0)),
    ],
)
def test_bad_input_is_named(kind, name, call):
    with pytest.raises(kind, match=f"`{name}`"):
        call()
