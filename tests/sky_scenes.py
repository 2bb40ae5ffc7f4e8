"""Scenes with an exact value at every real position, and headers to see them through."""

from __future__ import annotations

import warnings

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS


def blobs(x, y, *, seed=1, size=120.0, count=90):
    """Return the brightness of a fixed field of Gaussian blobs at pixel positions x, y."""
    rng = np.random.default_rng(seed)
    out = np.zeros(np.broadcast(x, y).shape)
    for cx, cy, width, flux in zip(
        rng.uniform(-20, size + 20, count),
        rng.uniform(-20, size + 20, count),
        rng.uniform(1.8, 5.0, count),
        rng.uniform(20, 100, count),
        strict=True,
    ):
        out += flux * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * width**2))
    return out


def sky_header(*, rotation=45.0, dec=70.0, ra=150.0, scale=2.0, crpix=(50.0, 45.0), ctype="TAN"):
    """Return a header with a CD matrix: pixels of `scale` arcsec, north turned by `rotation` degrees."""
    c, s = np.cos(np.deg2rad(rotation)), np.sin(np.deg2rad(rotation))
    cd = scale / 3600 * np.array([[-c, s], [s, c]])
    header = fits.Header()
    header["CTYPE1"], header["CTYPE2"] = f"RA---{ctype}", f"DEC--{ctype}"
    header["CRVAL1"], header["CRVAL2"] = ra, dec
    header["CRPIX1"], header["CRPIX2"] = crpix
    for i in (1, 2):
        for j in (1, 2):
            header[f"CD{i}_{j}"] = cd[i - 1, j - 1]
    header["RADESYS"] = "ICRS"
    return header


def wcs_of(header):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return WCS(header)


def seen(shape, to_scene, *, noise=0.0, seed=2, gain=1.0, background=0.0):
    """Return an image of the blobs: pixel (x, y) shows the scene at `to_scene(x, y)`, with noise."""
    y, x = np.indices(shape, dtype=float)
    image = gain * blobs(*to_scene(x, y)) + background
    return image + noise * np.random.default_rng(seed).standard_normal(shape)


def shifted_pair(folder, *, shift=(3.37, -2.61), noise=1.0, header=None, moving_header=None, shape=(90, 100), **kw):
    """Write ref.fits and mov.fits; `shift` (x, y) is what to apply to the second so that it matches the first."""
    header = sky_header() if header is None else header
    moving_header = header if moving_header is None else moving_header
    reference = seen(shape, lambda x, y: (x, y), noise=noise, seed=3)
    moving = seen(shape, lambda x, y: (x + shift[0], y + shift[1]), noise=noise, seed=4, **kw)
    paths = folder / "ref.fits", folder / "mov.fits"
    for path, image, head in zip(paths, (reference, moving), (header, moving_header), strict=True):
        fits.PrimaryHDU(image.astype("f4"), head).writeto(path)
    return tuple(map(str, paths))
