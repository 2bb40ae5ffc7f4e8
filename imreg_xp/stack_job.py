"""What ``imreg-xp stack`` is asked to do, and where it will write."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .FITS_tools import InputError
from .FITS_tools.frame_files import stem
from .FITS_tools.stack_output import is_aligned_frame
from .stacks import POLICIES

__all__ = ["StackJob", "aligned_name", "outputs"]


@dataclass(frozen=True)
class StackJob:
    """What ``imreg-xp stack`` is asked to do."""

    frames: tuple[str, ...]
    reference: str = "first"
    err: str | None = None
    ref_err: str | None = None
    hdu: str | None = None
    plane: int | None = None
    boundary: str = "overlap"
    max_shift: float | None = None
    noise: str = "correlated"
    window: int = 4
    threads: int = 1
    out: str | None = None
    table: str | None = None
    coadd: str | None = None
    plot: str | None = None
    resume: bool = False
    overwrite: bool = False


def aligned_name(frame: str) -> str:
    """Return the name of the file of an aligned frame."""
    return f"{stem(frame)}_aligned.fits"


def _aligned_names(job: StackJob) -> list[Path]:
    """Return the files that the aligned frames go to.

    Raises
    ------
    InputError
        Two frames would go to one file.
    """
    if job.out is None:
        return []
    names: dict[Path, str] = {}
    for frame in job.frames:
        path = Path(job.out) / aligned_name(frame)
        if path in names:
            msg = f"--out {job.out}: {names[path]} and {frame} would both be written to {path}"
            raise InputError(msg)
        names[path] = frame
    return list(names)


def outputs(job: StackJob) -> tuple[list[tuple[str, str | None]], list[str]]:
    """Return options and the files they name, all that will be written, and which of those may be there already.

    Raises
    ------
    InputError
        Options that do not go together, or a folder for the aligned frames that cannot be made.
    """
    _check_options(job)
    aligned = _aligned_names(job)
    files = [("--table", job.table), ("--coadd", job.coadd), ("--plot", job.plot)]
    if job.out is not None:
        folder = Path(job.out)
        if not folder.is_dir():
            if folder.exists() or not folder.absolute().parent.is_dir():
                msg = f"--out {job.out}: {'is no directory' if folder.exists() else 'cannot be made, no such parent'}"
                raise InputError(msg)
            return files, [job.table] if job.resume and job.table else []
        files += [("--out", str(path)) for path in aligned]
    if not job.resume or job.table is None:
        return files, []
    pairs = zip(aligned, job.frames, strict=False)
    return files, [job.table, *(str(p) for p, name in pairs if is_aligned_frame(p, name))]


def _check_options(job: StackJob) -> None:
    msg = None
    if job.resume and job.table is None:
        msg = "--resume needs the --table to go on with"
    elif job.reference in POLICIES and job.ref_err is not None:
        msg = f"--ref-err is that of a reference FILE; with --reference {job.reference} give --err"
    elif job.window < 2:
        msg = f"--window must be at least 2, got {job.window}"
    if msg is not None:
        raise InputError(msg)
