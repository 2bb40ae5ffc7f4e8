"""The documented Fourier tools against direct sums, zero-padded transforms and rolls, on every library."""

from __future__ import annotations

import importlib
import subprocess
import sys

import numpy as np
import pytest
import scipy.fft

from imreg_xp import fft_tools
from imreg_xp.fft_tools import dftups, get_ffts, shift2d, shiftnd, upsample_image
from imreg_xp.fft_tools.scale import fourier_interp1d, fourier_interp2d, fourier_interpnd
from imreg_xp.fft_tools.upsample import dftups1d, odddftups
from imreg_xp.fft_tools.zoom import zoom1d, zoom_on_pixel, zoomnd

SHAPES = [(6, 8), (5, 7), (6, 7), (9,), (8,), (4, 5, 6)]


def interpolant(data, points):
    """Return the trigonometric interpolant at `points` (k, ...), one sum over all modes each; Nyquist by its cosine."""
    spectrum = np.fft.fftn(data) / data.size
    total = np.zeros(points.shape[1:], dtype=complex)
    for index in np.ndindex(*data.shape):
        term = spectrum[index]
        for k, n, x in zip(index, data.shape, points, strict=True):
            nu = np.fft.fftfreq(n)[k]
            term = term * (np.cos(np.pi * x) if 2 * k == n else np.exp(2j * np.pi * nu * x))
        total = total + term
    return total


def tolerance(backend, dtype="float64"):
    return 1e-10 if backend.has_float64 and dtype == "float64" else 2e-4


@pytest.fixture(params=["float64", "float32"])
def dtype(request, backend):
    if request.param == "float64" and not backend.has_float64:
        pytest.skip("no float64")
    return request.param


def check(backend, found, expected, dtype="float64", *, kind=None):
    host = backend.to_numpy(found)
    assert host.dtype.name == (kind or dtype)
    np.testing.assert_allclose(host, expected, atol=tolerance(backend, dtype), rtol=0)


# --- dftups


@pytest.mark.parametrize("shape", [(6, 8), (5, 7), (6, 7)])
@pytest.mark.parametrize("usfac", [1, 2, 5])
@pytest.mark.parametrize("region", [{}, {"nor": 5, "noc": 9, "roff": 2, "coff": -1}])
def test_dftups_is_the_crop_of_the_padded_transform(backend, rng, shape, usfac, region):
    data = rng.normal(size=shape) + 1j * rng.normal(size=shape)
    padded = np.zeros([n * usfac for n in shape], dtype=complex)
    rows, columns = (np.fft.fftfreq(n, 1 / n).astype(int) for n in shape)
    padded[np.ix_(rows, columns)] = data
    whole = np.fft.fft2(padded)
    size = (region.get("nor", shape[0]), region.get("noc", shape[1]))
    r = (np.arange(size[0]) - region.get("roff", 0)) % whole.shape[0]
    c = (np.arange(size[1]) - region.get("coff", 0)) % whole.shape[1]
    for function in (dftups, odddftups):
        found = backend.to_numpy(function(backend.asarray(data), usfac=usfac, **region))
        np.testing.assert_allclose(found, whole[np.ix_(r, c)], atol=tolerance(backend))


def test_dftups_takes_batches_and_real_arrays(backend, rng):
    stack = rng.normal(size=(3, 6, 7))
    found = backend.to_numpy(dftups(backend.asarray(stack), usfac=2, nor=3, noc=4))
    for one, image in zip(found, stack, strict=True):
        np.testing.assert_allclose(one, dftups(image, usfac=2, nor=3, noc=4), atol=tolerance(backend))


@pytest.mark.parametrize("n", [8, 9])
def test_dftups1d_is_a_direct_sum(backend, rng, n):
    data = rng.normal(size=n) + 1j * rng.normal(size=n)
    x, found = dftups1d(backend.asarray(data), usfac=2, outsize=6, offset=1.5, return_xouts=True)
    at = (np.arange(6) + 1.5) / 2
    np.testing.assert_allclose(backend.to_numpy(x), at, atol=1e-6)
    expected = np.exp(-2j * np.pi * np.outer(at, np.fft.fftfreq(n))) @ data
    np.testing.assert_allclose(backend.to_numpy(found), expected, atol=tolerance(backend))


# --- zooms and interpolation


