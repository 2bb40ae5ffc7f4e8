"""Command line of the benchmarks."""

from __future__ import annotations

import importlib
import json
import os
from pathlib import Path
from typing import Any

import click

__all__ = ["main"]


@click.group()
def main() -> None:
    """Compare imreg_xp with the transforms it cannot do without."""


@main.command()
@click.option("--quick", is_flag=True, help="Small images and few repeats.")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Also write the numbers to this file.")
def speed(quick: bool, json_path: Path | None) -> None:
    """Time and peak memory of `register` and `register_stack`, in units of their FFTs and of one image."""
    _one_thread()
    room = importlib.import_module(".speed", __package__)
    sizes, repeats = ((128, 256), 5) if quick else ((256, 512, 1024), 15)
    rows = [row for n in sizes for row in room.measure(n, repeats)]
    rows += room.measure_stack(*((40, 64) if quick else (200, 256)), 5)
    click.echo(f"{'size':>6}  {'what':<24}{'ms':>9}{'x FFTs':>9}{'images':>9}")
    for row in rows:
        click.echo(f"{row['size']:>6}  {row['what']:<24}{row['ms']:>9.2f}{row['ratio']:>9.2f}{row['images']:>9.1f}")
    _write(json_path, rows)


@main.command()
@click.option("--quick", is_flag=True, help="Small images and few repeats.")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Also write the numbers to this file.")
def documented(quick: bool, json_path: Path | None) -> None:
    """Time and error of each documented function beside the same one of `image-registration`."""
    _one_thread()
    room = importlib.import_module(".documented", __package__)
    sizes, repeats = ((64,), 2) if quick else ((512, 1024), 5)
    timed = [row for n in sizes for row in room.speed(n, repeats)]
    click.echo(f"{'size':>6}  {'what':<26}{'ms':>9}{'theirs':>10}{'ratio':>8}")
    for row in timed:
        numbers = f"{_number(row['ms'], 9, 2)}{_number(row['theirs_ms'], 10, 2)}{_number(row['ratio'], 8, 1)}"
        click.echo(f"{row['size']:>6}  {row['what']:<26}{numbers}  {row['note']}")
    measured = room.accuracy(64 if quick else 128, 5 if quick else 40)
    click.echo(f"\n{'scene':<26}{'what':<26}{'bias':>9}{'rms':>9}{'lost':>6}{'their bias':>12}{'rms':>9}   pixels")
    for row in measured:
        numbers = "".join(
            _number(row[k], w, 2 if k == "lost" else 4)
            for k, w in (("bias", 9), ("rms", 9), ("lost", 6), ("theirs_bias", 12), ("theirs_rms", 9))
        )
        click.echo(f"{row['scene']:<26}{row['what']:<26}{numbers}")
    _write(json_path, timed + measured)


def _one_thread() -> None:
    """Let all that is compared use one thread; libraries read this when they are loaded."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")


def _number(value: float | None, width: int, digits: int) -> str:
    return f"{'-':>{width}}" if value is None else f"{value:>{width}.{digits}f}"


def _write(path: Path | None, rows: list[dict[str, Any]]) -> None:
    if path is None:
        return
    record = {"environment": importlib.import_module(".speed", __package__).environment(), "rows": rows}
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(record, indent=1) + "\n")
    part.replace(path)


main()
