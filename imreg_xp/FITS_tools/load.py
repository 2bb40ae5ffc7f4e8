"""Images, error maps, masks and headers from whatever they are kept in, turned into arrays once, at the edge."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.nddata import NDData, StdDevUncertainty

from .errors import InputError
from .hdus import as_plane, check_image, is_hdu, open_fits, read_pixels, select
from .sky import as_wcs, read_wcs

__all__ = ["FitsImage", "load_error", "load_image"]


@dataclass(frozen=True, eq=False)
class FitsImage:
    """One image as plain arrays, and what is needed to write about it again."""

    image: np.ndarray
    """(ny, nx) float32 or float64 in native byte order; pixels without a value are NaN."""
    name: str
    """What messages call it: the argument or the file."""
    header: fits.Header | None = None
    wcs: Any = None
    """Two-dimensional `astropy.wcs.WCS`, or None."""
    err: np.ndarray | float | None = None
    """1 sigma of the pixels, in the units of the image."""
    valid: np.ndarray | None = None
    """True = use the pixel; None = every finite pixel."""
    path: str | None = None
    hdu: int | None = None
    """Number of the HDU in the file."""
    axes: tuple[int, int] = (1, 2)
    """FITS numbers of the x and y axes in `header`."""
    notes: tuple[str, ...] = ()
    """What a user should know about how the image was read."""


def load_image(
    source: Any, *, hdu: int | str | None = None, plane: int | None = None, name: str | None = None
) -> FitsImage:
    """Load one 2-D image.

    Parameters
    ----------
    source : path, HDU, HDUList, NDData, (array, header), (array, WCS) or array
        A path may be of a compressed file, and may end in ``[HDU]``. Compressed image HDUs, any byte order, `BSCALE`,
        `BZERO` and `BLANK` are understood; `BLANK` pixels become NaN.
    hdu : int or str, optional
        Number, ``"NAME"`` or ``"NAME,VERSION"`` of the HDU. Default: the first one that holds a 2-D image.
    plane : int, optional
        Which plane of a cube, from 0; leading axes count in C order. Axes of length 1 are dropped before, and an image
        that is a single plane needs none.
    name : str, optional
        What messages call the image. Default: the path, or "image".

    Raises
    ------
    InputError
        The file is missing, no FITS, or truncated; there is no such HDU or plane; the image is not 2-D or not real.
    TypeError
        `source` is none of the kinds listed.
    """
    if isinstance(source, (str, os.PathLike)):
        label = name or os.fspath(source)
        path, hdu = _split_hdu(os.fspath(source), hdu)
        path = str(Path(path).expanduser())
        with open_fits(path, label) as hdus:
            index = select(hdus, hdu, plane, label)
            found = _from_hdu(hdus[index], hdus, plane, f"{name or path}[{index}]" if len(hdus) > 1 else label)
        return replace(found, path=path, hdu=index)
    label = name or "image"
    if isinstance(source, fits.HDUList):
        return _from_hdu(source[select(source, hdu, plane, label)], source, plane, label)
    if is_hdu(source):
        check_image(source, label)
        return _from_hdu(source, None, plane, label)
    if isinstance(source, NDData):
        return _from_nddata(source, plane, label)
    if isinstance(source, tuple) and len(source) == 2:
        return _from_array(source[0], source[1], None, plane, label)
    if hasattr(source, "__array__"):
        return _from_array(source, None, None, plane, label)
    msg = f"`{label}` must be a path, HDU, HDUList, NDData, array or (array, header), got {type(source).__name__}"
    raise TypeError(msg)


def _from_hdu(hdu: Any, hdus: fits.HDUList | None, plane: int | None, name: str) -> FitsImage:
    return _from_array(read_pixels(hdu, name), hdu.header, hdus, plane, name)


def _from_array(data: Any, header: Any, hdus: fits.HDUList | None, plane: int | None, name: str) -> FitsImage:
    """Cut the plane out of `data` and its coordinate system out of `header` (a Header, mapping, WCS or None)."""
    masked = np.ma.getmaskarray(data) if isinstance(data, np.ma.MaskedArray) else None
    pixels = np.asarray(getattr(data, "data", data) if masked is not None else data)
    cut, axes, notes = as_plane(pixels.shape, plane, name)
    if header is None or isinstance(header, fits.Header):
        own = header
        wcs, remarks = read_wcs(own, axes, hdus) if own is not None else (None, ())
    elif hasattr(header, "items"):
        own = fits.Header(dict(header))
        wcs, remarks = read_wcs(own, axes, hdus)
    else:
        own = None
        wcs, remarks = as_wcs(header, axes)
    pixels = pixels[cut]
    blank = _blank(pixels, own)
    image = _as_float(pixels, name)
    for bad in (blank, None if masked is None else masked[cut]):
        if bad is not None and bad.any():
            image[bad] = np.nan
    finite = np.isfinite(image)
    valid = None if finite.all() else finite
    return FitsImage(image, name, own, wcs, valid=valid, axes=axes, notes=notes + remarks)


def _blank(pixels: np.ndarray, header: fits.Header | None) -> np.ndarray | None:
    """Return the pixels of an integer image that carry the value of `BLANK`.

    In images that astropy turned into floats they are NaN already, but in those of unsigned integers it forgets them.
    """
    if header is None or "BLANK" not in header or pixels.dtype.kind not in "iu":
        return None
    offset = header.get("BZERO", 0) if pixels.dtype.kind == "u" else 0
    return pixels == header["BLANK"] + offset


def _as_float(pixels: np.ndarray, name: str) -> np.ndarray:
    """Return a native-endian floating copy of real pixels."""
    if pixels.dtype.kind not in "iuf":
        msg = f"{name}: pixels must be real numbers, got {pixels.dtype}"
        raise InputError(msg)
    small = pixels.dtype.kind == "f" and pixels.dtype.itemsize <= 4
    return np.array(pixels, dtype=np.float32 if small else np.float64, order="C")


def _from_nddata(data: NDData, plane: int | None, name: str) -> FitsImage:
    found = _from_array(data.data, data.wcs, None, plane, name)
    header = data.meta if isinstance(data.meta, fits.Header) else None
    if found.wcs is None and header is not None:
        wcs, remarks = read_wcs(header, found.axes, None)
        found = replace(found, wcs=wcs, notes=found.notes + remarks)
    cut, _, _ = as_plane(data.data.shape, plane, name)
    image = found.image
    if data.mask is not None:
        mask = np.broadcast_to(np.asarray(data.mask, dtype=bool), data.data.shape)[cut]
        image = np.where(mask, np.nan, image).astype(image.dtype)
    err = None
    if data.uncertainty is not None:
        try:
            sigma = data.uncertainty.represent_as(StdDevUncertainty).array
        except Exception as error:  # each uncertainty class refuses in its own way
            msg = f"{name}: its uncertainty cannot be turned into standard deviations: {error}"
            raise InputError(msg) from error
        err = _checked_error(np.broadcast_to(sigma, data.data.shape)[cut], image.shape, f"the uncertainty of {name}")
    valid = None if np.isfinite(image).all() else np.isfinite(image)
    return replace(found, image=image, header=header, err=err, valid=valid)


def load_error(
    source: Any, like: FitsImage, *, hdu: int | str | None = None, plane: int | None = None, name: str = "err"
) -> np.ndarray | float | None:
    """Load the 1 sigma errors of the image `like`.

    Parameters
    ----------
    source : None, number, text of a number, or anything `load_image` takes
        None: the errors that `like` carries itself, if any.
    like : FitsImage
        The image the errors belong to.
    hdu, plane
        As in `load_image`.
    name : str
        What messages call it.

    Returns
    -------
    float, (ny, nx) array or None
        In an array, pixels that are not finite or not positive are left out of the fit.

    Raises
    ------
    InputError
        A number that is not positive, a map of another shape than the image, or one without any positive pixel; also
        as in `load_image`.
    """
    if source is None:
        return like.err
    number = _number(source)
    if number is not None:
        if not (np.isfinite(number) and number > 0):
            msg = f"{name}: an error must be positive and finite, got {source}"
            raise InputError(msg)
        return number
    if isinstance(source, (str, os.PathLike)):
        name = f"{name} {os.fspath(source)}"
    return _checked_error(load_image(source, hdu=hdu, plane=plane, name=name).image, like.image.shape, name, like.name)


def _number(source: Any) -> float | None:
    """Return numbers and their text as float, None for anything else."""
    if not isinstance(source, (int, float, np.number, str)) or isinstance(source, bool):
        return None
    try:
        return float(source)
    except ValueError:
        return None


def _split_hdu(path: str, hdu: int | str | None) -> tuple[str, int | str | None]:
    """Split ``FILE[HDU]``, unless a file is really called that."""
    if path.endswith("]") and "[" in path and not Path(path).exists():
        path, _, hdu = path[:-1].rpartition("[")
    return path, hdu


def _checked_error(err: np.ndarray, shape: tuple[int, ...], name: str, image: str = "its image") -> np.ndarray:
    if err.shape != shape:
        msg = f"{name}: the error map has shape {err.shape}, but {image} has {shape}"
        raise InputError(msg)
    err = _as_float(err, name)
    if not (np.isfinite(err) & (err > 0)).any():
        msg = f"{name}: the error map holds no positive, finite pixel"
        raise InputError(msg)
    return err
