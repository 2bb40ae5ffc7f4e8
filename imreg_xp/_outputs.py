"""Outputs of commands: what would be destroyed, or cannot be written, is refused before any work is done."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import click

__all__ = ["BadInput", "check_outputs"]


class BadInput(click.ClickException):
    """One line on stderr and exit code 2."""

    exit_code = 2


def check_outputs(
    inputs: Iterable[str | None],
    outputs: Iterable[tuple[str, str | None]],
    *,
    overwrite: bool,
    kept: Iterable[str] = (),
) -> None:
    """Refuse outputs that would destroy something or cannot be written.

    Parameters
    ----------
    inputs : iterable of str or None
        Files, ``FILE[HDU]`` allowed, and numbers.
    outputs : iterable of (str, str or None)
        Option and file.
    overwrite : bool
        Whether outputs may exist.
    kept : iterable of str
        Outputs that may exist in any case.

    Raises
    ------
    BadInput
        What the matter is with one of them.
    """
    given = [p for p in inputs if p]
    given += [p.rpartition("[")[0] for p in given if p.endswith("]")]
    files = [p for p in map(Path.expanduser, map(Path, given)) if p.is_file()]
    names, same, seen = {p.resolve() for p in files}, {_identity(p) for p in files}, set[Path]()
    may_exist = set(kept)
    for option, name in outputs:
        if name is None:
            continue
        path = Path(name)
        problem = None
        if path.is_dir():
            problem = "is a directory"
        elif not path.parent.is_dir():
            problem = f"there is no directory {path.parent}"
        elif path.resolve() in names or (path.exists() and _identity(path) in same):
            problem = "is one of the inputs"
        elif path.resolve() in seen:
            problem = "is asked for twice"
        elif path.exists() and not overwrite and name not in may_exist:
            problem = "exists; --overwrite replaces it"
        if problem is not None:
            msg = f"{option} {name}: {problem}"
            raise BadInput(msg)
        seen.add(path.resolve())


def _identity(path: Path) -> tuple[int, int]:
    """Return what two names of one file have in common."""
    status = path.stat()
    return status.st_dev, status.st_ino
