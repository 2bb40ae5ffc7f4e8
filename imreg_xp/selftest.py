"""The tests of this package, run from Python."""

from __future__ import annotations

import importlib.util
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

__all__ = ["test"]


def test(
    package: str | None = None,
    test_path: str | None = None,
    args: str | None = None,
    plugins: Sequence[Any] | None = None,
    verbose: bool = False,
    pastebin: str | None = None,
    remote_data: bool = False,  # noqa: ARG001
    pep8: bool = False,  # noqa: ARG001
    pdb: bool = False,
    coverage: bool = False,
    open_files: bool = False,  # noqa: ARG001
    **kwargs: Any,
) -> int:
    """Run the tests with pytest.

    In a checkout these are the test suite, elsewhere the examples in the docstrings.

    Parameters
    ----------
    package : str, optional
        The examples of one part only, such as ``"fft_tools"``.
    test_path : str, optional
        A file or folder of tests.
    args : str, optional
        More arguments for pytest, as on a command line.
    plugins : list, optional
        For pytest.
    verbose, pdb : bool
        ``-v``, ``--pdb``.
    pastebin : {"failed", "all"}, optional
        ``--pastebin``.
    coverage : bool
        ``--cov`` (needs pytest-cov).
    remote_data, pep8, open_files : bool
        Without effect: no test uses the network, style is checked by other means, and all warnings are errors.
    **kwargs
        `parallel`: the number of processes (needs pytest-xdist), negative for all cores.

    Returns
    -------
    int
        Exit code, 0 if all passed.

    Raises
    ------
    ImportError
        pytest is not installed.
    TypeError
        An argument that is none of these.
    """
    parallel = kwargs.pop("parallel", 0)
    if kwargs:
        msg = f"test() got an unexpected keyword argument `{next(iter(kwargs))}`"
        raise TypeError(msg)
    if importlib.util.find_spec("pytest") is None:
        msg = 'the tests need pytest: pip install "imreg-xp[test]"'
        raise ImportError(msg)
    import pytest

    options = _where(package, test_path)
    options += ["-v"] * verbose + ["--pdb"] * pdb + ["--cov", __package__] * coverage
    options += [f"--pastebin={pastebin}"] if pastebin else []
    options += ["-n", "auto" if parallel < 0 else str(parallel)] if parallel else []
    return int(pytest.main(options + shlex.split(args or ""), plugins=plugins))


def _where(package: str | None, test_path: str | None) -> list[str]:
    """Return what to test: a path, or modules for their examples."""
    own = Path(__file__).parent
    if test_path is not None:
        return [test_path]
    if package is None and (own.parent / "tests" / "house_rules.py").exists():
        return [str(own.parent / "tests")]
    chosen = own.joinpath(*package.split(".")) if package else own
    if not chosen.exists() and not chosen.with_suffix(".py").exists():
        msg = f"`package` must be a part of {__package__}, got {package!r}"
        raise ValueError(msg)
    return ["--doctest-modules", str(chosen if chosen.exists() else chosen.with_suffix(".py"))]
