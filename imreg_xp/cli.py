"""The command line: ``imreg-xp register`` and ``imreg-xp demo``.

What needs astropy, reproject or matplotlib is imported by the command that runs, so that ``--help`` is quick.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ._version import __version__

if TYPE_CHECKING:
    from .FITS_tools import Alignment

__all__ = ["BadInput", "Job", "demo", "main", "register", "run"]


# what the library calls the things that have another name here
_OPTIONS = {"`moving_err`": "--err", "`reference_err`": "--ref-err", "`max_shift`": "--max-shift"}


class BadInput(click.ClickException):
    """One line on stderr and exit code 2."""

    exit_code = 2


@dataclass(frozen=True)
class Job:
    """What ``imreg-xp register`` is asked to do."""

    reference: str
    moving: str
    err: str | None = None
    ref_err: str | None = None
    hdu: str | None = None
    ref_hdu: str | None = None
    plane: int | None = None
    boundary: str = "overlap"
    max_shift: float | None = None
    noise: str = "correlated"
    out: str | None = None
    wcs_out: str | None = None
    plot: str | None = None
    overwrite: bool = False
    truth: tuple[float, float] | None = None
    """Known shift (x, y), marked in the plot."""


@contextmanager
def _one_line() -> Iterator[None]:
    """Turn what the user can mend into one line and exit code 2."""
    from .FITS_tools import InputError

    try:
        yield
    except InputError as error:
        message = str(error)
        for argument, option in _OPTIONS.items():
            message = message.replace(argument, option)
        raise BadInput(message) from error


def _check_outputs(job: Job) -> None:
    """Refuse outputs that would destroy something or cannot be written, before any work is done."""
    given = [p for p in (job.reference, job.moving, job.err, job.ref_err) if p]
    given += [p.rpartition("[")[0] for p in given if p.endswith("]")]
    inputs = [p.resolve() for p in map(Path.expanduser, map(Path, given)) if p.is_file()]
    outputs = {"--out": job.out, "--wcs-out": job.wcs_out, "--plot": job.plot}
    seen: set[Path] = set()
    for option, name in outputs.items():
        if name is None:
            continue
        path = Path(name)
        problem = None
        if path.is_dir():
            problem = "is a directory"
        elif not path.parent.is_dir():
            problem = f"there is no directory {path.parent}"
        elif path.resolve() in inputs or any(path.exists() and path.samefile(p) for p in inputs):
            problem = "is one of the inputs"
        elif path.resolve() in seen:
            problem = "is asked for twice"
        elif path.exists() and not job.overwrite:
            problem = "exists; --overwrite replaces it"
        if problem is not None:
            msg = f"{option} {name}: {problem}"
            raise BadInput(msg)
        seen.add(path.resolve())


def _plotter(job: Job) -> Any:
    """Return the plotting module, if it is needed."""
    if job.plot is None:
        return None
    try:
        from . import plotting
    except ImportError as error:
        msg = "--plot needs matplotlib, the extra `plot` of this package: pip install 'imreg-xp[plot]'"
        raise BadInput(msg) from error
    if Path(job.plot).suffix.lower() not in plotting.SUFFIXES:
        msg = f"--plot {job.plot}: the name must end in one of {', '.join(plotting.SUFFIXES)}"
        raise BadInput(msg)
    return plotting


def run(job: Job) -> Alignment:
    """Register two files and write what was asked for: all of it, or, without a reliable shift, none.

    Raises
    ------
    click.ClickException
        An input cannot be used or an output cannot be written; exit code 2.
    """
    _check_outputs(job)
    plotting = _plotter(job)
    from . import FITS_tools
    from .FITS_tools.write import save_aligned, save_corrected

    with _one_line():
        alignment = FITS_tools.align_fits(
            job.reference,
            job.moving,
            reference_err=job.ref_err,
            moving_err=job.err,
            reference_hdu=job.ref_hdu,
            moving_hdu=job.hdu,
            plane=job.plane,
            boundary=job.boundary,
            noise=job.noise,
            max_shift=job.max_shift,
        )
        if not alignment.found:
            return alignment
        with ExitStack() as outputs:
            if job.out is not None:
                save_aligned(alignment, outputs.enter_context(FITS_tools.atomic(job.out)))
            if job.wcs_out is not None:
                save_corrected(alignment, outputs.enter_context(FITS_tools.atomic(job.wcs_out)))
            if job.plot is not None:
                figure = _figure(plotting, alignment, job)
                figure.savefig(outputs.enter_context(FITS_tools.atomic(job.plot)), dpi=130)
    return alignment


def _figure(plotting: Any, alignment: Alignment, job: Job) -> Any:
    from .FITS_tools import aligned_image
    from .FITS_tools.report import as_lines

    return plotting.registration_figure(
        alignment.reference.image,
        aligned_image(alignment, corrected=False),
        aligned_image(alignment),
        alignment.registration,
        names=(Path(job.reference).name, Path(job.moving).name),
        lines=[line for line in as_lines(alignment) if not line.startswith(("reference", "moving", "note"))],
        truth=job.truth,
    )


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="imreg-xp")
def main() -> None:
    """Align images of extended emission to a small fraction of a pixel, with true error bars."""


@main.command()
@click.argument("reference")
@click.argument("moving")
@click.option("--err", metavar="FILE|NUMBER", help="1 sigma errors of MOVING. Default: estimated from the residuals.")
@click.option("--ref-err", metavar="FILE|NUMBER", help="1 sigma errors of REFERENCE. Default: none.")
@click.option("--hdu", metavar="X", help="HDU of MOVING, by number or NAME[,VERSION]. Default: first 2-D image.")
@click.option("--ref-hdu", metavar="X", help="HDU of REFERENCE.")
@click.option("--plane", type=click.IntRange(min=0), help="Plane of a cube to use, from 0.")
@click.option(
    "--boundary",
    type=click.Choice(["overlap", "wrap"]),
    default="overlap",
    show_default=True,
    help="Compare the pixels both images hold, or take the images as periodic.",
)
@click.option("--max-shift", type=float, metavar="N", help="Largest shift looked for along each axis, pixels.")
@click.option(
    "--noise",
    type=click.Choice(["correlated", "white"]),
    default="correlated",
    show_default=True,
    help="What the errors assume of the noise of neighbouring pixels.",
)
@click.option("--out", metavar="ALIGNED.fits", help="Write MOVING resampled onto the pixels of REFERENCE.")
@click.option("--wcs-out", metavar="CORRECTED.fits", help="Write MOVING, pixels untouched, with its header corrected.")
@click.option("--plot", metavar="P.png", help="Draw both images, their difference before and after, and the errors.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--overwrite", is_flag=True, help="Replace output files that exist.")
@click.pass_context
def register(context: click.Context, /, *, as_json: bool, **options: Any) -> None:
    """Find the shift between two FITS images.

    The shift, with 1 sigma errors, is what to apply to MOVING so that it matches REFERENCE, and the offset on the sky
    is what to add to the positions in its header. Images on different pixel grids are reprojected first.

    Any file may be given as FILE[HDU]. Exit code: 0 found, 1 no reliable shift, 2 bad input.
    """
    alignment = run(Job(**options))
    from .FITS_tools.report import as_dict, as_lines

    if as_json:
        click.echo(json.dumps(as_dict(alignment), allow_nan=False))
    else:
        click.echo("\n".join(as_lines(alignment)))
    context.exit(0 if alignment.found else 1)


@main.command()
@click.option("--plot", metavar="P.png", help="Draw the first of the pairs.")
@click.option("--overwrite", is_flag=True, help="Replace the plot if it exists.")
@click.pass_context
def demo(context: click.Context, plot: str | None, overwrite: bool) -> None:
    """Recover a known shift between real images of the Sun that come with the package.

    Exit code: 0 if every shift is found within 3 sigma, else 1.
    """
    from .demo import run_demo

    context.exit(0 if run_demo(plot=plot, overwrite=overwrite, echo=click.echo) else 1)
