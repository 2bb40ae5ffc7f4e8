"""Fourier shifts of images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import scipy.fft

from .._array import (
    Array,
    Namespace,
    accumulator_dtype,
    array_namespace,
    as_images,
    device_of,
    is_number,
    known_finite,
)
from .._batch import as_batch, broadcast_batch
from .._static import table
from ._arguments import as_coordinates, as_numeric, check_axes, number
from ._dft import along, axes_of, fourier_translate, irfft, phasor, rfft, translate_real_part
from ._modes import frequency
from .sampling import as_complex, real_or_complex

__all__ = ["as_array_or_none", "fourier_shift", "per_item_shift", "shift2d", "shiftnd"]


def fourier_shift(image: Array, shift: Any, *, ndim: int | None = None) -> Array:
    r"""Shift periodic images by any real number of pixels with the Fourier shift theorem.

    .. math:: f(x - \mathrm{shift}) = \frac{1}{N} \sum_\nu F(\nu)\, e^{2\pi i \nu\cdot(x - \mathrm{shift})}

    Parameters
    ----------
    image : array (..., image axes)
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
    makes its whole image so, and so does a shift.
    """
    xp = array_namespace(image=image, optional={"shift": as_array_or_none(shift)})
    (image,) = as_images(xp=xp, image=image)
    flat, offsets, lead = per_item_shift(image, shift, ndim, xp=xp)
    shape = tuple(flat.shape[1:])
    spectrum = rfft(flat, len(shape), xp=xp)
    known = xp.isfinite(offsets)
    offsets = xp.where(known, offsets, xp.zeros_like(offsets))
    moved = irfft(fourier_translate(spectrum, offsets, shape, xp=xp), shape, xp=xp) / math.prod(shape)
    keep = xp.reshape(xp.all(known, axis=-1), (-1,) + (1,) * len(shape))
    return xp.reshape(xp.where(keep, moved, xp.full_like(moved, math.nan)), (*lead, *shape))


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


def shiftnd(
    data: Array,
    offset: Any,
    phase: float = 0,
    nthreads: int = 1,
    use_numpy_fft: bool = False,
    return_abs: bool = False,
    return_real: bool = True,
) -> Array:
    r"""Shift an array by Fourier; NaN is taken for 0.

    .. math:: f(x - \mathrm{offset})\, e^{-i\, \mathrm{phase}}
              = \frac{1}{N} \sum_\nu F(\nu)\, e^{2\pi i \nu \cdot (x - \mathrm{offset}) - i\, \mathrm{phase}}

    Parameters
    ----------
    data : array (..., n_1, ..., n_k)
        Real or complex; as many of its last axes are shifted as `offset` has numbers.
    offset : sequence of k numbers, or array (k,)
        Pixels along each axis, in array order: what lies at x comes to x + offset.
    phase : float
        Radians.
    nthreads : int
        Threads for the FFTs (NumPy arrays).
    use_numpy_fft : bool
        Transform with `numpy.fft` instead of `scipy.fft` (NumPy arrays).
    return_abs : bool
        Return the absolute value of the complex result, whatever `return_real` is.
    return_real : bool
        Return the real part of the complex result; with neither the result is complex.

    Returns
    -------
    array of the shape of `data`
        An infinite pixel gives NaN everywhere, and so does an `offset` that is NaN or infinite.

    Raises
    ------
    TypeError
        `data` is not a numeric array, or `offset` not real numbers in a row.
    ValueError
        `offset` has more numbers than `data` axes, or none; there are no pixels.

    Notes
    -----
    The Nyquist mode of an even axis turns by :math:`e^{i\pi\, \mathrm{offset}}`. So a complex result shifted back is
    the input, for all sizes. Of real data the real part keeps the cosine of that turn: shifted back it is the input for
    odd sizes, for whole pixels and for data without a Nyquist mode, and otherwise has that mode times
    :math:`\cos^2(\pi\, \mathrm{offset})`. No real shift that is continuous in the offset can do better.

    A mode at Nyquist along several axes has the cosine of the sum of their offsets, in `fourier_shift` the product of
    the cosines. The toolkit returns the real part where `return_abs` is set and `return_real` is not cleared.
    """
    xp = array_namespace(data=data, optional={"offset": _row_or_none(offset)}, use_numpy_fft=use_numpy_fft)
    data = as_numeric("data", data, xp=xp)
    phase = number("phase", phase)
    if not known_finite(data, xp=xp):
        data = xp.where(xp.isnan(data), xp.zeros_like(data), data)
    at = _offset(offset, data, xp=xp)
    ndim = at.shape[0]
    check_axes("data", data, ndim)
    shape = tuple(data.shape[data.ndim - ndim :])
    with scipy.fft.set_workers(nthreads):
        if xp.isdtype(data.dtype, "real floating") and return_real and not return_abs and phase == 0:
            moved = translate_real_part(rfft(data, ndim, xp=xp), at, shape, xp=xp)
            return irfft(moved, shape, xp=xp) / math.prod(shape)
        spectrum = xp.fft.fftn(as_complex(data, xp=xp), axes=axes_of(ndim))
        for axis, n in enumerate(shape):
            nu = table(frequency, n, False, dtype=at.dtype, like=at, xp=xp)
            e = phasor(nu, at[axis : axis + 1], -1.0, xp=xp)
            spectrum = spectrum * xp.reshape(xp.astype(e, spectrum.dtype), along(n=n, axis=axis, ndim=ndim))
        moved = xp.fft.ifftn(spectrum, axes=axes_of(ndim)) * (math.cos(phase) - 1j * math.sin(phase))
    return abs(moved) if return_abs else real_or_complex(moved, return_real=return_real, xp=xp)


def shift2d(
    data: Array,
    deltax: float,
    deltay: float,
    phase: float = 0,
    nthreads: int = 1,
    use_numpy_fft: bool = False,
    return_abs: bool = False,
    return_real: bool = True,
) -> Array:
    """Shift an image (..., ny, nx) by Fourier: `shiftnd` with the offset (deltay, deltax), which has the details."""
    return shiftnd(
        data,
        (deltay, deltax),
        phase=phase,
        nthreads=nthreads,
        use_numpy_fft=use_numpy_fft,
        return_abs=return_abs,
        return_real=return_real,
    )


def _row_or_none(offset: Any) -> Any:
    """Return an offset that is an array with axes, None for numbers in a row."""
    if is_number(offset) or not (hasattr(offset, "dtype") or isinstance(offset, (list, tuple))):
        msg = f"`offset` must be one number per axis in a row, such as `shiftnd(image, (dy, dx))`, got {offset!r}"
        raise TypeError(msg)
    return offset if hasattr(offset, "dtype") else None


def _offset(offset: Any, data: Array, *, xp: Namespace) -> Array:
    """Return the offset along each axis, (k,), in the accumulator dtype."""
    acc = accumulator_dtype(data, xp=xp)
    if not hasattr(offset, "dtype"):
        if not all(is_number(x) or hasattr(x, "dtype") for x in offset):
            msg = f"`offset` must be one number per axis, got {offset!r}"
            raise TypeError(msg)
        offset = xp.asarray(list(offset), dtype=acc, device=device_of(data))
    if offset.ndim != 1 or not 1 <= offset.shape[0] <= data.ndim:
        msg = f"`offset` must be one number per axis ({data.ndim}), got shape {tuple(offset.shape)}"
        raise ValueError(msg)
    return as_coordinates("offset", offset, acc, xp=xp)
