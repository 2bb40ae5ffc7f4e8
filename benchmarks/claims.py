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
_SAME_MEMORY = 0.1  # images
_BUDGET = 256  # MB that spectra may need beside themselves, whatever their number
_JOINT = "imreg_xp, joint"
_TURNED = "imreg_xp, similarity"
_OURS = {"wrap": "imreg_xp, wrap", "overlap": "imreg_xp, overlap"}


def doubts(record: Record) -> list[str]:
    """Return a sentence for each of our rows whose pulls, coverage or error are not what they should be."""
    check = {
        "calibration": _calibration, "accuracy": _accuracy, "faint": _faint, "spectra": _spectra, "turned": _turned,
    }.get(record["command"])  # fmt: skip
    return [] if check is None else [s for row in record["rows"] if _ours(row) for s in check(row)]


def _ours(row: Row) -> bool:
    return row["method"].startswith(("imreg_xp", "chi²"))


def _allowed(row: Row, least: float) -> float:
    """Return what an rms over 2 components of so many realisations may be off."""
    count = row["realisations"] * row.get("frames", 1) if "spectra" not in row else row["spectra"] / 2
    return least + _SCATTER / math.sqrt(4 * count)


def _calibration(row: Row) -> Iterator[str]:
    if row["noise_beam"] and row["method"].endswith("white"):
        return  # says so itself
    where = f"{row['method']}, {row['case']}"
    if row["pull"] is None:
        yield f"{where}: no answers"
        return
    yield from _pulls(row, where, _CORRELATED if row["noise_beam"] else _WHITE)
    if row["boundary"] == "wrap" and "overlap" in row["method"]:
        return  # leaves out the border, which the bound does not
    yield from _against_bound(row, where)


def _pulls(row: Row, where: str, least: float) -> Iterator[str]:
    if row["pull"] is not None and abs(row["pull"] - 1) > _allowed(row, least):
        yield f"{where}: the rms of the pulls is {row['pull']:.2f}, not 1"


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


def _faint(row: Row) -> Iterator[str]:
    """Look at the joint estimate: what it is for is to be as good as if the scene were known."""
    if row["method"] != _JOINT:
        return
    where = f"{row['method']}, {row['scene']}, S/N {row['snr']:g}, {row['frames']} frames"
    if row["lost"]:
        yield f"{where}: {row['lost']:.1%} lost"
    yield from _against_bound(row, where)
    yield from _pulls(row, where, _CORRELATED)


def _spectra(row: Row) -> Iterator[str]:
    where = f"{row['spectra']} spectra, S/N {row['snr']:g}"
    yield from _pulls(row, where, _WHITE)
    if row["megabytes"] is not None and row["megabytes"] > _BUDGET:
        yield f"{where}: {row['megabytes']:.0f} MB beside the data, more than {_BUDGET}"


def _turned(row: Row) -> Iterator[str]:
    if row["method"] != _TURNED:
        return
    where = f"{row['method']}, {row['scene']}, noise {row['noise']:g}"
    if row["lost"]:
        yield f"{where}: {row['lost']:.0%} lost"
    # four parameters, not two
    yield from _pulls({**row, "frames": 2}, where, _WHITE)


def _meant(scene: str) -> str:
    return _OURS["wrap" if scene == "periodic" else "overlap"]


def wins(record: Record) -> list[str]:
    """Return a sentence for each peer that is faster, or nearer to the truth, than we are, and in which rows."""
    find = {
        "speed": _faster, "accuracy": _nearer, "calibration": _truer, "scaling": _faster_at,
        "documented": _same_function, "systems": _nearer_than_register, "faint": _nearer_than_jointly,
        "turned": _better_at_turns,
    }.get(record["command"])  # fmt: skip
    told: dict[str, list[str]] = {}
    for start, where in find(record["rows"]) if find else ():
        told.setdefault(start, []).append(where)
    return [f"{start}: by {'; '.join(where)}" for start, where in told.items()]


