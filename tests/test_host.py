"""The short cuts for NumPy arrays do what the functions of the array API do that they stand for."""

from __future__ import annotations

import array_api_compat.numpy as standard
import numpy as np
import pytest

from imreg_xp._array import array_namespace
from imreg_xp._host import FUNCTIONS

VALUES = np.random.default_rng(0).normal(size=(3, 4, 5))
INPUTS = {
    "float64": VALUES,
    "float32": VALUES.astype(np.float32),
    "complex": VALUES + 1j * VALUES[::-1],
    "with NaN": np.where(VALUES > 1, np.nan, VALUES),
    "not contiguous": VALUES[::-1, :, 1:].swapaxes(0, 2),
    "int32": np.round(10 * VALUES).astype(np.int32),
    "bool": VALUES > 0,
    "scalar": np.float64(-1.5),
}
REDUCTIONS = [
    ((), how) for how in ({}, {"axis": 1}, {"axis": (1, 2)}, {"axis": (-2, -1), "keepdims": True}, {"keepdims": True})
]
CALLS = {
    "all": REDUCTIONS,
    "any": REDUCTIONS,
    "max": REDUCTIONS,
    "min": REDUCTIONS,
    "mean": REDUCTIONS,
    "sum": [*REDUCTIONS, ((), {"axis": 0, "dtype": np.complex128})],
    "astype": [((np.complex128,), {}), ((np.complex128,), {"copy": False})],
    "flip": [((), {}), ((), {"axis": 1}), ((), {"axis": (-2, -1)})],
    "matrix_transpose": [((), {})],
    "ones_like": [((), {}), ((), {"dtype": np.float32})],
    "zeros_like": [((), {}), ((), {"dtype": np.float32})],
    "permute_dims": [(((2, 0, 1),), {})],
    "reshape": [(((-1,),), {}), (((2, -1),), {})],
    "round": [((), {})],
    "take": [((np.array([2, 0, 0]),), {"axis": 0}), ((np.array([1, 3]),), {"axis": 1})],
}
KINDS = {"mean": "fc", "max": "fib", "min": "fib", "round": "f", "all": "bif", "any": "bif"}  # that are called for
ON_SCALARS = {"all", "any", "max", "min", "mean", "sum", "astype", "ones_like", "zeros_like", "round"}
CASES = [
    pytest.param(name, *call, x, id=f"{name}-{k}-{kind}")
    for name, calls in CALLS.items()
    for k, call in enumerate(calls)
    for kind, x in INPUTS.items()
    if x.dtype.kind in KINDS.get(name, "fcib") and (x.ndim or (name in ON_SCALARS and "axis" not in call[1]))
]


def alike(found, expected):
    assert np.asarray(found).dtype == np.asarray(expected).dtype
    assert np.shape(found) == np.shape(expected)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(("name", "args", "options", "x"), CASES)
def test_functions_of_one_array(name, args, options, x):
    alike(FUNCTIONS[name](x, *args, **options), getattr(standard, name)(x, *args, **options))


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("name", ["concat", "stack"])
def test_functions_of_several_arrays(name, axis):
    arrays = [VALUES, VALUES[::-1].astype(np.float32), VALUES[:, ::-1]]
    alike(FUNCTIONS[name](arrays, axis=axis), getattr(standard, name)(arrays, axis=axis))


def test_scalars_are_stacked():
    alike(FUNCTIONS["stack"]([np.float64(1), np.float64(2)]), np.array([1.0, 2.0]))


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.dtype(np.float64)])
def test_limits_of_a_dtype(dtype):
    found, expected = FUNCTIONS["finfo"](dtype), standard.finfo(dtype)
    for name in ("bits", "eps", "max", "smallest_normal"):
        assert getattr(found, name) == getattr(expected, name)


def test_an_array_is_copied_unless_told_otherwise():
    assert not np.shares_memory(FUNCTIONS["astype"](VALUES, np.float64), VALUES)
    assert np.shares_memory(FUNCTIONS["astype"](VALUES, np.float64, copy=False), VALUES)


def test_all_of_them_are_covered_and_used():
    covered = {*CALLS, "concat", "stack", "finfo", "asarray", "matmul"}
    assert covered == set(FUNCTIONS)
    xp = array_namespace(x=VALUES)
    assert all(getattr(xp, name) is function for name, function in FUNCTIONS.items())
