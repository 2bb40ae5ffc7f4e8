"""Coordinate systems of two images: reading, comparing, correcting, and offsets on the sky.

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

from .errors import InputError

__all__ = [
    "Correction",
    "PixelMap",
    "SkyOffset",
    "as_wcs",
    "comparable",
    "corrected_wcs",
    "fit_correction",
    "pixel_map",
    "read_wcs",
    "shifted_wcs",
    "sky_offset",
    "units_per_degree",
]

_ARCSEC = 180 / np.pi * 3600

# how wcslib and astropy say that a header makes no sense; their own exceptions and LinAlgError are ValueErrors
_REFUSALS = (ValueError, TypeError, KeyError, OSError, AssertionError, NoConvergence)

PixelMap = Callable[[np.ndarray], np.ndarray]


def read_wcs(
    header: fits.Header, axes: tuple[int, int], hdus: fits.HDUList | None
) -> tuple[WCS | None, tuple[str, ...]]:
    """Return the 2-D coordinate system of two axes of a header and notes; None if there is none or it is broken."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            wcs = WCS(header, hdus)
        except _REFUSALS as error:
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
    except _REFUSALS as error:
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
    lng, lat = wcs.wcs.lng, wcs.wcs.lat
    # helioprojective longitude grows towards the west, every other one towards the east
    sign = np.array([-1.0 if wcs.wcs.lngtyp in ("HPLN", "HPRN") else 1.0, 1.0])

    def world(xy: np.ndarray) -> np.ndarray:
        return wcs.all_pix2world(xy[None, :], 0)[0, [lng, lat]]

    def offset(xy: np.ndarray) -> np.ndarray:
        return sign * _east_north(world(nominal), world(xy))

    half = 0.5 * np.eye(2)
    jacobian = np.stack([offset(true + h) - offset(true - h) for h in half], axis=-1)
    sky = np.einsum("ij,jk,ik->i", jacobian, covariance, jacobian)
    east, north = offset(true)
    east_err, north_err = np.sqrt(np.maximum(sky, 0.0))
    frame = f"{wcs.wcs.lngtyp}/{wcs.wcs.lattyp}"
    return SkyOffset(float(east), float(north), float(east_err), float(north_err), frame)


class Correction(NamedTuple):
    """How to change a header so that its positions are right."""

    keyword: str
    """"CRPIX" or "CRVAL"."""
    change: np.ndarray
    """What to add to the keyword's value on the two axes: pixels, or degrees (units of the axis, if not on the sky)."""
    residual: float
    """Largest distance left, in pixels of the reference."""


def fit_correction(moving: WCS, reference: WCS, points: np.ndarray, targets: np.ndarray) -> Correction:
    """Find the change of CRPIX, or of CRVAL, that puts `points` of the moving image at `targets` of the reference.

    CRPIX turns nothing, whatever the declination. But where a distortion is part of the coordinates, it would move that
    over the detector, and CRVAL is changed.

    Raises
    ------
    InputError
        There is no such change.
    """
    distorted = moving.sip is not None or moving.cpdis1 is not None or moving.det2im1 is not None
    units_of = {"CRPIX": 1.0, "CRVAL": float(np.abs(moving.pixel_scale_matrix).max())}
    for keyword in sorted(units_of, reverse=distorted):

        def residual(v: np.ndarray, keyword: str = keyword) -> np.ndarray:
            return pixel_map(corrected_wcs(moving, keyword, v), reference)(points) - targets

        fitted = _solve(residual, units_of[keyword])
        if fitted is not None:
            return Correction(keyword, *fitted)
    msg = "no change of CRPIX or CRVAL makes the coordinate systems agree"
    raise InputError(msg)


def corrected_wcs(wcs: WCS, keyword: str, by: np.ndarray) -> WCS:
    """Return a copy with `by` (x, y) added to CRPIX, or to CRVAL in degrees."""
    if keyword == "CRPIX":
        return shifted_wcs(wcs, by)
    copy = wcs.deepcopy()
    copy.wcs.crval = copy.wcs.crval + by
    copy.wcs.set()
    return copy


def _solve(residual: Callable[[np.ndarray], np.ndarray], unit: float) -> tuple[np.ndarray, float] | None:
    """Gauss-Newton for two unknowns of natural size `unit`; return them and the largest distance, or None."""
    v = np.zeros(2)
    try:
        for _ in range(6):
            now = residual(v).ravel()
            steps = 0.5 * unit * np.eye(2)
            jacobian = np.stack([(residual(v + h) - residual(v - h)).ravel() / unit for h in steps], axis=-1)
            v = v - np.linalg.lstsq(jacobian, now, rcond=None)[0]
        left = float(np.hypot(*residual(v).T).max())
    except _REFUSALS:  # a CRVAL beyond the pole; NaN stops lstsq
        return None
    return (v, left) if np.isfinite(left) else None


def units_per_degree(header: Mapping[str, Any], axis: int) -> float:
    """Return how many units of a header's sky axis make a degree (wcslib works in degrees, headers need not)."""
    return float(units.deg.to(units.Unit(str(header.get(f"CUNIT{axis}", "")).strip().lower() or "deg")))
