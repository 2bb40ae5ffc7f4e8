"""Two FITS images on one grid, and the offset between them: the documented functions."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from astropy.stats import mad_std
from astropy.wcs import WCS

from .. import apply_shift
from ..chi2_shifts import chi2_shift_iterzoom
from ..cross_correlation_shifts import cross_correlation_shifts
from .errors import InputError
from .grids import Grid, grid_of, on_grid, own_grid, put_on
from .load import FitsImage, load_error, load_image
from .reprojecting import Plane, plane_of
from .sky import sky_offset

__all__ = ["cross_correlation_shifts_FITS", "match_fits", "project_to_header", "register_fits"]

_ARCSEC = 3600.0


def project_to_header(fitsfile: Any, header: Any, **kwargs: Any) -> np.ndarray:
    """Return a FITS image on the pixel grid of a header.

    Parameters
    ----------
    fitsfile : anything `imreg_xp.FITS_tools.load_image` takes
        The image.
    header : anything `imreg_xp.FITS_tools.load_header` takes
        With size and coordinates.
    **kwargs
        Of `reproject.reproject_interp`, such as `order`; `quiet` is accepted, there is nothing to silence.

    Returns
    -------
    array (NAXIS2, NAXIS1)
        NaN outside the image.

    Raises
    ------
    InputError
        The file or the header cannot be used, or no map between their coordinates is known.
    """
    kwargs.pop("quiet", None)
    found, grid = load_image(fitsfile), grid_of(header, "header")
    pixels = plane_of(found)
    image = np.where(pixels.valid, pixels.image, np.nan)
    return on_grid(image, own_grid(found).wcs, grid.wcs, grid.shape, **kwargs)


def match_fits(
    fitsfile1: Any,
    fitsfile2: Any,
    header: Any = None,
    sigma_cut: float | bool = False,
    return_header: bool = False,
    **kwargs: Any,
) -> tuple[Any, ...]:
    """Put two FITS images on one pixel grid.

    Parameters
    ----------
    fitsfile1, fitsfile2 : anything `imreg_xp.FITS_tools.load_image` takes
        Reference and offset image.
    header : anything `imreg_xp.FITS_tools.load_header` takes, optional
        The grid to put both on; that of `fitsfile1`, whose pixels then stay as they are, if not given.
    sigma_cut : number or bool
        Make NaN what is not this many standard deviations (from the median absolute deviation) above the median in both
        images; True is 1.
    return_header : bool
        Return the header of the grid.
    **kwargs
        Of `reproject.reproject_interp`, to be used instead of the package's own cubic splines; `quiet` is accepted.

    Returns
    -------
    image1, image2 : array
        NaN outside the images.
    header : astropy.io.fits.Header
        With `return_header`.

    Raises
    ------
    InputError
        As `project_to_header`; `sigma_cut` leaves nothing.
    """
    first, second, grid = _matched(load_image(fitsfile1), load_image(fitsfile2), header, sigma_cut, **kwargs)
    images = (first.image, second.image)
    return (*images, grid.header) if return_header else images


def _matched(
    reference: FitsImage, moving: FitsImage, header: Any, sigma_cut: float | bool, **kwargs: Any
) -> tuple[Plane, Plane, Grid]:
    """Return both images on one grid, NaN where they hold nothing."""
    kwargs.pop("quiet", None)
    grid = own_grid(reference) if header is None else grid_of(header, "header")
    first, second = (put_on(found, grid, **kwargs) for found in (reference, moving))
    if sigma_cut:
        keep = _significant(first.image, second.image, float(sigma_cut))
        first, second = (p._replace(image=np.where(keep, p.image, np.nan)) for p in (first, second))
    return first, second, grid


def _significant(first: np.ndarray, second: np.ndarray, cut: float) -> np.ndarray:
    keep = np.ones(first.shape, dtype=bool)
    for image in (first, second):
        level = np.nanmedian(image) + cut * mad_std(image, ignore_nan=True)
        keep &= np.isfinite(image) & (image > level)
    if not keep.any():
        msg = f"sigma_cut={cut:g} leaves no pixel that is significant in both images"
        raise InputError(msg)
    return keep


def register_fits(
    fitsfile1: Any,
    fitsfile2: Any,
    errfile: Any = None,
    return_error: bool = True,
    register_method: Callable[..., Any] = chi2_shift_iterzoom,
    return_cropped_images: bool = False,
    return_shifted_image: bool = False,
    return_header: bool = False,
    **kwargs: Any,
) -> tuple[Any, ...]:
    """Measure how far one FITS image lies from another, in pixels and on the sky.

    Parameters
    ----------
    fitsfile1, fitsfile2 : anything `imreg_xp.FITS_tools.load_image` takes
        Reference and offset image.
    errfile : number or anything `load_image` takes, optional
        1 sigma errors of the pixels of `fitsfile2`.
    return_error, return_cropped_images, return_shifted_image, return_header : bool
        What to return.
    register_method : function
        Any of the shift functions of this package: called with the two images on one grid.
    **kwargs
        `header`, `sigma_cut`, `quiet` of `match_fits`; all others go to `register_method`. `boundary` is "overlap"
        unless given: two pointings are not periodic.

    Returns
    -------
    xoff, yoff : float
        How far image 2 lies from image 1, pixels of the common grid, x first.
    xoff_wcs, yoff_wcs : float
        The same on the sky at the middle of the grid, along the directions of growing longitude and latitude, degrees
        of a great circle (units of the axes, if these are not celestial).
    exoff, eyoff, exoff_wcs, eyoff_wcs : float
        With `return_error`: their errors, as `register_method` defines them, propagated to the sky. NaN where it gives
        none.
    proj_image1, proj_image2 : array
        With `return_cropped_images`: the images on the common grid, NaN where they hold nothing.
    shifted_image2 : array
        With `return_shifted_image`: image 2 on the common grid, shifted to match image 1.
    header : astropy.io.fits.Header
        With `return_header`: that of the common grid.

    Raises
    ------
    InputError
        A file cannot be used; the message is one line and names it.
    """
    chosen = {k: kwargs.pop(k) for k in ("header", "sigma_cut", "quiet") if k in kwargs}
    moving = load_image(fitsfile2)
    moving = replace(moving, err=load_error(errfile, moving, name="errfile"))
    one, two, grid = _matched(load_image(fitsfile1), moving, chosen.get("header"), chosen.get("sigma_cut", False))
    first, second = one.image, two.image
    offset, errors = _measured(register_method, first, second, two.err, kwargs)
    world, world_errors = _on_sky(grid.wcs, first.shape, offset, errors)
    result = [*offset, *world]
    if return_error:
        result += [*errors, *world_errors]
    if return_cropped_images:
        result += [first, second]
    if return_shifted_image:
        result.append(apply_shift(second, (-offset[1], -offset[0])))
    if return_header:
        result.append(grid.header)
    return tuple(result)


def _measured(
    method: Callable[..., Any], first: np.ndarray, second: np.ndarray, err: Any, options: dict[str, Any]
) -> tuple[np.ndarray, np.ndarray]:
    """Call a shift function with what it takes; return offset and errors (x, y)."""
    takes = inspect.signature(method).parameters
    free = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in takes.values())
    options = dict(options)
    if "boundary" in takes or method is cross_correlation_shifts:
        options.setdefault("boundary", "overlap")
    if "return_error" in takes or free:
        options["return_error"] = True
    name = "err" if "err" in takes else "errim2"
    if err is not None and name in takes:
        options[name] = err
    found = np.array([float(v) for v in method(first, second, **options)[:4]])
    errors = found[2:4] if len(found) == 4 else np.full(2, np.nan)
    return found[:2], errors


def _on_sky(wcs: WCS, shape: tuple[int, ...], offset: np.ndarray, errors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return a pixel offset at the middle of a grid and its errors in world coordinates."""
    if not np.isfinite(offset).all():
        return np.full(2, np.nan), np.full(2, np.nan)
    covariance = np.diag(np.square(errors))
    if not wcs.has_celestial:
        matrix = wcs.pixel_scale_matrix
        return matrix @ offset, np.sqrt(np.diag(matrix @ covariance @ matrix.T))
    middle = (np.array(shape[::-1]) - 1) / 2
    sky = sky_offset(wcs, middle, middle + offset, covariance)
    # east and north; the longitude on the solar disc grows towards the west
    east = -1.0 if wcs.wcs.lngtyp in ("HPLN", "HPRN") else 1.0
    return np.array([east * sky.east, sky.north]) / _ARCSEC, np.array([sky.east_err, sky.north_err]) / _ARCSEC


def cross_correlation_shifts_FITS(  # noqa: N802
    fitsfile1: Any,
    fitsfile2: Any,
    return_cropped_images: bool = False,
    quiet: bool = True,  # noqa: ARG001
    sigma_cut: float | bool = False,
    register_method: Callable[..., Any] = cross_correlation_shifts,
    **kwargs: Any,
) -> tuple[Any, ...]:
    """Measure how far one FITS image lies from another by cross-correlation, in pixels and on the sky.

    `register_fits` without errors, which has the details; `quiet` has no effect.

    Returns
    -------
    xoff, yoff, xoff_wcs, yoff_wcs : float
    proj_image1, proj_image2 : array
        With `return_cropped_images`.
    """
    return register_fits(
        fitsfile1,
        fitsfile2,
        return_error=False,
        register_method=register_method,
        return_cropped_images=return_cropped_images,
        sigma_cut=sigma_cut,
        **kwargs,
    )
