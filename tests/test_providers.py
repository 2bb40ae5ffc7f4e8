"""What is done in fewer passes, or without a wrapper, is what the plain version gives."""

from __future__ import annotations

import numpy as np
import pytest

from imreg_xp._array import accumulator_dtype, array_namespace
from imreg_xp._engine._linalg import trace
from imreg_xp._engine.binning import block_mean
from imreg_xp._layout import Unit, zero_padded
from imreg_xp._providers import (
    as_reals,
    in_range,
    inverse_transform,
    maps_in_single,
    phases,
    product,
    transform_less_mean,
    whole_powers,
    with_items,
)
from imreg_xp._sums import ends_of, image_means, inner, largest, matmul, range_sums, seen_in


@pytest.mark.parametrize("conjugate", [False, True])
@pytest.mark.parametrize("shape", [(2, 17), (3, 8, 9), (1, 12, 10), (2, 4, 5, 6)])
@pytest.mark.parametrize("pedestal", [0.0, 1e4])
def test_transform_less_mean(backend, rng, shape, conjugate, pedestal):
    images = rng.normal(size=shape) + pedestal
    axes = tuple(range(1, len(shape)))
    expected = np.fft.rfftn(images - images.mean(axis=axes, keepdims=True), axes=axes)
    expected = np.conj(expected) if conjugate else expected
    x = backend.asarray(images)
    xp = array_namespace(x=x)
    found = backend.to_numpy(transform_less_mean(x, xp.mean(x, axis=axes), conjugate=conjugate, xp=xp))
    tol = 1e-15 if backend.has_float64 else 1e-7
    np.testing.assert_allclose(found, expected, atol=20 * tol * (1 + pedestal) * np.sqrt(images[0].size) * 4)
    whole = backend.to_numpy(transform_less_mean(x, None, conjugate=conjugate, xp=xp))
    reference = np.fft.rfftn(images, axes=axes)
    reference = np.conj(reference) if conjugate else reference
    np.testing.assert_allclose(whole, reference, atol=20 * tol * (1 + pedestal) * images[0].size)


def test_transform_with_other_ffts(rng):
    images = rng.normal(size=(2, 8, 9)) + 3
    expected = np.conj(np.fft.rfftn(images - images.mean(axis=(1, 2), keepdims=True), axes=(1, 2)))
    xp = array_namespace(x=images, use_numpy_fft=True)
    found = transform_less_mean(images, images.mean(axis=(1, 2)), conjugate=True, xp=xp)
    np.testing.assert_allclose(found, expected, atol=1e-13)


def test_a_small_mean_is_cleared_in_the_transform(rng):
    images = (rng.normal(size=(3, 24, 25)) + 1.5).astype("float32")
    exact = np.fft.rfftn(images.astype(float) - images.mean(axis=(1, 2), keepdims=True, dtype=float), axes=(1, 2))
    exact[:, 0, 0] = 0
    xp = array_namespace(x=images)
    found = transform_less_mean(images, images.mean(axis=(1, 2)), small=True, conjugate=False, xp=xp)
    assert found.dtype == np.complex64
    np.testing.assert_allclose(found, exact, atol=1e-4)
    np.testing.assert_array_equal(found[:, 0, 0], 0)


LEVELS = {"none": 0.0, "small": 1.5, "large": 40.0, "negative": -1.9, "too large": 1e4}