@pytest.mark.parametrize("shape", [(6, 8), (5, 7)])
@pytest.mark.parametrize(
    "options",
    [{}, {"upsample_factor": 2}, {"upsample_factor": 3, "output_size": (4, 5)}, {"xshift": 1.5, "yshift": -2}],
)
def test_upsampled_images_are_the_interpolant(backend, rng, dtype, shape, options):
    image = rng.normal(size=shape).astype(dtype)
    factor = options.get("upsample_factor", 1)
    size = options.get("output_size", [n * factor for n in shape])
    points = np.indices(size) - np.array([options.get("yshift", 0), options.get("xshift", 0)])[:, None, None]
    found = upsample_image(backend.asarray(image), **options)
    check(backend, found, interpolant(image, points / factor).real, dtype)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_zoom_on_the_own_grid_is_the_input(backend, rng, dtype, shape):
    data = rng.normal(size=shape).astype(dtype)
    check(backend, zoomnd(backend.asarray(data)), data, dtype)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", ["real", "complex"])
def test_zooms_are_the_interpolant_at_the_coordinates_returned(backend, rng, shape, kind):
    data = rng.normal(size=shape) + (1j * rng.normal(size=shape) if kind == "complex" else 0)
    coordinates = [1.3, 2.6, 0.4][: len(shape)]
    x, found = zoom_on_pixel(
        backend.asarray(data), coordinates, usfac=3, outshape=4, return_xouts=True, return_real=False
    )
    x = backend.to_numpy(x)
    steps = (np.indices((4,) * len(shape)) - 1.5) / 3
    np.testing.assert_allclose(x, steps + np.reshape(coordinates, (-1,) + (1,) * len(shape)), atol=1e-6)
    np.testing.assert_allclose(backend.to_numpy(found), interpolant(data, x), atol=tolerance(backend))


@pytest.mark.parametrize(("convention", "middle"), [(float, (2.5, 3.0)), (np.floor, (2, 3)), (np.ceil, (3, 3))])
def test_the_middle_is_where_the_convention_puts_it(backend, rng, convention, middle):
    data = backend.asarray(rng.normal(size=(6, 7)))
    x, _ = zoomnd(data, (1, 0.5), convention, usfac=2, outshape=(3, 5), return_xouts=True)
    np.testing.assert_allclose(backend.to_numpy(x)[:, 1, 2], np.add(middle, (1, 0.5)), atol=1e-6)


@pytest.mark.parametrize("n", [8, 9])
def test_zoom1d_is_zoomnd_in_one_dimension_and_takes_batches(backend, rng, n):
    stack = rng.normal(size=(3, n))
    x, found = zoom1d(backend.asarray(stack), usfac=2, outsize=5, offset=0.7, return_xouts=True)
    for one, row in zip(backend.to_numpy(found), stack, strict=True):
        np.testing.assert_allclose(one, zoomnd(row, (0.7,), usfac=2, outshape=5), atol=tolerance(backend))
    np.testing.assert_allclose(backend.to_numpy(x), (n - 1) / 2 + 0.7 + (np.arange(5) - 2) / 2, atol=1e-6)


@pytest.mark.parametrize("shape", SHAPES)
def test_interpolation_on_points_and_on_grids(backend, rng, shape):
    data = rng.normal(size=shape)
    size = (3, 2, 4)[: len(shape)]
    axes = [rng.uniform(-2, 12, size=n) for n in size]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"))
    expected = interpolant(data, grid).real
    on_grid = fourier_interpnd(backend.asarray(data), tuple(backend.asarray(a) for a in axes))
    at_points = fourier_interpnd(backend.asarray(data), backend.asarray(grid))
    for found in (on_grid, at_points):
        np.testing.assert_allclose(backend.to_numpy(found), expected, atol=tolerance(backend))
    scattered = rng.uniform(0, 5, size=(len(shape), 5))
    found = fourier_interpnd(backend.asarray(data), backend.asarray(scattered))
    np.testing.assert_allclose(backend.to_numpy(found), interpolant(data, scattered).real, atol=tolerance(backend))


def test_interpolation_along_an_axis_with_units(backend, rng):
    data = rng.normal(size=(2, 9))
    x = 10 + 0.5 * np.arange(9)
    out = np.array([10.25, 12.0, 13.9])
    found = fourier_interp1d(*map(backend.asarray, (data, out, x)))
    expected = np.stack([interpolant(row, (out[None] - 10) / 0.5).real for row in data])
    np.testing.assert_allclose(backend.to_numpy(found), expected, atol=tolerance(backend))
    in_pixels = fourier_interp1d(backend.asarray(data), backend.asarray((out - 10) / 0.5), return_real=False)
    np.testing.assert_allclose(backend.to_numpy(in_pixels), expected, atol=tolerance(backend))


def test_two_dimensions_are_the_documented_special_case(rng):
    data, grid = rng.normal(size=(5, 6)), np.indices((2, 3)) + 0.3
    np.testing.assert_array_equal(fourier_interp2d(data, grid), fourier_interpnd(data, grid))


# --- shifts


