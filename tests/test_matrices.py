"""Matrices between samples at sizes where they are not kept, against padded transforms and sums over modes."""

from __future__ import annotations

import numpy as np
import pytest

from imreg_xp._array import array_namespace
from imreg_xp.fft_tools import dftups, upsample_image
from imreg_xp.fft_tools._matrices import Line, is_small
from imreg_xp.fft_tools._sums import contract
from imreg_xp.fft_tools.scale import fourier_interpnd
from imreg_xp.fft_tools.upsample import dftups1d
from imreg_xp.fft_tools.zoom import zoomnd

# odd and even, rows and columns that shrink and that grow
SHAPES = [(70, 66), (65, 71), (70, 65), (2, 66, 65)]


def tolerance(backend, dtype="float64"):
    return 1e-10 if backend.has_float64 and dtype in {"float64", "complex128"} else 2e-3


def modes(n):
    return np.fft.fftfreq(n, 1 / n).astype(int)


def padded_transform(data, factor):
    """Transform of the array in zeros, the negative indices at the end."""
    big = np.zeros((*data.shape[:-2], *(factor * n for n in data.shape[-2:])), dtype=complex)
    y, x = (modes(n) for n in data.shape[-2:])
    big[..., y[:, None], x] = data
    return np.fft.fft2(big)


def interpolant(data, y, x):
    """Sum over the modes, the Nyquist modes by their cosine, on a grid."""
    result = np.fft.fft2(data) / (data.shape[-2] * data.shape[-1])
    waves = []
    for n, at in zip(data.shape[-2:], (y, x), strict=True):
        wave = np.exp(2j * np.pi * np.outer(at, np.fft.fftfreq(n)))
        wave[:, 2 * abs(modes(n)) == n] = wave[:, 2 * abs(modes(n)) == n].real
        waves.append(wave)
    return waves[0] @ result @ waves[1].T


