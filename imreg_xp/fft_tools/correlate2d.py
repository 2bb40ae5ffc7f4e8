"""Cross-correlation of images."""

from __future__ import annotations

from typing import Any

from .._array import Array, array_namespace, finite
from .._layout import zero_padded
from .convolve_nd import convolve_nd

__all__ = ["correlate2d"]


def correlate2d(im1: Array, im2: Array, boundary: str = "wrap", **kwargs: Any) -> Array:
    r"""Cross-correlate two images.

    .. math:: C(d) = \sum_x I_1(x - d)\, I_2(x)

    Parameters
    ----------
    im1, im2 : array (ny, nx)
        Real-valued, in any number of dimensions, the same for both. Where image 2 is the larger one, image 1 is padded
        with zeros to its size, at the end of each axis. What is not finite counts as 0.
    boundary : {"wrap", "fill", "constant", "reflect", "nearest"}
        What image 1 is beyond its border; see `convolve_nd`.
    **kwargs
        Of `convolve_nd`; with `return_fft` the spectrum of what is returned without `crop`. `pad` is `fft_pad`. A
        periodic correlation is never padded.

    Returns
    -------
    array
        Of the larger of each dimension. The offset d, how far im2 lies from im1, is at the index (n - 1) // 2 - d along
        each axis, n the size of im2 (odd and even): images that match lie d from each other where this is largest.

    Raises
    ------
    TypeError, ValueError
        As `convolve_nd`; the images have not as many axes.
    """
    xp = array_namespace(im1=im1, im2=im2)
    if im1.ndim != im2.ndim or im1.ndim < 1:
        msg = f"`im2` must have as many axes as `im1`, got shapes {tuple(im1.shape)} and {tuple(im2.shape)}"
        raise ValueError(msg)
    first = zero_padded(im1, [max(a, b) for a, b in zip(im1.shape, im2.shape, strict=True)], xp=xp)
    second = finite(im2, xp=xp)[0] if xp.isdtype(im2.dtype, "real floating") else im2
    # the kernel is image 2 turned round
    turned = xp.flip(second, axis=tuple(range(second.ndim)))
    options = {"use_numpy_fft": False, **{"fft_pad" if k == "pad" else k: v for k, v in kwargs.items()}}
    return convolve_nd(first, turned, boundary=boundary, **options)
