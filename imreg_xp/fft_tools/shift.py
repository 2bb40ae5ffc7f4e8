"""Fourier shifts of images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from .._array import (
    Array,
    Namespace,
    accumulator_dtype,
    array_namespace,
    as_batch,
    as_images,
    broadcast_batch,
    device_of,
    is_number,
)
from ._dft import fourier_translate, irfft, rfft

__all__ = ["as_array_or_none", "fourier_shift", "per_item_shift"]


def fourier_shift(image: Array, shift: Any, *, ndim: int | None = None) -> Array:
    r"""Shift periodic images by any real number of pixels with the Fourier shift theorem.

    .. math:: f(x - \mathrm{shift}) = \frac{1}{N} \sum_\nu F(\nu)\, e^{2\pi i \nu\cdot(x - \mathrm{shift})}

    Parameters
    ----------
    image : array (..., *image axes)
        Real images.
    shift : array (..., ndim) or sequence
        Pixels, array-axis order: content moves towards larger indices. Leading axes broadcast against those of `image`.
    ndim : int, optional
        How many trailing axes are image axes; the length of `shift` if not given.

    Returns
    -------
    array
        The shifted images in the dtype and on the device of `image` (integers become floating).

    Raises
    ------
    TypeError
        `image` is not a real array.
    ValueError
        `shift` does not end in one number per image axis.

    Notes
    -----
    The Nyquist mode of an even axis is shifted by cos(pi shift), which keeps the image real. A pixel that is not finite
    makes its whole image so.
    """
    xp = array_namespace(image=image, optional={"shift": as_array_or_none(shift)})
    (image,) = as_images(xp=xp, image=image)
    flat, offsets, lead = per_item_shift(image, shift, ndim, xp=xp)
    shape = tuple(flat.shape[1:])
    spectrum = rfft(flat, len(shape), xp=xp)
    moved = irfft(fourier_translate(spectrum, offsets, shape, xp=xp), shape, xp=xp) / math.prod(shape)
    return xp.reshape(moved, (*lead, *shape))


def as_array_or_none(shift: Any) -> Any:
    """Return a shift that is an array, None where it is numbers in a row."""
    if is_number(shift) or isinstance(shift, Sequence):
        return None
    if not hasattr(shift, "dtype"):
        msg = f"`shift` must be an array or a sequence of numbers, got {type(shift).__name__}"
        raise TypeError(msg)
    return shift


def per_item_shift(
    image: Array, shift: Any, ndim: int | None, *, valid: Array | None = None, xp: Namespace
) -> tuple[Array, Array, tuple[int, ...]]:
    """Return images (batch or 1, ...), shifts (batch or 1, ndim) in the accumulator dtype, and the batch shape.

    A mask has a say in the batch shape too.
    """
    acc = accumulator_dtype(image, xp=xp)
    if not hasattr(shift, "dtype"):
        shift = xp.asarray(_listed(shift), dtype=acc, device=device_of(image))
    shift = xp.astype(shift, acc)
    count = shift.shape[-1] if shift.ndim else 0
    ndim = count if ndim is None else ndim
    if count != ndim or not 1 <= ndim <= image.ndim:
        axes = f"{ndim} of the {image.ndim} axes"
        msg = f"`shift` must end in one number per image axis ({axes}), got shape {tuple(shift.shape)}"
        raise ValueError(msg)
    masked = {} if valid is None else {"valid": tuple(valid.shape[: max(valid.ndim - ndim, 0)])}
    lead = broadcast_batch(
        {"image": tuple(image.shape[: image.ndim - ndim]), "shift": tuple(shift.shape[:-1]), **masked}
    )
    return as_batch(image, lead, ndim, xp=xp), as_batch(shift, lead, 1, xp=xp), lead


def _listed(shift: Any) -> list[Any]:
    return list(shift) if isinstance(shift, Sequence) else [shift]
