"""The model of CuPy finds the mistakes that matter on a GPU, and counts what it says it counts."""

# the same arguments for all entries of a table, and lambdas so that each mistake is on a line of its own
# ruff: noqa: ARG005, PLW0108

from __future__ import annotations

import importlib.util
import json
import math
import runpy
from pathlib import Path

import gpu_model
import numpy as np
import pytest
from gpu_model import recording, xp

HERE = Path(__file__)
HOST = np.arange(128, dtype=np.float32).reshape(8, 16)


def arrays(dtype=np.float32):
    return gpu_model.asarray(HOST.astype(dtype))


# --- planted mistakes -------------------------------------------------------------------------------------------------

REFUSED = {
    "implicit conversion": (TypeError, "Implicit conversion", lambda x: np.asarray(x)),
    "conversion in a call of NumPy": (
        TypeError,
        "Implicit conversion",
        lambda x: np.array([1.0, 2.0])[np.asarray(x) > 0],
    ),
    "a NumPy array on the right": (TypeError, "Unsupported type", lambda x: x + np.ones((8, 16))),
    "a NumPy array on the left": (TypeError, "Unsupported type", lambda x: np.ones((8, 16)) * x),
    "a NumPy array in a comparison": (TypeError, "Unsupported type", lambda x: x > np.zeros(())),
    "a NumPy array as an argument": (TypeError, "Unsupported type", lambda x: xp.where(x > 0, x, np.zeros(16))),
    "a NumPy array in a list": (TypeError, "Unsupported type", lambda x: xp.concat([x, np.ones((8, 16))])),
    "a NumPy array alone": (TypeError, "Unsupported type", lambda x: xp.sum(HOST)),
    "a NumPy array assigned": (TypeError, "Unsupported type", lambda x: x.__setitem__(0, np.ones(16))),
    "an array as an index of a list": (TypeError, "integers or slices", lambda x: [1, 2, 3][xp.argmax(x)]),
    "an array as a length": (TypeError, "cannot be interpreted as an integer", lambda x: range(xp.argmax(x))),
    "an array in a slice": (TypeError, "slice indices", lambda x: x[: xp.argmax(x)]),
    "floats as an index": (IndexError, "integer or boolean", lambda x: x[x]),
    "an unknown keyword": (TypeError, "unexpected keyword", lambda x: xp.sum(x, dim=0)),
    "a keyword of the standard": (TypeError, "refuses the call", lambda x: xp.concat(arrays=[x, x])),
    "an unknown keyword of a ufunc": (TypeError, "unknown keywords", lambda x: xp.sqrt(x, axis=0)),
    "too few arguments of a ufunc": (TypeError, "1 arguments for 2", lambda x: xp.add(x)),
    "a keyword as a position": (TypeError, "too many positional", lambda x: xp.zeros((2,), xp.float32)),
    "an unknown name": (AttributeError, "has no `circshift`", lambda x: xp.circshift(x, 1)),
    "an unknown transform": (AttributeError, "has no `fft.dct`", lambda x: xp.fft.dct(x)),
    "an unknown method": (AttributeError, "no attribute 'detach'", lambda x: x.detach()),
    "a device where there is none": (ValueError, "Unsupported device", lambda x: xp.fft.fftfreq(8, device=x.device)),
    "another device": (ValueError, "Unsupported device", lambda x: xp.zeros((2,), device="cpu")),
    "DLPack to the host": (BufferError, "memory of a GPU", lambda x: np.from_dlpack(x)),
    "a key of a dict": (TypeError, "unhashable", lambda x: {x: 1}),
    "the buffer protocol": (TypeError, "bytes-like", lambda x: memoryview(x)),
}


@pytest.mark.parametrize("mistake", REFUSED)
def test_what_cupy_refuses_is_refused(mistake):
    error, message, code = REFUSED[mistake]
    with pytest.raises(error, match=message):
        code(arrays())


