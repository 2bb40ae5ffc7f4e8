"""The package keeps the house rules, and the check of the rules finds what breaks them."""

from __future__ import annotations

import importlib
import json
import os
import statistics
import subprocess
import sys
import textwrap
from pathlib import Path

import house_rules
import pytest
from house_rules import PACKAGE, RULES, Module

SOURCES = Path(__file__).parents[1] / PACKAGE
MODULES = house_rules.modules_below(SOURCES)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("module", MODULES, ids=lambda m: m.name)
def test_package_keeps_the_rule(module, rule):
    found = [str(v) for v in RULES[rule](module)]
    assert not found, "\n".join([RULES[rule].__doc__.splitlines()[0], *found])


@pytest.mark.parametrize("name", [m.name for m in MODULES if not m.name.endswith(".__main__")])
def test_all_names_can_be_had(name):
    module = importlib.import_module(name)
    missing = [n for n in module.__all__ if not hasattr(module, n)]
    assert not missing


def test_modules_are_found():
    names = {m.name for m in MODULES}
    assert {PACKAGE, f"{PACKAGE}._array", f"{PACKAGE}._engine", f"{PACKAGE}.fft_tools"} <= names


def test_exceptions_are_needed():
    names = {m.name for m in MODULES if "numpy" in m.source}
    assert set(house_rules.HOST_CONSTANTS) <= names


# --- the rules find what is planted -----------------------------------------------------------------------------------

ENGINE = "_engine.planted"
CLEAN = {
    ENGINE: '''
        """A module of the engine, with CuPy in its docstring."""

        import math
        from collections.abc import Sequence

        from .._array import Array, Namespace, accumulator_dtype, device_of
        from ..fft_tools._dft import rfft
        from . import extend
        from .peaks import argmax

        __all__ = ["STEPS", "answer", "field"]

        STEPS = 3  # fewer than torch would need
        _TOLERANCE = 1e-3


        def answer(x: Array, shape: Sequence[int], *, xp: Namespace) -> Array:
            """Return what JAX would."""
            dtype = accumulator_dtype(x, xp=xp)
            n = xp.arange(shape[0], dtype=dtype, device=device_of(x))
            n = n + xp.zeros_like(n) + xp.fft.fftfreq(shape[0], dtype=dtype, device=device_of(x))

            def inner(y: Array) -> Array:
                return xp.real(xp.conj(y)) * n

            good = xp.isfinite(n)
            total = sum((lambda y: xp.sum(y))(y) for y in (inner(n), extend.extend(n, xp=xp)))
            good = good & (n > _TOLERANCE)
            return xp.where(good, total[..., None], math.inf)[shape[0] // 2, ..., 1:]


        def field() -> None:
            """Use no array."""
    ''',
    "fft_tools.planted": '''
        """A public module of operators."""

        from .._array import array_namespace

        __all__ = ["shift"]


        def shift(x):
            xp = array_namespace(x=x)
            return _shift(x, xp=xp)


        def _shift(x, *, xp):
            return xp.roll(x, 1)
    ''',
    "registration": '''
        """The native face."""

        from ._array import array_namespace, to_host
        from ._engine.result import Registration
        from .fft_tools import shift

        __all__ = ["Registration", "fourier_shift"]


        def fourier_shift(x):
            xp = array_namespace(x=x)
            return float(to_host(xp.sum(shift(x)))[0])
    ''',
    "cli": '''
        """The command line."""

        import importlib

        import astropy.io.fits
        import numpy as np

        import imreg_xp
        from . import register
        from .FITS_tools import load
        from .registration import fourier_shift

        __all__ = ["main"]


        def main() -> None:
            x = np.zeros(3)
            x[x > 0] = float(x[0].real)
            importlib.import_module("imreg_xp.plotting")
    ''',
}


def _module(name: str, source: str, *, is_package: bool = False) -> Module:
    return Module(f"{PACKAGE}.{name}" if name else PACKAGE, textwrap.dedent(source).lstrip("\n"), is_package)


