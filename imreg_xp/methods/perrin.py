"""`subreg` (M. Perrin): shifts of a stack of images against one, by the method of choice."""

from __future__ import annotations

import math
import sys
from typing import Any, Literal, get_args

import numpy as np

from .._array import Array, Namespace, accumulator_dtype, array_namespace, as_images, constant, device_of, to_host
from .._engine.chunks import joined, spans
from .._engine.fill import fill_invalid
from .._fft_length import fast_length
from .._inputs import one_image
from ._options import whole
from ._perrin import MEASURED

__all__ = ["METHODS", "subreg"]

_Method = Literal["X", "F", "FHP", "C", "O", "G", "R", "M", "N", "H", "HF"]
METHODS: tuple[str, ...] = get_args(_Method)
_BYTES_PER_PIXEL = 160  # spectra, correlations and boxes of an image
_PAD = 24  # pixels around an image whose holes are filled by Fourier
_WILD = 40.0  # pixels between correlation and header where the header is believed


def subreg(
    ref: Array,
    imgs: Array,
    *,
    method: _Method = "F",
    boxsize: int | None = None,
    badpix: Array | None = None,
    goodlist: Any = None,
    headers: Any = None,
    whichref: int = 0,
) -> Array:
    r"""Find the shifts that bring images to a reference, by one of many methods.

    Parameters
    ----------
    ref : array (ny, nx)
        The reference image.
    imgs : array (..., ny, nx)
        The images. Pixels that are NaN or infinite are replaced by a smooth surface through the others, here and in
        `ref`.
    method : str
        "F"
            A Gaussian on a constant, fitted to the correlation by Fourier in a box of `boxsize` around its maximum.
        "FHP"
            The same, the reference without its large scales: times :math:`1 - 1/(1 + (k/2)^2)`, k waves per image.
        "X"
            The centre of mass of the correlation around its maximum, over half of `boxsize`.
        "C"
            The centre of mass of a box of `boxsize` around the brightest pixel, sky and all.
        "O"
            Zero slope of the brightest star, as DAOPHOT and CNTRD find it, for stars of 5 pixels width; found again
            around itself, which takes away a bias of up to 0.1 pixels.
        "G"
            A Gaussian fitted to the brightest star; the image is shifted and the fit done again until the shift changes
            by less than 0.005 pixels.
        "R"
            The centre of mass of the brightest star in a round aperture around itself, half a `boxsize` in radius, less
            the sky around.
        "M"
            The brightest pixel.
        "N"
            No shift.
        "H"
            What the headers say.
        "HF"
            As F, but what the headers say where that is more than 40 pixels away along an axis.
    boxsize : int, optional
        Pixels on each side of a maximum; 40 for F, FHP, HF and G, else 20. No more than half of the image.
    badpix : boolean array, optional
        True = a bad pixel, which is replaced like NaN: (ny, nx) for `ref` and all images, or (..., ny, nx) for each
        image.
    goodlist : sequence or array (...) of bool, optional
        Which images to register; the others get the shift 0.
    headers : sequence of FITS headers or array (..., 2), optional
        For H and HF: one header per image, with a coordinate system (anything `imreg_xp.FITS_tools.load_header` takes);
        or the shifts themselves.
    whichref : int
        Which header is that of the reference.

    Returns
    -------
    array (..., 2)
        Pixels, (x, y): what to shift each image by to match `ref`. NaN where an image or the reference is flat, or
        there is no such peak or star.

    Raises
    ------
    TypeError
        `ref` and `imgs` are not real arrays of one library and device, `badpix` is not boolean.
    ValueError
        Shapes that do not match; an unknown method; no headers, or not as many as images.
    imreg_xp.FITS_tools.InputError
        A header has no coordinate system, or one that is not comparable with that of the reference.

    Notes
    -----
    The correlation (F, FHP, X, HF) takes images as periodic: what leaves one edge and does not come back at the other
    biases it. X and F keep the brightest pixel in the frame where a shift may go either way round. The Gaussian is no
    better than the peak is like one: expect up to 0.1 pixels, as of the centre of mass. C is drawn to the middle of its
    box by the sky; M is good to a pixel. None of them has errors: see `imreg_xp.register`.

    Examples
    --------
    >>> import numpy as np, imreg_xp
    >>> y, x = np.indices((64, 72))
    >>> star, moved = (np.exp(-((x - u) ** 2 + (y - v) ** 2) / 9) for u, v in ((30, 32), (33.3, 29.6)))
    >>> [float(s) for s in imreg_xp.subreg(star, moved, method="G").round(2)]
    [-3.3, 2.4]
    """
    xp = array_namespace(ref=ref, imgs=imgs, optional={"badpix": badpix})
    _check(ref, imgs, method, headers)
    ref, imgs = as_images(xp=xp, ref=ref, imgs=imgs)
    shape, lead = tuple(ref.shape), tuple(imgs.shape[:-2])
    valid = None if badpix is None else _good_pixels(badpix, lead, shape, xp=xp)
    count = int(np.prod(lead, dtype=int))
    stack = xp.reshape(imgs, (count, *shape))
    good = None if goodlist is None else _good_images(goodlist, lead)
    size = whole("boxsize", boxsize, 1) if boxsize is not None else (40 if method in ("F", "FHP", "HF", "G") else 20)
    if method == "N":
        shift = xp.zeros((count, 2), dtype=stack.dtype, device=device_of(stack))
    elif method == "H":
        shift = _said_by(headers, stack, whichref, xp=xp)
    else:
        reference_valid = None if valid is None or valid.ndim > 2 else valid
        first = _repaired(ref[None, ...], reference_valid, xp=xp)
        halves = [min(size, (n - 1) // 2) for n in shape]
        parts = [
            _measured(method, first, stack[slice(*span), ...], _part(valid, span), halves, xp=xp)
            for span in spans(count, None, stack, shape[0] * shape[1], _BYTES_PER_PIXEL, xp=xp)
        ]
        shift = joined(parts, xp=xp)
        if method == "HF":
            said = xp.astype(_said_by(headers, stack, whichref, xp=xp), shift.dtype)
            wild = ~(xp.max(abs(said - shift), axis=-1, keepdims=True) <= _WILD)
            shift = xp.where(wild, said, shift)
    if good is not None:
        keep = xp.asarray(good.tolist(), dtype=xp.bool, device=device_of(stack))
        shift = xp.where(keep[:, None], shift, xp.zeros_like(shift))
    return xp.reshape(xp.astype(shift, stack.dtype), (*lead, 2))


def _part(valid: Array | None, span: tuple[int, int]) -> Array | None:
    return valid[slice(*span), ...] if valid is not None and valid.ndim > 2 else valid


def _measured(
    method: str, ref: Array, images: Array, valid: Array | None, halves: list[int], *, xp: Namespace
) -> Array:
    """Return the shifts (batch, 2) that the pixels say."""
    images = _repaired(images, valid, xp=xp)
    shift = MEASURED[method](ref, images, halves, xp=xp)
    flat = _is_flat(ref, xp=xp) | _is_flat(images, xp=xp)
    return xp.where(flat[:, None], xp.full_like(shift, math.nan), shift)


def _check(ref: Array, imgs: Array, method: Any, headers: Any) -> None:
    if method not in METHODS:
        msg = f"`method` must be one of {METHODS}, got {method!r}"
        raise ValueError(msg)
    if ref.ndim != 2 or min(ref.shape) < 8:
        msg = f"`ref` must be an image (ny, nx) of at least 8 pixels along each axis, got shape {tuple(ref.shape)}"
        raise ValueError(msg)
    if imgs.ndim < 2 or tuple(imgs.shape[-2:]) != tuple(ref.shape) or 0 in imgs.shape:
        msg = f"`imgs` must have the image shape {tuple(ref.shape)} of `ref`, got {tuple(imgs.shape)}"
        raise ValueError(msg)
    if method in ("H", "HF") and headers is None:
        msg = f"`headers` must be given with method={method!r}, got None"
        raise ValueError(msg)


def _good_pixels(badpix: Array, lead: tuple[int, ...], shape: tuple[int, ...], *, xp: Namespace) -> Array:
    """Return the mask of good pixels, (ny, nx) or (batch, ny, nx)."""
    if not xp.isdtype(badpix.dtype, "bool"):
        msg = f"`badpix` must be boolean, got dtype {badpix.dtype}"
        raise TypeError(msg)
    if tuple(badpix.shape) not in (shape, (*lead, *shape)):
        msg = f"`badpix` must have the shape {shape} or {(*lead, *shape)}, got {tuple(badpix.shape)}"
        raise ValueError(msg)
    return ~badpix if badpix.ndim == 2 else xp.reshape(~badpix, (-1, *shape))


def _good_images(goodlist: Any, lead: tuple[int, ...]) -> np.ndarray:
    (host,) = to_host(goodlist) if hasattr(goodlist, "shape") else (np.asarray(goodlist),)
    if host.shape != lead:
        msg = f"`goodlist` must have the batch shape {lead} of `imgs`, got {host.shape}"
        raise ValueError(msg)
    return host.reshape(-1) != 0


def _repaired(images: Array, valid: Array | None, *, xp: Namespace) -> Array:
    """Return images (batch, ny, nx) with a smooth surface in place of what is not valid."""
    side = one_image(images, None, valid, tuple(images.shape[:1]), 2, names=("imgs", "err", "badpix"), xp=xp)
    if side.valid is None:
        return side.image
    grid = fast_length([n + _PAD for n in side.image.shape[1:]])
    v = xp.astype(side.valid, side.image.dtype)
    total = xp.sum(v, axis=(1, 2), keepdims=True)
    mean = xp.sum(v * side.image, axis=(1, 2), keepdims=True) / xp.where(total > 0, total, xp.ones_like(total))
    return fill_invalid(xp.where(side.valid, side.image - mean, xp.zeros_like(v)), side.valid, grid, xp=xp) + mean


def _is_flat(images: Array, *, xp: Namespace) -> Array:
    low, high = xp.min(images, axis=(1, 2)), xp.max(images, axis=(1, 2))
    return ~(high - low > 8 * xp.finfo(images.dtype).eps * xp.maximum(abs(low), abs(high)))


def _said_by(headers: Any, like: Array, whichref: Any, *, xp: Namespace) -> Array:
    """Return the shifts (batch, 2) of arrays, or of headers through the FITS layer."""
    count = like.shape[0]
    if hasattr(headers, "shape"):
        if tuple(headers.shape[-1:]) != (2,) or np.prod(headers.shape) != 2 * count:
            msg = f"`headers`, as shifts, must have the shape (..., 2) for {count} images, got {tuple(headers.shape)}"
            raise ValueError(msg)
        (host,) = to_host(headers)
        return constant(host.reshape(count, 2), accumulator_dtype(like, xp=xp), like, xp=xp)
    headers = list(headers)
    if len(headers) != count:
        msg = f"`headers` must be one for each of the {count} images, got {len(headers)}"
        raise ValueError(msg)
    if not 0 <= whole("whichref", whichref, 0) < count:
        msg = f"`whichref` must be the number of a header, from 0 to {count - 1}, got {whichref!r}"
        raise ValueError(msg)
    # it needs astropy, and the package knows where it is
    layer = sys.modules[__package__.partition(".")[0]].FITS_tools
    host = layer.header_shifts(headers, tuple(like.shape[1:]), whichref=whichref)
    return constant(host, accumulator_dtype(like, xp=xp), like, xp=xp)
