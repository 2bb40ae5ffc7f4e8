"""Command line of the benchmarks."""

from __future__ import annotations

import importlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from .record import FOLDER, THREADS

__all__ = ["main"]

PARTS = {
    "speed": "Time and peak memory of a pair and of a stack, in units of their FFTs and of one image.",
    "accuracy": "Rms error of every method against known shifts, on simulated and on real images.",
    "calibration": "Pulls, coverage and efficiency of every method that reports an error.",
    "scaling": "Time and memory against pixels, frames and workers.",
    "gpu": "Time per frame on a GPU; without one, what a model says that it would be asked to do.",
    "documented": "Time and error of each documented function beside the same one of image-registration.",
    "systems": "Bias, error and time of the systems that people know by name, on the same scenes.",
    "turned": "Error of angle, magnification and shift, and time, of images that are turned and magnified.",
    "faint": "Many faint frames of one scene: in pairs, on their mean, and all at once.",
    "limits": "Interpolation, small and undersampled images, chains: what the documentation says in figures.",
    "spectra": "Redshifts: errors made and claimed, and many spectra in one call.",
}


@click.group()
def main() -> None:
    """Compare imreg_xp with its peers, and with the transforms that none of them can do without."""
    for name in THREADS:  # libraries read this when they are loaded
        os.environ.setdefault(name, "1")


def _room(name: str) -> Any:
    return importlib.import_module(f".{name}", __package__)


def _run(part: str, quick: bool) -> dict[str, Any]:
    """Run one part, print its table and what speaks against us, and return its record."""
    room, tables = _room(part), _room("tables")
    start = time.perf_counter()
    rows = room.rows(quick)
    seconds = time.perf_counter() - start
    record = _room("record").new(part, rows, quick=quick, seeds=[getattr(room, "SEED", 0)], seconds=seconds)
    kinds = {"timed": [r for r in rows if "scene" not in r], "errors": [r for r in rows if "scene" in r]}
    for kind, chosen in kinds.items() if part == "documented" else [(part, rows)]:
        click.echo(f"\n{tables.as_text(chosen, tables.COLUMNS[kind])}")
    for heading, sentences in (("falls short", "doubts"), ("a peer wins", "wins")):
        for sentence in getattr(_room("claims"), sentences)(record):
            click.echo(f"{heading}: {sentence}")
    return record


def _command(part: str, doc: str) -> Callable[..., None]:
    @main.command(name=part, help=doc)
    @click.option("--quick", is_flag=True, help="Small images and few repeats.")
    @click.option("--json", "path", type=click.Path(path_type=Path), help="Also write the rows to this file.")
    def command(quick: bool, path: Path | None) -> None:
        record = _run(part, quick)
        if path is not None:
            _room("record").write(path, record)

    return command


for _part, _doc in PARTS.items():
    _command(_part, _doc)


@main.command(name="all")
@click.option("--quick", is_flag=True, help="Small images and few repeats.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=FOLDER, help="Folder of JSON files.")
def everything(quick: bool, out: Path) -> None:
    """Run every part and write a JSON file each."""
    for part in PARTS:
        _room("record").write(out / f"{part}.json", _run(part, quick))


@main.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
def check(paths: tuple[Path, ...]) -> None:
    """Check JSON files against the schema."""
    for path in paths:
        try:
            _room("record").read(path)
        except ValueError as error:
            raise click.ClickException(str(error)) from error
        click.echo(f"{path}: as it should be")


@main.command()
@click.argument("old", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("new", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def compare(old: Path, new: Path) -> None:
    """Exit with 1 if a ratio to the FFTs in NEW is worse than in OLD by more than 20 %."""
    tables = _room("tables")
    try:
        rows, worse = _room("compare").compared(*(_room("record").read(p) for p in (old, new)))
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    click.echo(tables.as_text(rows, tables.COLUMNS["compare"]))
    if worse:
        click.echo(f"\nworse by more than 20 %, or gone:\n{tables.as_text(worse, tables.COLUMNS['compare'])}")
        raise SystemExit(1)


@main.command()
@click.option("--folder", type=click.Path(exists=True, file_okay=False, path_type=Path), default=FOLDER,
              help="Folder of the JSON files; the plots go there too.")  # fmt: skip
@click.option(
    "--page", type=click.Path(dir_okay=False, path_type=Path), help="The page; beside the folder if not given."
)
def report(folder: Path, page: Path | None) -> None:
    """Make the page and its plots from the JSON files."""
    written = _room("report").make(folder, page or folder.with_suffix(".md"))
    click.echo("\n".join(map(str, written)))


if __name__ == "__main__":
    main(prog_name="python -m benchmarks")
