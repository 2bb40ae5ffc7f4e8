"""Putting the moving image on the pixel grid of the reference, with its mask and errors."""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np
from astropy.wcs import WCS
from reproject import reproject_interp
from scipy import ndimage

from .errors import InputError
from .load import FitsImage
from .sky import PixelMap, shifted_wcs

__all__ = ["Canvas", "Plane", "canvas", "linear_part", "paste", "plane_of", "resample", "samples"]

_EDGE = 12  # pixels of continuation: a cubic spline forgets its border as 0.27 per pixel
_SAMPLES = 17


class Plane(NamedTuple):
    """Pixels with their mask (True = use) and 1 sigma errors, a number where they are all alike."""

    image: np.ndarray
    valid: np.ndarray
    err: np.ndarray | float | None


def plane_of(image: FitsImage) -> Plane:
    """Return an image in double precision; what has no usable error is invalid."""
    pixels = image.image.astype(np.float64)
    valid = np.isfinite(pixels) if image.valid is None else image.valid & np.isfinite(pixels)
    err = image.err
    if isinstance(err, np.ndarray):
        err = err.astype(np.float64)
        valid = valid & np.isfinite(err) & (err > 0)
    return Plane(pixels, valid, err)


def samples(shape: tuple[int, ...]) -> np.ndarray:
    """Return pixel positions (81, 2) all over an image, (x, y)."""
    y, x = np.meshgrid(np.linspace(0, shape[0] - 1, 9), np.linspace(0, shape[1] - 1, 9), indexing="ij")
    return np.stack([x, y], axis=-1).reshape(-1, 2)


class Canvas(NamedTuple):
    """A pixel grid aligned with the reference that may reach beyond it."""

    origin: tuple[int, int]
    """Reference pixel (y, x) of its pixel (0, 0)."""
    shape: tuple[int, int]


def canvas(
    to_reference: PixelMap, moving: tuple[int, ...], reference: tuple[int, ...], *, centred: bool = False
) -> Canvas:
    """Return the grid that holds the reference and what lies around it of the moving image.

    It reaches at most half a reference image beyond the reference, so that a pointing that is wrong by as much still
    finds its pixels. `centred`: it reaches as far on either side.

    Raises
    ------
    InputError
        The two images lie farther apart than that.
    """
    y, x = np.meshgrid(np.linspace(0, moving[0] - 1, _SAMPLES), np.linspace(0, moving[1] - 1, _SAMPLES), indexing="ij")
    landed = to_reference(np.stack([x, y], axis=-1)).reshape(-1, 2)[:, ::-1]
    size = np.array(reference)
    near = np.isfinite(landed).all(axis=1) & (landed > -size / 2).all(axis=1) & (landed < 1.5 * size).all(axis=1)
    if not near.any():
        msg = "the coordinate systems of the two images do not overlap on the sky"
        raise InputError(msg)
    low = np.minimum(np.floor(landed[near].min(axis=0)).astype(int), 0)
    high = np.maximum(np.ceil(landed[near].max(axis=0)).astype(int) + 1, size)
    if centred:
        low = -np.maximum(-low, high - size)
        high = size - low
    return Canvas((int(low[0]), int(low[1])), (int(high[0] - low[0]), int(high[1] - low[1])))


def linear_part(to_reference: PixelMap, moving: tuple[int, ...]) -> np.ndarray:
    """Return the matrix that is nearest to a map of the pixels of the moving image."""
    points = samples(moving)
    landed = to_reference(points)
    use = np.isfinite(landed).all(axis=1)
    return np.linalg.lstsq(points[use] - points[use].mean(axis=0), landed[use] - landed[use].mean(axis=0))[0].T


def paste(plane: Plane, on: Canvas) -> Plane:
    """Lay an image on the reference's own pixels over a canvas; what it does not hold is invalid."""
    (y, x), (ny, nx) = on.origin, plane.image.shape
    inside = (slice(-y, ny - y), slice(-x, nx - x))
    image = np.full(on.shape, np.nan)
    image[inside] = plane.image
    valid = np.zeros(on.shape, dtype=bool)
    valid[inside] = plane.valid
    err = plane.err
    if isinstance(err, np.ndarray):
        padded = np.full(on.shape, np.nan)
        padded[inside] = err
        err = padded
    return Plane(image, valid, err)


def resample(plane: Plane, source: WCS, target: WCS, shape: tuple[int, int]) -> Plane:
    """Interpolate an image from one coordinate system to another.

    Cubic splines for the pixels; the errors are those of the interpolated pixels, sqrt(sum of weight² sigma²), whose
    correlation is left to the noise model of the fit. Where the source's pixels are smaller by k >= 2, blocks of k x k
    are averaged first. Pixels that a spline would draw from invalid ones are invalid.

    Parameters
    ----------
    plane : Plane
        The image.
    source, target : WCS
        Coordinate systems from `comparable`.
    shape : (ny, nx)
        Shape of the result.
    """
    plane, source = _averaged(plane, source, _ratio(source, target, plane.image.shape))
    linear = _interpolate(_linear_maps(plane), shifted_wcs(source, (1, 1)), target, shape, "bilinear")
    image = _interpolate(*_continued(_filled(plane), source), target, shape, "bicubic")
    valid = (linear[0] > 0.999) & np.isfinite(image)
    err = None
    if plane.err is not None:
        err = np.where(valid, linear[1] * np.sqrt(_spline_gain(linear[2]) * _spline_gain(linear[3])), np.nan)
    return Plane(np.where(valid, image, np.nan), valid, err)


