"""Figures quoted in texts: each says in a comment which row of which JSON file it comes from.

The comment stands in the text that quotes it, ``<!-- bench: ... -->`` in Markdown, ``.. bench: ...`` in
reStructuredText, on one line; those of the docstrings of the package are in ``quoted.txt``::

    bench: 2.1 = speed.json; kind=stack; method=imreg_xp, wrap; dtype=float32; threads=1; ratio
    bench: 0.025 >= limits.json; what=undersampled; value
    bench: 68.27, 1.515 = given

The row with these fields must exist, and its last named field must round to the figure. With ``>=`` the figure is a
limit: no row that fits is above it, and it is not twice as large as need be; with ``<=`` likewise from below. What is
given is a condition or a definition, no result.

Every figure that reads like a result must have such a comment: one with a decimal point or an exponent, in percent,
or before "times", "ms", "MB" and the like.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

__all__ = ["docstrings", "quoted", "unfounded"]

Row = dict[str, Any]

_MARK = re.compile(
    r"(?:<!--|^\.\.)\s*bench:\s*(?P<said>[^=<>\n]+?)\s*(?P<sign>=|>=|<=)\s*(?P<source>[^\n]*?)\s*(?:-->|$)",
    re.MULTILINE,
)
# what reads like a result of a benchmark
_CLAIM = re.compile(
    r"(?<![\w.\-^/])(?P<said>\d+\.\d+(?:e-?\d+)?(?![\w.]*\.\w)|\d+e-\d+"
    r"|\d+(?=\s*(?:%|×|(?:x|times|ms|µs|seconds|MB|GB)\b)(?!\s*\d)))"
)
# what is no prose: code, its output, roles and names, tables made from the files, addresses
_CODE = re.compile(
    r"^```.*?^```|<!-- begin (\w+) -->.*?<!-- end \1 -->|^ *>>>.*?(?=\n\s*\n|\Z)|``[^`]*``|:\w+:`[^`]*`|`[^`]*`"
    r"|doi:\S+|https?:\S+|\]\([^)]*\)|^\.\. code-block::.*?(?=^\S|\Z)|^\.\. math::.*?(?=\n\s*\n|\Z)",
    re.MULTILINE | re.DOTALL,
)


def docstrings(path: Path, root: Path) -> str:
    """Return the docstrings of a Python file, and the comments that say where their figures are from."""
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Module
    found = [ast.get_docstring(node) or "" for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, kinds)]
    return "\n\n".join([*found, *(f".. bench: {source}" for file, source in quoted() if root / file == path)])


def quoted() -> list[tuple[str, str]]:
    """Return the lines of ``quoted.txt``: the file that quotes, and what a comment in it would say."""
    lines = Path(__file__).with_name("quoted.txt").read_text().splitlines()
    return [tuple(line.split(": ", 1)) for line in lines if line and not line.startswith("#")]


def unfounded(text: str, folder: Path) -> list[str]:
    """Return a sentence for each figure that no row bears out, and for each that says nowhere where it is from."""
    marks = list(_MARK.finditer(text))
    rest = _CODE.sub(" ", _MARK.sub("", text))
    found: list[str] = []
    marked: set[str] = set()
    for mark in marks:
        figures = [figure.strip() for figure in mark["said"].split(",")]
        marked.update(figures)
        found += [f"{said}: the text does not say it" for said in figures if not _says(rest, said)]
        if mark["source"] != "given":
            found += [problem for said in figures for problem in _wrong(said, mark["sign"], mark["source"], folder)]
    claims = dict.fromkeys(claim["said"] for claim in _CLAIM.finditer(rest))
    return found + [f"{said}: nothing says where it is from" for said in claims if said not in marked]


def _says(text: str, said: str) -> bool:
    return re.search(rf"(?<![\d.]){re.escape(said)}(?![\d]|\.\d)", text) is not None


def _wrong(said: str, sign: str, source: str, folder: Path) -> Iterator[str]:
    file, *conditions, field = (part.strip() for part in source.split(";"))
    path = folder / file
    if not path.is_file():
        yield f"{said}: there is no {file}"
        return
    wanted = dict(condition.split("=", 1) for condition in conditions)
    rows = [r for r in json.loads(path.read_text())["rows"] if all(_fits(r.get(k), v) for k, v in wanted.items())]
    values = [r[field] for r in rows if isinstance(r.get(field), (int, float))]
    if not values or (sign == "=" and len(rows) != 1):
        yield f"{said}: {len(rows)} rows of {file} fit {wanted}, {len(values)} of them with a number"
    elif not _holds(said, sign, values):
        yield f"{said}: {field} is {', '.join(f'{v:.4g}' for v in sorted({min(values), max(values)}))}"


def _holds(said: str, sign: str, values: list[float]) -> bool:
    """Return whether a figure is what the values round to, or a limit of them that is not far off."""
    if sign == "=":
        digits = len(said.partition("e")[0].partition(".")[2])
        form = f".{digits}e" if "e" in said else f".{digits}f"
        return float(format(values[0], form)) == float(said)
    limit = float(said)
    return max(values) <= limit <= 2 * max(values) if sign == ">=" else min(values) / 2 <= limit <= min(values)


def _fits(value: Any, wanted: str) -> bool:
    """Return whether a field has a value; a * at its end stands for anything."""
    text = value if isinstance(value, str) else json.dumps(value)
    return text.startswith(wanted[:-1]) if wanted.endswith("*") else text == wanted
