"""Fourier image manipulation: shifts, zooms, interpolation, convolution on exact trigonometric interpolation."""

from __future__ import annotations

from . import fast_ffts, scale, shift, upsample, zoom

# these modules have the names of their functions, which is what is found here; `from .smooth import ...` finds both
from .convolve_nd import convolve_nd
from .correlate2d import correlate2d
from .downsample import downsample
from .fast_ffts import get_ffts
from .shift import fourier_shift, shift2d, shiftnd
from .smooth import smooth
from .upsample import dftups, upsample_image

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