@pytest.mark.parametrize("name", CLEAN)
def test_clean_module_passes(name):
    assert house_rules.violations(_module(name, CLEAN[name])) == []


def test_clean_package_passes():
    source = '''
        """The package."""

        import importlib
        from typing import TYPE_CHECKING

        from ._version import __version__
        from .registration import register

        if TYPE_CHECKING:
            from . import FITS_tools

        __all__ = ["FITS_tools", "__version__", "register"]


        def __getattr__(name: str) -> object:
            return importlib.import_module(f".{name}", __name__)
    '''
    assert house_rules.violations(_module("", source, is_package=True)) == []


LONG = "def f(\n    x,\n):\n" + '    """Say\n\n    much.\n    """\n' + "    # why\n\n    x = [\n        x]\n" * 20

# (rule, module, source): the last line is the one that breaks the rule
PLANTED = [
    # libraries
    ("libraries", ENGINE, "import array_api_compat"),
    ("libraries", ENGINE, "from array_api_extra import apply_where"),
    ("libraries", "registration", "import cupy as cp"),
    ("libraries", "cli", "def f():\n    import torch"),
    ("libraries", "FITS_tools.planted", "from jax import numpy"),
    ("libraries", "_array", "import astropy.units"),
    ("libraries", "fft_tools.planted", "def f():\n    import reproject"),
    ("libraries", "registration", "from matplotlib import pyplot"),
    ("libraries", ENGINE, "import dask.array as da"),
    ("libraries", ENGINE, "import numpy as np"),
    ("libraries", "fft_tools.planted", "from numpy import pi"),
    # floors
    ("floors", "_array", "from .fft_tools import shift"),
    ("floors", "_array", "from . import _engine"),
    ("floors", "fft_tools.planted", "from .._engine import peaks"),
    ("floors", "fft_tools.planted", "from .._engine.peaks import argmax"),
    ("floors", "fft_tools.planted", "import imreg_xp._engine.peaks"),
    ("floors", ENGINE, "from ..registration import register"),
    ("floors", ENGINE, "from .. import register"),
    ("floors", ENGINE, "def f():\n    from ..FITS_tools import load"),
    ("floors", "registration", "from .chi2_shifts import chi2_shift"),
    ("floors", "chi2_shifts", "from .registration import register"),
    ("floors", "_inputs", "from .registration import register"),
    ("floors", "registration", "from . import FITS_tools"),
    ("floors", "registration", "from imreg_xp import plotting"),
    ("floors", "FITS_tools.planted", "from ..cli import main"),
    ("floors", "FITS_tools.planted", "from .. import plotting"),
    ("floors", "registration", 'import importlib\nimportlib.import_module("imreg_xp.cli")'),
    ("floors", "somewhere", ""),
    # the name of a library
    ("libraries_by_name", ENGINE, "def f(x, *, xp):\n    return xp.is_cupy(x)"),
    ("libraries_by_name", ENGINE, 'def f(x):\n    return type(x).__module__ == "torch"'),
    ("libraries_by_name", "registration", "jax_mode = 1"),
    ("libraries_by_name", "registration", "def f(x):\n    return f'for {x} use CuPy'"),
    ("libraries_by_name", "cli", "def with_torch():\n    pass"),
    ("libraries_by_name", "cli", "def f(*,\n      use_jax):\n    pass"),
    # state
    ("no_global_state", ENGINE, "def f():\n    global backend"),
    ("no_global_state", "registration", 'import os\nBACKEND = os.environ["BACKEND"]'),
    ("no_global_state", "_array", 'import os\nBACKEND = os.getenv("BACKEND")'),
    # xp
    ("namespace_passed_in", ENGINE, "def f(x, xp):\n    return xp.sum(x)"),
    ("namespace_passed_in", ENGINE, "def f(x, *, xp=None):\n    return x"),
    ("namespace_passed_in", "_array", "def f(x, xp, /):\n    return x"),
    ("namespace_passed_in", ENGINE, "def f(x):\n    return xp.sum(x)"),
    ("namespace_passed_in", ENGINE, "ZERO = xp.float64(0)"),
    ("namespace_passed_in", ENGINE, "def f(x):\n    def g(y):\n        return xp.sum(y)"),
    ("namespace_passed_in", ENGINE, "def f(x):\n    xp = array_namespace(x=x)"),
    ("namespace_passed_in", ENGINE, "def f(x, *, xp):\n    xp = _array.array_namespace(x=x)"),
    ("namespace_passed_in", ENGINE, "def f(x):\n    return x.__array_namespace__()"),
    ("namespace_passed_in", "fft_tools._planted", "def f(x):\n    xp = array_namespace(x=x)"),
    ("namespace_passed_in", "fft_tools.planted", "def _f(x):\n    xp = array_namespace(x=x)"),
    ("namespace_passed_in", "fft_tools.planted", "def f(x, *, xp):\n    return array_namespace(x=x)"),
    ("namespace_passed_in", "registration", "def f(x):\n    xp = array_namespace(x=x)\n    xp = array_namespace(x=x)"),
    ("namespace_passed_in", "registration", "xp = array_namespace(x=1)"),
    # creation
    *(
        ("creation_names_dtype_and_device", ENGINE, f"def f(x, *, xp):\n    return xp.{call}")
        for call in (
            "arange(3)",
            "asarray([1.0], dtype=x.dtype)",
            "empty((3,), device=None)",
            "eye(3)",
            "full((3,), 1.0, **x)",
            "linspace(0, 1, 3)",
            "ones(3)",
            "zeros((3,), x.dtype)",
            "fft.fftfreq(3)",
            "fft.rfftfreq(3, dtype=x.dtype)",
        )
    ),
    ("creation_names_dtype_and_device", "registration", "def f(*, xp):\n    return xp.zeros(3)"),
    ("creation_names_dtype_and_device", "fft_tools.planted", "def f(*, xp):\n    zeros = xp.zeros"),
    # reads
    *(
        ("no_host_reads", module, f"def f(x, *, xp):\n    return {read}")
        for module in (ENGINE, "fft_tools.planted")
        for read in (
            "float(x)",
            "int(xp.sum(x))",
            "1 if bool(x) else 2",
            "complex(x)",
            "x.item()",
            "x[0].tolist()",
            "np.asarray(x)",
            "np.array(x)",
            "xp.nonzero(x)",
            "xp.unique_values(x)",
            "xp.from_dlpack(x)",
        )
    ),
    ("no_host_reads", "_engine.rings", "def f(x):\n    return np.asarray(x)"),
    # writes
    *(
        ("no_writes", module, f"def f(x, y, *, xp):\n    {write}")
        for module in (ENGINE, "fft_tools.planted")
        for write in (
            "x[0] = y",
            "x[..., 1:] += y",
            "(y, x[0]) = y",
            "y = x[0] = 1",
            "x[0]: int = 1",
            "del x[0]",
            "x += y",
            "x.field *= y",
            "xp.add(x, y, out=x)",
        )
    ),
    # attributes
    *(
        ("no_array_attributes", module, f"def f(x, *, xp):\n    return {expression}")
        for module in (ENGINE, "fft_tools.planted")
        for expression in ("x.real", "x.imag", "x.T", "x.mT", "x.conj()", "x[0].conjugate()", "xp.sum(x).real")
    ),
    # masks
    *(
        ("no_mask_indexing", module, f"def f(x, y, *, xp):\n    m = (x > 0) & y\n    return {expression}")
        for module in (ENGINE, "fft_tools.planted")
        for expression in (
            "x[x > 0]",
            "x[0, x == y]",
            "x[~y]",
            "x[(x > 0) & y]",
            "x[y | ~(x < 1)]",
            "x[m]",
            "x[m, 0]",
            "x[xp.isfinite(x)]",
            "x[xp.logical_not(y)]",
        )
    ),
    # __all__
    ("all_is_complete", ENGINE, ""),
    ("all_is_complete", ENGINE, "__all__ = ['f'] + names"),
    ("all_is_complete", ENGINE, "__all__ = ['a', 'f']\ndef f(): pass"),
    ("all_is_complete", ENGINE, "__all__ = ['f']\ndef f(): pass\ndef g(): pass"),
    ("all_is_complete", ENGINE, "__all__ = ['f']\ndef f(): pass\nclass C: pass"),
    ("all_is_complete", ENGINE, "__all__ = ['f']\ndef f(): pass\nA, _b = 1, 2"),
    ("all_is_complete", ENGINE, "__all__: list[str] = []\nA: int = 1"),
    ("all_is_complete", ENGINE, "__all__ = ['f', 'f']\ndef f(): pass"),
    # sizes
    ("sizes", "cli", "x = 1\n" * 301),
    ("sizes", "cli", LONG + "    return x"),
]
WHOLE_MODULE = {"all_is_complete", "sizes"}


