"""Command line of the benchmarks."""

from __future__ import annotations

import importlib
import json
import os
from pathlib import Path

import click

__all__ = ["main"]


@click.group()
def main() -> None:
    """Compare imreg_xp with the transforms it cannot do without."""


@main.command()
@click.option("--quick", is_flag=True, help="Small images and few repeats.")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Also write the numbers to this file.")
def speed(quick: bool, json_path: Path | None) -> None:
    """Time and peak memory of `register`, in units of 2 rfft2 + 1 irfft2 and of one float64 image."""
    # one thread for all that is compared; libraries read this when they are loaded
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    room = importlib.import_module(".speed", __package__)
    sizes, repeats = ((128, 256), 5) if quick else ((256, 512, 1024), 15)
    rows = [row for n in sizes for row in room.measure(n, repeats)]
    click.echo(f"{'size':>6}  {'what':<22}{'ms':>9}{'x FFTs':>9}{'images':>9}")
    for row in rows:
        click.echo(f"{row['size']:>6}  {row['what']:<22}{row['ms']:>9.2f}{row['ratio']:>9.2f}{row['images']:>9.1f}")
    if json_path is not None:
        record = {"environment": room.environment(), "rows": rows}
        part = json_path.with_name(json_path.name + ".part")
        part.write_text(json.dumps(record, indent=1) + "\n")
        part.replace(json_path)


main()
