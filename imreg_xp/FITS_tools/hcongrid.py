"""An image on the pixel grid of another header, by reproject."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from reproject import reproject_interp
from scipy import ndimage

from .errors import InputError
from .load import load_image
from .load_header import load_data, load_header, wcs_of
from .sky import comparable

__all__ = ["hcongrid", "on_grid", "shape_of", "zoom_fits"]


def hcongrid(image: Any, header1: Any, header2: Any, preserve_bad_pixels: bool = True, **kwargs: Any) -> np.ndarray:
    """Interpolate an image from the grid of one header to that of another.

    Parameters
    ----------
    image : array (ny, nx), or anything `load_data` takes
        The image.
    header1, header2 : anything `load_header` takes
        Its header, and the one with the grid (`NAXIS1`, `NAXIS2`, coordinates) to put it on.
    preserve_bad_pixels : bool
        Keep NaN pixels as they are; otherwise they are filled from their nearest neighbours first.
    **kwargs
        Of `reproject.reproject_interp`, such as `order`.

    Returns
    -------
    array (NAXIS2, NAXIS1)
        NaN outside the image.

    Raises
    ------
    InputError
        A header holds no coordinate system or no size, or no map between the two is known.
    """
    source, target = wcs_of(load_header(header1), "header1"), load_header(header2)
    pixels = np.asarray(load_data(image), dtype=np.float64)
    if not preserve_bad_pixels:
        pixels = _filled(pixels)
    return on_grid(pixels, source, wcs_of(target, "header2"), shape_of(target, "header2"), **kwargs)


def on_grid(image: np.ndarray, source: WCS, target: WCS, shape: tuple[int, int], **kwargs: Any) -> np.ndarray:
    """Interpolate an image from one coordinate system to another; NaN outside."""
    systems = comparable(source, target)
    if systems is None:
        msg = f"no way from {'/'.join(source.wcs.ctype)} to {'/'.join(target.wcs.ctype)}"
        raise InputError(msg)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return reproject_interp((image, systems[0]), systems[1], shape_out=shape, return_footprint=False, **kwargs)


def shape_of(header: fits.Header, name: str) -> tuple[int, int]:
    """Return (ny, nx) of a header."""
    try:
        return int(header["NAXIS2"]), int(header["NAXIS1"])
    except KeyError as error:
        msg = f"{name}: the header must hold NAXIS1 and NAXIS2"
        raise InputError(msg) from error


def _filled(image: np.ndarray) -> np.ndarray:
    bad = ~np.isfinite(image)
    if not bad.any() or bad.all():
        return image
    nearest = ndimage.distance_transform_edt(bad, return_distances=False, return_indices=True)
    return image[tuple(nearest)]


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
        The outer edges of image and zoom are the same; what lies beyond the centres of the outer pixels is NaN.

    Raises
    ------
    InputError
        The file cannot be used, or holds no coordinate system.
    ValueError
        `scalefactor` is not positive.
    """
    if not scalefactor > 0:
        msg = f"`scalefactor` must be positive, got {scalefactor!r}"
        raise ValueError(msg)
    found = load_image(fitsfile)
    if found.wcs is None or found.header is None:
        msg = f"{found.name}: no header with a coordinate system"
        raise InputError(msg)
    header = found.header.copy()
    shape = tuple(max(1, round(n * scalefactor)) for n in found.image.shape)
    for axis, n in zip(found.axes, shape[::-1], strict=True):
        header[f"NAXIS{axis}"] = n
        header[f"CRPIX{axis}"] = (header.get(f"CRPIX{axis}", 0.0) - 0.5) * scalefactor + 0.5
    _scale_matrix(header, found.axes, 1 / scalefactor)
    pixels = found.image.astype(np.float64)
    image = on_grid(
        pixels if preserve_bad_pixels else _filled(pixels), found.wcs, wcs_of(header, found.name), shape, **kwargs
    )
    return fits.PrimaryHDU(image.astype(found.image.dtype), header)


def _scale_matrix(header: fits.Header, axes: tuple[int, int], factor: float) -> None:
    """Multiply the steps along two pixel axes."""
    for axis in axes:
        cards = [k for k in header if k.startswith("CD") and k.endswith(f"_{axis}") and k[2:].split("_")[0].isdigit()]
        for card in cards:
            header[card] = header[card] * factor
        if not cards:
            header[f"CDELT{axis}"] = header.get(f"CDELT{axis}", 1.0) * factor
