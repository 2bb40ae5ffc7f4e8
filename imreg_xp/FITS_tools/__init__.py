"""FITS images in and out: loading, matching grids, offsets on the sky, corrected headers.

A thin layer on the CPU over astropy and reproject. Nothing below it in the package imports it.
"""

from __future__ import annotations

from . import hcongrid, match_images
from .align import Alignment, align_fits
from .errors import InputError

# the module has the name of its function, which is what is found here
from .fits_overlap import fits_overlap, header_overlap
from .load import FitsImage, load_error, load_image
from .load_header import get_cd, load_data, load_header
from .match_images import cross_correlation_shifts_FITS, match_fits, project_to_header, register_fits
from .pointings import header_shifts
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
    "cross_correlation_shifts_FITS",
    "fits_overlap",
    "get_cd",
    "hcongrid",
    "header_overlap",
    "header_shifts",
    "load_data",
    "load_error",
    "load_header",
    "load_image",
    "match_fits",
    "match_images",
    "project_to_header",
    "register_fits",
    "write_aligned",
    "write_corrected",
]