@pytest.mark.parametrize("unit", [1.0, 1e-20, 1e17])
@pytest.mark.parametrize("shape", [(40, 33), (500,)])
def test_images_in_range(rng, shape, unit):
    """Sums of squares less the mean, whatever the level; only a large level and a wild unit make another image."""
    noise = rng.normal(size=(len(LEVELS), *shape))
    images = (unit * (noise + np.reshape(list(LEVELS.values()), (-1,) + (1,) * len(shape)))).astype("float32")
    given = images.copy()
    xp = array_namespace(x=images)
    axes = tuple(range(1, images.ndim))
    mean = images.mean(axis=axes, dtype=float).astype("float32")
    x, sums, scale = in_range(images, mean, np.float64, xp=xp)
    np.testing.assert_array_equal(images, given)
    exact = images.astype(float) - mean.astype(float).reshape((-1,) + (1,) * len(shape))
    np.testing.assert_allclose(sums * scale**2, np.sum(exact**2, axis=axes), rtol=1e-5)
    assert np.all((scale == 1) == (unit == 1))
    for name, one, before, less in zip(LEVELS, x * scale.reshape((-1,) + (1,) * len(shape)), given, exact, strict=True):
        kept = unit == 1 and name in ("none", "small", "negative")
        np.testing.assert_allclose(one, before if kept else less, atol=2e-3 * unit)
    # each by itself, to the last bit
    for k in range(len(LEVELS)):
        alone = in_range(images[k : k + 1], mean[k : k + 1], np.float64, xp=xp)
        for a, b in zip(alone, (x, sums, scale), strict=True):
            np.testing.assert_array_equal(a[0], b[k])


def test_images_in_range_that_all_are_are_not_copied(rng):
    images = rng.normal(size=(2, 16, 16)).astype("float32")
    x, _, _ = in_range(images, images.mean(axis=(1, 2)), np.float64, xp=array_namespace(x=images))
    assert x is images


def test_whole_powers(backend):
    x = np.array([[0.0, -0.7, 1.5], [-2.0, 1.0, 1e-3]])
    exponents = np.maximum(np.arange(6)[:, None] - np.arange(3), 0)
    given = backend.asarray(x)
    xp = array_namespace(x=given)
    found = whole_powers(given, xp.astype(backend.asarray(exponents), given.dtype))
    expected = x[..., None, None] ** exponents
    np.testing.assert_allclose(backend.to_numpy(found), expected, rtol=1e-13 if backend.has_float64 else 1e-5)


@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize("shape", [(2, 17), (3, 8, 9), (1, 200, 210), (1, 220, 201), (1, 703, 760), (2, 40, 25, 26)])
def test_inverse_transform(backend, rng, shape, keep):
    images = rng.normal(size=shape)
    spectrum = np.fft.rfftn(images, axes=tuple(range(1, len(shape))))
    x = 1.0 * backend.asarray(spectrum)
    xp = array_namespace(x=x)
    found = backend.to_numpy(inverse_transform(x, shape[1:], keep=keep, xp=xp)) / images[0].size
    np.testing.assert_allclose(found, images, atol=1e-13 if backend.has_float64 else 1e-5)
    if keep:
        np.testing.assert_allclose(backend.to_numpy(x), spectrum, rtol=1e-6)


@pytest.mark.parametrize("columns", [1, 3, 4])
@pytest.mark.parametrize("shape", [(2, 5, 6), (1, 256, 300)])
def test_products_with_few_columns(backend, rng, shape, columns):
    a, b = rng.normal(size=shape), rng.normal(size=(1, shape[2], columns))
    x, y = backend.asarray(a), backend.asarray(b)
    found = backend.to_numpy(matmul(x, y, xp=array_namespace(x=x)))
    np.testing.assert_allclose(found, a @ b, atol=1e-12 if backend.has_float64 else 1e-4)


def test_product_of_what_broadcasts(backend, rng):
    a, b = rng.normal(size=(3, 4, 5)), rng.normal(size=(1, 4, 5))
    for first, second in ((a, b), (b, a)):
        y = backend.asarray(second)
        x = 1.0 * backend.asarray(first)
        np.testing.assert_allclose(backend.to_numpy(product(x, y)), a * b, rtol=1e-6)
        np.testing.assert_array_equal(backend.to_numpy(y), backend.to_numpy(backend.asarray(second)))


def test_reals_of_complex_numbers(backend, rng):
    z = rng.normal(size=(2, 3, 4)) + 1j * rng.normal(size=(2, 3, 4))
    x = backend.asarray(z)
    found = backend.to_numpy(as_reals(x, xp=array_namespace(x=x)))
    np.testing.assert_allclose(found, np.stack([z.real, z.imag], axis=-1).reshape(2, 3, 8), rtol=1e-6)


