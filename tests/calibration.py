"""Monte Carlo over simulated skies: are the errors true, and as small as they can be?

Nothing here uses the library to make the images or the bounds.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from skies import cut, random_sky, smoothed_noise

__all__ = ["Outcome", "Scene", "draw", "marginal_bound", "two_channel_bound"]


@dataclasses.dataclass(frozen=True)
class Scene:
    """One pair of images with its truth: `offset` is how far moving lies from reference."""

    reference: np.ndarray
    moving: np.ndarray
    reference_err: float
    moving_err: np.ndarray
    gain: float
    offset: np.ndarray
    bound: np.ndarray
    """Cramér-Rao bound per axis for a reference free of noise, gain and background unknown."""


def draw(
    rng: np.random.Generator,
    shape: tuple[int, ...],
    *,
    noise: float,
    reference_noise: float = 0.0,
    noise_beam: float = 0.0,
    largest: float = 1 / 3,
    periodic: bool = False,
    ramp: bool = False,
    holes: float = 0.0,
    beam: float = 1.0,
) -> Scene:
    """Draw two pointings at a red sky (or periodic images), gain 0.3-3, any background, noise in units of its rms."""
    sky = random_sky(shape if periodic else (256,) * len(shape), rng, beam=beam)
    offset = rng.uniform(-1, 1, len(shape)) * largest * np.array(shape)
    origin = np.zeros(len(shape)) if periodic else rng.uniform(45, 60, len(shape))
    reference, moving = cut(sky, origin, shape), cut(sky, origin - offset, shape)
    level = noise * np.broadcast_to(np.geomspace(0.32, 3.2, shape[-1]) if ramp else 1.0, shape)
    valid = [~_blocks(shape, rng, holes), ~_blocks(shape, rng, holes)]
    bound = marginal_bound(sky, origin - offset, shape, _weight(shape, offset, level, valid, periodic))
    gain = rng.uniform(0.3, 3)
    noisy_r = reference + reference_noise * smoothed_noise(shape, rng, noise_beam)
    noisy_m = gain * (moving + level * smoothed_noise(shape, rng, noise_beam)) + rng.uniform(-10, 10)
    return Scene(
        np.where(valid[0], noisy_r, np.nan),
        np.where(valid[1], noisy_m, np.nan),
        reference_noise,
        gain * level,
        gain,
        offset,
        bound,
    )


def _blocks(shape: tuple[int, ...], rng: np.random.Generator, fraction: float) -> np.ndarray:
    """Return a mask of random blocks of 3 to 19 pixels that covers `fraction`."""
    bad = np.zeros(shape, dtype=bool)
    while bad.mean() < fraction:
        corner = [rng.integers(0, n) for n in shape]
        bad[tuple(slice(c, c + rng.integers(3, 20)) for c in corner)] = True
    return bad


def _weight(shape, offset, level, valid, periodic):
    """Return inverse variances on the pixels that both images hold."""
    weight = valid[1] / level**2
    if periodic:
        return weight
    nearest = []
    for axis, (n, d) in enumerate(zip(shape, offset, strict=True)):
        x = np.arange(n) - d
        inside = (x >= 0) & (x <= n - 1)
        weight = weight * inside.reshape([-1 if a == axis else 1 for a in range(len(shape))])
        nearest.append(np.clip(np.round(x).astype(int), 0, n - 1))
    return weight * valid[0][np.ix_(*nearest)]


def marginal_bound(sky: np.ndarray, origin: np.ndarray, shape: tuple[int, ...], weight: np.ndarray) -> np.ndarray:
    """Return the Cramér-Rao bound of the offset with gain and background unknown, from noise-free derivatives."""
    unit = np.eye(len(shape))
    slopes = [(cut(sky, origin + 0.01 * u, shape) - cut(sky, origin - 0.01 * u, shape)) / 0.02 for u in unit]
    columns = [*slopes, cut(sky, origin, shape), np.ones(shape)]
    fisher = np.array([[np.sum(weight * a * b) for b in columns] for a in columns])
    return np.sqrt(np.diag(np.linalg.inv(fisher))[: len(shape)])


def two_channel_bound(sky: np.ndarray, noise: float, reference_noise: float) -> np.ndarray:
    """Return the bound for periodic images with white noise in both: gamma^2 / (1 - gamma^2) summed over the plane."""
    signal = np.abs(sky) ** 2 / sky.size
    p_m, p_r = noise**2, reference_noise**2
    information = signal**2 / (p_r * p_m + signal * p_r + signal * p_m)
    omega = np.meshgrid(*[2 * np.pi * np.fft.fftfreq(n) for n in sky.shape], indexing="ij")
    fisher = np.array([[np.sum(information * a * b) for b in omega] for a in omega])
    return np.sqrt(np.diag(np.linalg.inv(fisher)))


class Outcome:
    """Errors made, errors claimed and bounds of many realisations."""

    def __init__(self, made: list[np.ndarray], claimed: list[np.ndarray], bounds: list[np.ndarray]) -> None:
        self.made, self.claimed, self.bounds = (np.array(a) for a in (made, claimed, bounds))
        # NaN, a registration that failed, is not found either
        self.good = np.max(np.abs(self.made), axis=1) < 1

    @property
    def found(self) -> float:
        """Fraction within one pixel."""
        return float(self.good.mean())

    @property
    def pull(self) -> float:
        """Rms of error made over error claimed."""
        return float(np.sqrt(np.mean((self.made / self.claimed)[self.good] ** 2)))

    @property
    def efficiency(self) -> float:
        """Rms bound over rms error made."""
        return float(np.sqrt(np.mean(self.bounds[self.good] ** 2) / np.mean(self.made[self.good] ** 2)))
