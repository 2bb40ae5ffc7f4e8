"""The page of all results: text and tables from the JSON files, and the plots beside them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from . import named, pages
from .claims import doubts, wins
from .record import ROWS, read
from .tables import COLUMNS, as_markdown, brief, pivot

__all__ = ["blocks", "make", "page", "records"]

Record = dict[str, Any]
Row = dict[str, Any]

_REPRODUCE = """To do it again:

```bash
python -m pip install ".[bench]" && python -m benchmarks all && python -m benchmarks report
```

`python -m benchmarks compare OLD NEW` tells if a later `speed.json` is worse; `--quick` is a try of two minutes."""

_INTRO = {
    "speed": (
        "All methods take turns in one process on the same pixels. Times are medians, milliseconds; in brackets the "
        "multiple of the bare FFTs of the same run: of a pair, the transforms of both images and one back "
        "(`scipy.fft.rfft2`, `irfft2`, same dtype); of a stack, one and one back of each frame, all at once."
        " (Cutting the stack into pieces that stay in the cache is faster; that row is there, too.) \"wrap\" takes "
        "images as periodic, as all peers but the masked one do; \"overlap\" compares only the pixels that both "
        "pointings hold, with gain and background free, and returns the errors. Peak memory is that of a process of "
        "its own, in units of the images given."
    ),
    "accuracy": (
        "Rms error of the shift in pixels over seeded realisations, all answers counted that are numbers. Noise is in "
        "units of the rms of the scene; shifts are up to 5 % of the image, gain and background of any size. The bound "
        "is that of Cramér and Rao for a known reference with gain and background unknown. Methods that take no mask "
        "get the median in the place of masked pixels; pystackreg and scikit-image without phases, which allow for "
        "neither gain nor background, get images of mean 0 and rms 1. Real images are averaged over blocks of pixels "
        "from windows a known number of pixels apart: no interpolation took part in the truth."
    ),
    "calibration": (
        "A pull is the error made over the error claimed, 1 sigma of each axis: its rms should be 1, 68.3 % of "
        "pulls within 1 and 95.4 % within 2. The efficiency, the Cramér-Rao bound (a known reference, white noise "
        "of the variance of both images together) over the rms error, should be 1. The errors of the documented "
        "chi² functions, which are those of two parameters jointly, are divided by 1.515; they take one error, "
        "which is that of both images together. \"white\" takes the noise for white, also where it is not."
    ),
    "scaling": "Time and peak memory, float64, one thread; the slope is that of a power law through all sizes.",
    "gpu": (
        "Rows called a model are no measurement: they are what the model of CuPy in the tests counts that a GPU would "
        "be asked to do for one chunk of float32 frames. Measured rows give the time as a multiple of that of the bare "
        "rfft2 and irfft2 of the same frames on the device, the bandwidth (bytes counted by the model per time) as one "
        "of that of a copy there, and the speed-up over NumPy on the host, on one thread."
    ),
    "documented": (
        "Each documented function beside the same one of `image-registration`, one thread; above 1 we are faster. "
        "The two take turns, each in a process of its own, as whoever chooses one of them runs it."
    ),
    "systems": (
        "The functions of [the systems that people know by name](methods.md) on scenes of the accuracy part, and on "
        "a field of stars. What is left at a noise of 0.0001 is the bias of a method: the rms over random sub-pixel "
        "shifts, without answers that are off by more than 1 pixel, whose share is in brackets. Time is that of a "
        "pair in float64, in brackets as a multiple of the bare FFTs."
    ),
    "turned": (
        "Images that are turned, magnified and shifted by up to 5 % of their size, with gain and background: small "
        "turns up to 5 degrees and 5 %, any turn up to half a turn and from 0.7 to 1.4. Skies are summed directly "
        "at every position; real images are smoothed by a beam of 1.5 pixels and interpolated by splines of degree 5, "
        "and are empty where the turned one looks beyond the picture. Rms error of angle, magnification (relative) and "
        "shift (per axis), of the answers that misplace the pixels by less than 3 (rms over the image); the others are "
        "lost. Pulls are those of all four parameters. Time is that of a pair in float64 on one thread."
    ),
    "faint": (
        "The claim of Gratadour, Mugnier & Rouan (2005): frames too faint to be registered in pairs are registered "
        "to a small fraction of a pixel by maximum likelihood of the unknown scene and of all shifts at once, with "
        "100 frames at a signal-to-noise ratio of 1 per pixel. Here that is `register_stack(\"joint\", ...)`. Rms "
        "error of the shifts less their mean, in pixels; in brackets the share that is off by more than 1. The "
        "bound is that of Cramér and Rao for a scene that is known. Pulls are relative to the first frame."
    ),
    "limits": (
        "What the documentation says in figures of the limits of `register`, `apply_shift` and `apply_transform`. "
        "Undersampled images have noise of a thousandth of their rms: what is left is bias."
    ),
    "spectra": (
        "Redshifts by `spectral_shift`, lines of 1.5 to 3 pixels (sigma). The scatter of the velocities beside the "
        "error that is claimed (medians), by chi² and after Tonry & Davis, and the pulls of each. The batch is one "
        "call in float32; memory is what it needs beside the data."
    ),
}  # fmt: skip
_PLOTS = {"speed": "Time against peers", "accuracy": "Error against signal to noise", "calibration": "Pulls",
          "scaling": "Time against pixels and frames", "faint": "Error against the number of frames"}  # fmt: skip


def records(folder: Path) -> dict[str, Record]:
    """Return the records in a folder, by part."""
    return {part: read(folder / f"{part}.json") for part in ROWS if (folder / f"{part}.json").exists()}


def make(folder: Path, path: Path) -> list[Path]:
    """Write the page and its plots, and return their paths."""
    from . import plots  # noqa: PLC0415  (matplotlib is an extra)

    found = records(folder)
    if not found:
        msg = f"there are no JSON files in {folder}"
        raise ValueError(msg)
    drawn = [plots.draw(part, record, folder / f"{part}.png") for part, record in found.items() if part in _PLOTS]
    path.write_text(page(found, os.path.relpath(folder, path.parent)))
    return [path, *pages.fill(path.parent, blocks(found)), *drawn]


def blocks(found: dict[str, Record]) -> dict[str, str]:
    """Return the tables that other pages have places for, as far as their parts were run."""
    made = {part: "\n\n".join(_TABLES[part](found[part])) for part in ("faint", "spectra") if part in found}
    return made | ({"systems": named.table(found)} if "systems" in found else {})


def page(found: dict[str, Record], folder: str) -> str:
    """Return the page; `folder` is where its plots are."""
    parts = ["# Benchmarks", *_head(found), _REPRODUCE]
    for part, record in found.items():
        parts += [f"## {part.capitalize()}", _INTRO[part]]
        if record["quick"]:
            parts.append("This is a quick run: its numbers say little.")
        if part in _PLOTS:
            parts.append(f"![{_PLOTS[part]}]({folder}/{part}.png)")
        parts += _TABLES[part](record)
        parts += _listed("Where a peer wins:", wins(record))
        parts += _listed("Where we fall short:", doubts(record))
    return "\n\n".join(parts) + "\n"


def _head(found: dict[str, Record]) -> Iterator[str]:
    yield "This page is made by `python -m benchmarks report` from the JSON files beside its plots; edit neither."
    lines = ["| part | date | machine | Python | threads | took, s |", "| --- | --- | --- | --- | --- | --- |"]
    for part, record in found.items():
        e = record["environment"]
        machine = f"{e['cpu']}, {e['cpus']} cores, {e['platform']}"
        threads = "1 and 2" if part == "speed" else "1"
        lines.append(
            f"| {part} | {record['date']} | {machine} | {e['python']} | {threads} | {e.get('seconds', 0):.0f} |"
        )
    took = sum(record["environment"].get("seconds", 0) for record in found.values())
    yield "\n".join(lines)
    yield f"All parts together took {took / 60:.1f} minutes (`python -m benchmarks all`)."
    versions = next(iter(found.values()))["environment"]["versions"]
    yield (
        f"Versions, of the run of {next(iter(found))}: "
        + ", ".join(f"{name} {version}" for name, version in versions.items())
        + "."
    )


def _listed(heading: str, sentences: Sequence[str]) -> list[str]:
    return [heading, "\n".join(f"- {s}." for s in sentences)] if sentences else []


def _threads(row: Row) -> str:
    return f"{row['dtype']}, {row['threads']} thread{'s' if row['threads'] > 1 else ''}"


def _speed(record: Record) -> Iterator[str]:
    def cell(row: Row) -> str:
        return row["note"] or "-" if row["ms"] is None else f"{brief(row['ms'])} ({row['ratio']:.2f})"

    pairs = [r for r in record["rows"] if r["kind"] == "pair"]
    stacks = [r for r in record["rows"] if r["kind"] == "stack"]
    yield "Pairs in float64 on one thread, ms (x FFTs):"
    plain = [r for r in pairs if (r["dtype"], r["threads"]) == ("float64", 1)]
    yield pivot(plain, "method", lambda r: f"{r['size']}²", cell)
    for size in dict.fromkeys(r["size"] for r in pairs if r not in plain):
        yield f"Pairs of {size}², ms (x FFTs):"
        yield pivot([r for r in pairs if r["size"] == size], "method", _threads, cell)
    for frames, size in dict.fromkeys((r["frames"], r["size"]) for r in stacks):
        yield f"A stack of {frames} × {size}², ms (x FFTs); methods without stacks are looped, timed on a few frames:"
        yield pivot([r for r in stacks if (r["frames"], r["size"]) == (frames, size)], "method", _threads, cell)
    weighed = [r for r in record["rows"] if r["images"] is not None]
    if weighed:
        yield "Peak memory, in units of the images given:"
        yield pivot(weighed, "method", lambda r: f"{r['frames']} × {r['size']}², {r['dtype']}",
                    lambda r: f"{r['images']:.1f}")  # fmt: skip


def _accuracy(record: Record) -> Iterator[str]:
    def cell(row: Row) -> str:
        if row["rms"] is None:
            return row["note"] or "-"
        lost = f", {row['lost']:.0%} off" if row["lost"] else ""
        return f"{row['rms']:.4f}{lost}"

    for scene in dict.fromkeys(r["scene"] for r in record["rows"]):
        rows = [r for r in record["rows"] if r["scene"] == scene]
        bounds = {r["noise"]: {**r, "method": "Cramér-Rao bound", "rms": r["bound"], "lost": 0} for r in rows
                  if r["bound"] is not None}  # fmt: skip
        yield f"{scene[0].upper()}{scene[1:]}, {rows[0]['size']}², rms error in pixels (share off by more than 1):"
        yield pivot([*bounds.values(), *rows], "method", lambda r: f"noise {r['noise']:g}", cell)


def _calibration(record: Record) -> Iterator[str]:
    yield as_markdown(record["rows"], COLUMNS["calibration"])


def _scaling(record: Record) -> Iterator[str]:
    for against in dict.fromkeys(r["against"] for r in record["rows"]):
        rows = [r for r in record["rows"] if r["against"] == against]
        yield f"Against {against}, ms (MB):"
        slopes = [
            {**r, "value": "slope of time (memory)"} for r in {r["method"]: r for r in rows}.values() if r["slope"]
        ]
        yield pivot([*rows, *slopes], "method", lambda r: str(r["value"]), _scaled)


def _scaled(row: Row) -> str:
    if isinstance(row["value"], str):
        return f"{row['slope']:.2f}" + (f" ({row['memory_slope']:.2f})" if row["memory_slope"] is not None else "")
    if row["ms"] is None:
        return row["note"]
    return brief(row["ms"]) + (f" ({row['megabytes']:.0f})" if row["megabytes"] else "")


def _gpu(record: Record) -> Iterator[str]:
    yield as_markdown(record["rows"], COLUMNS["gpu"])


def _documented(record: Record) -> Iterator[str]:
    yield as_markdown([r for r in record["rows"] if "scene" not in r], COLUMNS["timed"])
    yield "Errors against a known shift:"
    yield as_markdown([r for r in record["rows"] if "scene" in r], COLUMNS["errors"])


def _systems(record: Record) -> Iterator[str]:
    def cell(row: Row) -> str:
        if row["rms_found"] is None:
            return row["note"] or "-"
        return f"{row['rms_found']:.4f}" + (f" ({row['lost']:.0%})" if row["lost"] else "")

    times = [
        {**r, "text": f"{brief(r['ms'])} ({r['ratio']:.1f})", "scene": "ms", "noise": None}
        for r in {r["method"]: r for r in record["rows"]}.values() if r["ms"]
    ]  # fmt: skip
    yield f"Images of {record['rows'][0]['size']}², rms error in pixels (share off by more than 1), ms (x FFTs):"
    yield pivot([*record["rows"], *times], "method",
                lambda r: r["scene"] if r["noise"] is None else f"{r['scene']}, noise {r['noise']:g}",
                lambda r: r.get("text") or cell(r))  # fmt: skip


def _turned(record: Record) -> Iterator[str]:
    yield as_markdown(record["rows"], COLUMNS["turned"])


def _faint(record: Record) -> Iterator[str]:
    def cell(row: Row) -> str:
        if row["rms"] is None:
            return row["note"] or "-"
        pull = f", pull {row['pull']:.2f}" if row["pull"] is not None else ""
        return f"{row['rms']:.3f}" + (f" ({row['lost']:.1%})" if row["lost"] else "") + pull

    for scene, snr in dict.fromkeys((r["scene"], r["snr"]) for r in record["rows"]):
        rows = [r for r in record["rows"] if (r["scene"], r["snr"]) == (scene, snr)]
        bounds = {r["frames"]: {**r, "method": "Cramér-Rao bound", "rms": r["bound"], "lost": 0, "pull": None}
                  for r in rows}  # fmt: skip
        yield f"{scene[0].upper()}{scene[1:]}, {rows[0]['size']}², S/N {snr:g} per pixel, rms error in pixels:"
        yield pivot([*bounds.values(), *rows], "method", lambda r: f"{r['frames']} frames", cell)


def _spectra(record: Record) -> Iterator[str]:
    yield as_markdown(record["rows"], COLUMNS["spectra"])


def _limits(record: Record) -> Iterator[str]:
    yield as_markdown(record["rows"], COLUMNS["limits"])


_TABLES = {
    "speed": _speed,
    "accuracy": _accuracy,
    "calibration": _calibration,
    "scaling": _scaling,
    "gpu": _gpu,
    "documented": _documented,
    "systems": _systems,
    "turned": _turned,
    "faint": _faint,
    "limits": _limits,
    "spectra": _spectra,
}
