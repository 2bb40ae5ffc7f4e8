"""Writing the aligned image and the corrected header; a file is there whole, or not at all."""

from __future__ import annotations

import gzip
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

import numpy as np
from astropy.io import fits

from .. import SimilarityRegistration, apply_shift, apply_transform
from .._version import __version__
from .align import Alignment
from .corrections import correct_cards, corrected_wcs
from .errors import InputError
from .hdus import open_fits
from .reprojecting import Plane, resample

__all__ = [
    "aligned_image",
    "aligned_lines",
    "as_ascii",
    "atomic",
    "corrected_header",
    "save_aligned",
    "save_corrected",
    "sweep",
    "write_aligned",
    "write_corrected",
]

# what the aligned image keeps of the moving image's header; its coordinates are the reference's
_KEPT = ("OBJECT", "TELESCOP", "INSTRUME", "DETECTOR", "FILTER", "WAVELNTH", "DATE-OBS", "EXPTIME", "BUNIT")


@contextmanager
def atomic(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary name beside `path`; what is written there becomes `path` when the block ends well.

    Raises
    ------
    InputError
        The file cannot be written.
    """
    final = Path(path)
    temporary = final.with_name(f".{uuid4().hex[:8]}-{final.name}")
    try:
        yield temporary
        temporary.replace(final)
    except OSError as error:
        msg = f"{final}: cannot be written ({error.strerror or error})"
        raise InputError(msg) from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def sweep(folder: Path, pattern: str) -> None:
    """Remove what `atomic` left in a folder, of files called like `pattern`, in runs that were killed."""
    for leftover in folder.glob(f".{'[0-9a-f]' * 8}-{pattern}"):
        with suppress(OSError):
            leftover.unlink()


def aligned_image(alignment: Alignment, *, corrected: bool = True) -> np.ndarray:
    """Return the moving image on the reference's pixel grid, NaN where it holds nothing.

    It is resampled once: by `apply_shift` or `apply_transform` where the grids are alike, else from the original pixels
    with the corrected coordinates.

    Parameters
    ----------
    alignment : Alignment
        What was found.
    corrected : bool
        False: as it lies without it.
    """
    moving = alignment.moving.image
    ny, nx = alignment.reference.image.shape
    pixels = moving.astype(np.float64)
    valid = np.isfinite(pixels)
    correction = alignment.correction
    if alignment.reprojected and alignment.systems is not None and correction is not None:
        source, target = alignment.systems
        if corrected:
            source = corrected_wcs(source, correction)
        image = resample(Plane(pixels, valid, None), source, target, (ny, nx)).image
    elif corrected and alignment.model != "shift":
        image = np.asarray(apply_transform(pixels, alignment.registration, valid=valid, shape=(ny, nx)))
    elif corrected:
        shift = np.asarray(alignment.registration.shift, dtype=float)
        whole = np.round(shift).astype(int)
        image = _placed(np.asarray(apply_shift(pixels, shift - whole, valid=valid)), whole, (ny, nx))
    else:
        image = _placed(pixels, np.zeros(2, dtype=int), (ny, nx))
    return image.astype(moving.dtype)


def _placed(image: np.ndarray, at: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Lay an image with its pixel (0, 0) on pixel `at` of a NaN image of another shape."""
    out = np.full(shape, np.nan)
    low = np.maximum(at, 0)
    high = np.minimum(at + image.shape, shape)
    if (high > low).all():
        inside = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        out[inside] = image[tuple(slice(a, b) for a, b in zip(low - at, high - at, strict=True))]
    return out


def write_aligned(alignment: Alignment, path: str | os.PathLike[str]) -> None:
    """Write `aligned_image` with the reference's coordinates, whole or not at all.

    Raises
    ------
    InputError
        The file cannot be written.
    """
    with atomic(path) as temporary:
        save_aligned(alignment, temporary)


def save_aligned(alignment: Alignment, path: Path) -> None:
    """Write `aligned_image` to a name that `atomic` gave."""
    reference, moving = alignment.reference, alignment.moving
    header = fits.Header()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if reference.wcs is not None:
            # relax: distortion polynomials too
            header.update(reference.wcs.to_header(relax=True))
        for key in _KEPT:
            if moving.header is not None and moving.header.get(key) not in (None, ""):
                header[key] = (moving.header[key], moving.header.comments[key])
        for line in aligned_lines(alignment):
            header["HISTORY"] = line
        fits.PrimaryHDU(aligned_image(alignment), header).writeto(path)


def aligned_lines(alignment: Alignment) -> list[str]:
    """Return what `save_aligned` tells in HISTORY."""
    reference, moving = alignment.reference, alignment.moving
    what = f"{as_ascii(moving.name)} resampled onto {as_ascii(reference.name)}"
    return [f"imreg-xp {__version__}: {line}" for line in (what, *_history(alignment))]


def as_ascii(text: str) -> str:
    """Return text that a FITS card can hold."""
    return text.encode("ascii", "backslashreplace").decode().replace("\n", "\\n")


def _history(alignment: Alignment) -> list[str]:
    x, y = alignment.shift_xy
    ex, ey = np.sqrt(np.diag(alignment.covariance_xy))
    lines = [
        f"reference {as_ascii(alignment.reference.name)}, model {alignment.model}",
        f"shift x = {x:+.5f} +- {ex:.5f} reference pixels",
        f"shift y = {y:+.5f} +- {ey:.5f} to match the reference",
    ]
    r = alignment.registration
    if isinstance(r, SimilarityRegistration):
        lines.append(f"angle = {float(r.angle):+.6f} +- {float(r.angle_err):.6f} deg from +x to +y, about its middle")
        lines.append(f"magnification = {float(r.magnification):.7f} +- {float(r.magnification_err):.7f}")
    if alignment.sky is not None:
        s = alignment.sky
        lines.append(f"offset east = {s.east:+.5g} +- {s.east_err:.2g} arcsec")
        lines.append(f"offset north = {s.north:+.5g} +- {s.north_err:.2g} from the old header")
        if s.angle is not None:
            lines.append(f"position angles {s.angle:+.6f} +- {s.angle_err:.6f} deg, north through east")
    return lines


def corrected_header(alignment: Alignment, header: fits.Header | None = None) -> fits.Header:
    """Return a copy of the moving image's header whose positions agree with the reference.

    Only CRPIX changes, or CRVAL where a distortion is part of the coordinates; with rotation the matrix, too, in the
    form it has: CD, or PC and CDELT, or CROTA2 and CDELT (PC in its place where that cannot hold a rotation of pixels
    that are not square). HISTORY says how.

    Parameters
    ----------
    alignment : Alignment
        What was found.
    header : Header, optional
        The header to correct instead: the same one as it stands in the file.

    Raises
    ------
    InputError
        One of the images has no coordinate system, there is no reliable shift, or the header has its rotation in a
        form that is not of the standard.
    """
    correction, moving = alignment.correction, alignment.moving
    if correction is None or moving.header is None:
        msg = f"{moving.name}: no header to correct, it takes a shift and coordinate systems in both images"
        raise InputError(msg)
    new = (moving.header if header is None else header).copy()
    try:
        old = correct_cards(new, moving.axes, moving.wcs, moving.image.shape, correction)
    except InputError as error:
        msg = f"{moving.name}: {error}"
        raise InputError(msg) from error
    # it covers the header, which is another one now; DATASUM, of the data, stays true
    new.remove("CHECKSUM", ignore_missing=True)
    before = ", ".join(f"{key} = {value}" for key, value in old.items())
    for line in (*_history(alignment), f"before: {before}"):
        new["HISTORY"] = f"imreg-xp {__version__}: {line}"
    return new


def write_corrected(alignment: Alignment, path: str | os.PathLike[str]) -> None:
    """Copy the moving image's file with one header corrected: every other byte of the FITS stream stays as it is.

    Raises
    ------
    InputError
        The image is not from a file, has no coordinates to correct, or the file cannot be written.
    """
    with atomic(path) as temporary:
        save_corrected(alignment, temporary)


def save_corrected(alignment: Alignment, path: Path) -> None:
    """Write the copy with the corrected header to a name that `atomic` gave."""
    moving = alignment.moving
    if moving.path is None or moving.hdu is None:
        msg = f"{moving.name}: is not from a file, there is nothing to copy; see corrected_header"
        raise InputError(msg)
    # bytes as they lie in the file: astropy writes some images in another way than it read them
    with open_fits(moving.path, moving.name) as hdus:
        place = hdus[moving.hdu].fileinfo()
        stream = place["file"]
        stream.seek(0)
        content = stream.read()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        old = fits.Header.fromstring(content[place["hdrLoc"] : place["datLoc"]])
        header = corrected_header(alignment, old).tostring().encode("ascii", "replace")
    content = content[: place["hdrLoc"]] + header + content[place["datLoc"] :]
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
