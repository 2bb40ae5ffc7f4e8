"""On a real GPU: the contract of every function on CuPy and torch, and no wait for the device but those that are meant.

``pytest -m gpu`` runs it; a library without a GPU is skipped, and without any the run says so.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
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
    """Fail at any wait for the device: torch reports its own; CuPy cannot wait while a stream records."""
    if gpu is Backend.TORCH_CUDA:
        before = gpu.xp.cuda.get_sync_debug_mode()
        gpu.xp.cuda.set_sync_debug_mode("error")
        try:
            yield
        finally:
            gpu.xp.cuda.set_sync_debug_mode(before)
        return
    import cupy

    stream = cupy.cuda.Stream(non_blocking=True)
    with stream:
        stream.begin_capture()
        try:
            yield
        finally:
            stream.end_capture()


@pytest.mark.parametrize("boundary", ["overlap", "wrap"])
@pytest.mark.parametrize("noise", ["white", "correlated"])
def test_nothing_waits_for_the_device(gpu, boundary, noise):
    """Whole numbers have no NaN to look for. The first call plans transforms and uploads tables; the second none."""
    rng = np.random.default_rng(0)
    sky = random_sky((64, 64), rng, beam=1.5)
    images = [cut(sky, (0.3 * k, -0.2 * k), (64, 64)) + 0.02 * rng.normal(size=(64, 64)) for k in range(5)]
    levels = [gpu.asarray(np.rint(1000 * a + 20000).astype(np.int32)) for a in (images[0], np.stack(images[1:]))]
    first = imreg_xp.register_stack(*levels, boundary=boundary, noise=noise)
    with forbidding_waits(gpu):
        imreg_xp.register_stack(*levels, boundary=boundary, noise=noise)
    np.testing.assert_array_equal(gpu.to_numpy(first.status), 0)
