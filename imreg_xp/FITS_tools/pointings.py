"""Shifts between images as their headers have them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .errors import InputError
from .load_header import load_header
from .sky import comparable, pixel_map, read_wcs

__all__ = ["header_shifts"]


def header_shifts(headers: Sequence[Any], shape: tuple[int, int], *, whichref: int = 0) -> np.ndarray:
    """Return what to shift each image by to match the one of header `whichref`, as the headers say.

    It is the way of the pixel in the middle of the image on the grid of the reference.

    Parameters
    ----------
    headers : sequence
        What `load_header` takes, one per image.
    shape : (ny, nx)
        Of the images.
    whichref : int
        Number of the header of the reference.

    Returns
    -------
    array (n, 2)
        Pixels, (x, y); NaN where the middle of the image is nowhere in the coordinates of the reference.

    Raises
    ------
    InputError
        A header has no coordinate system, or one that is not comparable with that of the reference.
    TypeError
        A header is of none of the kinds that `load_header` takes.
    """
    systems = [_system(header, f"headers[{i}]") for i, header in enumerate(headers)]
    centre = (np.array(shape[::-1]) - 1) / 2
    found = np.zeros((len(systems), 2))
    for i, wcs in enumerate(systems):
        pair = comparable(wcs, systems[whichref])
        if pair is None:
            msg = f"headers[{i}] and headers[{whichref}]: their coordinate systems are not comparable"
            raise InputError(msg)
        if i != whichref:
            found[i] = pixel_map(*pair)(centre[None, :])[0] - centre
    return found


def _system(header: Any, name: str) -> Any:
    wcs, notes = read_wcs(load_header(header), (1, 2), None)
    if wcs is None:
        msg = f"{name}: no coordinate system{': ' if notes else ''}{'; '.join(notes)}"
        raise InputError(msg)
    return wcs