# (kind of event, how many, code); each on one line, which is where the event must be found
SEEN = {
    "float": ("syncs", 1, lambda x: float(x[0, 0])),
    "int": ("syncs", 1, lambda x: int(x[0, 0])),
    "bool": ("syncs", 1, lambda x: bool(xp.any(x > 1))),
    "complex": ("syncs", 1, lambda x: complex(x[0, 0])),
    "if": ("syncs", 1, lambda x: 1 if x[0, 1] else 2),
    "and": ("syncs", 1, lambda x: x[0, 0] > 0 and 1),
    "math": ("syncs", 1, lambda x: math.sqrt(x[0, 0])),
    "max of Python": ("syncs", 1, lambda x: max(x[0, 0], 1.0)),
    "item": ("syncs", 1, lambda x: x[0, 0].item()),
    "tolist": ("syncs", 1, lambda x: x.tolist()),
    "get": ("syncs", 1, lambda x: x.get()),
    "text": ("syncs", 1, lambda x: f"{x[0, 0]}"),
    "repr": ("syncs", 1, lambda x: repr(x)),
    "mask": ("syncs", 1, lambda x: x[x > 5]),
    "assignment through a mask": ("syncs", 1, lambda x: x.__setitem__(x > 5, 0.0)),
    "nonzero": ("syncs", 1, lambda x: xp.nonzero(x)),
    "unique": ("syncs", 1, lambda x: xp.unique_values(x)),
    "unravel_index": ("syncs", 1, lambda x: xp.unravel_index(xp.argmax(x), (8, 16))),
    "nanmax": ("syncs", 1, lambda x: xp.nanmax(x)),
    "sign of array-api-compat": ("syncs", 1, lambda x: xp.sign(x)),
    "clip of array-api-compat": ("syncs", 2, lambda x: xp.clip(x, min=1.0)),
    "clip on both sides": ("syncs", 4, lambda x: xp.clip(x, 1.0, 2.0)),
    "a list as an index": ("uploads", 1, lambda x: x[[0, 1]]),
    "a NumPy array as an index": ("uploads", 1, lambda x: x[np.asarray([0, 1])]),
    "a literal": ("uploads", 1, lambda x: xp.asarray([1.0, 2.0]) * x[0, 0]),
    "a NumPy scalar": ("promotions", 1, lambda x: x * np.float64(2)),
    "a NumPy scalar on the left": ("promotions", 1, lambda x: np.sqrt(2.0) * x),
    "a loop": ("loops", 1, lambda x: [row for row in x]),  # noqa: C416  (what it looks like in code)
    "sum of Python": ("loops", 1, lambda x: sum(x)),
    "unpacking": ("loops", 1, lambda x: [*x]),
}


@pytest.mark.parametrize("mistake", SEEN)
def test_what_slows_a_gpu_down_is_seen_with_its_line(mistake):
    kind, count, code = SEEN[mistake]
    x = arrays()
    with recording() as log:
        code(x)
    events = getattr(log, kind)
    assert len(events) == count
    assert {e.where for e in events} == {f"tests/{HERE.name}:{code.__code__.co_firstlineno}"}


def test_nothing_is_seen_where_nothing_is():
    x = arrays()
    with recording() as log:
        xp.where(x > 5, 2.0 * x, xp.zeros_like(x)) + xp.sum(x, axis=-1, keepdims=True)
    assert [*log.syncs, *log.uploads, *log.promotions, *log.loops] == []


# --- what is counted --------------------------------------------------------------------------------------------------

SIZE = HOST.nbytes
FREE = {
    "reshape": lambda x: xp.reshape(x, (4, 32)),
    "slice": lambda x: x[2:, ::3],
    "item": lambda x: x[1, 2],
    "new axis": lambda x: x[:, None],
    "transpose": lambda x: x.T,
    "permute_dims": lambda x: xp.permute_dims(x, (1, 0)),
    "matrix_transpose": xp.matrix_transpose,
    "expand_dims": lambda x: xp.expand_dims(x, axis=0),
    "squeeze": lambda x: xp.squeeze(x[:1], axis=0),
    "broadcast_to": lambda x: xp.broadcast_to(x, (3, 8, 16)),
    "flip": lambda x: xp.flip(x, axis=0),
    "real part": lambda x: xp.real(x),
    "same dtype": lambda x: xp.astype(x, xp.float32, copy=False),
    "asarray": lambda x: xp.asarray(x, dtype=xp.float32),
    "empty": lambda x: xp.empty_like(x),
    "dtypes": lambda x: (xp.isdtype(x.dtype, "real floating"), xp.result_type(x, xp.float64), xp.finfo(x.dtype)),
}


@pytest.mark.parametrize("name", FREE)
def test_views_cost_nothing(name):
    x = arrays()
    with recording() as log:
        FREE[name](x)
    assert log.launches == 0
    assert log.bytes == 0


