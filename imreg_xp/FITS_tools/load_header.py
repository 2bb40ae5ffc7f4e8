"""Headers and images from whatever they are kept in, and the size of a pixel."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

from .errors import InputError
from .hdus import check_image, is_hdu, open_fits, select
from .load import load_image
from .sky import as_wcs, read_wcs

__all__ = ["get_cd", "load_data", "load_header", "wcs_of"]


def load_data(data: Any) -> np.ndarray:
    """Return the image of an HDU, an HDUList, a FITS file or NDData; an array as it is.

    Parameters
    ----------
    data : path, HDU, HDUList, NDData or array
        Of a file or list the first HDU with a 2-D image is taken.

    Returns
    -------
    array (ny, nx)
        Of files float32 or float64 in native byte order, NaN where blank.

    Raises
    ------
    InputError
        The file is missing, not FITS or truncated, or holds no 2-D image.
    TypeError
        `data` is none of the kinds listed.
    """
    return data if isinstance(data, np.ndarray) else load_image(data, name=_label(data, "data")).image


def load_header(header: Any) -> fits.Header:
    """Return the header of a FITS file, an HDU, an HDUList, a text file or a text.

    Parameters
    ----------
    header : Header, mapping, HDU, HDUList, path or str
        A path to a FITS file (the first HDU with an image) or to a text file with one card per line; or the cards
        themselves, 80 characters each or one per line.

    Returns
    -------
    astropy.io.fits.Header
        A copy.

    Raises
    ------
    InputError
        There is no such file, or no header can be read from it or from the text.
    TypeError
        `header` is none of the kinds listed.
    """
    if isinstance(header, fits.Header):
        return header.copy()
    if isinstance(header, fits.HDUList):
        return header[select(header, None, None, "header")].header.copy()
    if is_hdu(header):
        check_image(header, "header")
        return header.header.copy()
    if isinstance(header, Mapping):
        return fits.Header(dict(header))
    if not isinstance(header, (str, os.PathLike)):
        kinds = "a Header, mapping, HDU, HDUList, path or text"
        msg = f"`header` must be {kinds}, got {type(header).__name__}"
        raise TypeError(msg)
    text = os.fspath(header)
    if "=" in text and not _is_file(text):
        return _parsed(text, "header")
    return _from_file(text)


def _is_file(text: str) -> bool:
    try:
        return Path(text).is_file()
    except (OSError, ValueError):  # too long for a path
        return False


def _from_file(path: str) -> fits.Header:
    if _is_file(path):
        with Path(path).open("rb") as file:
            start = file.read(9)
        # a FITS file begins with SIMPLE, packed or not; a text file holds lines
        if not start.startswith((b"SIMPLE", b"\x1f\x8b", b"BZh")) or b"\n" in Path(path).read_bytes()[:81]:
            return _parsed(Path(path).read_text(encoding="ascii", errors="replace"), path)
    with open_fits(path, path) as hdus:
        return hdus[select(hdus, None, None, path)].header.copy()


def _parsed(text: str, name: str) -> fits.Header:
    found = fits.Header.fromstring(text, sep="\n" if "\n" in text else "")
    try:
        found = fits.Header([card for card in found.cards if card.keyword not in {"", "END"}])
    except (fits.VerifyError, ValueError) as error:
        msg = f"{name}: not a header ({error})"
        raise InputError(msg) from error
    if not len(found):
        msg = f"{name}: not a header"
        raise InputError(msg)
    return found


def get_cd(wcs: Any, n: int = 1) -> float:
    r"""Return the step along pixel axis n in world coordinates.

    .. math:: s_n = \mathrm{sign}(M_{nn}) \sqrt{\textstyle\sum_i M_{in}^2}

    with M the matrix from pixels to world coordinates (CD, or CDELT with PC or CROTA). Without a rotation it is the
    element `CDn_n` or `CDELTn`, sign included; with one the length of the step on the sky.

    Parameters
    ----------
    wcs : WCS or anything `load_header` takes
        The coordinate system.
    n : int
        Pixel axis, from 1.

    Returns
    -------
    float
        Degrees per pixel on the sky, else in the units of the axis.

    Raises
    ------
    InputError
        The header holds no usable coordinate system.
    ValueError
        There is no axis n.
    """
    if not isinstance(wcs, WCS):
        wcs = wcs_of(load_header(wcs), "wcs")
    matrix = wcs.pixel_scale_matrix
    if not 1 <= n <= matrix.shape[1]:
        msg = f"`n` must be an axis from 1 to {matrix.shape[1]}, got {n!r}"
        raise ValueError(msg)
    step = float(np.linalg.norm(matrix[:, n - 1]))
    return -step if matrix[n - 1, n - 1] < 0 else step


def wcs_of(header: fits.Header, name: str) -> WCS:
    """Return the 2-D coordinate system of a header, or say that there is none."""
    wcs, notes = read_wcs(header, (1, 2), None)
    if wcs is None:
        msg = f"{name}: {notes[0] if notes else 'no coordinate system'}"
        raise InputError(msg)
    return as_wcs(wcs, (1, 2))[0]


def _label(source: Any, name: str) -> str | None:
    return None if isinstance(source, (str, os.PathLike)) else name