@pytest.mark.parametrize(("rule", "name", "source"), PLANTED, ids=[f"{p[0]}-{i}" for i, p in enumerate(PLANTED)])
def test_planted_violation_is_found(rule, name, source):
    found = list(RULES[rule](_module(name, source)))
    assert len(found) == 1
    assert found[0].module == f"{PACKAGE}.{name}"
    if rule not in WHOLE_MODULE and name != "somewhere":
        nearest = source.count("\n") + 1
        # a definition is reported where it starts
        assert found[0].line == nearest or source.splitlines()[found[0].line - 1].lstrip().startswith(("def ", "use_"))


def test_every_rule_has_a_planted_violation():
    assert {rule for rule, _, _ in PLANTED} == set(RULES)


def test_sizes_at_the_limit_pass():
    assert not list(RULES["sizes"](_module("cli", "x = 1\n" * 300)))
    assert not list(RULES["sizes"](_module("cli", LONG)))


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("registration", "def f(x):\n    x[0] = float(x[1])"),
        ("FITS_tools.planted", "import astropy\nimport numpy as np\nfrom .._array import to_host"),
        ("_engine.rings", "import numpy as np\n\ndef f(n):\n    return np.arange(n).tolist()"),
        ("fft_tools._dft", "from . import shift\nfrom .shift import f"),
        ("_array", "import array_api_compat\nimport cupy\nname = 'torch'"),
    ],
)
def test_rules_hold_where_they_should_only(name, source):
    found = [v for rule, check in RULES.items() if rule != "all_is_complete" for v in check(_module(name, source))]
    assert not found


