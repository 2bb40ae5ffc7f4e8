"""An image on the pixel grid of another header, by reproject."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from astropy.io import fits

from .._array import is_number
from .grids import filled, grid_of, on_grid, own_grid
from .load import load_image
from .load_header import load_data, load_header, wcs_of

__all__ = ["hcongrid", "zoom_fits"]

_SIP = re.compile(r"[AB]P?_(\d)_(\d)")


def hcongrid(image: Any, header1: Any, header2: Any, preserve_bad_pixels: bool = True, **kwargs: Any) -> np.ndarray:
    """Interpolate an image from the grid of one header to that of another.

    Parameters
    ----------
    image : array (ny, nx), or anything `load_data` takes
        The image.
    header1, header2 : anything `load_header` takes
        Its header, and the one with the grid (`NAXIS1`, `NAXIS2`, coordinates) to put it on.
    preserve_bad_pixels : bool
        Make NaN what is interpolated from NaN pixels; otherwise they are filled from their nearest neighbours first.
    **kwargs
        Of `reproject.reproject_interp`, such as `order`.

    Returns
    -------
    array (NAXIS2, NAXIS1)
        NaN outside the image.

    Raises
    ------
    InputError
        The image is not two-dimensional, a header holds no coordinate system or no size, or no map between the two is
        known.
    """
    source, target = wcs_of(load_header(header1), "header1"), grid_of(header2, "header2")
    pixels = np.asarray(load_data(image), dtype=np.float64)
    return on_grid(pixels if preserve_bad_pixels else filled(pixels), source, target.wcs, target.shape, **kwargs)


def zoom_fits(fitsfile: Any, scalefactor: float, preserve_bad_pixels: bool = True, **kwargs: Any) -> fits.PrimaryHDU:
    """Return a FITS image with pixels smaller by a factor, and the header to match.

    Parameters
    ----------
    fitsfile : anything `imreg_xp.FITS_tools.load_image` takes
        The image; it must have a coordinate system.
    scalefactor : number
        New pixels along one old pixel; less than 1 makes the image smaller (and does not average).
    preserve_bad_pixels : bool
        As in `hcongrid`.
    **kwargs
        Of `reproject.reproject_interp`, such as `order`.

    Returns
    -------
    astropy.io.fits.PrimaryHDU
        The lower left edges of image and zoom are the same, the others to half a new pixel.

    Raises
    ------
    InputError
        The file cannot be used, or holds no coordinate system.
    ValueError
        `scalefactor` is not a positive number.
    """
    if not (is_number(scalefactor) and 0 < scalefactor < np.inf):
        msg = f"`scalefactor` must be a positive number, got {scalefactor!r}"
        raise ValueError(msg)
    found = load_image(fitsfile)
    grid = own_grid(found)
    shape = (max(1, round(grid.shape[0] * scalefactor)), max(1, round(grid.shape[1] * scalefactor)))
    header = _zoomed(grid.header, float(scalefactor))
    header["NAXIS1"], header["NAXIS2"] = shape[1], shape[0]
    pixels = found.image.astype(np.float64)
    image = on_grid(
        pixels if preserve_bad_pixels else filled(pixels), grid.wcs, wcs_of(header, found.name), shape, **kwargs
    )
    return fits.PrimaryHDU(image.astype(found.image.dtype), header)


def _zoomed(header: fits.Header, scale: float) -> fits.Header:
    """Return the header for `scale` pixels along one of before: every version of the coordinates, and SIP."""
    new = header.copy()
    for axis in (1, 2):
        new[f"CRPIX{axis}"] = header.get(f"CRPIX{axis}", 0.0)
    versions = {key[6:] for key in new if re.fullmatch(r"CRPIX1[A-Z]?", key)}
    for version in versions:
        matrix = [key for key in new if re.fullmatch(rf"CD[12]_[12]{version}", key)]
        for key in matrix or [f"CDELT1{version}", f"CDELT2{version}"]:
            new[key] = new.get(key, 1.0) / scale
        for key in (f"CRPIX1{version}", f"CRPIX2{version}"):
            new[key] = (new.get(key, 0.0) - 0.5) * scale + 0.5
    for key in header:
        powers = _SIP.fullmatch(key)
        if powers:
            # a polynomial of pixels that gives pixels
            new[key] = header[key] * scale ** (1 - int(powers[1]) - int(powers[2]))
    return new
