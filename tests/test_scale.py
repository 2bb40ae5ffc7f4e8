"""Fourier interpolation: uneven coordinates, all forms of `outinds`, blocks of points, against sums written out."""

from __future__ import annotations

import numpy as np
import pytest

from imreg_xp.fft_tools import sampling
from imreg_xp.fft_tools.scale import fourier_interp1d, fourier_interp2d, fourier_interpnd

SHAPES = [(8,), (9,), (6, 8), (5, 7), (6, 7), (4, 5, 6)]


def tolerance(backend, dtype="float64"):
    return 1e-11 if backend.has_float64 and dtype == "float64" else 1e-4


def literal(data, points):
    """Sum over all pixels the Dirichlet kernels of the distances; Nyquist modes by their cosine."""
    out = np.zeros(points.shape[1:], dtype=data.dtype)
    for index in np.ndindex(*data.shape):
        term = data[index] * np.ones(points.shape[1:])
        for x, n, at in zip(index, data.shape, points, strict=True):
            k = np.arange(1, (n + 1) // 2)
            kernel = 1 + 2 * np.cos(2 * np.pi * k * (at[..., None] - x) / n).sum(-1)
            term = term * (kernel + (np.cos(np.pi * at) * np.cos(np.pi * x) if n % 2 == 0 else 0)) / n
        out = out + term
    return out


@pytest.mark.parametrize("dtype", ["float64", "float32", "complex128"])
@pytest.mark.parametrize("shape", SHAPES)
def test_grids_points_and_lists_are_the_sum(backend, rng, shape, dtype):
    if dtype != "float32" and not backend.has_float64:
        pytest.skip("no float64")
    data = rng.normal(size=shape) + (1j * rng.normal(size=shape) if dtype == "complex128" else 0)
    data, image = data.astype(dtype), backend.asarray(data.astype(dtype))
    axes = [rng.uniform(-9, 9, size=m) for m in (3, 2, 4)[: len(shape)]]
    points = np.stack(np.meshgrid(*axes, indexing="ij"))
    expected = literal(data, points)
    forms = {
        "points": backend.asarray(points),
        "arrays": tuple(backend.asarray(a) for a in axes),
        "lists": [a.tolist() for a in axes],
        "mixed": [axes[0].tolist(), *map(backend.asarray, axes[1:])],
    }
    for outinds in forms.values():
        found = backend.to_numpy(fourier_interpnd(image, outinds, return_real=False))
        assert found.dtype.name == ("complex64" if dtype == "float32" else "complex128")
        np.testing.assert_allclose(found, expected, atol=tolerance(backend, dtype))
        found = backend.to_numpy(fourier_interpnd(image, outinds))
        assert found.dtype.name == ("float32" if dtype == "float32" else "float64")
        np.testing.assert_allclose(found, expected.real, atol=tolerance(backend, dtype))


@pytest.mark.parametrize("shape", SHAPES)
def test_points_may_come_in_blocks(backend, rng, shape, monkeypatch):
    image = backend.asarray(rng.normal(size=shape))
    points = backend.asarray(rng.uniform(0, 5, size=(len(shape), 7)))
    whole = backend.to_numpy(fourier_interpnd(image, points))
    monkeypatch.setattr(sampling, "_BLOCK", 3 * int(np.prod(shape)))
    np.testing.assert_allclose(backend.to_numpy(fourier_interpnd(image, points)), whole, atol=tolerance(backend))


def test_pixels_are_found_back(backend, rng):
    data = rng.normal(size=(6, 7))
    found = fourier_interp2d(backend.asarray(data), backend.asarray(np.indices((6, 7)) + np.array([[[6]], [[-7]]])))
    np.testing.assert_allclose(backend.to_numpy(found), data, atol=tolerance(backend))


@pytest.mark.parametrize("falling", [False, True])
def test_uneven_steps_pass_through_the_data(backend, rng, falling):
    data, x = rng.normal(size=(2, 9)), np.array([0, 1, 3, 4, 7, 8, 8.5, 9, 12.0])
    pixel = np.array([-0.5, 0, 0.4, 1.5, 3.5, 6.4, 8, 8.5])
    at = np.interp(pixel, np.arange(-1, 10), np.array([-1, *x, 15]))  # beyond the ends the last step goes on
    sign = -1 if falling else 1
    arrays = [backend.asarray(a) for a in (data, sign * at, sign * x)]
    expected = np.stack([literal(row, pixel[None]) for row in data])
    np.testing.assert_allclose(backend.to_numpy(fourier_interp1d(*arrays)), expected, atol=tolerance(backend))
    found = fourier_interp1d(arrays[0], arrays[2], arrays[2])
    np.testing.assert_allclose(backend.to_numpy(found), data, atol=tolerance(backend))


def test_nan_spoils_its_own_place(backend, rng):
    data, at = rng.normal(size=(2, 9)), np.array([1.0, np.nan, 2.5])
    data[1, 3] = np.nan
    pixels = np.arange(9.0)
    for x in (None, backend.asarray(pixels)):
        found = backend.to_numpy(fourier_interp1d(backend.asarray(data), backend.asarray(at), x))
        np.testing.assert_array_equal(np.isnan(found), [[False, True, False], [True, True, True]])


def test_inputs_stay_as_they_were(backend, rng):
    given = [rng.normal(size=9), rng.uniform(0, 8, size=4), np.arange(9.0)]
    arrays = [backend.asarray(a) for a in given]
    fourier_interp1d(*arrays)
    fourier_interpnd(arrays[0], (arrays[1],))
    for array, host in zip(arrays, given, strict=True):
        np.testing.assert_array_equal(backend.to_numpy(array), host.astype(backend.to_numpy(array).dtype))


def test_nothing_is_read_back(rng, no_sync):
    strict = pytest.importorskip("array_api_strict")
    data, at, x = (strict.asarray(a, device=strict.Device("device1")) for a in (rng.normal(size=8), A[0], A[0]))
    with no_sync():
        fourier_interp1d(data, at, x)
        fourier_interpnd(data, at[None, :])


A = np.arange(48.0).reshape(6, 8)


@pytest.mark.parametrize(
    ("kind", "name", "call"),
    [
        (TypeError, "out_x", lambda: fourier_interp1d(A[0], A[0] * 1j)),
        (TypeError, "out_x", lambda: fourier_interp1d(A[0], A[0] > 0)),
        (TypeError, "data_x", lambda: fourier_interp1d(A[0], A[0], A[0] * 1j)),
        (ValueError, "data_x", lambda: fourier_interp1d(A[0, :1], A[0], A[0, :1])),
        (ValueError, "data", lambda: fourier_interp1d(A[0, :0], A[0])),
        (TypeError, "outinds", lambda: fourier_interpnd(A, 3.0)),
        (TypeError, "outinds", lambda: fourier_interpnd(A, A[:2] * 1j)),
        (ValueError, "outinds", lambda: fourier_interpnd(A, A[:3])),
        (ValueError, "outinds", lambda: fourier_interpnd(A, ([1.0], [2.0], [3.0]))),
        (ValueError, "outinds", lambda: fourier_interpnd(A, [[[1.0]], [2.0]])),
        (ValueError, "outinds", lambda: fourier_interpnd(A, list(np.indices((2, 2))))),
        (TypeError, r"outinds\[1\]", lambda: fourier_interpnd(A, ([1.0], ["2"]))),
        (TypeError, "data", lambda: fourier_interp2d(A > 0, A[:2])),
    ],
)
def test_bad_input_is_named(kind, name, call):
    with pytest.raises(kind, match=f"`{name}`"):
        call()
