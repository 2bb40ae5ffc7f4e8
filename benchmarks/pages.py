"""Tables of the results in other pages, between ``<!-- begin NAME -->`` and ``<!-- end NAME -->``."""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["fill", "filled", "places"]

_BLOCK = re.compile(r"<!-- begin (?P<name>\w+) -->\n.*?<!-- end (?P=name) -->", re.DOTALL)


def places(text: str) -> list[str]:
    """Return the names of the tables that a page has a place for."""
    return [m["name"] for m in _BLOCK.finditer(text)]


def filled(text: str, blocks: dict[str, str]) -> str:
    """Return a page with the tables in their places; one that is not there stays as it was."""

    def block(found: re.Match[str]) -> str:
        name = found["name"]
        return f"<!-- begin {name} -->\n\n{blocks[name]}\n\n<!-- end {name} -->" if name in blocks else found[0]

    return _BLOCK.sub(block, text)


def fill(folder: Path, blocks: dict[str, str]) -> list[Path]:
    """Fill the pages of a folder, and return those that changed."""
    changed = []
    for path in sorted(folder.glob("*.md")):
        text = path.read_text()
        new = filled(text, blocks)
        if new != text:
            path.write_text(new)
            changed.append(path)
    return changed
