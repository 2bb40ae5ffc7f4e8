"""Align images of extended emission to a small fraction of a pixel, with error bars that are true.

>>> import imreg_xp
>>> result = imreg_xp.register(reference, moving)  # doctest: +SKIP
>>> aligned = imreg_xp.apply_shift(moving, result.shift)  # doctest: +SKIP
"""

from __future__ import annotations

import importlib
from typing import Any

from ._engine.result import Registration, Status
from ._version import __version__
from .chi2_shifts import chi2_shift, chi2_shift_iterzoom, chi2n_map
from .cross_correlation_shifts import cross_correlation_shifts
from .register_images import register_images
from .registration import apply_shift, fourier_shift, register

__all__ = [
    "FITS_tools",
    "Registration",
    "Status",
    "__version__",
    "apply_shift",
    "chi2_shift",
    "chi2_shift_iterzoom",
    "chi2_shifts",
    "chi2n_map",
    "cross_correlation_shifts",
    "cross_correlation_shifts_FITS",
    "fft_tools",
    "fourier_shift",
    "register",
    "register_images",
]

_LAZY = ("FITS_tools", "chi2_shifts", "fft_tools", "plotting")


def __getattr__(name: str) -> Any:
    if name == "cross_correlation_shifts_FITS":
        return importlib.import_module(".FITS_tools", __name__).cross_correlation_shifts_FITS
    if name in _LAZY:
        return importlib.import_module(f".{name}", __name__)
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)


def __dir__() -> list[str]:
    return sorted(__all__)
