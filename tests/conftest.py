"""Fixtures that all tests share."""

from __future__ import annotations

import collections
import importlib.metadata
import os

# before anything can import JAX; what it compiles here runs once or twice
os.environ.setdefault("JAX_ENABLE_X64", "1")
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")

import backends
import hypothesis
import numpy as np
import pytest

# the same examples in every run; the first call on some libraries compiles, which no deadline fits
hypothesis.settings.register_profile("imreg_xp", derandomize=True, deadline=None)
hypothesis.settings.load_profile("imreg_xp")

SELECTED = backends.selected()

_DISTRIBUTIONS = {"strict": "array-api-strict"}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--jax-cases",
        type=int,
        metavar="N",
        help="Run each test on JAX, which compiles every operation for every shape, with N of its cases at most.",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the cases that `--jax-cases` does not want: the rest are spread over all."""
    most = config.getoption("--jax-cases")
    if most is None:
        return
    cases: dict[str, list[pytest.Item]] = collections.defaultdict(list)
    for item in items:
        parameters = getattr(getattr(item, "callspec", None), "params", {})
        if parameters.get("backend") in (backends.Backend.JAX, backends.Backend.JAX_GPU):
            cases[item.nodeid.partition("[")[0]].append(item)
    kept = {case for of_one in cases.values() for case in _spread(of_one, most)}
    left_out = [item for of_one in cases.values() for item in of_one if item not in kept]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in set(left_out)]


def _spread(items: list[pytest.Item], most: int) -> list[pytest.Item]:
    return [items[round(i)] for i in np.linspace(0, len(items) - 1, min(most, len(items)))]


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
