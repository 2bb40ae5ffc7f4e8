"""Writing what is made of many frames: each on the pixels of the reference, and their mean."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from .. import Coadd, Registration
from .._version import __version__
from .align import Alignment
from .load import FitsImage
from .reprojecting import plane_of
from .shift_table import ShiftRow, as_registration
from .write import aligned_lines, as_ascii, atomic, save_aligned

__all__ = ["forget_aligned_frame", "is_aligned_frame", "is_up_to_date", "save_coadd", "write_aligned_frame"]


def write_aligned_frame(reference: FitsImage, frame: FitsImage, row: ShiftRow, path: Path) -> None:
    """Write a frame on the pixels of the reference.

    Raises
    ------
    InputError
        The file cannot be written.
    """
    with atomic(path) as temporary:
        save_aligned(_alignment(reference, frame, row), temporary)


def _alignment(reference: FitsImage, frame: FitsImage, row: ShiftRow) -> Alignment:
    one = as_registration([row])
    return Alignment(
        reference=reference,
        moving=frame,
        registration=Registration(*(field[0, ...] for field in one)),
        compared=(plane_of(reference), plane_of(frame)),
        reprojected=False,
        systems=None,
        sky=None,
        correction=None,
        notes=(),
    )


def is_up_to_date(path: Path, reference: FitsImage, row: ShiftRow) -> bool:
    """Tell whether a file is what `write_aligned_frame` would write, by its HISTORY."""
    # the first line names the frame, the others its shift
    lines = aligned_lines(_alignment(reference, reference, row))[1:]
    return is_aligned_frame(path, row.file) and _history(path).endswith(_squeezed(lines))


def is_aligned_frame(path: Path, name: str) -> bool:
    """Tell whether a file is what this version made of the frame `name`, whatever the shift was."""
    if not path.is_file():
        return False
    bare = name.rpartition("[")[0] if name.endswith("]") else name
    return _history(path).startswith(_squeezed([f"imreg-xp {__version__}: {as_ascii(bare)}"]))


def forget_aligned_frame(path: Path, name: str) -> None:
    """Remove what an earlier run made of a frame that has no shift now."""
    if is_aligned_frame(path, name):
        path.unlink()


def _history(path: Path) -> str:
    """Return the HISTORY of a file; nothing if there is none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            header = fits.getheader(path)
        except Exception:  # noqa: BLE001  (no FITS file: astropy raises what it likes)
            return ""
    return _squeezed(header["HISTORY"]) if "HISTORY" in header else ""


def _squeezed(lines: Iterable[Any]) -> str:
    """Return lines without blanks, some of which are lost where cards end."""
    return "".join("".join(map(str, lines)).split())


def save_coadd(mean: Coadd, reference: FitsImage, used: int, path: Path) -> None:
    """Write the mean of `used` frames with VARIANCE and COVERAGE, in the coordinates of the reference.

    `path` is a name that `atomic` gave.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        header = fits.Header() if reference.wcs is None else reference.wcs.to_header(relax=True)
        unit = reference.header.get("BUNIT") if reference.header is not None else None
        parts: list[Any] = []
        for name, pixels, bunit in (
            ("MEAN", mean.mean, unit),
            ("VARIANCE", mean.variance, f"({unit})2" if unit else None),
            ("COVERAGE", mean.coverage.astype(np.int32), None),
        ):
            own = header.copy()
            own["EXTNAME"] = name
            if bunit:
                own["BUNIT"] = bunit
            parts.append((fits.ImageHDU if parts else fits.PrimaryHDU)(pixels, own))
        parts[0].header["NCOMBINE"] = (used, "frames in the mean")
        parts[0].header["HISTORY"] = f"imreg-xp {__version__}: mean of aligned frames, equal weights"
        fits.HDUList(parts).writeto(path)
