"""FITS images in and out: loading, matching grids, offsets on the sky, corrected headers.

A thin layer on the CPU over astropy and reproject. Nothing below it in the package imports it.
"""

from __future__ import annotations

from .align import Alignment, align_fits
from .errors import InputError
from .load import FitsImage, load_error, load_image
from .sky import SkyOffset
from .write import aligned_image, atomic, corrected_header, write_aligned, write_corrected

__all__ = [
    "Alignment",
    "FitsImage",
    "InputError",
    "SkyOffset",
    "align_fits",
    "aligned_image",
    "atomic",
    "corrected_header",
    "load_error",
    "load_image",
    "write_aligned",
    "write_corrected",
]
