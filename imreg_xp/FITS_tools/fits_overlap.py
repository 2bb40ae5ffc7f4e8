"""Headers of what two images cover together, or have in common."""

from __future__ import annotations

from typing import Any

import numpy as np
from astropy.coordinates import angular_separation
from astropy.io import fits
from astropy.wcs import WCS

from .errors import InputError
from .grids import celestial_pair, grid_of
from .load_header import load_header
from .sky import pixel_map

__all__ = ["fits_overlap", "header_overlap"]

_EDGE = 33  # points along each side of an image


def fits_overlap(file1: Any, file2: Any, **kwargs: Any) -> fits.Header:
    """Return the header of what two FITS files cover: `header_overlap` of their headers.

    Parameters
    ----------
    file1, file2 : anything `load_header` takes
        The files.
    **kwargs
        Of `header_overlap`.

    Returns
    -------
    astropy.io.fits.Header
    """
    return header_overlap(load_header(file1), load_header(file2), **kwargs)


def header_overlap(hdr1: Any, hdr2: Any, max_separation: float = 180, overlap: str = "union") -> fits.Header:
    """Return a header on the pixel grid of the first that holds what both cover, or what they have in common.

    The sky is compared, so longitude 0 is like any other, rotations count, and the two may be in different celestial
    frames. The region is the smallest rectangle of whole pixels of the first header, rotated as that is.

    Parameters
    ----------
    hdr1, hdr2 : anything `load_header` takes
        Headers with sizes and coordinates.
    max_separation : number
        Degrees between the middles of the two images beyond which they are refused.
    overlap : {"union", "intersection"}
        Which region.

    Returns
    -------
    astropy.io.fits.Header
        The first one with its size and reference pixel changed.

    Raises
    ------
    InputError
        The images have nothing in common ("intersection"), are farther apart than `max_separation`, or no map between
        their coordinates is known.
    ValueError
        `overlap` is unknown.
    """
    if overlap not in {"union", "intersection"}:
        msg = f"`overlap` must be 'union' or 'intersection', got {overlap!r}"
        raise ValueError(msg)
    first, second = grid_of(hdr1, "hdr1"), grid_of(hdr2, "hdr2")
    header, (ny, nx) = first.header, first.shape
    systems = celestial_pair(second.wcs, first.wcs)
    _check_separation(systems, second.shape, first.shape, max_separation)
    outline = pixel_map(*systems)(_outline(second.shape))
    outline = outline[np.isfinite(outline).all(axis=1)]
    frame = np.array([[-0.5, -0.5], [nx - 0.5, ny - 0.5]])
    corners = _clipped(outline, frame) if overlap == "intersection" else np.concatenate([outline, frame])
    if len(corners) < 3:
        msg = "the two images have no part of the sky in common"
        raise InputError(msg)
    # whole pixels: edges that agree to rounding are the same
    low = np.floor(corners.min(axis=0) + 0.5 + 1e-6).astype(int)
    high = np.maximum(np.ceil(corners.max(axis=0) + 0.5 - 1e-6).astype(int), low + 1)
    for axis in (0, 1):
        header[f"NAXIS{axis + 1}"] = int(high[axis] - low[axis])
        header[f"CRPIX{axis + 1}"] = header.get(f"CRPIX{axis + 1}", 0.0) - int(low[axis])
    return header


def _outline(shape: tuple[int, int]) -> np.ndarray:
    """Return points (x, y) along the outer edges of an image, in order."""
    t = np.linspace(0, 1, _EDGE)[:-1]
    zero, one = np.zeros_like(t), np.ones_like(t)
    x, y = np.concatenate([t, one, 1 - t, zero]), np.concatenate([zero, t, one, 1 - t])
    return np.stack([x * shape[1] - 0.5, y * shape[0] - 0.5], axis=-1)


def _clipped(polygon: np.ndarray, frame: np.ndarray) -> np.ndarray:
    """Return the part of a polygon within a rectangle (Sutherland & Hodgman 1974)."""
    for axis in (0, 1):
        for bound, sign in ((frame[0, axis], 1.0), (frame[1, axis], -1.0)):
            kept = []
            inside = sign * (polygon[:, axis] - bound) if len(polygon) else np.empty(0)
            for i in range(len(polygon)):
                a, b = inside[i - 1], inside[i]
                if (a < 0) != (b < 0):
                    kept.append(polygon[i - 1] + (polygon[i] - polygon[i - 1]) * a / (a - b))
                if b >= 0:
                    kept.append(polygon[i])
            polygon = np.array(kept).reshape(-1, 2)
    return polygon


def _check_separation(systems: tuple[WCS, WCS], shape2: tuple[int, int], shape1: tuple[int, int], most: float) -> None:
    if not systems[0].has_celestial or most >= 180:
        return
    # both in the frame of the first: its pixels know where the second is
    middles = [np.array([[(n[1] - 1) / 2, (n[0] - 1) / 2]]) for n in (shape2, shape1)]
    there = pixel_map(*systems)(middles[0])
    places = [np.deg2rad(systems[1].wcs_pix2world(p, 0)[0]) for p in (there, middles[1])]
    apart = np.rad2deg(angular_separation(*places[0], *places[1]))
    if not apart <= most:
        msg = f"the images are {apart:.4g} degrees apart, more than max_separation={most:g}"
        raise InputError(msg)
