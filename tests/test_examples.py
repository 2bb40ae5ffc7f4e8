"""The examples in the docstrings run, and give what they say."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
from pathlib import Path

import pytest

import imreg_xp

MODULES = ["imreg_xp", *(m.name for m in pkgutil.walk_packages(imreg_xp.__path__, "imreg_xp."))]
WITH_EXAMPLES = {
    "imreg_xp",
    "imreg_xp.chi2_shifts.shifts",
    "imreg_xp.cross_correlation_shifts",
    "imreg_xp.fft_tools.convolve_nd",
    "imreg_xp.methods.gohlke",
}


@pytest.mark.parametrize("name", [m for m in MODULES if not m.endswith("__main__")])
def test_examples(name):
    # a module may have the name of its function
    importlib.import_module(name)
    module = __import__("sys").modules[name]
    found = doctest.testmod(module)
    assert found.failed == 0
    assert (found.attempted > 0) or name not in WITH_EXAMPLES


@pytest.mark.parametrize("name", ["methods.rst", "native.rst"])
def test_examples_of_a_page_of_the_documentation(name):
    page = Path(__file__).parent.parent / "docs" / name
    found = doctest.testfile(str(page), module_relative=False, encoding="utf-8")
    assert found.attempted > 0
    assert found.failed == 0
