"""What the numbers say against us: claims that do not hold, and rows in which a peer wins."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["doubts", "wins"]

Record = dict[str, Any]
Row = dict[str, Any]

# an rms of n numbers scatters by 1 / sqrt(2 n) of itself; this many of these are no finding
_SCATTER = 2.5
_WHITE, _CORRELATED = 0.05, 0.1
_BOUND = 0.1
_OURS = {"wrap": "imreg_xp, wrap", "overlap": "imreg_xp, overlap"}


def doubts(record: Record) -> list[str]:
    """Return a sentence for each of our rows whose pulls, coverage or error are not what they should be."""
    check = {"calibration": _calibration, "accuracy": _accuracy}.get(record["command"])
    return [] if check is None else [s for row in record["rows"] if _ours(row) for s in check(row)]


def _ours(row: Row) -> bool:
    return row["method"].startswith("imreg_xp")


def _allowed(row: Row, least: float) -> float:
    return least + _SCATTER / math.sqrt(4 * row["realisations"])


def _calibration(row: Row) -> Iterator[str]:
    if row["noise_beam"] and row["method"].endswith("white"):
        return  # says so itself
    where = f"{row['method']}, {row['case']}"
    if row["pull"] is None:
        yield f"{where}: no answers"
        return
    if abs(row["pull"] - 1) > _allowed(row, _CORRELATED if row["noise_beam"] else _WHITE):
        yield f"{where}: the rms of the pulls is {row['pull']:.2f}, not 1"
    if row["boundary"] == "wrap" and "overlap" in row["method"]:
        return  # leaves out the border, which the bound does not
    yield from _against_bound(row, where)


def _against_bound(row: Row, where: str) -> Iterator[str]:
    ratio = row["rms_over_bound"]
    if ratio is not None and ratio > 1 + _allowed(row, _BOUND):
        yield f"{where}: the error is {ratio:.2f} times the Cramér-Rao bound"


def _accuracy(row: Row) -> Iterator[str]:
    """Look at each method in the scenes it is meant for."""
    if row["method"] != _meant(row["scene"]):
        return
    where = f"{row['method']}, {row['scene']}, noise {row['noise']:g}"
    if row["lost"]:
        yield f"{where}: {row['lost']:.0%} lost"
    yield from _against_bound(row, where)


def _meant(scene: str) -> str:
    return _OURS["wrap" if scene == "periodic" else "overlap"]


def wins(record: Record) -> list[str]:
    """Return a sentence for each peer that is faster, or nearer to the truth, than we are, and in which rows."""
    find = {"speed": _faster, "accuracy": _nearer, "documented": _same_function}.get(record["command"])
    told: dict[str, list[str]] = {}
    for start, where in find(record["rows"]) if find else ():
        told.setdefault(start, []).append(where)
    return [f"{start}: by {'; '.join(where)}" for start, where in told.items()]


def _faster(rows: list[Row]) -> Iterator[tuple[str, str]]:
    case = ("kind", "size", "frames", "dtype", "threads")
    for ours, row in _rivals(rows, case, "ms", lambda _: "imreg_xp, wrap, white"):
        what = f"{row['frames']} × {row['size']}²" if row["kind"] == "stack" else f"a pair of {row['size']}²"
        threads = f"{row['threads']} thread{'s' if row['threads'] > 1 else ''}"
        times = f"{ours['ms'] / row['ms']:.1f} ({what}, {row['dtype']}, {threads})"
        yield f"{row['method']} is faster than {ours['method']}", times


def _nearer(rows: list[Row]) -> Iterator[tuple[str, str]]:
    for ours, row in _rivals(rows, ("scene", "noise", "size"), "rms", lambda r: _meant(r["scene"])):
        times = f"{ours['rms'] / row['rms']:.2f} ({row['scene']}, noise {row['noise']:g})"
        yield f"{row['method']} is nearer than {ours['method']}", times


def _same_function(rows: list[Row]) -> Iterator[tuple[str, str]]:
    for row in rows:
        if row.get("ratio") is not None and row["ratio"] < 1:
            yield f"{row['what']} of image-registration is faster than ours", f"{1 / row['ratio']:.2f} ({row['size']}²)"
        if row.get("theirs_rms") is not None and row["theirs_rms"] < row["rms"]:
            times = f"{row['rms'] / row['theirs_rms']:.2f} ({row['scene']})"
            yield f"{row['what']} of image-registration is nearer than ours", times


def _rivals(
    rows: list[Row], case: tuple[str, ...], field: str, meant: Callable[[Row], str]
) -> Iterator[tuple[Row, Row]]:
    """Go through the pairs of our row and that of a peer which is better in the same case."""
    ours = {tuple(r[k] for k in case): r for r in rows if r["method"] == meant(r) and r[field] is not None}
    for row in rows:
        mine = ours.get(tuple(row[k] for k in case))
        peer = not _ours(row) and "rfft2" not in row["method"]
        if mine is not None and peer and row[field] is not None and row[field] < mine[field]:
            yield mine, row
