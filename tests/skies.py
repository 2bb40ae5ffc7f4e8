"""Random skies that can be sampled exactly at any real position."""

from __future__ import annotations

import numpy as np

__all__ = ["cut", "random_sky", "smoothed_noise"]


def random_sky(
    shape: tuple[int, ...], rng: np.random.Generator, *, beam: float = 1.0, slope: float = 3.0
) -> np.ndarray:
    """Return the Fourier coefficients of a periodic field of rms 1: power k^-slope seen through a Gaussian beam."""
    k = np.sqrt(sum(a**2 for a in np.meshgrid(*[np.fft.fftfreq(n) for n in shape], indexing="ij")))
    k.flat[0] = np.inf
    amplitude = k ** (-slope / 2) * np.exp(-2 * (np.pi * beam * np.where(np.isfinite(k), k, 0)) ** 2)
    spectrum = np.fft.fftn(rng.normal(size=shape)) * amplitude
    return spectrum / np.fft.ifftn(spectrum).real.std()


def cut(spectrum: np.ndarray, origin, shape: tuple[int, ...]) -> np.ndarray:
    """Return the field at `origin` + pixel indices of `shape`: the trigonometric interpolant, Nyquist by its cosine."""
    for axis, (n, x) in enumerate(zip(spectrum.shape, origin, strict=True)):
        phase = np.exp(2j * np.pi * np.fft.fftfreq(n) * x)
        if n % 2 == 0:
            phase[n // 2] = np.cos(np.pi * x)
        spectrum = spectrum * phase.reshape([-1 if a == axis else 1 for a in range(spectrum.ndim)])
    return np.fft.ifftn(spectrum).real[tuple(slice(0, n) for n in shape)]


def smoothed_noise(shape: tuple[int, ...], rng: np.random.Generator, sigma: float = 0.0) -> np.ndarray:
    """Return noise of unit rms, white or smoothed by a Gaussian beam of `sigma` pixels; not periodic over `shape`."""
    if sigma == 0:
        return rng.normal(size=shape)
    large = tuple(n + int(16 * sigma) for n in shape)
    k2 = sum(a**2 for a in np.meshgrid(*[np.fft.fftfreq(n) for n in large], indexing="ij"))
    beam = np.exp(-2 * (np.pi * sigma) ** 2 * k2)
    noise = np.fft.ifftn(np.fft.fftn(rng.normal(size=large)) * beam).real / np.sqrt(np.mean(beam**2))
    return noise[tuple(slice(0, n) for n in shape)]
