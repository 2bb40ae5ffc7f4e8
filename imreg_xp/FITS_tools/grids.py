"""Pixel grids with coordinates, and putting an image on one."""

from __future__ import annotations

import re
import warnings
from typing import Any, NamedTuple

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from reproject import reproject_interp
from scipy import ndimage

from .errors import InputError
from .load import FitsImage
from .load_header import load_header, wcs_of
from .reprojecting import Plane, plane_of, resample, samples
from .sky import comparable, pixel_map

__all__ = ["Grid", "celestial_pair", "filled", "grid_of", "on_grid", "own_grid", "put_on", "shape_of"]

_SAME = 1e-6  # pixels: grids that agree to this are one
# a spline takes from all pixels, so that one NaN would be everywhere
_LOCAL = {0, 1, "nearest-neighbor", "bilinear"}
# cards of a third axis, and of distortion tables that lie in other HDUs
_FOREIGN = re.compile(r"NAXIS[3-9]|C(TYPE|RPIX|RVAL|DELT|UNIT)[3-9]|CPDIS|CPERR|D2IM|DP[12]")


class Grid(NamedTuple):
    """Pixels with coordinates."""

    header: fits.Header
    """With the size."""
    wcs: WCS
    """Two-dimensional."""
    shape: tuple[int, int]


def shape_of(header: fits.Header, name: str) -> tuple[int, int]:
    """Return (ny, nx) of a header."""
    try:
        return int(header["NAXIS2"]), int(header["NAXIS1"])
    except KeyError as error:
        msg = f"{name}: the header must hold NAXIS1 and NAXIS2"
        raise InputError(msg) from error


def grid_of(header: Any, name: str) -> Grid:
    """Return the grid of anything `load_header` takes."""
    loaded = load_header(header)
    return Grid(loaded, wcs_of(loaded, name), shape_of(loaded, name))


def own_grid(found: FitsImage) -> Grid:
    """Return the grid of an image, with a header of two axes that needs no other HDU.

    Raises
    ------
    InputError
        The image has no coordinate system.
    """
    if found.wcs is None:
        msg = f"{found.name}: no coordinate system"
        raise InputError(msg)
    ny, nx = found.image.shape
    header = found.header
    if header is None or found.axes != (1, 2) or any(_FOREIGN.match(key) for key in header):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # relax: distortion polynomials too
            header = found.wcs.to_header(relax=True)
    header = header.copy()
    # they belong to the pixels as they were stored
    for key in ("BSCALE", "BZERO", "BLANK", "CHECKSUM", "DATASUM"):
        header.remove(key, ignore_missing=True)
    header["NAXIS"], header["NAXIS1"], header["NAXIS2"] = 2, nx, ny
    return Grid(header, found.wcs, (ny, nx))


def celestial_pair(source: WCS, target: WCS) -> tuple[WCS, WCS]:
    """Return `comparable` systems, or say that no map between the two is known."""
    systems = comparable(source, target)
    if systems is None:
        msg = f"no way from {'/'.join(source.wcs.ctype)} to {'/'.join(target.wcs.ctype)}"
        raise InputError(msg)
    return systems


def on_grid(image: np.ndarray, source: WCS, target: WCS, shape: tuple[int, int], **options: Any) -> np.ndarray:
    """Interpolate an image from one coordinate system to another by `reproject_interp`; NaN outside.

    Pixels that linear interpolation would draw from NaN are NaN, with splines too: these see the nearest value there.
    """
    if image.ndim != 2:
        msg = f"the image must be two-dimensional, got shape {image.shape}"
        raise InputError(msg)
    systems = celestial_pair(source, target)

    def interpolated(pixels: np.ndarray, **how: Any) -> np.ndarray:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return reproject_interp((pixels, systems[0]), systems[1], shape_out=shape, return_footprint=False, **how)

    bad = ~np.isfinite(image)
    if options.get("order", "bilinear") in _LOCAL or not bad.any():
        return interpolated(image, **options)
    spoilt = interpolated(bad.astype(np.float64), **{**options, "order": "bilinear"}) > _SAME
    return np.where(spoilt, np.nan, interpolated(filled(image), **options))


def filled(image: np.ndarray) -> np.ndarray:
    """Replace NaN pixels by their nearest neighbours."""
    bad = ~np.isfinite(image)
    if not bad.any() or bad.all():
        return image
    nearest = ndimage.distance_transform_edt(bad, return_distances=False, return_indices=True)
    return image[tuple(nearest)]


def put_on(found: FitsImage, grid: Grid, **options: Any) -> Plane:
    """Put an image with its errors on a grid.

    An image that lies on it stays as it is. Others are resampled by `resample`, or by `reproject_interp` if there are
    options for that, which leaves the errors as those of the pixels interpolated from.

    Raises
    ------
    InputError
        The image has no coordinate system, or no map to that of the grid is known.
    """
    plane = plane_of(found)
    systems = celestial_pair(own_grid(found).wcs, grid.wcs)
    if plane.image.shape == grid.shape and _is_identity(systems, grid.shape):
        return plane._replace(image=np.where(plane.valid, plane.image, np.nan))
    if not options:
        return resample(plane, *systems, grid.shape)
    image = on_grid(np.where(plane.valid, plane.image, np.nan), *systems, grid.shape, **options)
    err = plane.err
    if isinstance(err, np.ndarray):
        err = on_grid(err, *systems, grid.shape, **{**options, "order": "bilinear"})
    return Plane(image, np.isfinite(image), err)


def _is_identity(systems: tuple[WCS, WCS], shape: tuple[int, int]) -> bool:
    points = samples(shape)
    return bool((abs(pixel_map(*systems)(points) - points) < _SAME).all())
