"""Figures quoted in texts: each says in a comment which row of which JSON file it comes from.

The comment stands in the text that quotes it, ``<!-- bench: ... -->`` in Markdown or ``.. bench: ...`` in
reStructuredText, on one line::

    bench: 2.1 = speed.json; kind=stack; method=imreg_xp, wrap; dtype=float32; threads=1; ratio

The row with these fields must exist, and its last named field must round to the figure.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

__all__ = ["unfounded"]

_MARK = re.compile(r"(?:<!--|^\.\.)\s*bench:\s*(?P<said>[^=\n]+?)\s*=\s*(?P<source>[^\n]*?)\s*(?:-->|$)", re.MULTILINE)
# what reads like a result of a benchmark
_CLAIM = re.compile(
    r"(?P<said>\d+(?:\.\d+)?)\s*(?:(?:×|x|times)\s+(?:faster|slower|as fast|nearer|the FFTs)|(?:ms|µs)\b)"
)


def unfounded(text: str, folder: Path) -> list[str]:
    """Return a sentence for each figure that no row bears out, and for each that says nowhere where it is from."""
    marks = list(_MARK.finditer(text))
    rest = _MARK.sub("", text)
    found = [problem for mark in marks for problem in _wrong(mark["said"], mark["source"], rest, folder)]
    marked = {mark["said"] for mark in marks}
    claims = (claim["said"] for claim in _CLAIM.finditer(rest))
    return found + [f"{said}: nothing says where it is from" for said in claims if said not in marked]


def _wrong(said: str, source: str, rest: str, folder: Path) -> Iterator[str]:
    if not re.search(rf"(?<![\d.]){re.escape(said)}(?![\d]|\.\d)", rest):
        yield f"{said}: the text does not say it"
    file, *conditions, field = (part.strip() for part in source.split(";"))
    path = folder / file
    if not path.is_file():
        yield f"{said}: there is no {file}"
        return
    wanted = dict(condition.split("=", 1) for condition in conditions)
    rows = [r for r in json.loads(path.read_text())["rows"] if all(_text(r.get(k)) == v for k, v in wanted.items())]
    if len(rows) != 1:
        yield f"{said}: {len(rows)} rows of {file} fit {wanted}, not one"
        return
    digits = len(said.partition(".")[2])
    value = rows[0].get(field)
    if not isinstance(value, (int, float)) or f"{value:.{digits}f}" != said:
        yield f"{said}: {field} is {value}"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
