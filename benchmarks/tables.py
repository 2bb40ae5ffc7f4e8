"""Rows as tables, on a terminal and in Markdown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

__all__ = ["COLUMNS", "as_markdown", "as_text", "brief", "pivot"]

Row = dict[str, Any]
Column = tuple[str, str, str]

# field, heading, format
COLUMNS: dict[str, tuple[Column, ...]] = {
    "speed": (
        ("kind", "what", ""), ("frames", "frames", ""), ("size", "size", ""), ("dtype", "dtype", ""),
        ("threads", "threads", ""), ("method", "method", ""), ("ms", "ms", ".2f"), ("ratio", "x FFTs", ".2f"),
        ("images", "images", ".1f"), ("note", "", ""),
    ),
    "accuracy": (
        ("scene", "scene", ""), ("noise", "noise", "g"), ("method", "method", ""), ("rms", "rms, px", ".4f"),
        ("bias", "bias, px", ".4f"), ("lost", "lost", ".2f"), ("rms_over_bound", "rms / bound", ".2f"),
        ("note", "", ""),
    ),
    "calibration": (
        ("case", "case", ""), ("method", "method", ""), ("pull", "pull", ".2f"), ("within_1", "in 1 sigma", ".3f"),
        ("within_2", "in 2 sigma", ".3f"), ("efficiency", "efficiency", ".2f"), ("lost", "lost", ".2f"),
        ("note", "", ""),
    ),
    "scaling": (
        ("against", "against", ""), ("value", "value", ""), ("method", "method", ""), ("ms", "ms", ".1f"),
        ("slope", "slope", ".2f"), ("megabytes", "MB", ".0f"), ("memory_slope", "slope", ".2f"), ("note", "", ""),
    ),
    "gpu": (
        ("what", "what", ""), ("boundary", "boundary", ""), ("noise", "noise", ""), ("frames", "frames", ""),
        ("size", "size", ""), ("launches", "kernels", ".0f"), ("syncs", "waits", ".0f"),
        ("bytes_per_pixel", "bytes / pixel", ".0f"), ("ms_per_frame", "ms / frame", ".4f"),
        ("over_ffts", "x FFTs", ".2f"), ("bandwidth", "x copy", ".2f"), ("speed_up", "x NumPy", ".1f"),
        ("note", "", ""),
    ),
    "timed": (
        ("size", "size", ""), ("what", "function", ""), ("ms", "ms", ".2f"), ("theirs_ms", "theirs, ms", ".2f"),
        ("ratio", "theirs / ours", ".1f"), ("note", "", ""),
    ),
    "errors": (
        ("scene", "scene", ""), ("what", "function", ""), ("bias", "bias, px", ".4f"), ("rms", "rms, px", ".4f"),
        ("lost", "lost", ".2f"), ("theirs_bias", "their bias", ".4f"), ("theirs_rms", "their rms", ".4f"),
    ),
    "systems": (
        ("scene", "scene", ""), ("noise", "noise", "g"), ("method", "method", ""), ("rms", "rms, px", ".4f"),
        ("lost", "lost", ".2f"), ("rms_found", "rms of the others", ".4f"), ("ms", "ms", ".2f"),
        ("ratio", "x FFTs", ".2f"), ("note", "", ""),
    ),
    "turned": (
        ("scene", "scene", ""), ("noise", "noise", "g"), ("method", "method", ""), ("rms_angle", "angle, deg", ".4f"),
        ("rms_magnification", "magnification", ".5f"), ("rms_shift", "shift, px", ".4f"), ("lost", "lost", ".2f"),
        ("pull", "pull", ".2f"), ("ms", "ms", ".1f"), ("ratio", "x FFTs", ".0f"), ("note", "", ""),
    ),
    "spectra": (
        ("what", "what", ""), ("spectra", "spectra", ""), ("pixels", "pixels", ""), ("templates", "templates", ""),
        ("snr", "S/N", "g"), ("method", "method", ""), ("scatter", "scatter, km/s", ".1f"),
        ("claimed", "claimed, km/s", ".1f"), ("pull", "pull", ".2f"), ("lost", "lost", ".3f"),
        ("seconds", "s", ".0f"), ("megabytes", "MB", ".0f"), ("note", "", ""),
    ),
    "limits": (
        ("what", "what", ""), ("case", "case", ""), ("errors", "errors", ""), ("value", "value", ".5f"),
        ("unit", "unit", ""), ("realisations", "realisations", ""), ("note", "", ""),
    ),
    "faint": (
        ("scene", "scene", ""), ("snr", "S/N", "g"), ("frames", "frames", ""), ("method", "method", ""),
        ("rms", "rms, px", ".4f"), ("rms_over_bound", "rms / bound", ".2f"), ("lost", "lost", ".3f"),
        ("pull", "pull", ".2f"), ("ms", "ms / frame", ".2f"), ("note", "", ""),
    ),
    "compare": (
        ("kind", "what", ""), ("frames", "frames", ""), ("size", "size", ""), ("dtype", "dtype", ""),
        ("threads", "threads", ""), ("method", "method", ""), ("old", "old", ".2f"), ("new", "new", ".2f"),
        ("change", "new / old", ".2f"),
    ),
}  # fmt: skip


def _cells(rows: Sequence[Row], columns: Sequence[Column]) -> list[list[str]]:
    return [[_cell(row.get(field), form) for field, _, form in columns] for row in rows]


def _cell(value: Any, form: str) -> str:
    return "-" if value is None else format(value, form)


def _used(rows: Sequence[Row], columns: Sequence[Column]) -> list[Column]:
    return [c for c in columns if c[1] or any(row.get(c[0]) for row in rows)]


def as_text(rows: Sequence[Row], columns: Sequence[Column]) -> str:
    """Return a table for a terminal."""
    used = _used(rows, columns)
    lines = [[heading for _, heading, _ in used], *_cells(rows, used)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    right = [bool(form) or field in ("size", "frames", "threads", "value") for field, _, form in used]
    return "\n".join(
        "  ".join(c.rjust(w) if r else c.ljust(w) for c, w, r in zip(line, widths, right, strict=True)).rstrip()
        for line in lines
    )


def as_markdown(rows: Sequence[Row], columns: Sequence[Column]) -> str:
    """Return a table in Markdown."""
    used = _used(rows, columns)
    head = [heading or "note" for _, heading, _ in used]
    rule = ["--:" if form else "---" for *_, form in used]
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, rule, *_cells(rows, used)))


def brief(value: float) -> str:
    """Return a positive number to about three digits, without exponents."""
    return f"{value:.{0 if value >= 100 else 1 if value >= 10 else 2}f}"


def pivot(rows: Sequence[Row], line: str, column: Callable[[Row], str], cell: Callable[[Row], str]) -> str:
    """Return a Markdown table with a line for each value of a field and a column for each kind of row."""
    columns = list(dict.fromkeys(map(column, rows)))
    cells: dict[str, dict[str, str]] = {}
    for row in rows:
        cells.setdefault(row[line], {})[column(row)] = cell(row)
    lines = [[line, *columns], ["---", *["--:"] * len(columns)]]
    lines += [[name, *(found.get(c, "") for c in columns)] for name, found in cells.items()]
    return "\n".join(f"| {' | '.join(parts)} |" for parts in lines)
