"""``imreg-xp demo``: real images with a known offset, through the same code as ``imreg-xp register``.

A real image is smoothed by a beam of 1 pixel sigma, and two windows an odd number of pixels apart are averaged over
blocks of 2 x 2: their true shift is a half-integer that no interpolation took part in. (Without the beam the averaged
pixels sample the image too coarsely, which biases any estimate.) Each gets noise of its own, the
moving one also a gain and a background, and both the header of the reference, so that the coordinates of the moving one
are wrong by the shift.
"""

from __future__ import annotations

import math
import os
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
from astropy.io import fits
from scipy import ndimage

from .cli import Job, run
from .FITS_tools import Alignment
from .FITS_tools.report import as_lines, with_error

__all__ = ["PAIRS", "Pair", "make_pair", "run_demo"]


@dataclass(frozen=True)
class Pair:
    """Two windows of a shipped image: lower left corners (y, x) in its pixels, and what is done to the second."""

    file: str
    title: str
    reference: tuple[int, int]
    moving: tuple[int, int]
    gain: float
    background: float
    noise: float
    """1 sigma of the noise in each image, relative to the rms of the window."""
    seed: int

    @property
    def shift(self) -> tuple[float, float]:
        """True shift (x, y) in averaged pixels: what to apply to the second window so that it matches the first."""
        (y0, x0), (y1, x1) = self.reference, self.moving
        return ((x1 - x0) / 2, (y1 - y0) / 2)


PAIRS = (
    Pair("aia_171.fits", "SDO/AIA 171 A", (0, 7), (5, 0), gain=1.7, background=40.0, noise=0.2, seed=171),
    Pair("eit_195.fits", "SOHO/EIT 195 A", (9, 0), (0, 3), gain=0.6, background=-90.0, noise=0.2, seed=195),
)


def make_pair(pair: Pair, folder: Path) -> tuple[Path, Path]:
    """Write the two images of a pair as FITS files; return their paths, reference first."""
    source = resources.files(__package__) / "data" / pair.file
    with resources.as_file(source) as path, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pixels, header = fits.getdata(path, header=True)
    pixels = _smoothed(np.asarray(pixels, dtype=np.float64))
    size = [n - max(a, b) for n, a, b in zip(pixels.shape, pair.reference, pair.moving, strict=True)]
    header = _half_resolution(header, *pair.reference)
    rng = np.random.default_rng(pair.seed)
    changes = {"reference": (pair.reference, 1.0, 0.0), "moving": (pair.moving, pair.gain, pair.background)}
    paths = []
    for role, ((y, x), gain, background) in changes.items():
        window = _averaged(pixels[y : y + size[0], x : x + size[1]])
        noisy = window + pair.noise * np.nanstd(window) * rng.standard_normal(window.shape)
        path = folder / f"{Path(pair.file).stem}_{role}.fits"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fits.PrimaryHDU((gain * noisy + background).astype(np.float32), header).writeto(path)
        paths.append(path)
    return paths[0], paths[1]


def _smoothed(image: np.ndarray, sigma: float = 1.0) -> np.ndarray:
    """Smooth by a Gaussian beam; what lies within 3 sigma of a missing pixel is missing."""
    good = np.isfinite(image)
    smooth = ndimage.gaussian_filter(np.where(good, image, np.nanmedian(image)), sigma, mode="nearest", truncate=3)
    lost = ndimage.maximum_filter(~good, size=2 * math.ceil(3 * sigma) + 1)
    return np.where(lost, np.nan, smooth)


def _averaged(image: np.ndarray) -> np.ndarray:
    """Average blocks of 2 x 2 pixels; a block with a missing pixel is missing."""
    ny, nx = (n // 2 for n in image.shape)
    return image[: 2 * ny, : 2 * nx].reshape(ny, 2, nx, 2).mean(axis=(1, 3))


def _half_resolution(header: fits.Header, y0: int, x0: int) -> fits.Header:
    """Return the header of the averaged window whose first pixel is (y0, x0)."""
    new = header.copy()
    for key in ("BSCALE", "BZERO", "BLANK"):
        new.remove(key, ignore_missing=True)
    for axis, first in ((1, x0), (2, y0)):
        new[f"CRPIX{axis}"] = (header[f"CRPIX{axis}"] - first - 0.5) / 2 + 0.5
        new[f"CDELT{axis}"] = 2 * header[f"CDELT{axis}"]
    return new


def _pulls(alignment: Alignment, truth: tuple[float, float]) -> tuple[float, float]:
    """Return how many of its errors each coordinate of the shift is off, infinite if none was found."""
    if not alignment.found:
        return math.inf, math.inf
    x, y = (alignment.shift_xy - truth) / np.sqrt(np.diag(alignment.covariance_xy))
    return float(x), float(y)


def run_demo(*, plot: str | None = None, overwrite: bool = False, echo: Callable[[str], object] = print) -> bool:
    """Register every pair of `PAIRS`, tell what came out, and return whether all are found within 3 sigma.

    Parameters
    ----------
    plot : str, optional
        File for a picture of the first pair.
    overwrite : bool
        Replace that file.
    echo : callable
        Takes the text, line by line.
    """
    good = True
    for i, pair in enumerate(PAIRS):
        with tempfile.TemporaryDirectory() as folder:
            reference, moving = make_pair(pair, Path(folder))
            drawn = plot if i == 0 else None
            alignment = run(Job(str(reference), str(moving), plot=drawn, overwrite=overwrite, truth=pair.shift))
        echo(f"{pair.title}: imreg-xp register {reference.name} {moving.name}")
        for line in as_lines(alignment):
            echo(f"  {line.replace(folder + os.sep, '')}")
        pulls = _pulls(alignment, pair.shift)
        errors = np.sqrt(np.diag(alignment.covariance_xy))
        for axis, found, error, true, pull in zip("xy", alignment.shift_xy, errors, pair.shift, pulls, strict=True):
            echo(f"  {axis}: found {with_error(found, error)}, true {true:+.4f} pix: {pull:+.1f} sigma")
        good = good and max(map(abs, pulls)) < 3
        echo("")
    echo("every shift within 3 sigma of the truth" if good else "FAILED: a shift is more than 3 sigma off")
    if plot is not None:
        echo(f"picture: {plot}")
    return good
