"""Convolution by Fourier, with care for borders and for pixels that are NaN."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.fft

from .._array import Array, Namespace, array_namespace, as_images, fast_length, from_lists
from ._dft import axes_of, irfft, part, rfft
from .borders import BOUNDARIES, continued, within, zero_padded
from .sampling import as_complex

__all__ = ["convolve", "convolve_nd"]

_NORMALISED = 1e-6  # how close to 1 the sum of a kernel that averages is


def convolve_nd(
    array: Array,
    kernel: Array,
    boundary: str = "fill",
    fill_value: float = 0,
    crop: bool = True,
    return_fft: bool = False,
    fftshift: bool = True,
    fft_pad: bool = True,
    psf_pad: bool = False,  # noqa: ARG001
    interpolate_nan: bool = False,
    quiet: bool = False,  # noqa: ARG001
    ignore_edge_zeros: bool = False,
    min_wt: float = 0.0,
    normalize_kernel: bool | Callable[[Array], Array] = False,
    use_numpy_fft: bool = True,
    nthreads: int = 1,
) -> Array:
    r"""Convolve an array with a kernel whose origin is at its index n // 2.

    .. math:: C(x) = \sum_y a(x - y)\, k(y)

    Parameters
    ----------
    array : array (..., n_1, ..., n_k)
        Real-valued, or lists of numbers. Axes before those of the kernel are batch axes.
    kernel : array (m_1, ..., m_k)
        Finite.
    boundary : {"fill", "constant", "wrap", "reflect", "nearest"}
        What the array is beyond its border: `fill_value` ("fill", "constant"), periodic, its mirror image
        (d c b a | a b c d), its last pixel.
    fill_value : number
        Value beyond the border.
    crop : bool
        Return the shape of the array ("fill": along each axis of the longer of array and kernel, the array in its
        middle); else with `boundary` "fill" all that is not `fill_value`: n + m - 1 pixels, those of the array from
        index m // 2 on.
    return_fft : bool
        Return the product of the spectra of array and kernel, complex, of the shape of the array padded with zeros to
        hold the kernel; its inverse transform is the convolution, array index 0 first.
    fftshift : bool
        With `return_fft`: the zero frequency in the middle, at n // 2.
    fft_pad : bool
        With `return_fft`: pad on to a length that transforms fast.
    psf_pad, quiet : bool
        Without effect: with "fill" nothing ever comes round the edge, and there is nothing to say.
    interpolate_nan : bool
        Leave NaN pixels out and divide by the weight of the others, if the kernel is an average (its sum is 1). Else
        NaN counts as 0.
    ignore_edge_zeros : bool
        Leave what is beyond the border out ("fill"), likewise.
    min_wt : number
        Weight, of 1 for a pixel with nothing left out, below which a pixel becomes NaN. With 0 a pixel of no weight
        becomes 0.
    normalize_kernel : bool or function
        Divide the kernel by this function of it; True: by its sum.
    use_numpy_fft : bool
        Transform with `numpy.fft` instead of `scipy.fft` (NumPy arrays).
    nthreads : int
        Threads for the FFTs (NumPy arrays, with `scipy.fft`).

    Returns
    -------
    array
        In the floating dtype of `array`.

    Raises
    ------
    TypeError
        `array` or `kernel` are not real arrays of one library and device.
    ValueError
        `kernel` has more axes than `array`, or `boundary` is unknown.

    Notes
    -----
    With a kernel that is an average this is `astropy.convolution.convolve_fft`: ``interpolate_nan=True`` its
    ``nan_treatment="interpolate"``, ``ignore_edge_zeros=True`` its ``boundary=None``.

    Examples
    --------
    >>> import numpy as np
    >>> from imreg_xp.fft_tools.convolve_nd import convolve
    >>> def show(*args, **kwargs):
    ...     print(np.round(convolve(*args, **kwargs), 9) + 0.0)
    >>> show([1, 0, 3], [1, 1, 1])
    [1. 4. 3.]
    >>> show([1, np.nan, 3], [1, 1, 1], quiet=True)
    [1. 4. 3.]
    >>> show([1, 0, 3], [0, 1, 0])
    [1. 0. 3.]
    >>> show([1, 2, 3], [1])
    [1. 2. 3.]
    >>> show([1, np.nan, 3], [0, 1, 0], interpolate_nan=True)
    [1. 0. 3.]
    >>> show([1, np.nan, 3], [0, 1, 0], interpolate_nan=True, min_wt=1e-8)
    [ 1. nan  3.]
    >>> show([1, np.nan, 3], [1, 1, 1], interpolate_nan=True)
    [1. 4. 3.]
    >>> show([1, np.nan, 3], [1, 1, 1], interpolate_nan=True, normalize_kernel=True, ignore_edge_zeros=True)
    [1. 2. 3.]
    """
    array, kernel = from_lists(array), from_lists(kernel)
    xp = array_namespace(array=array, kernel=kernel, use_numpy_fft=use_numpy_fft)
    if boundary not in BOUNDARIES:
        msg = f"`boundary` must be one of {BOUNDARIES}, got {boundary!r}"
        raise ValueError(msg)
    if not 1 <= kernel.ndim <= array.ndim:
        msg = f"`kernel` must have 1 to {array.ndim} axes as `array` does, got shape {tuple(kernel.shape)}"
        raise ValueError(msg)
    (array,) = as_images(xp=xp, array=array)
    kernel = _normalised(xp.astype(as_images(xp=xp, kernel=kernel)[0], array.dtype), normalize_kernel, xp=xp)
    good = ~xp.isnan(array)
    values = xp.where(good, array, xp.zeros_like(array))
    beyond = "fill" if boundary == "constant" else boundary
    with scipy.fft.set_workers(nthreads):
        if return_fft:
            return _spectrum(
                values, kernel, fast=fft_pad and beyond != "wrap", periodic=beyond == "wrap", centred=fftshift, xp=xp
            )
        windows = [
            _window(n, m, beyond, crop=crop) for n, m in zip(array.shape[-kernel.ndim :], kernel.shape, strict=True)
        ]
        result = _convolved(values, kernel, windows, beyond, fill_value, xp=xp)
        if not (interpolate_nan or ignore_edge_zeros):
            return result
        share = xp.astype(good, array.dtype) if interpolate_nan else xp.ones_like(array)
        weight = _convolved(share, kernel, windows, beyond, 0.0 if ignore_edge_zeros else 1.0, xp=xp)
    return _weighed(result, weight, kernel, min_wt, xp=xp)


convolve = convolve_nd


def _normalised(kernel: Array, by: Any, *, xp: Namespace) -> Array:
    if by is False or by is None:
        return kernel
    # NumPy's functions are not for arrays of other libraries
    function = {np.sum: xp.sum, sum: xp.sum, True: xp.sum, np.max: xp.max, max: xp.max}.get(by, by)
    return kernel / function(kernel)


def _window(n: int, m: int, beyond: str, *, crop: bool) -> tuple[int, int]:
    """Return the first coordinate of the result along an axis, and the one past its last."""
    if beyond != "fill":
        return 0, n
    if not crop:
        return -(m // 2), n + m - 1 - m // 2
    first = min(0, n // 2 - m // 2)
    return first, first + max(n, m)


def _convolved(
    values: Array, kernel: Array, windows: list[tuple[int, int]], beyond: str, fill: float, *, xp: Namespace
) -> Array:
    """Return the convolution on the windows of coordinates, with `fill` beyond the border where that is asked for."""
    ndim = kernel.ndim
    sizes = values.shape[values.ndim - ndim :]
    if beyond == "wrap" and all(m <= n for m, n in zip(kernel.shape, sizes, strict=True)):
        full = irfft(rfft(values, ndim, xp=xp) * rfft(kernel, ndim, xp=xp, s=sizes), sizes, xp=xp) / math.prod(sizes)
        return xp.roll(full, tuple(-(m // 2) for m in kernel.shape), axis=axes_of(ndim))
    inside, wide = 1.0, values
    for axis, (m, (first, last)) in enumerate(zip(kernel.shape, windows, strict=True), start=-ndim):
        ends = (first - (m - 1 - m // 2), last + m // 2)
        inside = inside * within(values, axis, *ends, xp=xp)
        wide = continued(wide, axis, *ends, beyond, xp=xp)
    if beyond == "fill":
        wide = xp.where(inside > 0, wide, xp.full_like(wide, fill))
    grid = fast_length(wide.shape[wide.ndim - ndim :])
    product = rfft(wide, ndim, xp=xp, s=grid) * rfft(kernel, ndim, xp=xp, s=grid)
    full = irfft(product, grid, xp=xp) / math.prod(grid)
    for axis, (m, (first, last)) in enumerate(zip(kernel.shape, windows, strict=True), start=values.ndim - ndim):
        full = part(full, axis, m - 1, m - 1 + last - first)
    return full


def _weighed(result: Array, weight: Array, kernel: Array, min_wt: float, *, xp: Namespace) -> Array:
    """Divide by the weight of what was not left out, where the kernel is an average."""
    # weights that should be zero are rounding errors
    weight = xp.where(abs(weight) > 100 * xp.finfo(weight.dtype).eps, weight, xp.zeros_like(weight))
    usable = weight > 0
    divided = xp.where(usable, result / xp.where(usable, weight, xp.ones_like(weight)), xp.zeros_like(result))
    divided = xp.where(weight < min_wt, xp.full_like(result, math.nan), divided)
    return xp.where(abs(xp.sum(kernel) - 1) < _NORMALISED, divided, result)


def _spectrum(values: Array, kernel: Array, *, fast: bool, periodic: bool, centred: bool, xp: Namespace) -> Array:
    ndim = kernel.ndim
    sizes = values.shape[values.ndim - ndim :]
    grid = tuple(sizes) if periodic else tuple(n + m - 1 for n, m in zip(sizes, kernel.shape, strict=True))
    grid = fast_length(grid) if fast else grid
    axes = axes_of(ndim)
    # the origin of the kernel comes to index 0
    placed = xp.roll(zero_padded(kernel, grid, xp=xp), tuple(-(m // 2) for m in kernel.shape), axis=axes)
    product = xp.fft.fftn(as_complex(zero_padded(values, grid, xp=xp), xp=xp), axes=axes)
    product = product * xp.fft.fftn(as_complex(placed, xp=xp), axes=axes)
    return xp.fft.fftshift(product, axes=axes) if centred else product
