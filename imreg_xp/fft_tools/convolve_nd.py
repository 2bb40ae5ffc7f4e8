"""Convolution by Fourier, with care for borders and for pixels that are NaN."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import scipy.fft

from .._array import Array, Namespace, array_namespace, as_images, finite, from_lists
from .._fft_length import fast_length
from .._layout import zero_padded
from .._providers import in_library
from ._dft import axes_of, irfft, part, rfft
from .borders import BOUNDARIES, continued, within
from .sampling import as_complex

__all__ = ["convolve", "convolve_nd", "normalised"]

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
        middle); else with `boundary` "fill" the padded size p, with pixel n // 2 of the array at p // 2: n + m along
        each axis, all that is not `fill_value`, or the next length that transforms fast.
    return_fft : bool
        Return the product of the spectra of array and kernel, complex. Its inverse transform is the result of
        ``crop=False``, before anything is divided by weights. Beyond the border of the array there is 0.
    fftshift : bool
        With `return_fft`: the zero frequency in the middle, at n // 2; with `crop` no more frequencies around it than
        the cropped result has pixels.
    fft_pad : bool
        Pad on to a length that transforms fast, which has prime factors up to 7 (not only 2).
    psf_pad, quiet : bool
        Without effect: with "fill" nothing ever comes round the edge, and there is nothing to say.
    interpolate_nan : bool
        Leave pixels that are not finite out and divide by the weight of the others, if the kernel is an average (its
        sum is 1). Else they count as 0.
    ignore_edge_zeros : bool
        Leave what is beyond the border out ("fill"), likewise; `fill_value` has no effect then.
    min_wt : number
        Weight, of 1 for a pixel with nothing left out, below which a pixel becomes NaN. With 0 a pixel of no weight
        becomes 0.
    normalize_kernel : bool or function
        Divide the kernel by this function of it; True: by its sum. `numpy.sum`, `max`, `min` and `mean` are for arrays
        of any library.
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
        `kernel` has more axes than `array`, or `boundary` is unknown; `return_fft` or no `crop` with "reflect" or
        "nearest", where nothing is periodic.

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
    beyond = "fill" if boundary == "constant" else boundary
    if beyond not in ("fill", "wrap") and (return_fft or not crop):
        msg = f"`boundary` must be 'fill', 'constant' or 'wrap' with `return_fft` or without `crop`, got {boundary!r}"
        raise ValueError(msg)
    (array,) = as_images(xp=xp, array=array)
    kernel = normalised(xp.astype(as_images(xp=xp, kernel=kernel)[0], array.dtype), normalize_kernel, xp=xp)
    values, good = finite(array, xp=xp)
    grid = _grid(array, kernel, beyond, fast=fft_pad)
    windows = [
        _window(n, m, p, beyond, crop=crop)
        for n, m, p in zip(array.shape[array.ndim - kernel.ndim :], kernel.shape, grid, strict=True)
    ]
    with scipy.fft.set_workers(nthreads):
        if return_fft:
            product = _spectrum(values, kernel, grid, xp=xp)
            return _shifted(product, [last - first for first, last in windows], xp=xp) if fftshift else product
        result = _convolved(values, kernel, windows, beyond, 0.0 if ignore_edge_zeros else fill_value, xp=xp)
        if not (interpolate_nan or ignore_edge_zeros):
            return result
        share = xp.astype(good, array.dtype) if interpolate_nan else xp.ones_like(array)
        weight = _convolved(share, kernel, windows, beyond, 0.0 if ignore_edge_zeros else 1.0, xp=xp)
    return _weighed(result, weight, kernel, min_wt, xp=xp)


convolve = convolve_nd


def normalised(kernel: Array, by: Any, *, xp: Namespace) -> Array:
    """Return the kernel divided by a function of it, True for its sum, or as it is."""
    if by is False or by is None:
        return kernel
    return kernel / in_library(sum if by is True else by, xp=xp)(kernel)


def _grid(array: Array, kernel: Array, beyond: str, *, fast: bool) -> tuple[int, ...]:
    """Return the shape on which array and kernel are laid where the result is not cropped."""
    sizes = tuple(array.shape[array.ndim - kernel.ndim :])
    if beyond != "fill":
        return sizes
    padded = tuple(n + m for n, m in zip(sizes, kernel.shape, strict=True))
    return fast_length(padded) if fast else padded


def _window(n: int, m: int, p: int, beyond: str, *, crop: bool) -> tuple[int, int]:
    """Return the first coordinate of the result along an axis, and the one past its last."""
    if beyond != "fill":
        return 0, n
    if not crop:
        return n // 2 - p // 2, n // 2 - p // 2 + p
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
    tiny = 100 * xp.finfo(weight.dtype).eps
    weight = xp.where(abs(weight) > tiny, weight, xp.zeros_like(weight))
    usable = weight > 0
    divided = xp.where(usable, result / xp.where(usable, weight, xp.ones_like(weight)), xp.zeros_like(result))
    divided = xp.where(weight < min_wt - (tiny if min_wt > tiny else 0.0), xp.full_like(result, math.nan), divided)
    return xp.where(abs(xp.sum(kernel) - 1) < _NORMALISED, divided, result)


def _spectrum(values: Array, kernel: Array, grid: tuple[int, ...], *, xp: Namespace) -> Array:
    """Return the spectrum of the convolution on `grid`, the middle of the array at that of the grid."""
    axes = axes_of(kernel.ndim)
    sizes = values.shape[values.ndim - kernel.ndim :]
    if any(m > p for m, p in zip(kernel.shape, grid, strict=True)):
        msg = f"`kernel` must not be larger than `array` for the spectrum of a periodic one, got {tuple(kernel.shape)}"
        raise ValueError(msg)
    middle = tuple(p // 2 - n // 2 for n, p in zip(sizes, grid, strict=True))
    placed = xp.roll(zero_padded(values, grid, xp=xp), middle, axis=axes)
    # the origin of the kernel comes to index 0
    turned = xp.roll(zero_padded(kernel, grid, xp=xp), tuple(-(m // 2) for m in kernel.shape), axis=axes)
    return xp.fft.fftn(as_complex(placed, xp=xp), axes=axes) * xp.fft.fftn(as_complex(turned, xp=xp), axes=axes)


def _shifted(product: Array, sizes: list[int], *, xp: Namespace) -> Array:
    """Return the spectrum with the zero frequency at n // 2 and `sizes` frequencies."""
    product = xp.fft.fftshift(product, axes=axes_of(len(sizes)))
    for axis, n in enumerate(sizes, start=product.ndim - len(sizes)):
        start = product.shape[axis] // 2 - n // 2
        product = part(product, axis, start, start + n)
    return product
