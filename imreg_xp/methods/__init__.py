"""The methods of other systems, by the names they are known by, on arrays of any library."""

from __future__ import annotations

from .gohlke import similarity, similarity_matrix, translation
from .perrin import subreg
from .spectra import SpectralShift, spectral_shift
from .varosi_landsman import CorrelOptimum, correl_images, correl_optimize, corrmat_analyze

__all__ = [
    "CorrelOptimum",
    "SpectralShift",
    "correl_images",
    "correl_optimize",
    "corrmat_analyze",
    "similarity",
    "similarity_matrix",
    "spectral_shift",
    "subreg",
    "translation",
]
