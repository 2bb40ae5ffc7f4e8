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
    """Return the periodic field with these Fourier coefficients (`numpy.fft.fft2`) at any positions: direct sums."""
    rows, columns = (
        np.exp(2j * np.pi * np.fft.fftfreq(n) * np.ravel(a)[:, None])
        for n, a in zip(spectrum.shape, (y, x), strict=True)
    )
    return np.sum((rows @ spectrum) * columns, axis=1).real.reshape(np.shape(y)) / spectrum.size


def turned_pair(rng, shape, *, shift=(0.0, 0.0), angle=0.0, magnification=1.0, beam=1.0, sky=None, moving_shape=None):
    """Return reference and moving image, free of noise, from the middle of a red sky that holds both."""
    moving_shape = shape if moving_shape is None else moving_shape
    size = int(2 * max(*shape, *moving_shape) * max(1.0, magnification)) if sky is None else 0
    sky = random_sky((size, size), rng, beam=beam) if sky is None else sky
    origin = [(m - n) // 2 for m, n in zip(sky.shape, shape, strict=True)]
    centre = [(n - 1) / 2 for n in shape]
    y, x = places(moving_shape, centre, shift, angle, magnification)
    return cut(sky, origin, shape), sampled(sky, y + origin[0], x + origin[1])