@pytest.mark.parametrize(
    ("shape", "ndim"), [((40,), 1), ((2**17,), 1), ((5, 6), 2), ((3, 2, 300, 256), 2), ((2, 64, 64, 16), 3)]
)
def test_means_of_images(backend, rng, shape, ndim):
    images = rng.normal(size=shape) + 3
    axes = tuple(range(len(shape) - ndim, len(shape)))
    x = backend.asarray(images)
    found = backend.to_numpy(image_means(x, ndim, xp=array_namespace(x=x)))
    np.testing.assert_allclose(found, images.mean(axis=axes), rtol=1e-14 if backend.has_float64 else 1e-6)


def test_means_of_images_in_other_orders_and_dtypes(rng):
    images = rng.normal(size=(4, 520, 128)) + 3
    xp = array_namespace(x=images)
    for given in (images[:, ::2, ::-1], np.asfortranarray(images), images.astype(np.float32), images.astype(np.int16)):
        before = given.copy()
        np.testing.assert_allclose(image_means(given, 2, xp=xp), given.mean(axis=(1, 2), dtype=float), rtol=1e-6)
        np.testing.assert_array_equal(given, before)
    images[1, 2, 3], images[2, 3, 4] = np.nan, np.inf
    with np.errstate(all="ignore"):
        assert list(np.isfinite(image_means(images, 2, xp=xp))) == [True, False, False, True]


@pytest.mark.parametrize("shape", [(2**20,), (100_000,), (64, 4096), (1024, 1024)])
def test_means_of_flat_images_are_their_level(rng, shape):
    """Products add one number after the other: over long rows the rounding errors made flat images look otherwise."""
    xp = array_namespace(x=np.zeros(2))
    for level in rng.uniform(0.1, 1, size=20).astype(np.float32):
        assert image_means(np.full(shape, level), len(shape), xp=xp) == pytest.approx(level, rel=3e-7)


@pytest.mark.parametrize("level", [1.0, 1e200])
@pytest.mark.parametrize("shape", [(2, 40000), (3, 160, 241), (1, 256, 192), (2, 40, 25, 50)])
def test_maps_in_single_precision(rng, shape, level):
    maps = rng.normal(size=shape)
    cross = level * np.fft.rfftn(maps, axes=range(1, len(shape)))
    before, units = cross.copy(), np.linspace(1, 2, shape[0]).reshape(-1, *(1,) * (len(shape) - 1))
    xp = array_namespace(x=cross.real)
    values, unsure = maps_in_single(cross, level * units.reshape(-1), shape[1:], xp=xp)
    assert values.dtype == np.float32
    assert not unsure
    np.testing.assert_allclose(values, maps * maps[0].size / units, atol=1e-5 * maps[0].size)
    np.testing.assert_array_equal(cross, before)


def test_maps_in_single_precision_say_which_maximum_they_do_not_tell(rng):
    xp = array_namespace(x=np.zeros(2))
    maps = rng.normal(size=(5, 180, 192))
    maps[:, 3, 4] = 9.0
    maps[:, 20, 9] = [8.99, 9.0 * (1 - 1e-7), 0.0, 9.0, np.nan]
    cross = np.fft.rfftn(maps, axes=(1, 2))
    assert maps_in_single(cross, None, (180, 192), xp=xp)[1] == [1, 3, 4]
    # units that have no inverse
    units = np.array([1.0, 1e-310, 1.0, 1.0, 1.0])
    assert maps_in_single(cross, units, (180, 192), xp=xp)[1] == [1, 3, 4]
    units[0] = 1e-310
    assert maps_in_single(cross, units, (180, 192), xp=xp)[1] == [0, 1, 3, 4]


def test_others_take_maps_as_they_are(backend, rng):
    cross = backend.asarray(np.fft.rfft2(rng.normal(size=(2, 250, 160))))
    xp = array_namespace(x=cross)
    told = maps_in_single(cross, None, (250, 160), xp=xp)
    assert (told is None) == (backend.library != "numpy")
    if told is not None:
        assert maps_in_single(cross[:, :130, :], None, (130, 160), xp=xp) is None
        assert maps_in_single(cross.astype(np.complex64), None, (250, 160), xp=xp) is None
        other = array_namespace(x=cross, use_numpy_fft=True)
        assert maps_in_single(cross, None, (250, 160), xp=other) is None