# (launches, bytes, code) on x (8, 16) float32 of 512 bytes
COSTS = {
    "sum of two": (1, 3 * SIZE, lambda x, y: x + y),
    "one array twice": (1, 2 * SIZE, lambda x, y: x * x),
    "with a number": (1, 2 * SIZE, lambda x, y: 2 * x),
    "in place": (1, 3 * SIZE, lambda x, y: x.__iadd__(y)),
    "comparison": (1, 2 * SIZE + 128, lambda x, y: x > y),
    "where": (1, 3 * SIZE + 128, lambda x, y: xp.where(MASK, x, y)),
    "a row for all": (1, 2 * SIZE + 64, lambda x, y: x + y[0]),
    "every other column": (1, SIZE + SIZE // 2, lambda x, y: -x[:, ::2]),
    "one column": (1, 8 * 32 + 32, lambda x, y: -x[:, 0]),
    "reshape of a view": (1, 2 * SIZE, lambda x, y: xp.reshape(x.T, (-1,))),
    "cast": (1, 3 * SIZE, lambda x, y: xp.astype(x, xp.float64)),
    "zeros": (1, SIZE, lambda x, y: xp.zeros_like(x)),
    "reduction of rows": (1, SIZE + 32, lambda x, y: xp.sum(x, axis=-1)),
    "reduction of all": (2, SIZE + 4, lambda x, y: xp.max(x)),
    "concat": (2, 4 * SIZE, lambda x, y: xp.concat([x, y], axis=0)),
    "concat of many": (1, 2 * 9 * 8, lambda x, y: xp.concat([y[k, :2] if k < 8 else y[0, :2] for k in range(9)])),
    "take": (1, 128 + 16 + 128, lambda x, y: xp.take(x, INDEX, axis=0)),
    "product": (1, 2 * SIZE + 256, lambda x, y: xp.matmul(x, y.T)),
    "product of two batches": (1, 3 * 512, lambda x, y: xp.matmul(xp.reshape(x, (2, 8, 8)), xp.reshape(y, (2, 8, 8)))),
    "product with a copy": (2, 5 * 512, lambda x, y: xp.matmul(xp.reshape(x, (2, 8, 8)), xp.reshape(y, (2, 8, 8)).mT)),
    "product, broadcast": (4, 512 + 256 + 512, lambda x, y: x.reshape((2, 8, 8)) @ y[:4].reshape((1, 8, 8))),
    "running product": (2, 4 * SIZE, lambda x, y: xp.cumulative_prod(x, axis=1)),
    "running sum of columns": (3, 6 * SIZE, lambda x, y: xp.cumulative_sum(x, axis=0)),
    "along an axis": (5, None, lambda x, y: xp.take_along_axis(x, INDEX[:, None], axis=0)),
    "clip": (10, None, lambda x, y: xp.clip(x, min=0.0)),
    "clip on both sides": (19, None, lambda x, y: xp.clip(x, 0.0, 1.0)),
}  # fmt: skip
MASK = gpu_model.asarray(HOST > 5)
INDEX = gpu_model.asarray([3, 1])


@pytest.mark.parametrize("name", COSTS)
def test_kernels_and_bytes(name):
    launches, moved, code = COSTS[name]
    x, y = arrays(), arrays()
    with recording() as log:
        code(x, y)
    assert log.launches == launches
    if moved is not None:
        assert log.bytes == moved


HALF = 8 * 9 * 8  # bytes of the spectrum of 8 × 16 float32
TRANSFORMS = {
    # rows: read reals, write half the modes; columns: read and write these
    "rfftn": (2, SIZE + 3 * HALF, lambda x, f: xp.fft.rfftn(x, s=(8, 16), axes=(-2, -1))),
    "rfft": (1, SIZE + HALF, lambda x, f: xp.fft.rfft(x, axis=-1)),
    "rfftn of a view": (3, 3 * SIZE + 3 * HALF, lambda x, f: xp.fft.rfftn(xp.flip(x, axis=0), axes=(-2, -1))),
    # a copy of the input, then the same back
    "irfftn": (3, 2 * HALF + 3 * HALF + SIZE, lambda x, f: xp.fft.irfftn(f, s=(8, 16), axes=(-2, -1), norm="forward")),
    "irfftn over N": (4, 5 * HALF + 3 * SIZE, lambda x, f: xp.fft.irfftn(f, s=(8, 16), axes=(-2, -1))),
    "fftn": (2, 4 * HALF, lambda x, f: xp.fft.fftn(f, axes=(-2, -1))),
    "ifftn": (3, 6 * HALF, lambda x, f: xp.fft.ifftn(f, axes=(-2, -1))),
    # zeros (written), a copy into them, and a transform twice as large
    "padded": (4, SIZE + 3 * SIZE + 2 * SIZE + 3 * 16 * 9 * 8, lambda x, f: xp.fft.rfftn(x, s=(16, 16), axes=(-2, -1))),
}  # fmt: skip


@pytest.mark.parametrize("name", TRANSFORMS)
def test_transforms(name):
    launches, moved, code = TRANSFORMS[name]
    x = arrays()
    f = xp.fft.rfftn(x, axes=(-2, -1))
    assert f.dtype == np.complex64
    with recording() as log:
        code(x, f)
    assert (log.launches, log.bytes) == (launches, moved)


def test_uploads_are_counted_and_are_no_sync():
    with recording() as log:
        xp.asarray(HOST, dtype=xp.float64)
        gpu_model.asarray(HOST)
    assert [e.bytes for e in log.uploads] == [2 * SIZE, SIZE]
    assert not log.syncs
    assert log.launches == 0


def test_many_arrays_are_joined_through_their_addresses():
    x = arrays()
    with recording() as log:
        xp.stack([x] * 9)
    assert [e.bytes for e in log.uploads] == [72]
    assert log.launches == 1


def test_a_transfer_is_a_sync_of_its_bytes():
    x = arrays()
    with recording() as log:
        host = x.get()
    assert [(e.kind, e.bytes) for e in log.syncs] == [("get", SIZE)]
    np.testing.assert_array_equal(host, HOST)
    host[...] = 0
    np.testing.assert_array_equal(x.get(), HOST)


def test_memory_in_use():
    x = arrays()
    with recording() as log:
        y = x + x
        part = y[1:]
        del y
        z = part * 2
        assert log.live_bytes == SIZE + SIZE * 7 // 8
        del part
        assert log.live_bytes == SIZE * 7 // 8
        z = z + 1
    assert log.peak_bytes == SIZE + SIZE * 7 // 8


def test_recordings_nest_and_end():
    x = arrays()
    with recording() as outer:
        x + 1
        with recording() as inner:
            x + 1
    x + 1
    assert (outer.launches, inner.launches) == (2, 1)


def test_table_names_the_dearest_line():
    x = arrays()
    with recording() as log:
        for _ in range(3):
            x * x
        x + x
    text = log.table(by="bytes", top=1, unit=x.size).splitlines()
    assert len(text) == 4
    assert text[1].split()[:2] == ["3", "24.0"]
    assert text[1].endswith("multiply×3")
    assert text[2].endswith("1 other lines")
    assert text[3].split()[:2] == ["4", "32.0"]


# --- it is CuPy that is modelled --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["sum", "mean", "max", "argmax", "cumulative_sum", "flip", "sqrt", "isfinite"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_values_are_those_of_numpy(name, dtype):
    host = HOST.astype(dtype)
    options = {"axis": 1} if name in {"sum", "mean", "max", "argmax", "cumulative_sum", "flip"} else {}
    found = getattr(xp, name)(gpu_model.asarray(host), **options)
    expected = getattr(np, name)(host, **options)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found.get(), expected)


def test_numpy_functions_on_its_arrays_stay_on_the_device():
    x = arrays()
    assert isinstance(np.sqrt(x), gpu_model.Array)
    assert isinstance(np.sum(x, axis=0), gpu_model.Array)
    assert isinstance(np.fft.fftn(x), gpu_model.Array)


def test_names_and_signatures_are_those_of_cupy(tmp_path):
    cupy = (
        importlib.import_module("cupy") if importlib.util.find_spec("cupy") else pytest.skip("no CuPy to compare with")
    )
    if cupy.__version__ != gpu_model.VERSIONS["cupy"]:
        pytest.skip(f"the file is of CuPy {gpu_model.VERSIONS['cupy']}")
    write = runpy.run_path(str(HERE.parents[1] / "ci" / "cupy_names.py"))
    write["main"].__globals__["sys"].argv = ["cupy_names.py", str(tmp_path / "api.json")]
    write["main"]()
    stored = HERE.parent / "gpu_model" / "cupy_api.json"
    assert json.loads((tmp_path / "api.json").read_text("utf-8")) == json.loads(stored.read_text("utf-8"))