@pytest.mark.parametrize("dtype", ["complex128", "complex64", "float64"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("region", [(64, 90, 3), (90, 64, 0)])
def test_dftups_is_the_crop_of_the_padded_transform(backend, rng, shape, dtype, region):
    if dtype == "complex128" and not backend.has_float64:
        pytest.skip("no float64")
    data = rng.normal(size=shape) + (1j * rng.normal(size=shape) if dtype.startswith("c") else 0)
    data = data.astype(dtype)
    rows, columns, offset = region
    assert not is_small(shape[-2], Line(0, 1, rows))
    found = dftups(backend.asarray(data), rows, columns, 4, offset, -offset)
    whole = np.roll(padded_transform(data, 4), (offset, -offset), (-2, -1))
    np.testing.assert_allclose(backend.to_numpy(found), whole[..., :rows, :columns], atol=tolerance(backend, dtype))


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("shape", [(12,), (14, 9), (9, 14), (6, 5, 7)], ids=str)
@pytest.mark.parametrize("precise", [(), (0,), (-1,), (0, -1)], ids=str)
def test_contractions_are_sums_over_all_modes(backend, rng, shape, batch, precise):
    if precise and not backend.has_float64:
        pytest.skip("no float64")

    def numbers(*size, double):
        values = rng.normal(size=size) + 1j * rng.normal(size=size)
        return values.astype("complex128" if double else "complex64")

    letters = "abc"[: len(shape)]
    spectrum = numbers(3, *shape, double=False)
    doubles = [axis % len(shape) for axis in precise]
    columns = [numbers(batch, n, 2 + axis, double=axis in doubles) for axis, n in enumerate(shape)]
    each = [np.broadcast_to(c, (3, *c.shape[1:])) for c in columns]
    terms = ",".join(["z" + letters, *(f"z{a}{a.upper()}" for a in letters)])
    expected = np.einsum(f"{terms}->z{letters.upper()}", spectrum, *each)
    here = [backend.asarray(a) for a in (spectrum, *columns)]
    xp = array_namespace(x=here[0])
    wide = xp.complex128 if backend.has_float64 else xp.complex64
    found = contract(here[0], here[1:], dtype=wide, xp=xp)
    assert found.dtype == wide
    np.testing.assert_allclose(backend.to_numpy(found), expected, atol=1e-4 * np.max(abs(expected)))


def test_dftups1d_is_the_sum(backend, rng):
    data = rng.normal(size=(2, 90)) + 1j * rng.normal(size=(2, 90))
    x, found = dftups1d(backend.asarray(data), 3, 80, -7, return_xouts=True)
    expected = data @ np.exp(-2j * np.pi * np.outer(np.fft.fftfreq(90), (np.arange(80) - 7) / 3))
    np.testing.assert_allclose(backend.to_numpy(found), expected, atol=tolerance(backend))
    np.testing.assert_allclose(backend.to_numpy(x), (np.arange(80) - 7) / 3, atol=1e-5)


@pytest.mark.parametrize("dtype", ["float64", "float32", "complex128"])
@pytest.mark.parametrize("shape", SHAPES[:3])
def test_zooms_and_grids_are_the_interpolant(backend, rng, shape, dtype):
    data = (rng.normal(size=shape) + (1j * rng.normal(size=shape) if dtype == "complex128" else 0)).astype(dtype)
    if dtype != "float32" and not backend.has_float64:
        pytest.skip("no float64")
    image = backend.asarray(data)
    x, found = zoomnd(image, (0.3, -2), usfac=1.5, outshape=(64, 90), return_xouts=True, return_real=False)
    x = backend.to_numpy(x)
    at = [x[0][:, 0].astype(float), x[1][0].astype(float)]
    if dtype == "float32":  # where they would lie without rounding
        rows = zip(shape, (0.3, -2), (64, 90), strict=True)
        at = [(n - 1) / 2 + offset + (np.arange(k) - (k - 1) / 2) / 1.5 for n, offset, k in rows]
    expected = interpolant(data, *at)
    np.testing.assert_allclose(backend.to_numpy(found), expected, atol=tolerance(backend, dtype))
    axes = [backend.asarray(a) for a in at]
    found = fourier_interpnd(image, axes, return_real=False)
    np.testing.assert_allclose(backend.to_numpy(found), expected, atol=tolerance(backend, dtype))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("shape", SHAPES)
def test_an_upsampled_image_passes_through_its_pixels(backend, rng, shape, dtype):
    image = rng.normal(size=shape).astype(dtype)
    found = backend.to_numpy(upsample_image(backend.asarray(image), 2))
    # at whole pixels the kernel is 1 and 0, not 0 / 0
    np.testing.assert_allclose(found[..., ::2, ::2], image, atol=1e-12 if tolerance(backend, dtype) < 1e-9 else 1e-5)
    expected = interpolant(image, *(np.arange(2 * n) / 2 for n in shape[-2:])).real if len(shape) == 2 else None
    if expected is not None:
        np.testing.assert_allclose(found, expected, atol=tolerance(backend, dtype))


@pytest.mark.parametrize("n", [1024, 1023])
def test_the_kernel_keeps_its_digits_across_the_border_and_far_from_the_image(rng, n):
    line = rng.normal(size=n)
    at = np.concatenate([[-0.3, -1e-9, 0.0, 1e-9, n - 0.7, n - 1 + 1e-9], rng.uniform(0, n, 20)])
    wave = np.exp(2j * np.pi * np.outer(at, np.fft.fftfreq(n)))
    wave[:, 2 * abs(modes(n)) == n] = wave[:, 2 * abs(modes(n)) == n].real
    expected = (wave @ np.fft.fft(line)).real / n
    for periods in (0, 3, -1000):
        found = fourier_interpnd(line, [at + periods * n])
        # what adding the periods takes off the coordinates
        np.testing.assert_allclose(found, expected, atol=2e-12 if periods == 0 else 1e-8 if abs(periods) > 9 else 1e-11)