def test_some_items_replaced(rng):
    x = rng.normal(size=(4, 2))
    before = x.copy()
    found = with_items(x, [1, 3], np.array([[1.0, 2.0], [3.0, 4.0]]))
    np.testing.assert_array_equal(found, [x[0], [1, 2], x[2], [3, 4]])
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("single", [False, True])
def test_phases(backend, single):
    angle = np.linspace(-7, 7, 30).reshape(2, 15)
    x = backend.asarray(angle)
    xp = array_namespace(x=x)
    narrow = single or not backend.has_float64
    found = phases(x, xp.complex64 if narrow else xp.complex128, xp=xp)
    assert found.dtype == (xp.complex64 if narrow else xp.complex128)
    np.testing.assert_allclose(backend.to_numpy(found), np.exp(1j * angle), atol=6e-7 if narrow else 1e-15)


@pytest.mark.parametrize("shape", [(3, 40), (2, 6, 7), (1, 300, 400), (2, 3, 4, 5)])
@pytest.mark.parametrize("narrow", [False, True])
def test_inner_products(backend, rng, shape, narrow):
    a, b = rng.normal(size=(2, *shape)).astype(np.float32 if narrow else float)
    x, y = backend.asarray(a), backend.asarray(b)
    xp = array_namespace(x=x)
    acc = accumulator_dtype(x, xp=xp)
    single = narrow or not backend.has_float64
    for first, second in ((x, y), (x[..., 1:], y[..., 1:]), (x[:1, ...], y)):
        found = inner(first, second, acc, xp=xp)
        assert found.dtype == acc
        u, v = (backend.to_numpy(z).astype(float) for z in (first, second))
        expected = np.sum(u * v, axis=tuple(range(1, len(shape))))
        np.testing.assert_allclose(backend.to_numpy(found), expected, rtol=0, atol=(1e-4 if single else 1e-12) * 30)


@pytest.mark.parametrize("shape", [(3, 40), (2, 6, 7), (2, 80, 90)])
def test_largest_of_maps(backend, rng, shape):
    maps = rng.normal(size=shape)
    x = backend.asarray(maps)
    found = backend.to_numpy(largest(x, xp=array_namespace(x=x)))
    np.testing.assert_array_equal(found, maps.reshape(shape[0], -1).argmax(axis=1))


@pytest.mark.parametrize("size", [1, 2, 3])
def test_traces(backend, rng, size):
    matrices = rng.normal(size=(4, size, size))
    found = backend.to_numpy(trace(backend.asarray(matrices)))
    np.testing.assert_allclose(found, np.trace(matrices, axis1=1, axis2=2), rtol=1e-5, atol=1e-6)


def some_ranges(*numbers):
    """Return where ranges begin and end, one of them empty."""
    return np.array(numbers), np.array([n + 3 * k for k, n in enumerate(numbers)])


