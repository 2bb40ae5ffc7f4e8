"""Pairs of images with a known shift: simulated skies (those of the tests) and real images."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .peers import Pair

__all__ = ["REAL", "SCENES", "STARS", "Drawn", "borrowed", "drawn", "periodic_pair", "picture"]

_LARGEST = 0.05  # of the image: shifts of real pointings, and such that wrapping around does not hide the peak


class Drawn(NamedTuple):
    """A pair, the shift to apply to its second image, and the Cramér-Rao bound per axis if it is known."""

    pair: Pair
    truth: np.ndarray
    bound: np.ndarray | None


def borrowed(module: str) -> Any:
    """Return a module of the tests."""
    folder = str(Path(__file__).parents[1] / "tests")
    if folder not in sys.path:
        sys.path.append(folder)
    return importlib.import_module(module)


def drawn(rng: np.random.Generator, size: int, noise: float, *, unit_gain: bool = False, **options: Any) -> Drawn:
    """Draw two views of a red sky, gain and background of any size, noise in units of its rms; see `calibration.draw`.

    The bound is that of a known reference and white noise of the variance of both images together.
    """
    options = {"largest": _LARGEST, **options}
    scene = borrowed("calibration").draw(rng, (size, size), noise=noise, **options)
    gain = scene.gain if unit_gain else 1.0
    level = scene.moving_err / gain
    err = level if np.ptp(level) else float(level.flat[0])
    both = np.sqrt(1 + (scene.reference_err / noise) ** 2)
    bound = None if options.get("noise_beam") else scene.bound * both
    pair = Pair(scene.reference, scene.moving / gain, err, scene.reference_err or None)
    return Drawn(pair, -scene.offset, bound)


def sampled(rng: np.random.Generator, size: int, noise: float, beam: float) -> Drawn:
    """Draw two cut-outs of a sky that is known at half a pixel: a beam less than 0.85 pixel sigma is undersampled."""
    skies, calibration = borrowed("skies"), borrowed("calibration")
    sky = skies.random_sky((4 * size,) * 2, rng, beam=2 * beam)
    offset = rng.uniform(-1, 1, 2) * _LARGEST * size
    origin = rng.uniform(0.8, 1.0, 2) * size
    fine = (2 * size,) * 2
    reference = skies.cut(sky, origin, fine)[::2, ::2]
    moving = skies.cut(sky, origin - 2 * offset, fine)[::2, ::2]
    inside = [((x := np.arange(size) - d) >= 0) & (x <= size - 1) for d in offset]
    weight = np.zeros(fine)
    weight[::2, ::2] = (inside[0][:, None] & inside[1]) / noise**2
    bound = calibration.marginal_bound(sky, origin - 2 * offset, fine, weight) / 2
    gain, background = rng.uniform(0.3, 3), rng.uniform(-10, 10)
    seen = gain * (moving + noise * rng.normal(size=moving.shape)) + background
    return Drawn(Pair(reference, seen, gain * noise), -offset, bound)


def stars(rng: np.random.Generator, size: int, noise: float) -> Drawn:
    """Draw two exposures of a field of stars of 5 pixels width, the brightest near the middle, the sky subtracted."""
    offset = rng.uniform(-1, 1, 2) * _LARGEST * size
    middle = rng.uniform(0.45, 0.55, (1, 2)) * size
    others = rng.uniform(-0.1, 1.1, (20, 2)) * size
    # no neighbour within what a centre is found from, and none as bright
    others = others[np.max(np.abs(others - middle), axis=1) > 0.25 * size]
    flux = np.concatenate([[1.0], rng.uniform(0.05, 0.4, len(others))])
    y, x = np.indices((size, size))
    views = [
        sum(a * np.exp(-((y - v) ** 2 + (x - u) ** 2) / (2 * 2.12**2))
            for a, (v, u) in zip(flux, np.concatenate([middle, others]) + move, strict=True))
        for move in (np.zeros(2), offset)
    ]  # fmt: skip
    level = noise * float(np.std(views[1]))
    gain = rng.uniform(0.3, 3)
    seen = gain * (views[1] + level * rng.normal(size=views[1].shape))
    return Drawn(Pair(views[0], seen, gain * level), -offset, None)


def real(rng: np.random.Generator, size: int, noise: float, image: np.ndarray, block: int) -> Drawn:
    """Average two windows of a real image over blocks: their shift is known, and no interpolation took part in it."""
    size = min(size, (min(image.shape) - 12 * block) // block)
    move = rng.integers(-5 * block, 5 * block + 1, 2)
    reach = [n - size * block - 10 * block for n in image.shape]
    corner = np.array([rng.integers(0, r + 1) for r in reach]) + 5 * block
    reference, moving = (_averaged(image, c, size, block) for c in (corner, corner + move))
    level = noise * float(np.nanstd(moving))
    gain, background = rng.uniform(0.3, 3), rng.uniform(0, 10)
    seen = gain * (moving + level * rng.normal(size=moving.shape)) + background
    return Drawn(Pair(reference, seen, gain * level), move / block, None)


def _averaged(image: np.ndarray, corner: np.ndarray, size: int, block: int) -> np.ndarray:
    window = image[corner[0] : corner[0] + size * block, corner[1] : corner[1] + size * block]
    return window.reshape(size, block, size, block).mean(axis=(1, 3))


@functools.cache
def picture(name: str) -> np.ndarray | None:
    """Return a real image of rms 1, None if the package that has it is not installed."""
    if name.endswith(".fits"):
        from astropy.io import fits  # noqa: PLC0415  (slow to import, and needed here alone)

        path = Path(__file__).parents[1] / "imreg_xp" / "data" / name
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = np.asarray(fits.getdata(path), dtype=np.float64)
    elif importlib.util.find_spec("skimage") is None:
        return None
    else:
        image = np.asarray(getattr(importlib.import_module("skimage.data"), name)(), dtype=np.float64)
        image = image.mean(axis=-1) if image.ndim == 3 else image
    return image / np.nanstd(image)


def _of(name: str, block: int) -> Callable[[np.random.Generator, int, float], Drawn | None]:
    def draw(rng: np.random.Generator, size: int, noise: float) -> Drawn | None:
        image = picture(name)
        return None if image is None else real(rng, size, noise, image, block)

    return draw


REAL = {
    "real: aia_171.fits": _of("aia_171.fits", 2),
    "real: eit_195.fits": _of("eit_195.fits", 2),
    "real: moon": _of("moon", 4),
    "real: hubble_deep_field": _of("hubble_deep_field", 4),
}
SCENES: dict[str, Callable[[np.random.Generator, int, float], Drawn | None]] = {
    "periodic": lambda rng, size, noise: drawn(rng, size, noise, periodic=True),
    "cut-outs": drawn,
    "cut-outs, 20 % masked": lambda rng, size, noise: drawn(rng, size, noise, holes=0.2),
    "cut-outs, undersampled": lambda rng, size, noise: sampled(rng, size, noise, 0.5),
    "cut-outs, oversampled": lambda rng, size, noise: sampled(rng, size, noise, 2.0),
    **REAL,
}
# scenes for what cannot do without stars
STARS = {"stars": stars}


def periodic_pair(size: int, dtype: str) -> tuple[np.ndarray, np.ndarray]:
    """Return two noisy views of a periodic sky, for what takes the same time whatever it sees."""
    first, second = _periodic_views(size)
    return first.astype(dtype), second.astype(dtype)


@functools.lru_cache(maxsize=2)
def _periodic_views(size: int) -> list[np.ndarray]:
    skies = borrowed("skies")
    rng = np.random.default_rng(0)
    sky = skies.random_sky((size, size), rng)
    views = [skies.cut(sky, origin, (size, size)) for origin in ((0, 0), (0.03 * size, -0.041 * size))]
    return [view + 0.1 * rng.normal(size=view.shape) for view in views]