@pytest.mark.parametrize("shape", SHAPES)
def test_a_whole_pixel_shift_is_a_roll(backend, rng, dtype, shape):
    data = rng.normal(size=shape).astype(dtype)
    offset = (2, -3, 1)[: len(shape)]
    found = shiftnd(backend.asarray(data), offset)
    assert backend.to_numpy(found).dtype.name == dtype
    expected = np.roll(data, offset, tuple(range(len(shape))))
    tol = 1e-12 if dtype == "float64" else 1e-5
    np.testing.assert_allclose(backend.to_numpy(found), expected, atol=tol)


@pytest.mark.parametrize("shape", SHAPES)
def test_there_and_back_again(backend, rng, shape):
    data = rng.normal(size=shape)
    offset = np.array([0.5, -1.3, 2.2])[: len(shape)]
    away = shiftnd(backend.asarray(data), offset.tolist(), return_real=False)
    back = shiftnd(away, backend.asarray(-offset))
    np.testing.assert_allclose(backend.to_numpy(back), data, atol=tolerance(backend))
    # real images without a Nyquist mode come back too
    smooth = np.fft.fftn(data)
    for axis, n in enumerate(shape):
        keep = np.abs(np.fft.fftfreq(n)) < 0.49
        smooth = smooth * keep.reshape([-1 if a == axis else 1 for a in range(len(shape))])
    smooth = np.fft.ifftn(smooth).real
    back = shiftnd(shiftnd(backend.asarray(smooth), offset.tolist()), (-offset).tolist())
    np.testing.assert_allclose(backend.to_numpy(back), smooth, atol=tolerance(backend))


def test_a_sub_pixel_shift_is_the_interpolant(backend, rng):
    data = rng.normal(size=(6, 7))
    points = np.indices((6, 7)) - np.array([1.3, -0.4])[:, None, None]
    expected = interpolant(data, points).real
    image = backend.asarray(data)
    np.testing.assert_allclose(backend.to_numpy(shiftnd(image, (1.3, -0.4))), expected, atol=tolerance(backend))
    np.testing.assert_allclose(backend.to_numpy(shift2d(image, -0.4, 1.3)), expected, atol=tolerance(backend))


def test_phase_and_absolute_value(backend, rng):
    data = rng.normal(size=(6, 7))
    image = backend.asarray(data)
    turned = backend.to_numpy(shiftnd(image, (0, 0), phase=0.4, return_real=False))
    np.testing.assert_allclose(turned, data * np.exp(-0.4j), atol=tolerance(backend))
    np.testing.assert_allclose(
        backend.to_numpy(shiftnd(image, (0, 0), phase=0.4)), data * np.cos(0.4), atol=tolerance(backend)
    )
    np.testing.assert_allclose(
        backend.to_numpy(shiftnd(image, (2, 1), return_abs=True)),
        np.abs(np.roll(data, (2, 1), (0, 1))),
        atol=tolerance(backend),
    )


def test_shift_takes_nan_for_zero_and_batches(backend, rng):
    stack = rng.normal(size=(3, 6, 7))
    stack[1, 2, 3] = np.nan
    found = backend.to_numpy(shiftnd(backend.asarray(stack), (1, 2)))
    np.testing.assert_allclose(found, np.roll(np.nan_to_num(stack), (1, 2), (1, 2)), atol=tolerance(backend))


# --- transforms


@pytest.mark.parametrize("use_numpy_fft", [True, False])
def test_the_pair_of_transforms(backend, rng, use_numpy_fft):
    data = rng.normal(size=(3, 6, 7))
    fftn, ifftn = get_ffts(nthreads=2, use_numpy_fft=use_numpy_fft)
    spectrum = fftn(backend.asarray(data))
    np.testing.assert_allclose(backend.to_numpy(spectrum), np.fft.fftn(data), atol=20 * tolerance(backend))
    np.testing.assert_allclose(backend.to_numpy(ifftn(spectrum)), data, atol=tolerance(backend))
    some = fftn(backend.asarray(data), s=(8, 8), axes=(1, 2))
    np.testing.assert_allclose(backend.to_numpy(some), np.fft.fftn(data, (8, 8), (1, 2)), atol=20 * tolerance(backend))


class _Counting:
    __ua_domain__ = "numpy.scipy.fft"
    calls = 0

    @classmethod
    def __ua_function__(cls, method, args, kwargs):
        cls.calls += 1
        with scipy.fft.skip_backend(cls):
            return method(*args, **kwargs)


def test_backends_of_scipy_come_in(rng):
    fftn, _ = get_ffts(use_numpy_fft=False)
    before = _Counting.calls
    with scipy.fft.set_backend(_Counting):
        fftn(rng.normal(size=(4, 4)))
    assert _Counting.calls == before + 1
    with scipy.fft.set_backend(_Counting):
        get_ffts(use_numpy_fft=True)[0](rng.normal(size=(4, 4)))
    assert _Counting.calls == before + 1


