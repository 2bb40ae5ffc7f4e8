"""The sources of kernels, compiled by the C++ compiler of the host, do what the model of a GPU makes of their lines."""

from __future__ import annotations

import array_api_compat.numpy as on_numpy
import gpu_model
import numpy as np
import pytest
from gpu_model.compiled import COMPILER, CompiledKernel
from skies import cut, random_sky

import imreg_xp
from imreg_xp._engine.binning import block_mean
from imreg_xp._kernels import Highest, Lowest, Total, elementwise, functions, per_item
from imreg_xp._layout import Unit, zero_padded
from imreg_xp.fft_tools._sums import contract_each

pytestmark = pytest.mark.skipif(COMPILER is None, reason="no g++ on this machine")


@pytest.fixture
def compiled(tmp_path_factory, monkeypatch):
    """Compile each kernel, and count those compared."""
    CompiledKernel.folder = tmp_path_factory.getbasetemp() / "kernels"
    CompiledKernel.folder.mkdir(exist_ok=True)
    functions._kernel.cache_clear()
    monkeypatch.setitem(gpu_model.xp.__dict__, "RawKernel", CompiledKernel)
    before = CompiledKernel.compared
    yield lambda: CompiledKernel.compared - before
    functions._kernel.cache_clear()


@pytest.mark.parametrize(
    ("boundary", "noise", "dtype"),
    [
        ("wrap", "white", "float32"),
        ("wrap", "correlated", "float64"),
        ("overlap", "correlated", "float32"),
        ("overlap", "white", "float64"),
    ],
)
def test_registering(compiled, boundary, noise, dtype):
    rng = np.random.default_rng(5)
    sky = cut(random_sky((48, 40), rng, beam=1.5), (0.0, 0.0), (48, 40))
    frames = np.stack([np.roll(sky, k, axis=0) + 0.05 * rng.normal(size=sky.shape) for k in range(3)]).astype(dtype)
    frames[2] = 1.0
    given = map(gpu_model.asarray, (sky.astype(dtype), frames))
    found = imreg_xp.register_stack(*given, boundary=boundary, noise=noise, max_shift=6)
    np.testing.assert_array_equal(found.status.get(), [0, 0, imreg_xp.Status.FLAT_IMAGE])
    assert compiled() > 10


@per_item
def special(x, n, *, xp):
    """Return what helpers make of numbers that are none, of either sign, and of whole numbers."""
    pairs = xp.maximum(x[:, :1], x), xp.minimum(x[:, :1], x), abs(x), xp.sqrt(abs(x)), xp.round(x), x / 0.5, -x
    whole = n % 5, n // 5, n % -3, n // -3, abs(n), -n, n / 4
    told = xp.isfinite(x), x > 0, xp.where(x > 0, x, -np.inf), xp.where(x > 1, np.nan, np.inf), x**3, x**-0.5
    return pairs, whole, told


def test_special_numbers(compiled):
    x = np.array([[np.nan, 1.0, -1.0], [np.inf, -np.inf, 0.0], [-0.0, 1e-320, 2.5], [-3.5, np.nan, 1e300]])
    n = np.arange(-6, 6).reshape(4, 3)
    for dtype in (np.float64, np.float32):
        with np.errstate(all="ignore"):
            given = x.astype(dtype), n
            want = special(*given, xp=on_numpy)
        got = special(*map(gpu_model.asarray, given), xp=gpu_model.xp)
        for a, b in zip(sum(got, ()), sum(want, ()), strict=True):
            np.testing.assert_allclose(a.get(), b, rtol=1e-6)
            assert a.dtype == b.dtype
    assert compiled() == 2


@per_item
def determinant(a, b, *, xp):
    """Return 0 for equal products, unless one of them is not rounded."""
    return a * b - b * a, a * a - b * b


def test_products_are_rounded_before_they_are_compared(compiled, rng):
    a = gpu_model.asarray(rng.normal(size=100))
    found = determinant(a, a, xp=gpu_model.xp)
    assert compiled() == 1
    np.testing.assert_array_equal(found[0].get(), 0)
    np.testing.assert_array_equal(found[1].get(), 0)


def three_products(a, b, number, *, xp):
    """Return a complex, a real and another complex spectrum."""
    return a * xp.conj(b), xp.real(a) * number, b + 0 * a


