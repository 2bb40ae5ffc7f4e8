"""Pairs of images of one scene, one of them turned, magnified and shifted, with an exact value at every position."""

from __future__ import annotations

import numpy as np
from skies import cut, random_sky

__all__ = ["places", "sampled", "turned_pair"]


def places(shape, centre, shift, angle, magnification):
    """Return where the pixels of a moving image lie in the reference: angle in degrees, from +x towards +y."""
    y, x = (i - c for i, c in zip(np.indices(shape, dtype=float), centre, strict=True))
    c, s = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    return (
        centre[0] + shift[0] + magnification * (c * y + s * x),
        centre[1] + shift[1] + magnification * (c * x - s * y),
    )


def sampled(spectrum, y, x):
    """Return the real periodic field with these coefficients (`numpy.fft.fft2`) at any positions, by direct sums."""
    rows, columns = spectrum.shape
    half = np.arange(columns // 2 + 1)
    weight = np.where((half == 0) | (2 * half == columns), 1.0, 2.0)
    down = np.exp(2j * np.pi * np.fft.fftfreq(rows) * np.ravel(y)[:, None])
    across = weight * np.exp(2j * np.pi * half / columns * np.ravel(x)[:, None])
    # Nyquist modes by their cosine
    down[:, rows // 2] = np.where(rows % 2, down[:, rows // 2], down[:, rows // 2].real)
    across[:, -1] = np.where(columns % 2, across[:, -1], across[:, -1].real)
    return np.sum((down @ spectrum[:, : half.size]) * across, axis=1).real.reshape(np.shape(y)) / spectrum.size


def turned_pair(rng, shape, *, shift=(0.0, 0.0), angle=0.0, magnification=1.0, beam=1.2, moving_shape=None):
    """Return reference and moving image, free of noise, from the middle of a red sky that holds both."""
    moving_shape = shape if moving_shape is None else moving_shape
    size = int(1.5 * max(*shape, *moving_shape) * max(1.0, magnification) + 2 * max(map(abs, shift)))
    sky = random_sky((size, size), rng, beam=beam)
    origin = [(size - n) // 2 for n in shape]
    y, x = places(moving_shape, [(n - 1) / 2 for n in shape], shift, angle, magnification)
    return cut(sky, origin, shape), sampled(sky, y + origin[0], x + origin[1])
