"""Smoothing with a Gaussian, a boxcar or a tophat."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from .._array import Array, Namespace, accumulator_dtype, array_namespace, as_images, device_of, is_number
from .._bounds import bounded
from ._dft import along, part
from .convolve_nd import convolve_nd, normalised
from .downsample import block_average

__all__ = ["smooth"]

_KERNELS = ("gaussian", "boxcar", "tophat", "trapezoid")


def smooth(
    image: Array,
    kernelwidth: float = 3,
    kerneltype: str = "gaussian",
    trapshlope: float | None = None,
    silent: bool = True,  # noqa: ARG001
    psf_pad: bool = True,
    interp_nan: bool = False,
    nwidths: float | Literal["max"] = "max",
    min_nwidths: float = 6,
    return_kernel: bool = False,
    normalize_kernel: bool | Callable[[Array], Array] = np.sum,
    downsample: bool = False,
    downsample_factor: int | None = None,
    ignore_edge_zeros: bool = False,
    **kwargs: Any,
) -> Any:
    r"""Return an image smoothed with a kernel that is symmetric about its origin: nothing moves.

    Parameters
    ----------
    image : array (n_1, ..., n_k)
        Real-valued, in any number of dimensions.
    kernelwidth : number
        w, pixels.
    kerneltype : {"gaussian", "boxcar", "tophat", "trapezoid"}
        :math:`e^{-r^2 / 2 w^2}`; a square of w by w pixels (those at the edge count by their part inside); 1 closer
        than w; the same with a slope of `trapshlope` per pixel beyond.
    trapshlope : number, optional
        Fall of the trapezoid per pixel, of its height.
    silent : bool
        Without effect.
    psf_pad : bool
        Take the image for zero beyond its border; otherwise for periodic.
    interp_nan : bool
        Replace pixels that are not finite by the average of the pixels around, weighted by the kernel. Otherwise they
        become NaN, and count as 0 for the pixels around, or not at all with ``ignore_nan=True``.
    nwidths : number or "max"
        Size of the kernel, from end to end, in units of `kernelwidth`; "max": as large as the image.
    min_nwidths : number
        Least size of the kernel, in the same units.
    return_kernel : bool
        Return the kernel too, normalised.
    normalize_kernel : function or bool
        Divide the kernel by this function of it: its sum keeps the sum of the image, its maximum the peak.
    downsample : bool
        Average the result over blocks of pixels.
    downsample_factor : int, optional
        Size of the blocks; `kernelwidth` if not given.
    ignore_edge_zeros : bool
        Leave what is beyond the border out of the average.
    **kwargs
        `ignore_nan`, and those of `convolve_nd`.

    Returns
    -------
    image : array
        In the floating dtype of `image`.
    kernel : array
        With `return_kernel`: of even size along each axis, origin at n // 2, zero at index 0, which has no opposite.

    Raises
    ------
    TypeError
        `image` is not a real array.
    ValueError
        `kerneltype` is unknown, or a width not positive.
    """
    xp = array_namespace(image=image)
    (values,) = as_images(xp=xp, image=image)
    _check(kernelwidth, kerneltype, trapshlope, nwidths, min_nwidths)
    sizes = [_even(n if nwidths == "max" else nwidths * kernelwidth, min_nwidths * kernelwidth) for n in image.shape]
    slope = abs(trapshlope) if kerneltype == "trapezoid" and trapshlope else math.inf
    kernel = normalised(_kernel(sizes, kernelwidth, kerneltype, slope, values, xp=xp), normalize_kernel, xp=xp)
    options = {"boundary": "fill" if psf_pad else "wrap", "use_numpy_fft": False, **kwargs}
    ignored = interp_nan or options.pop("ignore_nan", False) or options.get("interpolate_nan", False)
    options = {**options, "interpolate_nan": ignored}
    # only an average can leave pixels out, whatever the norm asked for
    total = xp.sum(kernel)
    smoothed = convolve_nd(values, kernel / total, ignore_edge_zeros=ignore_edge_zeros, **options) * total
    for axis, n in enumerate(values.shape):
        # a kernel larger than the image has it in the middle
        start = smoothed.shape[axis] // 2 - n // 2
        smoothed = part(smoothed, axis, start, start + n)
    if not interp_nan:
        smoothed = xp.where(xp.isfinite(values), smoothed, xp.full_like(smoothed, math.nan))
    if downsample:
        factor = round(kernelwidth) if downsample_factor is None else downsample_factor
        smoothed = block_average(smoothed, factor, np.nanmean, tuple(range(-image.ndim, 0)), xp=xp)
    return (smoothed, kernel) if return_kernel else smoothed


def _check(kernelwidth: Any, kerneltype: Any, trapshlope: Any, nwidths: Any, min_nwidths: Any) -> None:
    if kerneltype not in _KERNELS:
        msg = f"`kerneltype` must be one of {_KERNELS}, got {kerneltype!r}"
        raise ValueError(msg)
    for name, value in (("kernelwidth", kernelwidth), ("min_nwidths", min_nwidths)):
        if not (is_number(value) and value > 0):
            msg = f"`{name}` must be a positive number, got {value!r}"
            raise ValueError(msg)
    if nwidths != "max" and not (is_number(nwidths) and nwidths > 0):
        msg = f"`nwidths` must be 'max' or a positive number, got {nwidths!r}"
        raise ValueError(msg)
    if kerneltype == "trapezoid" and not (is_number(trapshlope) and trapshlope):
        msg = f"`trapshlope` must be a number other than 0 for a trapezoid, got {trapshlope!r}"
        raise ValueError(msg)


def _even(*sizes: float) -> int:
    return 2 * math.ceil(max(*sizes, 2) / 2)


def _kernel(sizes: list[int], width: float, kind: str, slope: float, like: Array, *, xp: Namespace) -> Array:
    """Return the kernel, 1 at its origin at n // 2 along each axis."""
    ndim = len(sizes)
    acc = accumulator_dtype(like, xp=xp)
    square, box, paired = 0.0, 1.0, 1.0
    for axis, n in enumerate(sizes):
        x = xp.arange(n, dtype=acc, device=device_of(like)) - n // 2
        lay = along(n=n, axis=axis, ndim=ndim)
        square = square + xp.reshape(x * x, lay)
        box = box * xp.reshape(bounded(width / 2 + 0.5 - abs(x), 0.0, 1.0, xp=xp), lay)
        paired = paired * xp.reshape(xp.astype(x > -(n // 2), acc), lay)
    if kind == "gaussian":
        kernel = xp.exp(-square / (2 * width**2))
    elif kind == "boxcar":
        kernel = box
    elif math.isfinite(slope):
        kernel = bounded(1 - slope * (xp.sqrt(square) - width), 0.0, 1.0, xp=xp)
    else:
        kernel = xp.astype(square < width**2, acc)
    return xp.astype(kernel * paired, like.dtype)
