"""Convolution, correlation, smoothing and downsampling against sums written out, astropy and SciPy."""

from __future__ import annotations

import warnings

import astropy.convolution
import numpy as np
import pytest
import scipy.ndimage
import scipy.signal

from imreg_xp.fft_tools import correlate2d, downsample, smooth
from imreg_xp.fft_tools.convolve_nd import convolve, convolve_nd
from imreg_xp.fft_tools.downsample import downsample_1d, downsample_axis, downsample_cube

PAD = {"fill": "constant", "constant": "constant", "wrap": "wrap", "reflect": "symmetric", "nearest": "edge"}
CASES = [((9,), (3,)), ((8,), (4,)), ((7, 8), (3, 5)), ((8, 6), (4, 3)), ((5, 6, 7), (3, 2, 3)), ((5, 6), (7, 3))]


def tolerance(backend):
    return 1e-10 if backend.has_float64 else 1e-4


def direct(array, kernel, boundary, fill=0.0):
    """Return the convolution by its sum, on the pixels of the array."""
    pads = [(m, m) for m in kernel.shape]
    wide = np.pad(array, pads, mode=PAD[boundary], **({"constant_values": fill} if PAD[boundary] == "constant" else {}))
    out = np.zeros(array.shape)
    for j in np.ndindex(*kernel.shape):
        y = [a - m // 2 for a, m in zip(j, kernel.shape, strict=True)]
        out += (
            kernel[j]
            * wide[tuple(slice(m - d, m - d + n) for m, d, n in zip(kernel.shape, y, array.shape, strict=True))]
        )
    return out


@pytest.mark.parametrize("boundary", PAD)
@pytest.mark.parametrize(("shape", "size"), CASES)
def test_convolution_is_its_sum(backend, rng, shape, size, boundary):
    array, kernel = rng.normal(size=shape), rng.normal(size=size)
    if boundary == "wrap" and any(m > n for m, n in zip(size, shape, strict=True)):
        expected = direct(np.tile(array, (3,) * array.ndim), kernel, "wrap")
        expected = expected[tuple(slice(n, 2 * n) for n in shape)]
    elif boundary == "reflect" and any(m > n for m, n in zip(size, shape, strict=True)):
        pytest.skip("NumPy pads by reflection once only")
    else:
        expected = direct(array, kernel, boundary, 2.5)
    found = backend.to_numpy(convolve_nd(*map(backend.asarray, (array, kernel)), boundary=boundary, fill_value=2.5))
    start = [
        max(m // 2 - n // 2, 0) if boundary in {"fill", "constant"} else 0 for n, m in zip(shape, size, strict=True)
    ]
    inner = found[tuple(slice(a, a + n) for a, n in zip(start, shape, strict=True))]
    np.testing.assert_allclose(inner, expected, atol=tolerance(backend))


def test_fill_gives_the_larger_of_each_dimension(rng):
    array, kernel = rng.normal(size=(100, 3)), rng.normal(size=(6, 6))
    assert convolve_nd(array, kernel).shape == (100, 6)
    assert convolve_nd(array, kernel, boundary="wrap").shape == (100, 3)


@pytest.mark.parametrize("sizes", [((9,), (3,)), ((8,), (4,)), ((8, 5), (3, 6)), ((5, 8), (6, 3))])
@pytest.mark.parametrize("fft_pad", [True, False])
def test_without_crop_the_middle_of_the_array_is_that_of_the_padded_result(backend, rng, sizes, fft_pad):
    array, kernel = (rng.normal(size=s) for s in sizes)
    found = convolve_nd(*map(backend.asarray, (array, kernel)), crop=False, fft_pad=fft_pad)
    found = backend.to_numpy(found)
    if not fft_pad:
        assert found.shape == tuple(n + m for n, m in zip(*sizes, strict=True))
    full = scipy.signal.convolve(array, kernel, method="direct")
    first = [p // 2 - n // 2 - m // 2 for n, m, p in zip(*sizes, found.shape, strict=True)]
    ends = [(a, p - a - k) for a, p, k in zip(first, found.shape, full.shape, strict=True)]
    np.testing.assert_allclose(found, np.pad(full, ends), atol=tolerance(backend))


@pytest.mark.parametrize("fft_pad", [True, False])
@pytest.mark.parametrize("fftshift", [True, False])
@pytest.mark.parametrize("boundary", ["fill", "wrap"])
def test_the_spectrum_is_that_of_the_convolution(backend, rng, fft_pad, fftshift, boundary):
    given = [backend.asarray(rng.normal(size=size)) for size in ((11, 6), (3, 4))]
    options = {"boundary": boundary, "fft_pad": fft_pad, "crop": False}
    spectrum = backend.to_numpy(convolve_nd(*given, return_fft=True, fftshift=fftshift, **options))
    image = np.fft.ifftn(np.fft.ifftshift(spectrum) if fftshift else spectrum)
    np.testing.assert_allclose(image, backend.to_numpy(convolve_nd(*given, **options)), atol=tolerance(backend))


def test_a_cropped_spectrum_is_the_middle_of_the_whole_one():
    # the toolkit returns the same, the spectrum of 0 0 0 1 2 3 0 0
    image, kernel = [0, 0, 1, 0, 0], [1, 2, 3]
    whole = np.fft.fftshift(np.fft.fft([0, 0, 0, 1, 2, 3, 0, 0]))
    np.testing.assert_allclose(convolve_nd(image, kernel, return_fft=True, crop=False), whole, atol=1e-12)
    np.testing.assert_allclose(convolve_nd(image, kernel, return_fft=True), whole[2:7], atol=1e-12)
    unshifted = convolve_nd(image, kernel, return_fft=True, fftshift=False)
    np.testing.assert_allclose(unshifted, np.fft.ifftshift(whole), atol=1e-12)


@pytest.mark.parametrize("boundary", ["fill", "wrap"])
@pytest.mark.parametrize("interpolate", [True, False])
@pytest.mark.parametrize("min_wt", [0.0, 0.5])
@pytest.mark.parametrize("shape", [(12,), (11, 14), (6, 7, 8)])
def test_nan_as_in_astropy(backend, rng, boundary, interpolate, min_wt, shape):
    array = rng.normal(size=shape)
    array[rng.uniform(size=shape) < 0.3] = np.nan
    array.flat[:6] = np.nan
    array.flat[6] = np.inf
    kernel = rng.uniform(0.1, 1, size=(3,) * len(shape))
    found = convolve_nd(
        *map(backend.asarray, (array, kernel)),
        boundary=boundary,
        interpolate_nan=interpolate,
        normalize_kernel=True,
        min_wt=min_wt,
    )
    expected = astropy.convolution.convolve_fft(
        array,
        kernel,
        boundary=boundary,
        nan_treatment="interpolate" if interpolate else "fill",
        normalize_kernel=True,
        min_wt=min_wt,
    )
    np.testing.assert_allclose(backend.to_numpy(found), expected, atol=tolerance(backend))


def test_edges_left_out_as_in_astropy(backend, rng):
    array, kernel = rng.normal(size=(11, 14)), rng.uniform(size=(3, 5))
    array[2:4, 3] = np.nan
    found = convolve_nd(
        *map(backend.asarray, (array, kernel)), interpolate_nan=True, ignore_edge_zeros=True, normalize_kernel=True
    )
    # the average of what is there
    good = np.isfinite(array)
    kernel = kernel / kernel.sum()
    expected = direct(np.nan_to_num(array), kernel, "fill") / direct(good.astype(float), kernel, "fill")
    np.testing.assert_allclose(backend.to_numpy(found), expected, atol=tolerance(backend))


def test_beyond_edges_left_out_nothing_is_filled_in(rng):
    array, kernel = rng.normal(size=(6, 7)), np.ones((3, 3))
    given = [convolve_nd(array, kernel, fill_value=v, ignore_edge_zeros=True, normalize_kernel=True) for v in (0, 10)]
    np.testing.assert_array_equal(*given)


def test_a_pixel_with_nothing_left_out_has_the_weight_1(backend, rng):
    array, kernel = rng.normal(size=(50, 50)).astype("float32"), rng.uniform(size=(5, 5)).astype("float32")
    array[20, 20] = np.nan
    found = convolve_nd(*map(backend.asarray, (array, kernel)), interpolate_nan=True, normalize_kernel=True, min_wt=1.0)
    lost = np.zeros((50, 50), dtype=bool)
    lost[18:23, 18:23] = True
    np.testing.assert_array_equal(np.isnan(backend.to_numpy(found)), lost)


@pytest.mark.parametrize(
    ("args", "options", "expected"),
    [
        (([1, 0, 3], [1, 1, 1]), {}, [1, 4, 3]),
        (([1, np.nan, 3], [1, 1, 1]), {"quiet": True}, [1, 4, 3]),
        (([1, 0, 3], [0, 1, 0]), {}, [1, 0, 3]),
        (([1, 2, 3], [1]), {}, [1, 2, 3]),
        (([1, np.nan, 3], [0, 1, 0]), {"interpolate_nan": True}, [1, 0, 3]),
        (([1, np.nan, 3], [0, 1, 0]), {"interpolate_nan": True, "min_wt": 1e-8}, [1, np.nan, 3]),
        (([1, np.nan, 3], [1, 1, 1]), {"interpolate_nan": True}, [1, 4, 3]),
        (
            ([1, np.nan, 3], [1, 1, 1]),
            {"interpolate_nan": True, "normalize_kernel": True, "ignore_edge_zeros": True},
            [1, 2, 3],
        ),
    ],
)
def test_the_documented_table(backend, args, options, expected):
    lists = convolve(*args, **options)
    arrays = convolve_nd(*(backend.asarray(np.asarray(a, dtype=float)) for a in args), **options)
    for found in (lists, backend.to_numpy(arrays)):
        np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("by", [True, np.sum, sum, np.max, np.mean, lambda _: 4.0])
def test_kernels_are_divided_by_what_is_asked_for(backend, rng, by):
    array, kernel = rng.normal(size=(8, 9)), rng.uniform(0.5, 1, size=(3, 3))
    value = kernel.sum() if by in (True, sum) else by(kernel)
    found = convolve_nd(*map(backend.asarray, (array, kernel)), normalize_kernel=by)
    np.testing.assert_allclose(backend.to_numpy(found), direct(array, kernel / value, "fill"), atol=tolerance(backend))


def test_leading_axes_are_batch_axes_and_dtype_is_kept(backend, rng):
    stack, kernel = rng.normal(size=(3, 8, 9)).astype("float32"), rng.normal(size=(3, 4))
    image = backend.asarray(stack)
    found = backend.to_numpy(convolve_nd(image, backend.asarray(kernel)))
    assert found.dtype == np.float32
    for one, frame in zip(found, stack, strict=True):
        np.testing.assert_allclose(one, direct(frame, kernel, "fill"), atol=1e-4)
    np.testing.assert_array_equal(backend.to_numpy(image), stack)


# --- correlation


@pytest.mark.parametrize("boundary", PAD)
@pytest.mark.parametrize("shapes", [((7, 8), (7, 8)), ((8, 7), (8, 7)), ((6, 9), (8, 5)), ((9,), (9,))])
def test_correlation_is_its_sum(backend, rng, shapes, boundary):
    first, second = (rng.normal(size=s) for s in shapes)
    size = tuple(max(a, b) for a, b in zip(*shapes, strict=True))
    one, two = (np.pad(a, [(0, n - k) for n, k in zip(size, a.shape, strict=True)]) for a in (first, second))
    wide = np.pad(one, [(n, n) for n in size], mode=PAD[boundary])
    expected = np.zeros(size)
    for index in np.ndindex(*size):
        d = [(n - 1) // 2 - i for n, i in zip(second.shape, index, strict=True)]
        expected[index] = np.sum(wide[tuple(slice(n - k, 2 * n - k) for n, k in zip(size, d, strict=True))] * two)
    found = correlate2d(*map(backend.asarray, (first, second)), boundary=boundary)
    np.testing.assert_allclose(backend.to_numpy(found), expected, atol=tolerance(backend))


def test_the_documented_options_of_correlation(rng):
    first, second = rng.normal(size=(2, 7, 8))
    np.testing.assert_allclose(correlate2d(first, second, pad=False, nthreads=2), correlate2d(first, second))
    spectrum = correlate2d(first, second, return_fft=True, fftshift=False)
    np.testing.assert_allclose(np.fft.ifftn(spectrum).real, correlate2d(first, second), atol=1e-12)
    assert correlate2d(first, second, boundary="fill", crop=False).shape == (14, 16)
    assert correlate2d(first, second, crop=False).shape == (7, 8)
    second[2, 2] = np.nan
    np.testing.assert_allclose(correlate2d(first, second), correlate2d(first, np.nan_to_num(second)))


# --- smoothing


@pytest.mark.parametrize("shape", [(40,), (40, 45), (41, 44), (22, 23, 24)])
@pytest.mark.parametrize("kind", ["gaussian", "boxcar", "tophat", "trapezoid"])
@pytest.mark.parametrize("width", [2, 3])
def test_smoothing_moves_nothing_and_keeps_the_sum(backend, shape, kind, width):
    image = np.zeros(shape)
    centre = tuple(n // 2 for n in shape)
    image[centre] = 1
    found = backend.to_numpy(smooth(backend.asarray(image), width, kind, 0.5 if kind == "trapezoid" else None))
    assert found.shape == shape
    assert found.sum() == pytest.approx(1, abs=2e-2 if kind == "gaussian" else 1e-5)
    for axis, c in enumerate(centre):
        x = np.arange(shape[axis]).reshape([-1 if a == axis else 1 for a in range(len(shape))])
        assert (found * x).sum() / found.sum() == pytest.approx(c, abs=1e-4)


def test_gaussians_and_boxcars_are_those_of_scipy(backend, rng):
    image = rng.normal(size=(40, 37))
    tol = 1e-6 if backend.has_float64 else 1e-4
    found = smooth(backend.asarray(image), 1.7, nwidths=14)
    expected = scipy.ndimage.gaussian_filter(image, 1.7, mode="constant", truncate=7)
    np.testing.assert_allclose(backend.to_numpy(found), expected, atol=tol)
    found = smooth(backend.asarray(image), 3, "boxcar", psf_pad=False)
    np.testing.assert_allclose(backend.to_numpy(found), scipy.ndimage.uniform_filter(image, 3, mode="wrap"), atol=tol)


def test_the_peak_may_be_kept_instead(backend):
    image = np.zeros((30, 31))
    image[15, 15] = 2
    found = smooth(backend.asarray(image), 2, normalize_kernel=np.max)
    assert backend.to_numpy(found).max() == pytest.approx(2, rel=1e-6)


def test_kernels_are_even_and_as_wide_as_asked_for(rng):
    image = rng.normal(size=(30, 41))
    for options, size in (({}, (30, 42)), ({"nwidths": 8}, (24, 24)), ({"kernelwidth": 6}, (36, 42))):
        _, kernel = smooth(image, **{"kernelwidth": 3, **options}, return_kernel=True)
        assert kernel.shape == size
        assert kernel[kernel.shape[0] // 2, kernel.shape[1] // 2] == kernel.max()
        np.testing.assert_array_equal(kernel[1:, 1:], kernel[:0:-1, :0:-1])
        assert kernel.sum() == pytest.approx(1)


def test_a_tophat_is_all_that_is_closer_than_its_radius(rng):
    _, kernel = smooth(rng.normal(size=(9, 9)), 2, "tophat", return_kernel=True)
    expected = np.zeros((12, 12))
    expected[5:8, 5:8] = 1 / 9
    np.testing.assert_allclose(kernel, expected)


def test_nan_are_filled_by_their_neighbours(backend):
    y, x = np.indices((30, 31))
    image = 2.0 * x + y
    holed = image.copy()
    holed[14, 15] = np.nan
    for norm in (sum, np.max, False):
        found, whole = (
            backend.to_numpy(smooth(backend.asarray(a), 2, interp_nan=True, normalize_kernel=norm))
            for a in (holed, image)
        )
        assert found[14, 15] == pytest.approx(whole[14, 15], rel=1e-3)
        np.testing.assert_allclose(found[8:21, 9:22], whole[8:21, 9:22], rtol=2e-2)


@pytest.mark.parametrize("norm", [sum, np.max])
def test_nan_stay_where_they_are_not_replaced(backend, rng, norm):
    holed = rng.normal(size=(30, 31))
    holed[14, 15] = np.nan
    array = backend.asarray(holed)
    filled = backend.to_numpy(smooth(array, 2, interp_nan=True, normalize_kernel=norm))
    zeroed = backend.to_numpy(smooth(backend.asarray(np.nan_to_num(holed)), 2, normalize_kernel=norm))
    for options, expected in (({}, zeroed), ({"ignore_nan": True}, filled), ({"interpolate_nan": True}, filled)):
        found = backend.to_numpy(smooth(array, 2, normalize_kernel=norm, **options))
        assert np.isnan(found[14, 15])
        np.testing.assert_allclose(found, np.where(np.isnan(holed), np.nan, expected), atol=1e-5)


def test_smoothing_may_downsample(backend, rng):
    image = rng.normal(size=(30, 33))
    found = backend.to_numpy(smooth(backend.asarray(image), 3, downsample=True))
    np.testing.assert_allclose(found, downsample(smooth(image, 3), 3), atol=1e-5)
    assert backend.to_numpy(smooth(backend.asarray(image), 3, downsample=True, downsample_factor=5)).shape == (6, 6)


# --- downsampling


def test_downsampling_is_the_mean_of_blocks(backend, rng):
    cube = rng.normal(size=(4, 7, 9))
    cube[1, 2:4, 2:4] = np.nan
    cube[2, 0, 0] = np.nan
    cut = cube[:, :6, :8].reshape(4, 3, 2, 4, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = np.nanmean(cut, axis=(2, 4))
    for found in (downsample(backend.asarray(cube), 2), downsample_cube(backend.asarray(cube), 2)):
        np.testing.assert_allclose(backend.to_numpy(found), expected, atol=1e-6)
    np.testing.assert_allclose(
        backend.to_numpy(downsample_1d(backend.asarray(cube[0]), 3)), cube[0].reshape(7, 3, 3).mean(-1), atol=1e-6
    )
    np.testing.assert_allclose(
        backend.to_numpy(downsample_axis(backend.asarray(cube[0]), 3, 0, truncate=True)),
        cube[0, :6].reshape(2, 3, 9).mean(1),
        atol=1e-6,
    )


def test_a_last_block_counts_unless_truncated(backend):
    # as in the toolkit
    image = backend.asarray(np.arange(14.0).reshape(2, 7))
    np.testing.assert_allclose(backend.to_numpy(downsample_axis(image, 3, 1)), [[1, 4, 6], [8, 11, 13]])
    np.testing.assert_allclose(backend.to_numpy(downsample_axis(image, 3, 1, truncate=True)), [[1, 4], [8, 11]])


@pytest.mark.parametrize("estimator", [np.max, np.min, np.sum, np.mean, np.nansum])
def test_another_estimator(backend, rng, estimator):
    image = rng.normal(size=(6, 8))
    image[0, 0] = np.nan
    found = backend.to_numpy(downsample(backend.asarray(image), 2, estimator))
    np.testing.assert_allclose(found, estimator(image.reshape(3, 2, 4, 2), axis=(1, 3)), atol=1e-5)


A = np.ones((6, 7))
BAD = {
    "boundary": (ValueError, "boundary", lambda: convolve_nd(A, A, boundary="mirror")),
    "kernel axes": (ValueError, "kernel", lambda: convolve_nd(A[0], A)),
    "boolean": (TypeError, "array", lambda: convolve_nd(A > 0, A)),
    "complex": (TypeError, "kernel", lambda: convolve_nd(A, A + 0j)),
    "number": (TypeError, "kernel", lambda: convolve_nd(A, 3.0)),
    "axes": (ValueError, "im2", lambda: correlate2d(A, A[0])),
    "kind": (ValueError, "kerneltype", lambda: smooth(A, 3, "sinc")),
    "width": (ValueError, "kernelwidth", lambda: smooth(A, 0)),
    "nwidths": (ValueError, "nwidths", lambda: smooth(A, 2, nwidths="min")),
    "slope": (ValueError, "trapshlope", lambda: smooth(A, 2, "trapezoid")),
    "factor": (ValueError, "factor", lambda: downsample(A, 8)),
    "odd factor": (ValueError, "factor", lambda: downsample(A, 1.5)),
    "spectrum": (ValueError, "boundary", lambda: convolve_nd(A, A, boundary="reflect", return_fft=True)),
    "no crop": (ValueError, "boundary", lambda: convolve_nd(A, A, boundary="nearest", crop=False)),
    "periodic": (ValueError, "kernel", lambda: convolve_nd(A[0], np.ones(8), boundary="wrap", return_fft=True)),
    "cube": (ValueError, "myarr", lambda: downsample_cube(A, 2)),
}


@pytest.mark.parametrize("row", BAD)
def test_bad_input_is_named(row):
    kind, name, call = BAD[row]
    with pytest.raises(kind, match=f"`{name}`"):
        call()