def _faster(rows: list[Row]) -> Iterator[tuple[str, str]]:
    """Compare with the fastest of ours, which takes images as periodic as peers do, and with the default."""
    case = ("kind", "size", "frames", "dtype", "threads")
    for mine in ("imreg_xp, wrap, white", "imreg_xp, overlap"):
        for ours, row in _rivals(rows, case, "ms", lambda _, mine=mine: mine):
            what = f"{row['frames']} × {row['size']}²" if row["kind"] == "stack" else f"a pair of {row['size']}²"
            threads = f"{row['threads']} thread{'s' if row['threads'] > 1 else ''}"
            times = f"{ours['ms'] / row['ms']:.1f} ({what}, {row['dtype']}, {threads})"
            yield f"{row['method']} is faster than {mine}", times
        for ours, row in _rivals(rows, case, "images", lambda _, mine=mine: mine):
            what = f"{row['frames']} × {row['size']}², {row['dtype']}"
            less = f"{ours['images'] - row['images']:.1f} times the images given ({what})"
            if ours["images"] - row["images"] > _SAME_MEMORY:
                yield f"{row['method']} needs less memory than {mine}", less


def _faster_at(rows: list[Row]) -> Iterator[tuple[str, str]]:
    for mine in ("imreg_xp, wrap", "imreg_xp, wrap, white", "imreg_xp, overlap"):
        for ours, row in _rivals(rows, ("against", "value"), "ms", lambda _, mine=mine: mine):
            times = f"{ours['ms'] / row['ms']:.1f} ({row['value']} {row['against']})"
            yield f"{row['method']} is faster than {mine}", times


def _truer(rows: list[Row]) -> Iterator[tuple[str, str]]:
    """Compare errors claimed with errors made: pulls whose rms is nearer to 1 by more than chance."""
    off = [{**r, "off": None if r["pull"] is None else abs(math.log(r["pull"]))} for r in rows]
    for ours, row in _rivals(off, ("case",), "off", lambda r: _OURS[r["boundary"]]):
        if ours["off"] - row["off"] > _SCATTER / math.sqrt(4 * row["realisations"]):
            times = f"{ours['off'] - row['off']:.2f} of the rms of the pulls ({row['case']})"
            yield f"the errors of {row['method']} are truer than those of {ours['method']}", times


def _nearer_than_register(rows: list[Row]) -> Iterator[tuple[str, str]]:
    for ours, row in _rivals(rows, ("scene", "noise"), "rms", lambda r: _meant(r["scene"]), all_others=True):
        times = f"{ours['rms'] / row['rms']:.2f} ({row['scene']}, noise {row['noise']:g})"
        yield f"{row['method']} is nearer than {ours['method']}", times


def _nearer_than_jointly(rows: list[Row]) -> Iterator[tuple[str, str]]:
    usual = [r for r in rows if not r["method"].endswith("known")]
    for ours, row in _rivals(usual, ("scene", "snr", "frames"), "rms", lambda _: _JOINT, all_others=True):
        times = f"{ours['rms'] / row['rms']:.2f} ({row['scene']}, S/N {row['snr']:g}, {row['frames']} frames)"
        yield f"{row['method']} is nearer than {ours['method']}", times


def _better_at_turns(rows: list[Row]) -> Iterator[tuple[str, str]]:
    """Compare errors of what is found, and times once."""
    case = ("scene", "noise")
    for field, what in (("rms_angle", "angle"), ("rms_magnification", "magnification"), ("rms_shift", "shift")):
        for ours, row in _rivals(rows, case, field, lambda _: _TURNED):
            times = f"{ours[field] / row[field]:.2f} in {what} ({row['scene']}, noise {row['noise']:g})"
            yield f"{row['method']} is nearer than {ours['method']}", times
    for ours, row in _rivals(list({r["method"]: r for r in rows}.values()), ("size",), "ms", lambda _: _TURNED):
        yield f"{row['method']} is faster than {ours['method']}", f"{ours['ms'] / row['ms']:.1f} ({row['size']}²)"


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
    rows: list[Row], case: tuple[str, ...], field: str, meant: Callable[[Row], str], *, all_others: bool = False
) -> Iterator[tuple[Row, Row]]:
    """Go through the pairs of our row and that of a peer (or any other) which is better in the same case."""
    ours = {tuple(r[k] for k in case): r for r in rows if r["method"] == meant(r) and r[field] is not None}
    for row in rows:
        mine = ours.get(tuple(row[k] for k in case))
        peer = (all_others or not _ours(row)) and "rfft2" not in row["method"]
        if mine is not None and peer and row[field] is not None and row[field] < mine[field]:
            yield mine, row
