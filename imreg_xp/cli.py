"""The command line: ``imreg-xp register``, ``imreg-xp stack`` and ``imreg-xp demo``.

What needs astropy, reproject or matplotlib is imported by the command that runs, so that ``--help`` is quick.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ._outputs import BadInput, check_outputs
from ._version import __version__

if TYPE_CHECKING:
    from .FITS_tools import Alignment

__all__ = ["BadInput", "Job", "demo", "main", "register", "run", "stack"]


# what the library calls the things that have another name here
_OPTIONS = {
    "`moving_err`": "--err",
    "`reference_err`": "--ref-err",
    "`max_shift`": "--max-shift",
    "`boundary`": "--boundary",
    "model='": "--model '",
    "`window`": "--window",
}


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
    model: str = "shift"
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


def _cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _plotter(plot: str | None) -> Any:
    """Return the plotting module, if it is needed."""
    if plot is None:
        return None
    try:
        from . import plotting
    except ImportError as error:
        msg = "--plot needs matplotlib, the extra `plot` of this package: pip install 'imreg-xp[plot]'"
        raise BadInput(msg) from error
    if Path(plot).suffix.lower() not in plotting.SUFFIXES:
        msg = f"--plot {plot}: the name must end in one of {', '.join(plotting.SUFFIXES)}"
        raise BadInput(msg)
    return plotting


def run(job: Job) -> Alignment:
    """Register two files and write what was asked for: all of it, or, without a reliable shift, none.

    Raises
    ------
    click.ClickException
        An input cannot be used or an output cannot be written; exit code 2.
    """
    outputs = (("--out", job.out), ("--wcs-out", job.wcs_out), ("--plot", job.plot))
    check_outputs((job.reference, job.moving, job.err, job.ref_err), outputs, overwrite=job.overwrite)
    plotting = _plotter(job.plot)
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
            model=job.model,
        )
        if not alignment.found:
            return alignment
        with ExitStack() as whole:
            if job.out is not None:
                save_aligned(alignment, whole.enter_context(FITS_tools.atomic(job.out)))
            if job.wcs_out is not None:
                save_corrected(alignment, whole.enter_context(FITS_tools.atomic(job.wcs_out)))
            if job.plot is not None:
                figure = _figure(plotting, alignment, job)
                figure.savefig(whole.enter_context(FITS_tools.atomic(job.plot)), dpi=130)
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


_BOUNDARY = click.option(
    "--boundary",
    type=click.Choice(["overlap", "wrap"]),
    default="overlap",
    show_default=True,
    help="Compare the pixels both images hold, or take the images as periodic.",
)
_NOISE = click.option(
    "--noise",
    type=click.Choice(["correlated", "white"]),
    default="correlated",
    show_default=True,
    help="What the errors assume of the noise of neighbouring pixels.",
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
@_BOUNDARY
@click.option("--max-shift", type=float, metavar="N", help="Largest shift looked for along each axis, pixels.")
@_NOISE
@click.option(
    "--model",
    type=click.Choice(["shift", "rigid", "similarity"]),
    default="shift",
    show_default=True,
    help="What is looked for: a shift; with rotation; with rotation and magnification.",
)
@click.option("--out", metavar="ALIGNED.fits", help="Write MOVING resampled onto the pixels of REFERENCE.")
@click.option("--wcs-out", metavar="CORRECTED.fits", help="Write MOVING, pixels untouched, with its header corrected.")
@click.option("--plot", metavar="P.png", help="Draw both images, their difference before and after, and the errors.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--overwrite", is_flag=True, help="Replace output files that exist.")
@click.pass_context
def register(context: click.Context, /, *, as_json: bool, **options: Any) -> None:
    """Find the shift between two FITS images, and their rotation and magnification.

    The shift, with 1 sigma errors, is what to apply to MOVING so that it matches REFERENCE, and the offset on the sky
    is what to add to the positions in its header. Images on different pixel grids are reprojected first.

    With --model rigid or similarity MOVING is turned by the angle, from +x to +y, and magnified about the middle of
    REFERENCE, then shifted. On the sky the angle is what to add to position angles, from north through east.

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
@click.argument("frames", nargs=-1, required=True)
@click.option(
    "--reference",
    metavar="POLICY|FILE",
    default="first",
    show_default=True,
    help="first, mean, previous, all-pairs or joint: how frames are aligned to each other; or an image to align to.",
)
@click.option("--err", metavar="FILE|NUMBER", help="1 sigma errors of each frame. Default: estimated from residuals.")
@click.option("--ref-err", metavar="FILE|NUMBER", help="1 sigma errors of a reference FILE. Default: none.")
@click.option("--hdu", metavar="X", help="HDU of the frames, by number or NAME[,VERSION]. Default: first 2-D image.")
@click.option("--plane", type=click.IntRange(min=0), help="Plane of cubes to use, from 0.")
@_BOUNDARY
@click.option("--max-shift", type=float, metavar="N", help="Largest shift of one registration along each axis, pixels.")
@_NOISE
@click.option("--window", type=int, default=4, show_default=True, help="How many frames back all-pairs looks.")
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    default=_cores,
    show_default="all cores",
    help="How many chunks of frames are worked on at a time.",
)
@click.option("--out", metavar="DIR", help="Write each frame, resampled onto the reference, as DIR/NAME_aligned.fits.")
@click.option("--table", metavar="T.ecsv", help="Write the shifts; kept whole and up to date while the command runs.")
@click.option("--coadd", metavar="MEAN.fits", help="Write the mean of the aligned frames, its variance and coverage.")
@click.option("--plot", metavar="P.png", help="Draw the shifts against frame number, or time.")
@click.option("--resume", is_flag=True, help="Go on where the run that wrote the table stopped.")
@click.option("--overwrite", is_flag=True, help="Replace output files that exist.")
@click.pass_context
def stack(context: click.Context, /, **options: Any) -> None:
    """Find the shifts of many FITS images of one size.

    Frames are compared pixel by pixel: coordinates in their headers are not looked at, and nothing is reprojected. The
    shift of a frame, with 1 sigma errors, is what to apply to it so that it matches the reference: a file, or the first
    frame that can be used. A frame that cannot be used gets a row that says why, and the others go on.

    Any file may be given as FILE[HDU]. Exit code: 0 all frames aligned, 1 some frame has no reliable shift, 2 bad
    input.
    """
    with _one_line():
        from .stack_command import StackRun
        from .stack_job import StackJob, outputs

        job = StackJob(**options)
        files, kept = outputs(job)
        inputs = (*job.frames, job.reference, job.err, job.ref_err)
        check_outputs(inputs, files, overwrite=job.overwrite, kept=kept)
        plotting = _plotter(job.plot)
        try:
            rows = StackRun(job).run(plotting)
        except KeyboardInterrupt:
            click.echo("interrupted", err=True)
            context.exit(130)
    from .FITS_tools.shift_table import as_text

    click.echo("\n".join(map(as_text, rows)))
    context.exit(0 if all(row.ok for row in rows) else 1)


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
