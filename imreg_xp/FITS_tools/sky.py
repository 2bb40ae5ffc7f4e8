"""Coordinate systems of two images: reading, comparing, moving, and offsets on the sky.

Pixel positions are (..., 2) arrays in (x, y) order, from 0, the centre of the first pixel.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from astropy import units
from astropy.io import fits
from astropy.wcs import WCS, NoConvergence, Sip
from astropy.wcs.utils import pixel_to_pixel, wcs_to_celestial_frame

__all__ = [
    "REFUSALS",
    "PixelMap",
    "SkyOffset",
    "as_wcs",
    "comparable",
    "local_axes",
    "pixel_map",
    "read_wcs",
    "shifted_wcs",
    "sky_offset",
    "units_per_degree",
]

_ARCSEC = 180 / np.pi * 3600

# how wcslib and astropy say that a header makes no sense; their own exceptions and LinAlgError are ValueErrors
REFUSALS = (ValueError, TypeError, KeyError, OSError, AssertionError, NoConvergence)

PixelMap = Callable[[np.ndarray], np.ndarray]


def read_wcs(
    header: fits.Header, axes: tuple[int, int], hdus: fits.HDUList | None
) -> tuple[WCS | None, tuple[str, ...]]:
    """Return the 2-D coordinate system of two axes of a header and notes; None if there is none or it is broken."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            wcs = WCS(header, hdus)
        except REFUSALS as error:
            return None, (f"the header's coordinate system is unusable ({' '.join(str(error).split())})",)
    return as_wcs(wcs, axes)


def as_wcs(wcs: Any, axes: tuple[int, int]) -> tuple[WCS | None, tuple[str, ...]]:
    """Return the part of a coordinate system that belongs to two FITS axes, and notes."""
    if wcs is None:
        return None, ()
    wcs = getattr(wcs, "low_level_wcs", wcs)
    if not isinstance(wcs, WCS):
        return None, (f"a coordinate system of type {type(wcs).__name__} is not used, only astropy.wcs.WCS",)
    try:
        flat = wcs if wcs.naxis == 2 else wcs.sub(list(axes))
        flat.wcs.set()
        named = any(kind.strip() for kind in flat.wcs.ctype)
        if not named:
            return None, ()
        # wcslib does not always notice
        if not np.linalg.cond(flat.pixel_scale_matrix) < 1e10:
            return None, ("the coordinate system is unusable (its matrix is singular)",)
        flat.wcs_world2pix(flat.wcs_pix2world([[1.0, 1.0]], 0), 0)
    except REFUSALS as error:
        return None, (f"the coordinate system is unusable ({' '.join(str(error).split())})",)
    return flat, ()


def _relabelled(wcs: WCS) -> WCS:
    """Return a copy whose sky axes are called RA and Dec: the geometry alone, in a frame every package knows."""
    copy = wcs.deepcopy()
    kinds = list(copy.wcs.ctype)
    kinds[copy.wcs.lng] = "RA---" + kinds[copy.wcs.lng][5:]
    kinds[copy.wcs.lat] = "DEC--" + kinds[copy.wcs.lat][5:]
    copy.wcs.ctype = kinds
    copy.wcs.radesys = "ICRS"
    copy.wcs.set()
    return copy


def _frame(wcs: WCS) -> str:
    """Return a text that is equal for two systems with the same sky coordinates."""
    if wcs.wcs.lngtyp != "RA":
        return f"{wcs.wcs.lngtyp}/{wcs.wcs.lattyp}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return repr(wcs_to_celestial_frame(wcs))


def comparable(source: WCS, target: WCS) -> tuple[WCS, WCS] | None:
    """Return both systems in a form `pixel_to_pixel` understands, or None if no map between them is known.

    Systems in the same frame are compared by their geometry alone, so solar, planetary and other frames that astropy
    has no class for work as well.
    """
    if source.has_celestial and target.has_celestial:
        if _frame(source) == _frame(target):
            return _relabelled(source), _relabelled(target)
        try:
            wcs_to_celestial_frame(source)
            wcs_to_celestial_frame(target)
        except ValueError:
            return None
        return source, target
    same = list(source.wcs.ctype) == list(target.wcs.ctype) and list(source.wcs.cunit) == list(target.wcs.cunit)
    return (source, target) if same and not source.has_celestial and not target.has_celestial else None


