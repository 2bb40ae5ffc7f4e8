"""The helpers that put the tests on several array libraries do what they say."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path

import array_api_compat
import backends
import numpy as np
import pytest
from backends import VARIABLE, Backend, count_syncs

TESTS = Path(__file__).parent
DTYPES = ("float32", "float64", "complex64", "complex128", "int16", "int32", "uint8", "bool")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3, 4)])
def test_round_trip(backend, dtype, shape):
    host = (np.arange(np.prod(shape)) % 2 + 1).reshape(shape).astype(dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        array = backend.asarray(host)
        back = backend.to_numpy(array)
    assert backend.owns(array)
    assert array_api_compat.array_namespace(array) is backend.xp
    assert array_api_compat.device(array) == backend.device
    narrow = {"float64": "float32", "complex128": "complex64"}
    assert back.dtype.name == (dtype if backend.has_float64 else narrow.get(dtype, dtype))
    assert back.shape == shape
    np.testing.assert_array_equal(back, host)


def test_asarray_takes_any_layout_and_leaves_the_source_alone(backend):
    host = np.arange(12.0).reshape(3, 4)
    host.flags.writeable = False
    for source in (host, host[::-1, ::2], host.T, host.tolist()):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            array = backend.asarray(source)
        np.testing.assert_array_equal(backend.to_numpy(array), source)
        assert not np.shares_memory(backend.to_numpy(array), host)


def test_readonly_is_read_only():
    array = Backend.NUMPY_READONLY.asarray(np.zeros(3))
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 1
    assert Backend.NUMPY.asarray(array).flags.writeable


def test_creation_on_the_device(backend):
    dtype = backend.xp.float64 if backend.has_float64 else backend.xp.float32
    assert backend.owns(backend.xp.zeros((2,), dtype=dtype, device=backend.device))


def test_no_float64_means_none():
    with pytest.raises(ValueError, match="float64"):
        Backend.STRICT_NO_FLOAT64.xp.zeros(
            (2,), dtype=Backend.STRICT.xp.float64, device=Backend.STRICT_NO_FLOAT64.device
        )


def test_to_numpy_refuses_what_is_not_its_own(backend):
    other = Backend.STRICT if backend.library == "numpy" else Backend.NUMPY
    for value in (1.0, [1.0], None, other.asarray([1.0])):
        assert not backend.owns(value)
        with pytest.raises(TypeError, match="not an array of"):
            backend.to_numpy(value)


def test_devices_of_one_library_are_told_apart():
    array = Backend.STRICT_DEVICE1.asarray([1.0])
    assert not Backend.STRICT.owns(array)
    with pytest.raises(TypeError):
        Backend.STRICT.to_numpy(array)


def test_names():
    assert [b.name for b in Backend] == [b.value for b in Backend] == [str(b) for b in Backend]
    assert (Backend.STRICT_DEVICE1.library, Backend.STRICT_DEVICE1.variant) == ("strict", "device1")


def test_masks_and_nonzero_are_off():
    x = Backend.STRICT.asarray([1.0, -1.0])
    with pytest.raises(RuntimeError, match="boolean_indexing"):
        _ = x[x > 0]
    with pytest.raises(RuntimeError, match="data_dependent_shapes"):
        Backend.STRICT.xp.nonzero(x)


def test_selection(monkeypatch):
    monkeypatch.setenv(VARIABLE, "strict:device1, numpy")
    assert backends.selected() == [Backend.STRICT_DEVICE1, Backend.NUMPY]
    monkeypatch.delenv(VARIABLE)
    assert {Backend.NUMPY, Backend.NUMPY_READONLY, Backend.STRICT} <= set(backends.selected())
    assert all(b.problem is None for b in backends.selected())


@pytest.mark.parametrize(
    ("names", "problem"),
    [("numpy,nunpy", "unknown"), ("", "unknown"), ("numpy,numpy", "twice"), ("numpy:device1", "unknown")],
)
def test_selection_that_makes_no_sense(monkeypatch, names, problem):
    monkeypatch.setenv(VARIABLE, names)
    with pytest.raises(RuntimeError, match=problem):
        backends.selected()


_ONE = "def test_one(backend):\n    pass\n"
_FIVE = "import pytest\n\n@pytest.mark.parametrize('n', range(5))\ndef test_one(backend, n):\n    pass\n"


def _collect(
    tmp_path: Path, names: str, *options: str, without: str = "", source: str = _ONE
) -> subprocess.CompletedProcess[str]:
    """Collect a test on the backends `names` in a new interpreter that cannot import `without`."""
    for name in ("backends.py", "conftest.py"):
        (tmp_path / name).write_text((TESTS / name).read_text(encoding="utf-8"), encoding="utf-8")
    (tmp_path / "test_one.py").write_text(source, encoding="utf-8")
    arguments = ["-q", "--collect-only", *options]
    code = f"import sys, pytest; sys.modules[{without!r}] = None; sys.exit(pytest.main({arguments}))"
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, VARIABLE: names, "PYTEST_ADDOPTS": "-p no:cacheprovider -p no:xdist"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_collection_on_the_named_backends(tmp_path):
    done = _collect(tmp_path, "numpy,strict:device1", without="jax")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "test_one[numpy]" in done.stdout
    assert "test_one[strict:device1]" in done.stdout


def test_collection_fails_on_a_backend_that_is_missing(tmp_path):
    done = _collect(tmp_path, "numpy,jax", without="jax")
    assert done.returncode not in (0, 5), done.stdout
    assert "names the backend 'jax', but: cannot be imported" in done.stdout + done.stderr


def test_few_cases_on_jax(tmp_path):
    pytest.importorskip("jax")
    done = _collect(tmp_path, "numpy,jax", "--jax-cases", "2", source=_FIVE)
    assert done.returncode == 0, done.stdout + done.stderr
    found = [line.partition("::")[2] for line in done.stdout.splitlines() if "::" in line]
    assert found == [*(f"test_one[numpy-{n}]" for n in range(5)), "test_one[jax-0]", "test_one[jax-4]"]


@pytest.mark.parametrize("name", ["cupy", "torch:cuda", "jax:gpu"])
def test_collection_fails_without_the_device(name, monkeypatch):
    if Backend(name).problem is None:
        pytest.skip("there is such a device")
    monkeypatch.setenv(VARIABLE, f"numpy,{name}")
    with pytest.raises(RuntimeError, match=f"names the backend '{name}', but"):
        backends.selected()


READS = {
    "float": lambda x: float(x[0]),
    "int": lambda x: int(x[0]),
    "bool": lambda x: bool(x[0] > 0),
    "if": lambda x: 1 if x[0] > 0 else 2,
    "complex": lambda x: complex(x[0]),
    "index": lambda x: range(Backend.STRICT.xp.argmax(x)),
    "from_dlpack": np.from_dlpack,
    "asarray": np.asarray,
}


@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_a_planted_read_is_counted(read, no_sync):
    x = Backend.STRICT.asarray([1.0, 2.0])
    with count_syncs() as log:
        read(x)
    assert len(log.reads) == 1
    assert f"{__file__}:" in log.reads[0]
    assert not log.moves
    with pytest.raises(AssertionError, match="1 host reads, 0 allowed"), no_sync():
        read(x)
    with no_sync(reads=1):
        read(x)


def test_a_planted_move_is_counted(no_sync):
    x = Backend.STRICT_DEVICE1.asarray([1.0])
    with pytest.raises(AssertionError, match="1 host moves, 0 allowed"), no_sync():
        x.to_device(Backend.STRICT.device)


def test_reads_outside_are_not_counted(no_sync):
    x = Backend.STRICT.asarray([1.0, 2.0])
    array_class = type(x)
    before = dict(vars(array_class))
    with no_sync():
        pass
    assert float(x[0]) == 1.0
    assert dict(vars(array_class)) == before
    with pytest.raises(ZeroDivisionError), no_sync():
        _ = 1 / 0
    assert dict(vars(array_class)) == before


@pytest.mark.parametrize("backend", [Backend.STRICT, Backend.STRICT_DEVICE1, Backend.STRICT_NO_FLOAT64], ids=str)
def test_array_code_without_reads_passes(backend, no_sync, rng):
    xp = backend.xp
    x = backend.asarray(rng.standard_normal((3, 4, 5)).astype(np.float32))
    with no_sync():
        f = xp.fft.rfftn(x, s=(4, 5), axes=(-2, -1))
        y = xp.fft.irfftn(xp.conj(f) * f, s=(4, 5), axes=(-2, -1))
        peak = xp.argmax(xp.reshape(y, (3, -1)), axis=-1)
        z = xp.take_along_axis(xp.reshape(y, (3, -1)), peak[:, None], axis=1)
        z = xp.where(z > 0, xp.clip(z, min=0.0, max=1.0), xp.zeros_like(z)) + xp.mean(x)
        xp.linalg.cholesky(xp.eye(3, dtype=x.dtype, device=backend.device) + 0 * xp.matmul(z, xp.matrix_transpose(z)))
        z = z + y[0, ..., 1:2, 1]
    assert xp.isdtype(z.dtype, "real floating")