# --- inputs


FUNCTIONS = {
    "dftups": lambda x: dftups(x, usfac=2),
    "upsample_image": lambda x: upsample_image(x, 2),
    "zoomnd": lambda x: zoomnd(x, usfac=2),
    "zoom1d": lambda x: zoom1d(x, 2),
    "shiftnd": lambda x: shiftnd(x, (0.3, 1.2)),
    "shiftnd complex": lambda x: shiftnd(x, (0.3, 1.2), return_real=False),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_inputs_are_left_alone_and_integers_are_images(backend, rng, name):
    for data in (rng.normal(size=(6, 7)), rng.integers(0, 9, size=(6, 7))):
        image = backend.asarray(data)
        before = backend.to_numpy(image).copy()
        found = backend.to_numpy(FUNCTIONS[name](image))
        np.testing.assert_array_equal(backend.to_numpy(image), before)
        reference = np.asarray(FUNCTIONS[name](np.asarray(data, dtype=float)))
        np.testing.assert_allclose(found, reference, atol=max(tolerance(backend), 1e-4 * (data.dtype.kind == "i")))


A = np.ones((6, 7))
BAD = {
    "list": (TypeError, "inp", lambda: dftups([[1.0]])),
    "boolean": (TypeError, "inp", lambda: zoomnd(A > 0)),
    "no axes": (ValueError, "inp", lambda: dftups(np.ones(4))),
    "factor": (ValueError, "usfac", lambda: dftups(A, usfac=0)),
    "rows": (ValueError, "nor", lambda: dftups(A, nor=2.5)),
    "image factor": (ValueError, "upsample_factor", lambda: upsample_image(A, -1)),
    "image size": (ValueError, "output_size", lambda: upsample_image(A, 2, (3, 3, 3))),
    "zoom": (ValueError, "usfac", lambda: zoom1d(A, "2")),
    "zoom size": (ValueError, "outsize", lambda: zoom1d(A, outsize=0)),
    "zoom shape": (ValueError, "outshape", lambda: zoomnd(A, outshape=(3,))),
    "zoom offsets": (ValueError, "offsets", lambda: zoomnd(A, (1,))),
    "zoom point": (ValueError, "coordinates", lambda: zoom_on_pixel(A, (1, 2, 3))),
    "one number": (TypeError, "offset", lambda: shiftnd(A, -3.0, -1.0)),
    "no numbers": (ValueError, "offset", lambda: shiftnd(A, ())),
    "too many": (ValueError, "offset", lambda: shiftnd(A, (1, 2, 3))),
    "out_x": (ValueError, "out_x", lambda: fourier_interp1d(A, A)),
    "data_x": (ValueError, "data_x", lambda: fourier_interp1d(A, A[0], A[0, :3])),
    "outinds": (ValueError, "outinds", lambda: fourier_interpnd(A, (A[0],))),
    "2d": (ValueError, "data", lambda: fourier_interp2d(A[0], (A[0],))),
    "fft of a list": (TypeError, "x", lambda: get_ffts()[0]([1.0])),
}


@pytest.mark.parametrize("row", BAD)
def test_bad_input_is_named(row):
    kind, name, call = BAD[row]
    with pytest.raises(kind, match=f"`{name}`"):
        call()


def test_nan_spoils_a_zoom():
    spoilt = A.copy()
    spoilt[2, 2] = np.nan
    assert np.all(np.isnan(zoomnd(spoilt, usfac=2)))


# --- names


BOTH = ["convolve_nd", "correlate2d", "smooth", "downsample"]


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize("first", [True, False])
def test_names_of_modules_and_functions(name, first):
    lines = [
        "import imreg_xp",
        f"from imreg_xp.fft_tools.{name} import {name} as f",
        f"import imreg_xp.fft_tools as tools; g = tools.{name}",
        "assert f is g and callable(f), (f, g)",
        f"import imreg_xp.fft_tools.{name}",
        f"assert imreg_xp.fft_tools.{name} is f",
        f"assert imreg_xp.fft_tools.{name}.{name} is f",
    ]
    order = lines if first else [lines[0], lines[2].replace("tools; g", "tools; g"), lines[1], *lines[3:]]
    subprocess.run([sys.executable, "-c", "\n".join(order)], check=True)


def test_documented_modules_are_there():
    for name in ("shift", "upsample", "zoom", "scale", "fast_ffts"):
        assert getattr(fft_tools, name) is importlib.import_module(f"imreg_xp.fft_tools.{name}")
