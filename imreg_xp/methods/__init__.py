"""The methods of other systems, by the names they are known by, on arrays of any library."""

from __future__ import annotations

from .perrin import subreg
from .varosi_landsman import CorrelOptimum, correl_images, correl_optimize, corrmat_analyze

__all__ = ["CorrelOptimum", "correl_images", "correl_optimize", "corrmat_analyze", "subreg"]
