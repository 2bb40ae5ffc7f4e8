"""Redshifts of simulated spectra: errors by chi² and after Tonry & Davis, and a large batch at once."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

import imreg_xp

from .clock import grown, in_child

__all__ = ["SEED", "batch", "errors", "rows"]

Row = dict[str, Any]

SEED = 20260119
_LIGHT = 299792.458  # km/s
_STEP = 2.3e-4  # of ln(wavelength), 69 km/s, as in SDSS
_LOST = 0.001  # of z: beyond, it is another peak
_CHI2, _TD = "chi²", "Tonry & Davis"
_NOTHING = dict.fromkeys(("scatter", "claimed", "pull", "lost", "seconds", "megabytes"))


def rows(quick: bool) -> list[Row]:
    """Return all rows of this part: errors at each S/N, and the batch, in a process of its own."""
    pixels, count = (500, 40) if quick else (1200, 500)
    found = [row for snr in (3, 10, 30) for row in errors(snr, pixels, count)]
    large = (200, 1000, 2) if quick else (10_000, 4000, 5)
    return [*found, *in_child("spectra", "batch", count=large[0], pixels=large[1], templates=large[2])]


def _lines(rng: np.random.Generator, log_wave: np.ndarray) -> Any:
    """Return a function of ln(wavelength): 30 random absorption lines per 1000 pixels, 1.5 to 3 pixels (sigma)."""
    first, last = log_wave[0] - 0.2, log_wave[-1] + 0.1
    count = round(0.03 * (last - first) / _STEP)
    centres, depths = rng.uniform(first, last, count), rng.exponential(0.25, count)
    widths = _STEP * rng.uniform(1.5, 3, count)
    return lambda where: 1 - np.sum(depths * np.exp(-0.5 * ((where[..., None] - centres) / widths) ** 2), axis=-1)


def _continuum(log_wave: np.ndarray) -> np.ndarray:
    u = (log_wave - log_wave[0]) / (log_wave[-1] - log_wave[0])
    return 0.5 * u - 0.7 * u**2 + 0.2 * np.sin(3 * u)


def errors(snr: float, pixels: int, count: int) -> list[Row]:
    """Return a row for each of the two errors: the scatter of velocities, what is claimed, and the pulls; km/s."""
    rng = np.random.default_rng([SEED, round(snr)])
    observed = np.log(4000.0) + _STEP * np.arange(pixels)
    rest = np.arange(observed[0] - 0.15, observed[-1] + 0.05, _STEP)
    star, z = _lines(rng, observed), rng.uniform(0, 0.1, count)
    flux = np.stack([_continuum(observed) + star(observed - np.log1p(one)) for one in z])
    flux = flux + rng.normal(size=flux.shape) / snr
    found = imreg_xp.spectral_shift(
        flux, star(rest), wavelength=np.exp(observed), template_wavelength=np.exp(rest), err=1 / snr,
        z_range=(-0.02, 0.12),
    )  # fmt: skip
    made = np.asarray(found.velocity) - _LIGHT * z
    good = np.abs(np.asarray(found.redshift) - z) < _LOST
    case = {"what": "errors", "snr": snr, "spectra": count, "pixels": pixels, "templates": 1}
    return [
        {
            **case, **_NOTHING, "method": method, "note": "", "lost": float(1 - good.mean()),
            "scatter": float(np.sqrt(np.mean(made[good] ** 2))),
            "claimed": float(np.median(claimed[good])),
            "pull": float(np.sqrt(np.mean((made[good] / claimed[good]) ** 2))),
        }
        for method, claimed in ((_CHI2, np.asarray(found.velocity_err)), (_TD, np.asarray(found.td_err)))
    ]  # fmt: skip


def batch(count: int, pixels: int, templates: int, snr: float = 5.0) -> list[Row]:
    """Return the row of one call with many spectra, float32: time, memory beside the data, lost, and pulls.

    The scenes are 50 spectra of the middle template, each with much noise of its own.
    """
    rng = np.random.default_rng([SEED, count])
    log_wave = np.log(3800.0) + _STEP * np.arange(pixels)
    stars = [_lines(rng, log_wave) for _ in range(templates)]
    true = templates // 2
    z = rng.uniform(0, 0.1, min(50, count))
    scenes = np.stack([_continuum(log_wave) + stars[true](log_wave - np.log1p(one)) for one in z]).astype(np.float32)
    which = np.arange(count) % len(z)
    flux = rng.standard_normal((count, pixels), dtype=np.float32)
    flux *= np.float32(1 / snr)
    flux += scenes[which]
    rest = np.stack([star(log_wave) for star in stars]).astype(np.float32)
    options = {"wavelength": np.exp(log_wave), "err": 1 / snr, "z_range": (-0.01, 0.12)}
    imreg_xp.spectral_shift(flux[:2], rest, **options)  # loads what every call needs
    results: list[Any] = []
    start = time.perf_counter()
    memory = grown(lambda: results.append(imreg_xp.spectral_shift(flux, rest, **options)))
    seconds = time.perf_counter() - start
    best = [np.asarray(field)[:, 0] for field in (results[0].template, results[0].redshift, results[0].redshift_err)]
    made = best[1] - z[which]
    good = (np.abs(made) < _LOST) & (best[0] == true)
    row = {"what": "batch", "snr": snr, "spectra": count, "pixels": pixels, "templates": templates, **_NOTHING}
    return [
        {
            **row, "method": _CHI2, "note": "", "lost": float(1 - good.mean()), "seconds": seconds,
            "megabytes": memory / 1e6, "pull": float(np.sqrt(np.mean((made[good] / best[2][good]) ** 2))),
        }
    ]  # fmt: skip