@pytest.mark.parametrize("modes", [40, 128, 129, 300, 1025])
@pytest.mark.parametrize("widths", [(3, 25, 13), (128, 1, 16), (127, 65, 64)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sums_of_rows_of_any_length(compiled, modes, widths, dtype, rng):
    """Rows that are longer than a block of threads go through it in parts, the last one short."""
    kind = "complex64" if dtype == "float32" else "complex128"
    a, b = ((rng.normal(size=(n, 2, modes, 2)) @ [1, 1j]).astype(kind) for n in (2, 1))
    number = rng.normal(size=(2, 1, 1)).astype(dtype)
    columns = [
        [rng.normal(size=(1, 2, 2, 2)) @ [1, 1j], (rng.normal(size=(1, modes, k, 2)) @ [1, 1j]).astype(kind)]
        for k in widths
    ]
    given = [[gpu_model.asarray(c) for c in each] for each in columns]
    images = map(gpu_model.asarray, (a, b, number))
    xp = gpu_model.xp
    found = contract_each(three_products, *images, columns=given, dtype=xp.complex128, xp=xp)
    assert compiled() == 1
    digits = 1e-5 if dtype == "float32" else 1e-13
    for got, spectrum, (first, last) in zip(found, three_products(a, b, number, xp=on_numpy), columns, strict=True):
        want = np.einsum("bxy,xX,yY->bXY", spectrum, first[0], last[0])
        np.testing.assert_allclose(got.get(), want, rtol=0, atol=digits * np.max(abs(want)))


def test_a_matrix_for_several_rows_is_one_argument(compiled, rng):
    a = gpu_model.asarray(rng.normal(size=(2, 3, 130, 2)) @ [1, 1j])
    number = gpu_model.asarray(np.ones((2, 1, 1)))
    column = [gpu_model.asarray(rng.normal(size=(1, n, 5, 2)) @ [1, 1j]) for n in (3, 130)]
    xp = gpu_model.xp
    with gpu_model.recording() as log:
        contract_each(three_products, a, a, number, columns=[column] * 3, dtype=xp.complex128, xp=xp)
    assert compiled() == 1
    assert sum(shape == (130, 5) for call in log.calls for shape in call.shapes if call.name == "_rows") == 1


def test_images_in_a_unit_are_binned_and_padded(compiled, rng):
    images = rng.normal(size=(2, 21, 30))
    unit = Unit(*(gpu_model.asarray(rng.normal(size=(2, 1, 1))) for _ in range(2)))
    given, want = gpu_model.asarray(images), (images - unit.less.get()) * unit.factor.get()
    binned = block_mean(given, (4, 2), unit, xp=gpu_model.xp).get()
    np.testing.assert_allclose(binned, want[:, :20].reshape(2, 5, 4, 15, 2).mean(axis=(2, 4)), rtol=1e-12)
    padded = zero_padded(given, (24, 32), unit=unit, xp=gpu_model.xp).get()
    np.testing.assert_allclose(padded, np.pad(want, [(0, 0), (0, 3), (0, 2)]), rtol=1e-12)
    assert compiled() == 2


@elementwise
def ends(x, *, xp):
    """Return the smallest and the largest value."""
    return Lowest(x), Highest(x)


@pytest.mark.parametrize("shape", [(2, 1), (3, 129), (2, 140, 50)])
@pytest.mark.parametrize("special", [None, np.nan, np.inf, -np.inf])
def test_ends_of_blocks(compiled, shape, special, rng):
    x = rng.normal(size=shape).astype(np.float32)
    if special is not None:
        x[-1].flat[-1] = special
    found = ends(gpu_model.asarray(x), xp=gpu_model.xp)
    assert compiled() == 1
    axes = tuple(range(1, x.ndim))
    for got, reduce in zip(found, (np.min, np.max), strict=True):
        np.testing.assert_array_equal(got.get(), reduce(x, axis=axes))


@elementwise
def added(x, number, *, xp):
    """Return an image and the sum of its squares."""
    return x * number, Total(x * x)


@pytest.mark.parametrize("shape", [(2, 1), (3, 129), (2, 40, 50), (1, 3, 7, 5)])
def test_sums_of_blocks(compiled, shape, rng):
    x = rng.normal(size=shape).astype(np.float32)
    number = np.full((shape[0],) + (1,) * (len(shape) - 1), 2, dtype=np.float32)
    product, total = added(gpu_model.asarray(x), gpu_model.asarray(number), xp=gpu_model.xp)
    assert compiled() == 1
    np.testing.assert_allclose(total.get(), np.sum(x.astype(float) ** 2, axis=tuple(range(1, x.ndim))), rtol=1e-6)
    np.testing.assert_array_equal(product.get(), 2 * x)
