"""Time and memory of registering one pair, against the bare FFTs of the same run."""

from __future__ import annotations

import platform
import statistics
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy
import scipy.fft

import imreg_xp

__all__ = ["environment", "measure", "measure_stack"]


def environment() -> dict[str, str]:
    """Return what the numbers depend on."""
    return {
        "imreg_xp": imreg_xp.__version__,
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "processor": platform.processor(),
    }


def measure(n: int, repeats: int) -> list[dict[str, Any]]:
    """Return a row per kind of registration of two n x n float64 images, and one for the FFTs."""
    reference, moving = _pair(n)

    def transforms() -> None:
        spectrum = scipy.fft.rfft2(reference)
        scipy.fft.rfft2(moving)
        scipy.fft.irfft2(spectrum, s=reference.shape)

    kinds: dict[str, Callable[[], Any]] = {
        "2 rfft2 + 1 irfft2": transforms,
        "wrap, white": lambda: imreg_xp.register(reference, moving, boundary="wrap", noise="white"),
        "wrap": lambda: imreg_xp.register(reference, moving, boundary="wrap"),
        "overlap": lambda: imreg_xp.register(reference, moving),
    }
    times = _interleaved(kinds, repeats)
    unit = times["2 rfft2 + 1 irfft2"]
    return [
        {
            "size": n,
            "what": what,
            "ms": 1e3 * times[what],
            "ratio": times[what] / unit,
            "images": _peak_memory(kind) / reference.nbytes,
        }
        for what, kind in kinds.items()
    ]


def measure_stack(count: int, n: int, repeats: int) -> list[dict[str, Any]]:
    """Return rows for a stack of float32 frames, periodic with white noise; the unit is one rfft2 + irfft2 a frame."""
    reference, moving = (image.astype(np.float32) for image in _pair(n))
    rng = np.random.default_rng(1)
    frames = np.stack([np.roll(moving, k, axis=(0, 1)) for k in rng.integers(-9, 9, size=(count, 2))])

    def transforms(chunk: int) -> None:
        for start in range(0, count, chunk):
            spectra = scipy.fft.rfft2(frames[start : start + chunk])
            scipy.fft.irfft2(spectra, s=(n, n))

    kinds: dict[str, Callable[[], Any]] = {
        "rfft2 + irfft2, at once": lambda: transforms(count),
        "rfft2 + irfft2, by 8": lambda: transforms(8),
        "register_stack": lambda: imreg_xp.register_stack(reference, frames, boundary="wrap", noise="white"),
    }
    times = _interleaved(kinds, repeats)
    unit = times["rfft2 + irfft2, at once"]
    return [
        {
            "size": n,
            "frames": count,
            "what": what,
            "ms": 1e3 * times[what],
            "ratio": times[what] / unit,
            "images": _peak_memory(kind) / reference.nbytes,
        }
        for what, kind in kinds.items()
    ]


def _interleaved(kinds: dict[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
    """Return median times; the kinds take turns, so that a busy spell of the machine hits all of them."""
    taken: dict[str, list[float]] = {what: [] for what in kinds}
    for turn in range(repeats + 1):
        for what, kind in kinds.items():
            start = time.perf_counter()
            kind()
            if turn:  # the first turn warms up
                taken[what].append(time.perf_counter() - start)
    return {what: statistics.median(t) for what, t in taken.items()}


def _peak_memory(kind: Callable[[], Any]) -> float:
    """Return the largest memory held during a call, bytes, inputs not counted."""
    tracemalloc.start()
    try:
        kind()
        return float(tracemalloc.get_traced_memory()[1])
    finally:
        tracemalloc.stop()


def _pair(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return two noisy views of a red periodic sky, offset by a fraction of the image."""
    rng = np.random.default_rng(0)
    ky, kx = np.fft.fftfreq(n)[:, None], np.fft.rfftfreq(n)
    k = np.hypot(ky, kx)
    k[0, 0] = np.inf
    amplitude = k**-1.5 * np.exp(-2 * (np.pi * np.where(np.isfinite(k), k, 0)) ** 2)
    spectrum = np.fft.rfft2(rng.normal(size=(n, n))) * amplitude
    sky = np.fft.irfft2(spectrum, s=(n, n))
    moved = np.fft.irfft2(spectrum * np.exp(-2j * np.pi * (0.03 * n * ky - 0.041 * n * kx)), s=(n, n))
    return tuple(im / sky.std() + rng.normal(scale=0.1, size=(n, n)) for im in (sky, moved))
