"""Functions that become one kernel give what they give as they are; the kernels are what they should be."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import array_api_compat.numpy as on_numpy
import gpu_model
import numpy as np
import pytest
from gpu_model.kernels import RawKernel

from imreg_xp._array import array_namespace
from imreg_xp._kernels import Columns, Highest, Lookup, Lowest, RowSums, Total, compiles, elementwise, per_item
from imreg_xp._kernels.kernel import _grid
from imreg_xp._static import table
from imreg_xp.fft_tools._sums import contract_each


class Pair(NamedTuple):
    """Two arrays and an option."""

    first: Any
    second: Any
    name: str


@per_item
def algebra(a, pair, numbers, *, least, xp):
    """Return what uses most of what small algebra consists of."""
    b = xp.astype(pair.second, a.dtype)
    m = xp.matmul(a, xp.matrix_transpose(a)) + table(np.eye, 3, dtype=a.dtype, like=a, xp=xp)
    x = xp.sum(a, axis=(1, 2)) / xp.where(b != 0, b, least)
    joined = xp.concat([x[:, None], xp.flip(a[:, 0, :], axis=-1)], axis=1)
    flags = {"finite": xp.isfinite(x) & ~(x > 1), "any": xp.any(a > 1, axis=(1, 2)) | xp.all(a < 1, axis=(1, 2))}
    chosen = xp.minimum(xp.maximum(joined**3 - joined, -0.5), abs(joined) + 0.25)
    return (
        Pair(m, (chosen, xp.sqrt(xp.linalg.diagonal(m)), -(x**0)), pair.name),
        flags,
        numbers["n"] % 5 + numbers["n"] // 5,
    )


def examples(rng, batch):
    a = rng.normal(size=(batch, 3, 3))
    a[0, 0, 0] = np.nan
    return a, rng.integers(0, 2, batch), rng.integers(-20, 20, batch)


def leaves(tree):
    if isinstance(tree, dict):
        tree = tuple(tree.values())
    return [x for part in tree for x in leaves(part)] if isinstance(tree, tuple) else [tree]


@pytest.mark.parametrize("batch", [1, 2, 300])
def test_algebra(backend, batch, rng):
    a, b, n = examples(rng, batch)
    want = algebra(a, Pair(a, b, "name"), {"n": n}, least=0.25, xp=on_numpy)
    here = [backend.asarray(x) for x in (a, b, n)]
    got = algebra(here[0], Pair(here[0], here[1], "name"), {"n": here[2]}, least=0.25, xp=array_namespace(a=here[0]))
    assert type(got[0]) is Pair
    assert list(got[1]) == ["finite", "any"]
    digits = 1e-12 if backend.has_float64 else 1e-5
    for x, y in zip(leaves(want), leaves(got), strict=True):
        if isinstance(x, str):
            assert x == y
            continue
        found = backend.to_numpy(y)
        assert found.dtype.kind == x.dtype.kind
        np.testing.assert_allclose(found, x, rtol=digits, atol=digits)


@per_item(lead=2)
def waves(nu, x, columns, *, xp):
    """Return complex numbers of modes and items."""
    angle = nu * x
    turned = columns * xp.exp(1j * xp.astype(angle, columns.dtype))[..., None]
    return turned, xp.real(turned) - xp.imag(turned) * 2, abs(turned), xp.conj(turned)


def test_complex_numbers_of_two_axes(backend, rng):
    given = rng.normal(size=(1, 7)), rng.normal(size=(4, 1)), rng.normal(size=(1, 7, 3, 2)) @ [1, 1j]
    want = waves(*given, xp=on_numpy)
    here = [backend.asarray(x) for x in given]
    got = waves(*here, xp=array_namespace(a=here[0]))
    for x, y in zip(want, got, strict=True):
        np.testing.assert_allclose(backend.to_numpy(y), x, rtol=1e-5 if not backend.has_float64 else 1e-12, atol=1e-5)


@elementwise
def scaled(x, number, row, *, xp):
    """Return an image for images, numbers and, where given, a row or a column."""
    scaled = xp.where(x > number, x, number) * 2.0
    return scaled if row is None else scaled - row


@pytest.mark.parametrize("shape", [(5,), (5, 6), (3, 4, 5)])
@pytest.mark.parametrize("axis", [None, 1, -1])
def test_elementwise(backend, shape, axis, rng):
    x, number = rng.normal(size=(3, *shape)), rng.normal(size=(3,) + (1,) * len(shape))
    laid = [1] * len(shape)
    if axis is not None:
        laid[axis if axis < 0 else axis - 1] = shape[axis if axis < 0 else axis - 1]
    row = None if axis is None else rng.normal(size=(1, *laid))
    here = [None if a is None else backend.asarray(a) for a in (x, number, row)]
    got = scaled(*here, xp=array_namespace(a=here[0]))
    np.testing.assert_allclose(backend.to_numpy(got), scaled(x, number, row, xp=on_numpy), rtol=1e-6, atol=1e-6)


@per_item(lead=2)
def looked_up(where, moved, rows, elements, *, xp):
    """Return rows and elements of tables."""
    return rows.at(where + moved, xp=xp) + 0.0, elements.at(where * 2 + moved, xp=xp)


def test_lookups(backend, rng):
    where, moved = rng.integers(0, 4, (6, 1)), rng.integers(0, 3, (1, 5))
    rows, elements = rng.normal(size=(8, 3)), rng.normal(size=12)
    want = looked_up(where, moved, Lookup(rows), Lookup(elements), xp=on_numpy)
    here = [backend.asarray(x) for x in (where, moved, rows, elements)]
    got = looked_up(*here[:2], *map(Lookup, here[2:]), xp=array_namespace(a=here[0]))
    np.testing.assert_allclose(backend.to_numpy(got[0]), want[0], rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(backend.to_numpy(got[1]), want[1], rtol=1e-6, atol=1e-6)


@per_item
def plain(x, *, xp):
    """Return something that depends on each element."""
    return x * 2 + 1


@pytest.mark.parametrize("cut", [np.s_[:], np.s_[::2], np.s_[1:, :, 1], np.s_[:, ::-1], np.s_[:, 1:3, ::2], np.s_[2:3]])
@pytest.mark.parametrize("of", ["real", "imag", "permuted", "last", "all"])
def test_arrays_of_any_layout(backend, cut, of, rng):
    if "torch" in backend.name and cut == np.s_[:, ::-1]:
        pytest.skip("torch has no negative strides")
    x = rng.normal(size=(6, 4, 5)) + 1j * rng.normal(size=(6, 4, 5))

    def laid(x, xp):
        x = {"real": xp.real, "imag": xp.imag}.get(of, lambda x: x)(x)
        x = xp.permute_dims(x, (2, 1, 0)) if of == "permuted" else xp.permute_dims(x, (1, 2, 0)) if of == "last" else x
        return x[(*cut, ...) if isinstance(cut, tuple) else (cut, ...)]

    xp = array_namespace(a=backend.asarray(x))
    got = plain(laid(backend.asarray(x), xp), xp=xp)
    np.testing.assert_allclose(backend.to_numpy(got), plain(laid(x, on_numpy), xp=on_numpy), rtol=1e-6, atol=1e-6)


def test_no_items(backend):
    xp = array_namespace(a=backend.asarray(np.zeros(1)))
    assert plain(backend.asarray(np.zeros((0, 3))), xp=xp).shape == (0, 3)


def test_it_is_one_kernel_for_any_number_of_items(rng):
    counts = []
    for batch in (1, 2, 5000):
        a, b, n = (gpu_model.asarray(x) for x in examples(rng, batch))
        with gpu_model.recording() as log:
            algebra(a, Pair(a, b, "name"), {"n": n}, least=0.25, xp=gpu_model.xp)
        counts.append(log.launches)
    assert counts == [1, 1, 1]


def test_what_is_too_large_for_a_kernel_is_done_without(rng):
    x = rng.normal(size=(2, 40, 40))
    with gpu_model.recording() as log:
        got = plain(gpu_model.asarray(x), xp=gpu_model.xp)
    assert log.launches == 2
    np.testing.assert_array_equal(got.get(), 2 * x + 1)


def test_arguments_are_left_alone(rng):
    x = rng.normal(size=(4, 3))
    given = gpu_model.asarray(x)
    plain(given, xp=gpu_model.xp)
    np.testing.assert_array_equal(given.get(), x)


HEAD = (
    'extern "C" __global__ void k(const int64 n0, const double* __restrict__ a0, const int64 s0_0, '
    "double* __restrict__ o0) {"
)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("const double v0 = a0[i0 * s0_0 + 1];\no0[i0 * 1 + 0] = v0;", "beyond"),
        ("const double v0 = a0[i0 * s0_0 + -1];\no0[i0 * 1 + 0] = v0;", "beyond"),
        ("const float v0 = a0[i0 * s0_0 + 0];\no0[i0 * 1 + 0] = double(v0);", "makes float64"),
        ("const double v0 = a0[i0 * s0_0 + 0];\no0[i0 * 1 + 0] = float(v0);", "stores float32"),
    ],
)
def test_the_model_catches_mistakes(lines, message):
    kernel = RawKernel(f"{HEAD}\nfor\n{lines}\n}}\n}}\n", "k")
    x, out = (gpu_model.asarray(np.zeros(3)) for _ in range(2))
    with pytest.raises((IndexError, TypeError), match=message):
        kernel((1,), (128,), (np.int64(3), x, np.int64(1), out))


@pytest.mark.parametrize(
    ("grid", "args", "message"),
    [
        ((1,), (3, "x", np.int64(1), "out"), "for an int64"),
        ((1,), (np.int64(3), np.zeros(3), np.int64(1), "out"), "for a pointer"),
        ((1, 70000), (np.int64(3), "x", np.int64(1), "out"), "no GPU starts"),
        ((0,), (np.int64(3), "x", np.int64(1), "out"), "no GPU starts"),
    ],
)
def test_the_model_takes_what_a_kernel_takes(grid, args, message):
    kernel = RawKernel(f"{HEAD}\nfor\no0[i0 * 1 + 0] = double(1.0);\n}}\n}}\n", "k")
    args = tuple(gpu_model.asarray(np.zeros(3)) if isinstance(a, str) else a for a in args)
    with pytest.raises((TypeError, ValueError), match=message):
        kernel(grid, (128,), args)


def test_options_of_another_type_are_other_options():
    x = gpu_model.asarray(np.arange(3))
    assert [multiplied(x, n, xp=gpu_model.xp).dtype for n in (2, 2.0, 2)] == [np.int64, np.float64, np.int64]


@per_item
def multiplied(x, n, *, xp):
    """Return an array times a number."""
    return x * n


@per_item
def of_whole_numbers(n, flag, *, xp):
    """Return what becomes another dtype."""
    return n / 4, xp.sum(n, axis=1), xp.sum(flag, axis=1), n**0.5, n * True


def test_whole_numbers(backend):
    n, flag = np.arange(12, dtype=np.int32).reshape(4, 3) + 2**30, np.arange(12).reshape(4, 3) % 2 > 0
    xp = array_namespace(a=backend.asarray(n))
    if xp is not gpu_model.xp and "cupy" not in backend.name:
        pytest.skip("what libraries make of whole numbers is theirs to say")
    for x, y in zip(
        of_whole_numbers(n, flag, xp=on_numpy),
        of_whole_numbers(backend.asarray(n), backend.asarray(flag), xp=xp),
        strict=True,
    ):
        np.testing.assert_allclose(backend.to_numpy(y), x)
        assert y.dtype == x.dtype


@pytest.mark.parametrize("number", [-math.inf, math.inf, math.nan, -0.0, 1e-320])
def test_constants(number):
    x = np.ones((2, 1))
    got = multiplied(gpu_model.asarray(x), number, xp=gpu_model.xp).get()
    np.testing.assert_array_equal(got, x * number)
    np.testing.assert_array_equal(np.signbit(got), np.signbit(x * number))


@per_item
def refused(x, *, how, xp):
    """Return what no kernel does."""
    ways = {
        "invert": lambda: ~x,
        "modulo": lambda: x % 2,
        "conversion": lambda: float(x),
        "shape": lambda: xp.reshape(x, (-1,)),
    }
    return ways[how]()


@pytest.mark.parametrize(
    ("how", "dtype", "error"),
    [
        ("invert", np.int64, TypeError),
        ("modulo", np.float64, TypeError),
        ("conversion", np.float64, TypeError),
        ("shape", np.float64, ValueError),
    ],
)
def test_what_a_kernel_cannot_do_is_an_error(how, dtype, error):
    with pytest.raises(error):
        refused(gpu_model.asarray(np.zeros((2, 2), dtype)), how=how, xp=gpu_model.xp)


def test_batches_that_do_not_match_are_refused():
    a, b = (gpu_model.asarray(np.zeros((n, 2))) for n in (3, 5))
    with pytest.raises(ValueError, match="broadcast"):
        scaled(a, b[:, :1], None, xp=gpu_model.xp)


def test_a_table_that_is_not_contiguous_is_refused():
    index = gpu_model.asarray(np.zeros((1, 1), np.int64))
    table_ = Lookup(gpu_model.asarray(np.zeros((4, 4)))[:, ::2])
    with pytest.raises(ValueError, match="contiguous"):
        looked_up(index, index, table_, table_, xp=gpu_model.xp)


@pytest.mark.parametrize("shape", [(0, 4, 4), (0, 2, 3, 4)])
def test_no_images(backend, shape):
    x, number = np.zeros(shape), np.zeros((1,) + (1,) * (len(shape) - 1))
    here = [backend.asarray(a) for a in (x, number)]
    assert scaled(*here, None, xp=array_namespace(a=here[0])).shape == shape


@elementwise
def sums(x, y, *, xp):
    """Return sums of products."""
    return Total(x * y)


@pytest.mark.parametrize("shapes", [((2, 9), (2, 9)), ((2, 5, 6), (1, 5, 1)), ((2, 3, 4, 5), (1, 1, 4, 1))])
def test_sums(backend, shapes, rng):
    x, y = (rng.normal(size=s) for s in shapes)
    got = sums(backend.asarray(x), backend.asarray(y), xp=array_namespace(a=backend.asarray(x)))
    np.testing.assert_allclose(backend.to_numpy(got), np.sum(x * y, axis=tuple(range(1, x.ndim))), rtol=1e-5)


@elementwise
def extremes(x, y, *, xp):
    """Return sums, extremes and what is neither."""
    return (Total(x * y), Lowest(x + y)), Highest(x + y), None, x - y


@pytest.mark.parametrize("shapes", [((2, 9), (2, 9)), ((2, 45, 66), (1, 45, 1)), ((2, 3, 4, 5), (1, 1, 4, 1))])
@pytest.mark.parametrize("special", [None, math.nan, math.inf, -math.inf])
def test_extremes(backend, shapes, special, rng):
    x, y = (rng.normal(size=s) for s in shapes)
    if special is not None:
        x[1].flat[-2] = special
    here = [backend.asarray(a) for a in (x, y)]
    xp = array_namespace(a=here[0])
    if special is not None and math.isnan(special) and not compiles(xp=xp):
        pytest.skip("what libraries make of NaN is theirs to say")
    (total, low), high, nothing, rest = extremes(*here, xp=xp)
    axes = tuple(range(1, x.ndim))
    assert nothing is None
    for got, want in ((total, np.sum(x * y, axis=axes)), (low, np.min(x + y, axis=axes)),
                      (high, np.max(x + y, axis=axes)), (rest, x - y)):  # fmt: skip
        np.testing.assert_allclose(backend.to_numpy(got), want, rtol=1e-5, atol=1e-6)


def three_spectra(a, b, number, *, factor, xp):
    """Return a complex, a real and another complex spectrum."""
    return a * xp.conj(b) * factor, xp.real(a) * number, b + 0 * a


@pytest.mark.parametrize("shape", [(40,), (7, 40), (7, 300), (3, 5, 12)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("widths", [(3, 25, 3), (128, 1, 16), (130, 2, 2)])
def test_products_of_rows_with_columns(backend, shape, dtype, widths, rng):
    if dtype == "float64" and not backend.has_float64:
        pytest.skip("no float64")
    kind = "complex64" if dtype == "float32" else "complex128"
    a, b, number = rng.normal(size=(3, *shape, 2)), rng.normal(size=(1, *shape, 2)), rng.normal(size=(3, *shape))
    number = number[(..., *(slice(1),) * len(shape))]
    a, b, number = (a @ [1, 1j]).astype(kind), (b @ [1, 1j]).astype(kind), number.astype(dtype)
    tables = [[rng.normal(size=(1, n, 2, 2)) @ [1, 1j] for n in shape[:-1]] for _ in widths]
    columns = [
        [*first, (rng.normal(size=(1, shape[-1], k, 2)) @ [1, 1j]).astype(kind)]
        for first, k in zip(tables, widths, strict=True)
    ]
    spectra = three_spectra(*(x.astype("c16") for x in (a, b, number)), factor=0.5, xp=on_numpy)
    letters = "xyz"[: len(shape)]
    sums = f"b{letters}," + ",".join(f"{c}{c.upper()}" for c in letters) + f"->b{letters.upper()}"
    want = [np.einsum(sums, x, *(c[0] for c in each)) for x, each in zip(spectra, columns, strict=True)]
    here = [backend.asarray(x) for x in (a, b, number)]
    xp = array_namespace(a=here[0])
    given = [[backend.asarray(c) for c in each] for each in columns]
    wide = given[0][0].dtype if len(shape) > 1 else (xp.complex128 if backend.has_float64 else xp.complex64)
    got = contract_each(three_spectra, *here, columns=given, dtype=wide, factor=0.5, xp=xp)
    for x, y in zip(got, want, strict=True):
        digits = 2e-5 if dtype == "float32" else 1e-12
        np.testing.assert_allclose(backend.to_numpy(x), y, rtol=digits, atol=digits * np.max(abs(y)))


def test_products_with_columns_are_one_kernel_and_store_no_spectrum(rng):
    a, b = (gpu_model.asarray(rng.normal(size=(4, 64, 65, 2)) @ [1, 1j]) for _ in range(2))
    columns = [[gpu_model.asarray(rng.normal(size=(1, n, 3, 2)) @ [1, 1j]) for n in (64, 65)]] * 3
    number = gpu_model.asarray(np.ones((4, 1, 1)))
    with gpu_model.recording() as log:
        contract_each(three_spectra, a, b, number, columns=columns, dtype=a.dtype, factor=1.0, xp=gpu_model.xp)
    rows = [call for call in log.calls if call.name == "_rows"]
    assert len(rows) == 1
    assert rows[0].bytes_out < a.nbytes / 2


@elementwise
def rows_and_maps(x, columns, *, xp):
    """Return what no kernel returns together."""
    return RowSums(x, columns), x


def test_sums_of_rows_stand_alone():
    x, columns = gpu_model.asarray(np.ones((2, 3, 4))), Columns(gpu_model.asarray(np.ones((4, 2))))
    with pytest.raises(ValueError, match="sums of rows and other results"):
        rows_and_maps(x, columns, xp=gpu_model.xp)


@per_item(lead=2)
def complex_elements(index, values, *, xp):
    """Return elements of a complex table."""
    return values.at(index, xp=xp) * 2


def test_lookups_of_complex_numbers(backend, rng):
    index, values = rng.integers(0, 9, (3, 5)), rng.normal(size=(9, 2)) @ [1, 1j]
    i, v = backend.asarray(index), backend.asarray(values)
    got = complex_elements(i, Lookup(v), xp=array_namespace(a=v))
    np.testing.assert_allclose(backend.to_numpy(got), 2 * values[index], rtol=1e-6)


def test_kernels_do_not_depend_on_the_batch(monkeypatch, rng):
    made = []
    monkeypatch.setattr(RawKernel, "__init__", counting(RawKernel.__init__, made))
    for batch in (2, 3, 7):
        plain(gpu_model.xp.permute_dims(gpu_model.asarray(rng.normal(size=(3, 5, batch))), (2, 1, 0)), xp=gpu_model.xp)
    assert len(made) <= 1


def counting(function, calls):
    """Return a function that notes its calls."""

    def noted(*args, **kwargs):
        calls.append(args)
        return function(*args, **kwargs)

    return noted


@pytest.mark.parametrize(
    ("sizes", "few", "grid"),
    [
        ((1,), False, (1,)),
        ((1000,), False, (8,)),
        ((5, 129), False, (5, 2)),
        ((5, 3000), True, (5, 3)),
        ((1, 2**24), False, (1, 65535)),
        ((2, 300, 500), False, (2, 1172)),
    ],
)
def test_grids_are_what_a_gpu_starts(sizes, few, grid):
    assert _grid(sizes, few=few) == grid
