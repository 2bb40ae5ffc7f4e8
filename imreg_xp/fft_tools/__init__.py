"""Fourier image manipulation: shifts, zooms, interpolation, convolution on exact trigonometric interpolation."""

from __future__ import annotations

from . import fast_ffts, scale, shift, upsample, zoom

# these modules have the names of their functions, which is what is found here; `from .smooth import ...` finds both
from .convolve_nd import convolve_nd
from .correlate2d import correlate2d
from .downsample import downsample, downsample_1d, downsample_axis, downsample_cube
from .fast_ffts import get_ffts
from .shift import fourier_shift, shift2d, shiftnd
from .smooth import smooth
from .upsample import dftups, upsample_image

# the documented names `fft_tools.convolve_nd.convolve_nd` ... stay valid
vars(convolve_nd).update(convolve_nd=convolve_nd, convolve=convolve_nd)
vars(correlate2d).update(correlate2d=correlate2d)
vars(smooth).update(smooth=smooth)
vars(downsample).update({f.__name__: f for f in (downsample, downsample_1d, downsample_axis, downsample_cube)})

__all__ = [
    "convolve_nd",
    "correlate2d",
    "dftups",
    "downsample",
    "fast_ffts",
    "fourier_shift",
    "get_ffts",
    "scale",
    "shift",
    "shift2d",
    "shiftnd",
    "smooth",
    "upsample",
    "upsample_image",
    "zoom",
]
