"""On a real GPU: the contract of every function on CuPy and torch, and no wait for the device but those that are meant.

``pytest -m gpu`` runs it; a library without a GPU is skipped, and without any the run says so.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from backends import VARIABLE, Backend
from skies import cut, random_sky

import imreg_xp

pytestmark = pytest.mark.gpu

TESTS = Path(__file__).parent
ON_A_GPU = (Backend.CUPY, Backend.TORCH_CUDA)
# the files whose tests run on every backend
CONTRACTS = sorted(p.name for p in TESTS.glob("test_*.py") if "(backend" in p.read_text("utf-8"))


@pytest.fixture(params=ON_A_GPU, ids=str)
def gpu(request):
    if request.param.problem is not None:
        pytest.skip(request.param.problem)
    return request.param


@pytest.mark.parametrize("name", CONTRACTS)
def test_contract(gpu, name):
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(TESTS / name)],
        cwd=TESTS.parent,
        env={**os.environ, VARIABLE: gpu.value},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]


@contextlib.contextmanager
def forbidding_waits(gpu):
    """Fail at any wait for the device that the library itself tells of."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # both say that they may miss some
        with contextlib.ExitStack() as stack:
            if gpu is Backend.TORCH_CUDA:
                stack.callback(gpu.xp.cuda.set_sync_debug_mode, gpu.xp.cuda.get_sync_debug_mode())
                gpu.xp.cuda.set_sync_debug_mode("error")
            else:
                stack.enter_context(importlib.import_module("cupyx").allow_synchronize(False))
            yield


def whole_numbers(gpu, count):
    """Return an image and a stack on the GPU; whole numbers have no NaN to look for."""
    rng = np.random.default_rng(0)
    sky = random_sky((64, 64), rng, beam=1.5)
    images = [cut(sky, (0.3 * k, -0.2 * k), (64, 64)) + 0.02 * rng.normal(size=(64, 64)) for k in range(count + 1)]
    return [gpu.asarray(np.rint(1000 * a + 20000).astype(np.int32)) for a in (images[0], np.stack(images[1:]))]


@pytest.mark.parametrize("boundary", ["overlap", "wrap"])
@pytest.mark.parametrize("noise", ["white", "correlated"])
def test_nothing_waits_for_the_device(gpu, boundary, noise):
    """The first call plans transforms and uploads tables; the second none."""
    images = whole_numbers(gpu, 4)
    first = imreg_xp.register_stack(*images, boundary=boundary, noise=noise)
    with forbidding_waits(gpu):
        imreg_xp.register_stack(*images, boundary=boundary, noise=noise)
    np.testing.assert_array_equal(gpu.to_numpy(first.status), 0)


@pytest.mark.parametrize("boundary", ["overlap", "wrap"])
@pytest.mark.parametrize("noise", ["white", "correlated"])
def test_nothing_waits_for_the_device_where_nobody_looks_for_nan(gpu, boundary, noise):
    images = [gpu.asarray(gpu.to_numpy(a).astype(np.float32)) for a in whole_numbers(gpu, 4)]
    first = imreg_xp.register_stack(*images, boundary=boundary, noise=noise, check_finite=False)
    with forbidding_waits(gpu):
        imreg_xp.register_stack(*images, boundary=boundary, noise=noise, check_finite=False)
    np.testing.assert_array_equal(gpu.to_numpy(first.status), 0)


@pytest.mark.parametrize("noise", ["white", "correlated"])
def test_the_call_returns_before_the_device_has_begun(noise):
    """CuPy tells of some waits only: here the device is kept busy meanwhile. It takes some 1000 kernels at once."""
    if Backend.CUPY.problem is not None:
        pytest.skip(Backend.CUPY.problem)
    cupy = importlib.import_module("cupy")
    images = whole_numbers(Backend.CUPY, 4)
    first = imreg_xp.register_stack(*images, boundary="wrap", noise=noise)
    busy = cupy.RawKernel(
        'extern "C" __global__ void busy(long long n) { const long long t = clock64(); while (clock64() - t < n); }',
        "busy",
    )
    begun = cupy.cuda.Event()
    busy((1,), (1,), (np.int64(2_000_000_000),))  # cycles, about a second
    begun.record()
    again = imreg_xp.register_stack(*images, boundary="wrap", noise=noise)
    assert not begun.done
    np.testing.assert_array_equal(again.shift.get(), first.shift.get())
