"""What the numbers say against us: claims that do not hold, and rows in which a peer wins."""

from __future__ import annotations

import math
from collections.abc import Iterator
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
    """Return a sentence for each row in which a peer is faster, or nearer to the truth, than we are."""
    if record["command"] == "speed":
        return list(_faster(record["rows"]))
    return list(_nearer(record["rows"])) if record["command"] == "accuracy" else []


def _faster(rows: list[Row]) -> Iterator[str]:
    case = ("kind", "size", "frames", "dtype", "threads")
    for ours in rows:
        if ours["method"] != "imreg_xp, wrap, white" or ours["ms"] is None:
            continue
        peers = [r for r in rows if all(r[k] == ours[k] for k in case) and not _ours(r) and "rfft2" not in r["method"]]
        for row in sorted((r for r in peers if r["ms"] is not None and r["ms"] < ours["ms"]), key=lambda r: r["ms"]):
            what = f"{row['frames']} × {row['size']}²" if row["kind"] == "stack" else f"a pair of {row['size']}²"
            threads = "1 thread" if row["threads"] == 1 else f"{row['threads']} threads"
            yield (
                f"{row['method']} is faster by {ours['ms'] / row['ms']:.1f} than {ours['method']}: "
                f"{what}, {row['dtype']}, {threads}"
            )


def _nearer(rows: list[Row]) -> Iterator[str]:
    for ours in rows:
        if ours["method"] != _meant(ours["scene"]) or ours["rms"] is None:
            continue
        for row in rows:
            same = all(row[k] == ours[k] for k in ("scene", "noise", "size"))
            if same and not _ours(row) and row["rms"] is not None and row["rms"] < ours["rms"]:
                yield (
                    f"{row['method']} is nearer by {ours['rms'] / row['rms']:.2f} than {ours['method']}: "
                    f"{row['scene']}, noise {row['noise']:g}"
                )
