"""Fourier image manipulation: shifts on exact trigonometric interpolation, N-D and batched."""

from __future__ import annotations

from .shift import fourier_shift

__all__ = ["fourier_shift"]