def test_a_script_needs_no_all():
    assert not house_rules.violations(_module("__main__", "from .cli import main\n\nmain()"))


# --- what importing the package costs ---------------------------------------------------------------------------------

HEAVY = ("array_api_strict", "astropy", "click", "cupy", "dask", "jax", "matplotlib", "reproject", "torch")


def _in_a_new_interpreter(code: str, tmp_path: Path) -> object:
    """Run code that prints JSON, on the package that this interpreter sees."""
    where = Path(importlib.import_module(PACKAGE).__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(where)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return json.loads(done.stdout)


def test_import_is_light(tmp_path):
    code = f"import json, sys, {PACKAGE}; print(json.dumps(sorted({{m.partition('.')[0] for m in sys.modules}})))"
    loaded = _in_a_new_interpreter(code, tmp_path)
    assert PACKAGE in loaded
    assert not set(HEAVY) & set(loaded)


def _seconds_to_import(name: str, tmp_path: Path) -> float:
    code = f"import time; t = time.perf_counter(); import {name}; print(time.perf_counter() - t)"
    return _in_a_new_interpreter(code, tmp_path)


def test_import_is_fast(tmp_path):
    ratios = []
    # a busy machine slows single runs: medians, taken in turns, and a second and third chance
    for _ in range(3):
        pairs = [(_seconds_to_import(PACKAGE, tmp_path), _seconds_to_import("scipy.fft", tmp_path)) for _ in range(5)]
        ours, theirs = (statistics.median(times) for times in zip(*pairs, strict=True))
        ratios.append(ours / theirs)
        if ratios[-1] < 3:
            return
    pytest.fail(f"importing {PACKAGE} takes {min(ratios):.1f} times as long as scipy.fft, at most 3 allowed")
