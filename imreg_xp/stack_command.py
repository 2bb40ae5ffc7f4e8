"""The work of ``imreg-xp stack``."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import cached_property
from glob import escape
from pathlib import Path
from typing import Any

import numpy as np
import scipy.fft
from astropy.time import Time
from tqdm import tqdm

from . import Registration, coadd, register, register_stack
from ._version import __version__
from .FITS_tools import FitsImage, InputError, atomic, load_error, load_image
from .FITS_tools.frame_files import PROBLEMS, FrameFiles
from .FITS_tools.shift_table import ShiftRow, ShiftTable, as_registration, failed_row, found_row
from .FITS_tools.stack_output import forget_aligned_frame, is_up_to_date, save_coadd, write_aligned_frame
from .FITS_tools.write import sweep
from .frames import in_order, open_frames
from .stack_job import StackJob, aligned_name
from .stacks import POLICIES

__all__ = ["StackRun"]

# frames at a time: fixed, so that a run that was killed goes on where another would be
_PIXELS_PER_CHUNK = 2**19
_MOST_PER_CHUNK = 32


class StackRun:
    """One run of the command."""

    def __init__(self, job: StackJob) -> None:
        self.job = job
        policy = job.reference in POLICIES
        given = None if policy else _reference(job.reference, job.plane)
        shape = None if given is None else given.image.shape
        self.files = FrameFiles(job.frames, hdu=job.hdu, plane=job.plane, shape=shape)
        self.by_frame = not policy or job.reference == "first"
        """Whether each frame has its shift as soon as it is read."""
        if given is not None:
            given = _with_error(given, job.ref_err, job.plane, "`reference_err`")
        self.options: dict[str, Any] = {"boundary": job.boundary, "max_shift": job.max_shift, "noise": job.noise}
        first, frame = self._first_usable(any_shape=given is None)
        self.first = first
        self.reference = frame if given is None else given
        self.options["moving_err"] = frame.err
        self.table = ShiftTable(job.table, self._meta())

    def _first_usable(self, *, any_shape: bool) -> tuple[int, FitsImage]:
        """Return number and image of the first frame that can be registered on itself, with the errors of all."""
        for number in range(len(self.files.names)):
            found = self.files.load(number)
            if found is not None:
                found = _with_error(found, self.job.err, self.job.plane, "`moving_err`")
                image = found.image.astype(np.float64)
                if int(_registered(register, image, image, moving_err=found.err, **self.options).status) == 0:
                    return number, found
                if any_shape:
                    self.files.forget_shape()
        problems = [f"{self.files.names[i]}: {text}" for i, (_, text) in sorted(self.files.problems.items())]
        msg = "no frame can be used" + (f"; {problems[0]}" if problems else ": none holds structure to align")
        raise InputError(msg)

    def _meta(self) -> dict[str, Any]:
        """Return what the shifts depend on."""
        job = self.job
        names = ["err", "ref_err", "hdu", "plane", "boundary", "max_shift", "noise"]
        names += ["window"] if job.reference == "all-pairs" else []
        ny, nx = self.files.frame_shape
        meta: dict[str, Any] = {"program": f"imreg-xp stack {__version__}", "reference": job.reference}
        if job.reference in POLICIES:
            meta["reference_frame"] = self.files.names[self.first]
        return meta | {name: getattr(job, name) for name in names} | {"pixels": f"{nx} x {ny}"}

    @cached_property
    def chunk(self) -> int:
        """Frames at a time."""
        ny, nx = self.files.frame_shape
        return min(max(1, _PIXELS_PER_CHUNK // (ny * nx)), _MOST_PER_CHUNK)

    def run(self, plotting: Any = None) -> list[ShiftRow]:
        """Register the frames and write all that was asked for.

        Raises
        ------
        InputError
            An input cannot be used or an output cannot be written.
        """
        job = self.job
        known = self.table.read() if job.resume else {}
        strange = set(known) - set(job.frames)
        if strange:
            msg = f"{job.table}: cannot be resumed, it has {min(strange)}, which is not among the frames"
            raise InputError(msg)
        if job.out is not None:
            _make(Path(job.out))
        if job.resume:
            _sweep_all(job)
        elif self.by_frame:
            self.table.discard()
        done = [self._still_true(i, known.get(name)) for i, name in enumerate(job.frames)]
        with scipy.fft.set_workers(job.threads):
            rows = self._frame_by_frame(done) if self.by_frame else self._together(done)
            if any(row.ok for row in rows):
                self._finish(rows, plotting)
        return rows

    def _still_true(self, number: int, row: ShiftRow | None) -> ShiftRow | None:
        """Return a row of the table, None if a frame that could not be read is another now."""
        if row is None or row.status not in PROBLEMS:
            return row
        self.files.load(number)
        return row if self.files.problems.get(number) == (row.status, row.message) else None

    def _frame_by_frame(self, rows: list[ShiftRow | None]) -> list[ShiftRow]:
        """Register chunk after chunk on the reference; those whose rows are all known only get their aligned files."""
        reference = self.reference.image.astype(np.float64)
        own = self.reference.err if self.job.reference not in POLICIES else self.options["moving_err"]

        def parts() -> Iterator[tuple[int, int, np.ndarray | None]]:
            for start in range(0, len(rows), self.chunk):
                stop = min(start + self.chunk, len(rows))
                yield start, stop, self.files[start:stop] if None in rows[start:stop] else None

        def registered(part: tuple[int, int, np.ndarray | None]) -> tuple[int, int, Registration | None]:
            start, stop, images = part
            if images is None:
                return start, stop, None
            return start, stop, _registered(register_stack, reference, images, reference_err=own, **self._how())

        most = open_frames(self.files, self.chunk).at_a_time
        try:
            with tqdm(total=len(rows), unit="frame", disable=None) as bar:
                for start, stop, found in in_order(registered, parts(), most):
                    if found is not None:
                        rows[start:stop] = self._as_rows(start, stop, found)
                    self._write_aligned(start, [row for row in rows[start:stop] if row is not None])
                    if found is not None:
                        self.table.write(rows)
                    bar.update(stop - start)
        finally:
            # also after Ctrl-C
            if any(rows):
                self.table.write(rows, now=True)
        return [row for row in rows if row is not None]

    def _together(self, known: list[ShiftRow | None]) -> list[ShiftRow]:
        """Register a stack by a policy that takes all of it at a time, if any row is missing."""
        rows = [row for row in known if row is not None]
        if None in known:
            options = self._how() | {"window": self.job.window, "progress": True}
            found = _registered(register_stack, self.job.reference, self.files, **options)
            rows = self._as_rows(0, len(known), found)
        self._write_aligned(0, rows)
        self.table.write(rows, now=True)
        return rows

    def _how(self) -> dict[str, Any]:
        return self.options | {"chunk": self.chunk}

    def _as_rows(self, start: int, stop: int, found: Registration) -> list[ShiftRow]:
        """Return the rows of some frames that were just read and registered."""
        rows = []
        for number in range(start, stop):
            name, date = self.files.names[number], self.files.dates.get(number, "")
            problem = self.files.problems.get(number)
            one = Registration(*(field[number - start, ...] for field in found))
            rows.append(found_row(name, one, date) if problem is None else failed_row(name, problem, date))
        return rows

    def _write_aligned(self, start: int, rows: list[ShiftRow]) -> None:
        if self.job.out is None:
            return
        for number, row in enumerate(rows, start):
            path = Path(self.job.out) / aligned_name(row.file)
            if row.ok and self.job.resume and is_up_to_date(path, self.reference, row):
                continue
            frame = self.files.load(number) if row.ok else None
            if frame is None:
                forget_aligned_frame(path, row.file)
            else:
                write_aligned_frame(self.reference, frame, row, path)

    def _finish(self, rows: list[ShiftRow], plotting: Any) -> None:
        """Write the mean and the plot, both or none."""
        job = self.job
        with ExitStack() as whole:
            if job.coadd is not None:
                mean = coadd(self.files, as_registration(rows), boundary=self.options["boundary"], chunk=self.chunk)
                used = sum(row.ok for row in rows)
                save_coadd(mean, self.reference, used, whole.enter_context(atomic(job.coadd)))
            if plotting is not None and job.plot is not None:
                figure = plotting.drift_figure(*_drift(rows))
                figure.savefig(whole.enter_context(atomic(job.plot)), dpi=130)


def _reference(name: str, plane: int | None) -> FitsImage:
    try:
        return load_image(name, plane=plane)
    except InputError as error:
        msg = f"--reference is none of {', '.join(POLICIES)}, and not an image: {error}"
        raise InputError(msg) from error


def _with_error(image: FitsImage, err: str | None, plane: int | None, name: str) -> FitsImage:
    return replace(image, err=load_error(err, image, plane=plane, name=name))


def _registered(how: Callable[..., Registration], *images: Any, **options: Any) -> Registration:
    """Register; what is wrong with the options is a matter of input."""
    try:
        return how(*images, **options)
    except ValueError as error:
        raise InputError(str(error)) from error


def _make(folder: Path) -> None:
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        msg = f"--out {folder}: cannot be made ({error.strerror or error})"
        raise InputError(msg) from error


def _sweep_all(job: StackJob) -> None:
    """Remove the unfinished files of the run that was killed."""
    for path in map(Path, filter(None, (job.table, job.coadd, job.plot))):
        sweep(path.parent, escape(path.name))
    if job.out is not None:
        sweep(Path(job.out), aligned_name("*"))


def _drift(rows: list[ShiftRow]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return what is drawn: time, if it is known of all frames, or number; shifts (x, y); their errors."""
    when = np.arange(len(rows))
    if all(row.date_obs for row in rows):
        with suppress(ValueError), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            when = np.asarray(Time([row.date_obs for row in rows], scale="utc").datetime64)
    shifts = np.array([(row.dx, row.dy) for row in rows])
    return when, shifts, np.array([(row.dx_err, row.dy_err) for row in rows])
