"""The shifts of many frames as a table in a file that is whole at any time."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import Column, Table

from .. import Registration, Status
from .errors import InputError
from .report import status_text, with_error
from .write import atomic

__all__ = ["ShiftRow", "ShiftTable", "as_registration", "as_text", "failed_row", "found_row"]

_SHORT = {
    Status.NOT_CONVERGED: "not converged",
    Status.SEARCH_BORDER: "search border",
    Status.TOO_FEW_VALID: "too few pixels",
    Status.FLAT_IMAGE: "flat image",
}
_UNITS = dict.fromkeys(("dx", "dy", "dx_err", "dy_err"), "pix") | {"cov_xy": "pix2"}
_DESCRIPTIONS = {
    "file": "frame, as it was given",
    "status": "ok, or why there is no reliable shift",
    "message": "the same in full",
    "dx": "shift along x to apply to the frame so that it matches the reference",
    "dy": "shift along y to apply to the frame so that it matches the reference",
    "dx_err": "1 sigma of dx",
    "dy_err": "1 sigma of dy",
    "cov_xy": "covariance of dx and dy",
    "scale": "gain relative to the reference",
    "background": "background relative to the scaled reference",
    "chi2": "chi2 at the minimum",
    "dof": "degrees of freedom",
    "overlap": "pixels used as a fraction of the image",
    "date_obs": "DATE-OBS of the frame",
}
_NOTHING = 1e-9  # pixels: error of a frame registered on itself
_SHARE = 10  # a rewrite waits until the last one took at most this fraction of the time


@dataclass(frozen=True)
class ShiftRow:
    """What is known of one frame; columns of the table. Numbers are NaN where `status` is not "ok"."""

    file: str
    status: str
    message: str = ""
    dx: float = math.nan
    dy: float = math.nan
    dx_err: float = math.nan
    dy_err: float = math.nan
    cov_xy: float = math.nan
    scale: float = math.nan
    background: float = math.nan
    chi2: float = math.nan
    dof: float = math.nan
    overlap: float = math.nan
    date_obs: str = ""

    @property
    def ok(self) -> bool:
        """Tell whether the shift is reliable."""
        return self.status == "ok"


_TEXTS = tuple(f.name for f in fields(ShiftRow) if f.type == "str")


def failed_row(file: str, problem: tuple[str, str], date: str) -> ShiftRow:
    """Return the row of a frame that cannot be used."""
    return ShiftRow(file, *problem, date_obs=date)


def found_row(file: str, found: Registration, date: str) -> ShiftRow:
    """Return the row of a frame that was registered; `found` is that of one frame, on NumPy arrays."""
    status = int(found.status)
    if status:
        short = ", ".join(text for flag, text in _SHORT.items() if status & flag)
        return ShiftRow(file, short, status_text(status), date_obs=date)
    (dy, dx), (dy_err, dx_err) = (map(float, pair) for pair in (found.shift, found.shift_err))
    return ShiftRow(
        file,
        "ok",
        dx=dx,
        dy=dy,
        dx_err=dx_err,
        dy_err=dy_err,
        cov_xy=float(found.covariance[0, 1]),
        scale=float(found.scale),
        background=float(found.background),
        chi2=float(found.chi2),
        dof=float(found.dof),
        overlap=float(found.overlap),
        date_obs=date,
    )


def as_registration(rows: Sequence[ShiftRow]) -> Registration:
    """Return rows as what `register_stack` returned; all that failed have the same status."""

    def column(name: str) -> np.ndarray:
        return np.array([getattr(row, name) for row in rows], dtype=float)

    xx, xy, yy = column("dx_err") ** 2, column("cov_xy"), column("dy_err") ** 2
    return Registration(
        shift=np.stack([column("dy"), column("dx")], axis=-1),
        shift_err=np.stack([column("dy_err"), column("dx_err")], axis=-1),
        covariance=np.stack([np.stack([yy, xy], axis=-1), np.stack([xy, xx], axis=-1)], axis=-2),
        **{name: column(name) for name in ("scale", "background", "chi2", "dof", "overlap")},
        status=np.array([0 if row.ok else int(Status.NOT_CONVERGED) for row in rows], dtype=np.int32),
    )


def as_text(row: ShiftRow) -> str:
    """Return a row for people."""
    if not row.ok:
        return f"{row.file}  {row.status}: {row.message}"
    if max(row.dx_err, row.dy_err) < _NOTHING:
        return f"{row.file}  the same as the reference"
    return f"{row.file}  x {with_error(row.dx, row.dx_err)}  y {with_error(row.dy, row.dy_err)} pix"


class ShiftTable:
    """A table of shifts in an ECSV file; each rewrite replaces the file by a whole one.

    Parameters
    ----------
    path : str or None
        None: nothing is written.
    meta : mapping
        What the shifts depend on; texts, numbers and None.
    """

    def __init__(self, path: str | None, meta: Mapping[str, Any]) -> None:
        self._path = None if path is None else Path(path)
        self._meta = dict(meta)
        self._next = 0.0

    def read(self) -> dict[str, ShiftRow]:
        """Return the rows that the file holds, by the name of the frame; none if there is no file.

        Raises
        ------
        InputError
            The file is no table of shifts, or one of other options or frames.
        """
        if self._path is None or not self._path.exists():
            return {}
        try:
            table = Table.read(self._path, format="ascii.ecsv")
            rows = [_as_row(record) for record in table]
        except Exception as error:  # the reader raises what it likes
            msg = f"{self._path}: is no table of shifts to resume ({error})"
            raise InputError(msg) from error
        for key in dict.fromkeys([*self._meta, *table.meta]):
            theirs, ours = table.meta.get(key), self._meta.get(key)
            if theirs != ours:
                msg = f"{self._path}: cannot be resumed, it was made with {key} = {theirs}, not {ours}"
                raise InputError(msg)
        return {row.file: row for row in rows}

    def discard(self) -> None:
        """Remove the file: its rows are no longer wanted, also by a later run that resumes this one."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    def write(self, rows: Sequence[ShiftRow | None], *, now: bool = False) -> None:
        """Write the rows that are there, unless the last rewrite is so recent that most of the time would go into it.

        Raises
        ------
        InputError
            The file cannot be written.
        """
        start = time.monotonic()
        if self._path is None or (start < self._next and not now):
            return
        table = _as_table([row for row in rows if row is not None], self._meta)
        with atomic(self._path) as temporary:
            table.write(temporary, format="ascii.ecsv")
        end = time.monotonic()
        self._next = end + _SHARE * (end - start)


def _as_table(rows: Sequence[ShiftRow], meta: Mapping[str, Any]) -> Table:
    table = Table(meta=dict(meta))
    for name, description in _DESCRIPTIONS.items():
        values = [getattr(row, name) for row in rows]
        if name == "date_obs" and not any(values):
            continue
        kind = str if name in _TEXTS else float
        table[name] = Column(values, dtype=kind, unit=_UNITS.get(name), description=description)
    return table


def _as_row(record: Any) -> ShiftRow:
    """Return a row of a table that was read; texts that are empty come as masked."""
    values: dict[str, Any] = {}
    for name in record.colnames:
        value = record[name]
        if name in _TEXTS:
            values[name] = "" if np.ma.is_masked(value) else str(value)
        else:
            values[name] = float(value)
    return ShiftRow(**values)
