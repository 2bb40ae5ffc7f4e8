"""Shifts by chi²: the functions that `image_registration.chi2_shifts` documents, on the engine of `imreg_xp`."""

from __future__ import annotations

from .maps import chi2map_to_errors, chi2n_map
from .shifts import chi2_shift, chi2_shift_iterzoom

__all__ = ["chi2_shift", "chi2_shift_iterzoom", "chi2map_to_errors", "chi2n_map"]
