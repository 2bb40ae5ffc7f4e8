"""Align images of extended emission to a small fraction of a pixel, with error bars that are true.

>>> import numpy as np
>>> import imreg_xp
>>> from imreg_xp.fft_tools import shift
>>> rng = np.random.default_rng(0)
>>> image = rng.normal(size=(63, 71))
>>> offset_image = shift.shiftnd(image, (-4.25, 3.665)) + 0.05 * rng.normal(size=image.shape)

On the native face, what to apply along the axes; two pointings of one sky unless `boundary` says "wrap":

>>> result = imreg_xp.register(image, offset_image, boundary="wrap")
>>> bool(np.all(abs(result.shift - (4.25, -3.665)) < 4 * result.shift_err))
True
>>> aligned = imreg_xp.apply_shift(offset_image, result.shift)

With the functions of `image_registration`, how far the second image lies from the first, x first:

>>> xoff, yoff, exoff, eyoff = imreg_xp.chi2_shift(image, offset_image, 0.05, return_error=True, upsample_factor="auto")
>>> corrected_image2 = shift.shiftnd(offset_image, (-yoff, -xoff))
>>> bool(np.std(corrected_image2 - image) < 0.1)
True
"""

from __future__ import annotations

import importlib
from typing import Any

from ._engine.result import Registration, SimilarityRegistration, Status
from ._version import __version__
from .chi2_shifts import chi2_shift, chi2_shift_iterzoom, chi2n_map
from .coadds import Coadd, align_stack, coadd
from .cross_correlation_shifts import cross_correlation_shifts
from .register_images import register_images
from .registration import apply_shift, fourier_shift, register
from .stacks import register_stack
from .transforms import apply_transform

__all__ = [
    "Coadd",
    "FITS_tools",
    "Registration",
    "SimilarityRegistration",
    "Status",
    "__version__",
    "align_stack",
    "apply_shift",
    "apply_transform",
    "chi2_shift",
    "chi2_shift_iterzoom",
    "chi2_shifts",
    "chi2n_map",
    "coadd",
    "correl_images",
    "correl_optimize",
    "corrmat_analyze",
    "cross_correlation_shifts",
    "cross_correlation_shifts_FITS",
    "fft_tools",
    "fourier_shift",
    "methods",
    "register",
    "register_images",
    "register_stack",
    "similarity",
    "similarity_matrix",
    "spectral_shift",
    "subreg",
    "test",
    "translation",
]

_METHODS = (
    "correl_images",
    "correl_optimize",
    "corrmat_analyze",
    "similarity",
    "similarity_matrix",
    "spectral_shift",
    "subreg",
    "translation",
)
_FOUND_IN = {
    "cross_correlation_shifts_FITS": ".FITS_tools",
    "test": ".selftest",
    **dict.fromkeys(_METHODS, ".methods"),
}
_LAZY = ("FITS_tools", "chi2_shifts", "fft_tools", "methods", "plotting")


def __getattr__(name: str) -> Any:
    if name in _FOUND_IN:
        return getattr(importlib.import_module(_FOUND_IN[name], __name__), name)
    if name in _LAZY:
        return importlib.import_module(f".{name}", __name__)
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)


def __dir__() -> list[str]:
    return sorted(__all__)
