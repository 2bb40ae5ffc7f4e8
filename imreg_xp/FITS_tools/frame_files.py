"""Many FITS files with a frame each, read like one array."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .errors import InputError
from .load import FitsImage, load_image

__all__ = ["PROBLEMS", "FrameFiles", "stem"]

PROBLEMS = ("cannot be read", "another shape")
"""What can be wrong with a frame before it is registered."""


class FrameFiles:
    """Files read like an array (n, ny, nx) of float64, a few frames at a time.

    Pixels without a value are NaN, and so are frames that cannot be read: what is wrong with those is in `problems`.

    Parameters
    ----------
    names : sequence of str
        Files, ``FILE[HDU]`` allowed.
    hdu, plane
        As in `load_image`, for all files.
    shape : (int, int), optional
        Shape that the frames must have. Not given: that of the first frame loaded.
    """

    ndim = 3
    dtype = np.dtype(np.float64)

    def __init__(
        self,
        names: Sequence[str],
        *,
        hdu: str | None = None,
        plane: int | None = None,
        shape: tuple[int, ...] | None = None,
    ) -> None:
        self.names = tuple(names)
        self.problems: dict[int, tuple[str, str]] = {}
        """Number of the frame: what is wrong, in short and in full."""
        self.dates: dict[int, str] = {}
        """Number of the frame: its DATE-OBS."""
        self._frame_shape = shape
        self._options: dict[str, Any] = {"hdu": hdu, "plane": plane}

    @property
    def frame_shape(self) -> tuple[int, ...]:
        """Shape of a frame."""
        if self._frame_shape is None:
            msg = "no frame can be read"
            raise InputError(msg)
        return self._frame_shape

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the stack."""
        return (len(self.names), *self.frame_shape)

    def load(self, number: int) -> FitsImage | None:
        """Load one frame with its header; None, and an entry in `problems`, if it cannot be used."""
        name = self.names[number]
        self.problems.pop(number, None)
        self.dates.pop(number, None)
        try:
            found = load_image(name, **self._options)
        except (InputError, OSError) as error:
            self.problems[number] = (PROBLEMS[0], str(error).removeprefix(f"{name}: "))
            return None
        date = found.header.get("DATE-OBS") if found.header is not None else None
        if date:
            self.dates[number] = str(date)
        if self._frame_shape is None:
            self._frame_shape = found.image.shape
        if found.image.shape != self._frame_shape:
            (ny, nx), (my, mx) = found.image.shape, self._frame_shape
            self.problems[number] = (PROBLEMS[1], f"{nx} x {ny} pixels, but the stack has {mx} x {my}")
            return None
        return found

    def forget_shape(self) -> None:
        """Let the next frame loaded say what shape all must have."""
        self._frame_shape = None

    def __getitem__(self, index: Any) -> np.ndarray:
        """Return some frames: ``files[start:stop]`` or ``files[start:stop, ...]``."""
        rows = index[0] if isinstance(index, tuple) else index
        return np.stack([self._pixels(number) for number in range(*rows.indices(len(self.names)))])

    def _pixels(self, number: int) -> np.ndarray:
        found = self.load(number)
        return np.full(self.frame_shape, np.nan) if found is None else found.image.astype(np.float64)


def stem(name: str) -> str:
    """Return the name of a file without its folder, ``[HDU]`` and the suffixes of FITS and of compression."""
    if name.endswith("]") and not Path(name).exists():
        name = name.rpartition("[")[0]
    path = Path(name)
    for suffixes in ({".gz", ".fz", ".bz2", ".z", ".xz", ".zip"}, {".fits", ".fit", ".fts"}):
        if path.suffix.lower() in suffixes:
            path = path.with_suffix("")
    return path.name
