"""Opening FITS files, picking the HDU and the plane, and noticing files that are cut short."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from .errors import InputError

__all__ = ["as_plane", "check_image", "is_hdu", "open_fits", "read_pixels", "select"]


@contextmanager
def open_fits(path: str, name: str) -> Iterator[fits.HDUList]:
    """Open a FITS file for reading; every way it can be unreadable is an `InputError`.

    Raises
    ------
    InputError
        The file is missing, a directory, not readable, not FITS, or cut short.
    """
    # a name that is no local file could be a URL, which astropy would fetch
    if not Path(path).exists():
        msg = f"{name}: no such file"
        raise InputError(msg)
    if Path(path).is_dir():
        msg = f"{name}: is a directory, not a file"
        raise InputError(msg)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            hdus = fits.open(path, memmap=False)
            len(hdus)  # read every header now, so that a broken one is noticed here
        except PermissionError as error:
            msg = f"{name}: no permission to read it"
            raise InputError(msg) from error
        except Exception as error:  # the parser and the decompressors raise what they like
            msg = f"{name}: not a FITS file, or damaged ({error})"
            raise InputError(msg) from error
        with hdus:
            yield hdus


def is_hdu(source: Any) -> bool:
    """Tell whether `source` is an HDU that can hold an image."""
    return isinstance(source, (fits.PrimaryHDU, fits.ImageHDU, fits.CompImageHDU))


def _image_shape(hdu: Any) -> tuple[int, ...]:
    """Return the shape of the image in an HDU, () if it holds none."""
    shape = tuple(hdu.shape) if is_hdu(hdu) and not isinstance(hdu, fits.GroupsHDU) else ()
    return shape if all(shape) else ()


def _depth(shape: tuple[int, ...]) -> int:
    return sum(n > 1 for n in shape)


def check_image(hdu: Any, name: str) -> None:
    """Raise an `InputError` if an HDU holds no image."""
    if not _image_shape(hdu):
        msg = f"{name}: holds no image"
        raise InputError(msg)


def select(hdus: fits.HDUList, hdu: int | str | None, plane: int | None, name: str) -> int:
    """Return the number of the HDU asked for, or of the first with a 2-D image (a cube, if a plane is asked for).

    Raises
    ------
    InputError
        There is no such HDU, or it holds no image.
    """
    shapes = [_image_shape(h) for h in hdus]
    if hdu is not None:
        index = _index(hdus, hdu, name)
        check_image(hdus[index], f"{name}: HDU {hdu}")
        return index
    cubes = [i for i, shape in enumerate(shapes) if _depth(shape) > 2]
    flat = [i for i, shape in enumerate(shapes) if _depth(shape) == 2]
    order = cubes + flat if plane is not None else flat + cubes
    if order:
        return order[0]
    held = ", ".join(f"{i}: {shape}" for i, shape in enumerate(shapes) if shape)
    msg = f"{name}: no HDU holds a 2-D image" + (f" (shapes: {held})" if held else "")
    raise InputError(msg)


def _index(hdus: fits.HDUList, hdu: int | str, name: str) -> int:
    key: Any = hdu
    if isinstance(hdu, str):
        text, _, version = hdu.partition(",")
        if text.strip().isdecimal():
            key = int(text)
        elif version.strip().isdecimal():
            key = (text.strip(), int(version))
    try:
        index = hdus.index_of(key)
        if not 0 <= index < len(hdus):
            raise KeyError(key)
    except (KeyError, IndexError, TypeError):
        held = ", ".join(f"{i} {h.name}".strip() for i, h in enumerate(hdus))
        msg = f"{name}: no HDU {hdu}; it has {held}"
        raise InputError(msg) from None
    return index


def as_plane(
    shape: tuple[int, ...], plane: int | None, name: str
) -> tuple[tuple[Any, ...], tuple[int, int], tuple[str, ...]]:
    """Say how to cut a 2-D image out of an array: index, FITS numbers of the x and y axes, notes.

    Raises
    ------
    InputError
        Fewer than two axes are longer than 1, a cube comes without `plane`, or there is no such plane.
    """
    kept = [axis for axis, n in enumerate(shape) if n > 1]
    if len(kept) < 2:
        msg = f"{name}: shape {shape} is not a 2-D image"
        raise InputError(msg)
    lead = tuple(shape[axis] for axis in kept[:-2])
    count = math.prod(lead)
    if lead and plane is None:
        how = f"pick a plane with --plane N (plane=N in Python), N from 0 to {count - 1}"
        msg = f"{name}: is a cube of shape {shape}; {how}"
        raise InputError(msg)
    if lead and plane is not None and not 0 <= plane < count:
        msg = f"{name}: has no plane {plane}, shape {shape} has planes 0 to {count - 1}"
        raise InputError(msg)
    index: list[Any] = [0] * len(shape)
    index[kept[-1]] = index[kept[-2]] = slice(None)
    for axis, at in zip(kept[:-2], np.unravel_index(plane or 0, lead) if lead else (), strict=True):
        index[axis] = int(at)
    notes = []
    if plane is not None:
        notes.append(f"{name}: plane {plane} of {count}" if lead else f"{name}: is a single plane, used as it is")
    if len(kept) < len(shape):
        notes.append(f"{name}: axes of length 1 dropped from shape {shape}")
    return tuple(index), (len(shape) - kept[-1], len(shape) - kept[-2]), tuple(notes)


def read_pixels(hdu: Any, name: str) -> np.ndarray:
    """Read the pixels of an HDU, scaled.

    Raises
    ------
    InputError
        The data are cut short or cannot be decompressed. (astropy only warns, and reads on.)
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return hdu.data
        except Exception as error:  # numpy, zlib and the tile decoders each complain in their own way
            msg = f"{name}: the data are truncated or damaged ({error})"
            raise InputError(msg) from error
