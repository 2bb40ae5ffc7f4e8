"""The sources of kernels, compiled by the C++ compiler of the host, do what the model of a GPU makes of their lines."""

from __future__ import annotations

import array_api_compat.numpy as on_numpy
import gpu_model
import numpy as np
import pytest
from gpu_model.compiled import COMPILER, CompiledKernel
from skies import cut, random_sky

import imreg_xp
from imreg_xp._kernels import Total, elementwise, functions, per_item

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