def _linear_maps(plane: Plane) -> np.ndarray:
    """Stack what is interpolated linearly: validity, sigma and the pixel positions y, x, with a frame of 1 pixel.

    In the frame nothing is valid, so that nothing is extrapolated beyond the centres of the outer pixels.
    """
    spoilt = ndimage.binary_dilation(~plane.valid, structure=np.ones((5, 5)))
    sigma = np.broadcast_to(np.float64(1.0) if plane.err is None else plane.err, plane.image.shape)
    sigma = np.where(np.isfinite(sigma), sigma, 0.0)
    y, x = np.indices([n + 2 for n in plane.image.shape], dtype=np.float64) - 1
    return np.stack([np.pad(~spoilt, 1).astype(np.float64), np.pad(sigma, 1, mode="edge"), y, x])


def _interpolate(array: np.ndarray, source: WCS, target: WCS, shape: tuple[int, int], order: str) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return reproject_interp(
            (array, source), target, shape_out=(*array.shape[:-2], *shape), order=order, return_footprint=False
        )


def _filled(plane: Plane) -> np.ndarray:
    """Replace invalid pixels by their nearest valid neighbour: a spline spreads one NaN over the image."""
    if plane.valid.all() or not plane.valid.any():
        return np.where(plane.valid, plane.image, 0.0)
    nearest = ndimage.distance_transform_edt(~plane.valid, return_distances=False, return_indices=True)
    return plane.image[tuple(nearest)]


def _continued(image: np.ndarray, wcs: WCS) -> tuple[np.ndarray, WCS]:
    """Continue an image smoothly beyond its border, which the spline would otherwise take for a step to zero."""
    width = min(_EDGE, *(n - 1 for n in image.shape))
    return np.pad(image, width, mode="reflect", reflect_type="odd"), shifted_wcs(wcs, (width, width))


def _spline_gain(position: np.ndarray) -> np.ndarray:
    """Return the sum of the squared weights of cubic spline interpolation at a pixel position, 1 on a pixel."""
    z = np.sqrt(3.0) - 2.0
    j = np.arange(-20, 21)
    fraction = np.linspace(0.0, 1.0, 65)
    t = abs(fraction[:, None, None] - np.arange(-6, 8)[None, :, None] - j)
    b_spline = np.where(t < 1, 2 / 3 - t**2 + t**3 / 2, np.where(t < 2, (2 - t) ** 3 / 6, 0.0))
    gain = ((b_spline @ (np.sqrt(3.0) * z ** abs(j))) ** 2).sum(axis=1)
    return np.interp(position - np.floor(position), fraction, gain)


def _ratio(source: WCS, target: WCS, shape: tuple[int, ...]) -> int:
    """Return how many pixels of `source` fit along one of `target`, rounded down, at least 1."""
    areas = [abs(np.linalg.det(wcs.pixel_scale_matrix)) for wcs in (source, target)]
    return max(1, min(int(np.sqrt(areas[1] / areas[0]) + 1e-6), min(shape) // 8))


def _averaged(plane: Plane, wcs: WCS, k: int) -> tuple[Plane, WCS]:
    """Average blocks of k x k pixels, valid where all of them are; what fills no block at the end is left out."""
    # distortions are tied to the original pixels
    if k == 1 or wcs.sip is not None or wcs.cpdis1 is not None or wcs.det2im1 is not None:
        return plane, wcs
    ny, nx = (n // k for n in plane.image.shape)

    def blocks(x: np.ndarray) -> np.ndarray:
        return x[: ny * k, : nx * k].reshape(ny, k, nx, k)

    valid = np.asarray(blocks(plane.valid).all(axis=(1, 3)))
    image = np.where(valid, blocks(np.where(plane.valid, plane.image, 0.0)).mean(axis=(1, 3)), np.nan)
    err = plane.err
    if isinstance(err, np.ndarray):
        err = np.sqrt((blocks(err) ** 2).sum(axis=(1, 3))) / k**2
    elif err is not None:
        err = err / k
    coarse = wcs.deepcopy()
    coarse.wcs.crpix = (coarse.wcs.crpix - 0.5) / k + 0.5
    if coarse.wcs.has_cd():
        coarse.wcs.cd = coarse.wcs.cd * k
    else:
        coarse.wcs.cdelt = np.asarray(coarse.wcs.cdelt) * k
    coarse.wcs.set()
    return Plane(image, valid, err), coarse
