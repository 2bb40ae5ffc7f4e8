"""Fixtures that all tests share."""

from __future__ import annotations

import importlib.metadata
import os

# before anything can import JAX
os.environ.setdefault("JAX_ENABLE_X64", "1")

import backends
import hypothesis
import numpy as np
import pytest

# the same examples in every run; the first call on some libraries compiles, which no deadline fits
hypothesis.settings.register_profile("imreg_xp", derandomize=True, deadline=None)
hypothesis.settings.load_profile("imreg_xp")

SELECTED = backends.selected()

_DISTRIBUTIONS = {"strict": "array-api-strict"}


def pytest_report_header() -> str:
    libraries = sorted({b.library for b in SELECTED} - {"cupy", "gpu_model"})
    versions = [f"{n} {importlib.metadata.version(_DISTRIBUTIONS.get(n, n))}" for n in libraries]
    return f"backends: {', '.join(map(str, SELECTED))} ({', '.join(versions)})"


# one scope for the whole session: members are immutable, and hypothesis refuses narrower fixtures
@pytest.fixture(scope="session", params=SELECTED, ids=str)
def backend(request: pytest.FixtureRequest) -> backends.Backend:
    """Each selected array library in turn."""
    return request.param


@pytest.fixture
def rng() -> np.random.Generator:
    """The same random numbers in every test and on every backend."""
    return np.random.default_rng(20260117)


@pytest.fixture(scope="session")
def no_sync():
    """A context manager that fails on hidden syncs: ``with no_sync(): ...`` or ``with no_sync(reads=1): ...``."""
    return backends.no_sync