@pytest.mark.parametrize("shape", [(2, 9), (2, 9, 11), (2, 9, 10, 11)])
def test_sums_over_ranges(backend, rng, shape):
    x = rng.normal(size=shape)
    here = backend.asarray(x)
    for axis in range(1, len(shape)):
        found = range_sums(here, axis, some_ranges, (4, 1, 0), xp=array_namespace(a=here))
        parts = [np.take(x, range(a, b), axis=axis) for a, b in zip(*some_ranges(4, 1, 0), strict=True)]
        want = np.stack([np.sum(part, axis=axis) for part in parts], axis=axis)
        np.testing.assert_allclose(backend.to_numpy(found), want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("grid", [(9,), (6, 7), (5, 9), (8, 9), (4, 6, 6)])
@pytest.mark.parametrize("kind", ["float", "complex", "bool"])
def test_zeros_at_the_end(backend, rng, grid, kind):
    shape = [5, 7][: len(grid)] if len(grid) < 3 else [4, 5, 3]
    x = rng.normal(size=(2, *shape))
    x = {"float": x, "complex": x + 1j * x[::-1], "bool": x > 0}[kind]
    here = backend.asarray(x)
    turned = array_namespace(a=here).permute_dims(here, (0, *range(len(grid), 0, -1)))
    for image, plain in ((here, x), (turned, np.transpose(x, (0, *range(len(grid), 0, -1))))):
        found = zero_padded(image, grid, xp=array_namespace(a=here))
        ends = [(0, max(n - k, 0)) for k, n in zip(plain.shape[1:], grid, strict=True)]
        np.testing.assert_allclose(backend.to_numpy(found), np.pad(plain, [(0, 0), *ends]), rtol=1e-6)
        assert found.dtype == here.dtype


@pytest.mark.parametrize(("shape", "ndim"), [((3, 7), 1), ((2, 3, 30, 41), 2), ((4, 256, 260), 2), ((2, 5, 6, 7), 3)])
def test_what_one_look_tells(backend, rng, shape, ndim):
    images = rng.normal(size=shape) + 3
    axes = tuple(range(len(shape) - ndim, len(shape)))
    x = backend.asarray(images)
    xp = array_namespace(x=x)
    mean, ends = seen_in(x, ndim, xp=xp)
    np.testing.assert_allclose(backend.to_numpy(mean), images.mean(axis=axes), rtol=1e-5)
    assert mean.dtype == x.dtype
    if ends is not None:
        assert ends.dtype == x.dtype
        np.testing.assert_allclose(
            backend.to_numpy(ends), np.stack([images.min(axis=axes), images.max(axis=axes)], axis=-1), rtol=1e-6
        )
    flat = xp.reshape(x, (-1, *shape[len(shape) - ndim :]))
    for got, reduce in zip(ends_of(flat, xp=xp), (np.min, np.max), strict=True):
        np.testing.assert_allclose(backend.to_numpy(got), np.ravel(reduce(images, axis=axes)), rtol=1e-6)


@pytest.mark.parametrize(("shape", "factors"), [((31,), (3,)), ((30, 41), (4, 2)), ((9, 8, 7), (2, 3, 1))])
@pytest.mark.parametrize("level", [0.0, 1e6])
def test_means_of_blocks_in_a_unit(backend, rng, shape, factors, level):
    """A level of a million must not take the digits of what is on it."""
    images = np.rint(16 * rng.normal(size=(3, *shape))) / 16 + level
    lay = (3, *(1,) * len(shape))
    less, factor = np.array([1.0, 0.5, -2.0]).reshape(lay) + level, np.array([0.5, 2.0, 1.0]).reshape(lay)
    x, *unit = (backend.asarray(a) for a in (images, less, factor))
    found = backend.to_numpy(block_mean(x, factors, Unit(*unit), xp=array_namespace(x=x)))
    cut = tuple(slice(0, n // f * f) for n, f in zip(shape, factors, strict=True))
    blocks = ((images - less) * factor)[(slice(None), *cut)]
    split = [k for n, f in zip(shape, factors, strict=True) for k in (n // f, f)]
    want = blocks.reshape(3, *split).mean(axis=tuple(range(2, 2 + 2 * len(shape), 2)))
    np.testing.assert_allclose(found, want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("grid", [(9, 12), (7, 8)])
def test_zeros_around_images_in_a_unit(backend, rng, grid):
    images = rng.normal(size=(2, 7, 8))
    less, factor = np.array([[[1.0]], [[2.0]]]), np.array([[[3.0]], [[0.5]]])
    x, *unit = (backend.asarray(a) for a in (images, less, factor))
    found = backend.to_numpy(zero_padded(x, grid, unit=Unit(*unit), xp=array_namespace(x=x)))
    want = np.pad((images - less) * factor, [(0, 0), (0, grid[0] - 7), (0, grid[1] - 8)])
    np.testing.assert_allclose(found, want, rtol=1e-5, atol=1e-6)
