"""The examples in the docstrings run, and give what they say."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import re
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


DOCS = Path(__file__).parents[1] / "docs"


@pytest.mark.parametrize("name", ["coming_from_image_registration.rst", "faint_frames.md", "methods.md", "native.rst"])
def test_examples_of_a_page_of_the_documentation(name):
    page = DOCS / name
    found = doctest.testfile(str(page), module_relative=False, encoding="utf-8")
    assert found.attempted > 0
    assert found.failed == 0


def test_every_system_in_the_table_has_an_example():
    text = (DOCS / "methods.md").read_text()
    table = re.search(r"<!-- begin systems -->(.*?)<!-- end systems -->", text, re.DOTALL)[1]
    rows = [line.split("|")[1].strip() for line in table.strip().splitlines()[2:]]
    assert len(rows) >= 9
    sections = dict(re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE))
    assert list(sections) == rows
    assert all(">>> " in section for section in sections.values())