def pixel_map(source: WCS, target: WCS) -> PixelMap:
    """Return the function that takes pixel positions of `source` to those of `target` (NaN where there is none).

    Both systems come from `comparable`.
    """
    if source.has_celestial:

        def through_sky(xy: np.ndarray) -> np.ndarray:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return np.stack(pixel_to_pixel(source, target, xy[..., 0], xy[..., 1]), axis=-1)

        return through_sky

    def linear(xy: np.ndarray) -> np.ndarray:
        flat = target.wcs_world2pix(source.wcs_pix2world(xy.reshape(-1, 2), 0), 0)
        return flat.reshape(xy.shape)

    return linear


def shifted_wcs(wcs: WCS, by: Any) -> WCS:
    """Return a copy with the reference pixel, and the distortion polynomial that hangs on it, moved `by` (x, y)."""
    copy = wcs.deepcopy()
    copy.wcs.crpix = copy.wcs.crpix + np.asarray(by)
    if copy.sip is not None:
        sip = copy.sip
        copy.sip = Sip(sip.a, sip.b, sip.ap, sip.bp, sip.crpix + np.asarray(by))
    copy.wcs.set()
    return copy


class SkyOffset(NamedTuple):
    """What to add to the sky positions in the moving image's header, in arcsec along great circles."""

    east: float
    north: float
    east_err: float
    north_err: float
    frame: str
    """Names of the two sky axes, such as RA/DEC."""
    angle: float | None = None
    """With rotation: degrees to add to position angles, from north through east."""
    angle_err: float | None = None


def _unit(lonlat: np.ndarray) -> np.ndarray:
    lon, lat = np.deg2rad(lonlat[..., 0]), np.deg2rad(lonlat[..., 1])
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=-1)


def _east_north(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Return the great-circle offset in arcsec from sky position `start` to `end`, both (lon, lat) in degrees.

    Components along the unit vectors east and north at `start` have the length sin(separation).
    """
    lon, lat = np.deg2rad(start)
    east = np.array([-np.sin(lon), np.cos(lon), 0.0])
    north = np.array([-np.sin(lat) * np.cos(lon), -np.sin(lat) * np.sin(lon), np.cos(lat)])
    v = _unit(end)
    components = np.array([v @ east, v @ north])
    sine = np.hypot(*components)
    separation = np.arctan2(sine, v @ _unit(start))
    return components * (separation / sine if sine > 0 else 1.0) * _ARCSEC


def _between(wcs: WCS, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Return the offset (east, north) in arcsec from one pixel position to another."""
    lng, lat = wcs.wcs.lng, wcs.wcs.lat
    # helioprojective longitude grows towards the west, every other one towards the east
    sign = np.array([-1.0 if wcs.wcs.lngtyp in ("HPLN", "HPRN") else 1.0, 1.0])
    return sign * _east_north(*wcs.all_pix2world(np.stack([start, end]), 0)[:, [lng, lat]])


def local_axes(wcs: WCS, xy: np.ndarray) -> np.ndarray:
    """Return d(east, north) / d(x, y) at a pixel position, arcsec per pixel."""
    return np.stack([_between(wcs, xy, xy + h) - _between(wcs, xy, xy - h) for h in 0.5 * np.eye(2)], axis=-1)


def sky_offset(wcs: WCS, nominal: np.ndarray, true: np.ndarray, covariance: np.ndarray) -> SkyOffset:
    """Return the offset on the sky between two pixel positions of one image, with its errors.

    Parameters
    ----------
    wcs : WCS
        Celestial system of the reference image.
    nominal, true : (2,) arrays
        Where the moving image's header puts a point, and where it is, in reference pixels (x, y).
    covariance : (2, 2) array
        Of `true`, pixels squared, order (x, y); propagated as J C J^T with the local Jacobian J.
    """

    def offset(xy: np.ndarray) -> np.ndarray:
        return _between(wcs, nominal, xy)

    half = 0.5 * np.eye(2)
    jacobian = np.stack([offset(true + h) - offset(true - h) for h in half], axis=-1)
    sky = np.einsum("ij,jk,ik->i", jacobian, covariance, jacobian)
    east, north = offset(true)
    east_err, north_err = np.sqrt(np.maximum(sky, 0.0))
    frame = f"{wcs.wcs.lngtyp}/{wcs.wcs.lattyp}"
    return SkyOffset(float(east), float(north), float(east_err), float(north_err), frame)


def units_per_degree(header: Mapping[str, Any], axis: int) -> float:
    """Return how many units of a header's sky axis make a degree (wcslib works in degrees, headers need not)."""
    return float(units.deg.to(units.Unit(str(header.get(f"CUNIT{axis}", "")).strip().lower() or "deg")))
