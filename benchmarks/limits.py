"""What the documentation says in figures of our limits: interpolation, small and undersampled images, chains."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import imreg_xp

from .clock import at_once
from .peers import METHODS, Answer, answer
from .scenes import REAL, SCENES, borrowed

__all__ = ["SEED", "interpolation", "measured", "pair_bias", "rows", "small", "turning", "undersampled"]

Row = dict[str, Any]

SEED = 20260121
_OVERLAP = METHODS[0]
_BORDER = 4  # pixels that interpolation is not good for


def rows(quick: bool) -> list[Row]:
    """Return all rows of this part."""
    few = quick
    cases = [(interpolation, (beam, 3 if few else 30)) for beam in (0.7, 1.0, 1.5)]
    cases += [(turning, (beam, 2 if few else 10)) for beam in (1.0, 1.5)]
    cases += [(small, (n, noise, 20 if few else 200)) for n in (16, 24, 32) for noise in ("correlated", "white")]
    for scene in ("cut-outs, undersampled", *REAL):
        cases += [(undersampled, (scene, given, 64 if few else 128, 3 if few else 30)) for given in (False, True)]
    cases += [
        (pair_bias, (noise, fit_scale, *((2, 10) if few else (8, 120))))
        for noise in (0.1, 0.2, 0.4) for fit_scale in (True, False)
    ]  # fmt: skip
    return at_once(measured, [{"what": what, "arguments": arguments} for what, arguments in cases], quick=quick)


def measured(what: Callable[..., Row], arguments: tuple[Any, ...]) -> list[Row]:
    """Return the row that a function of this part gives."""
    return [what(*arguments)]


def _row(what: str, case: str, value: float, unit: str, realisations: int) -> Row:
    return {"what": what, "case": case, "value": float(value), "unit": unit, "realisations": realisations, "note": ""}


def interpolation(beam: float, count: int, size: int = 96) -> Row:
    """Return the rms error of `apply_shift` inside the border, on cut-outs of a sky seen through a beam."""
    skies = borrowed("skies")
    rng = np.random.default_rng([SEED, round(10 * beam)])
    squares = []
    for _ in range(count):
        sky = skies.random_sky((3 * size,) * 2, rng, beam=beam)
        shift = rng.uniform(-0.5, 0.5, 2)
        image, truth = (skies.cut(sky, size - d, (size, size)) for d in (np.zeros(2), shift))
        inside = (slice(_BORDER, -_BORDER),) * 2
        squares.append(np.mean((imreg_xp.apply_shift(image, shift) - truth)[inside] ** 2) / np.var(truth))
    return _row("apply_shift", f"beam {beam:g}", np.sqrt(np.mean(squares)), "of the image rms", count)


def turning(beam: float, count: int, size: int = 96) -> Row:
    """Return the rms error of `apply_transform` inside the border, on cut-outs of a sky turned by any angle."""
    scenes = borrowed("turned_scenes")
    rng = np.random.default_rng([SEED, round(10 * beam), 1])
    squares = []
    for _ in range(count):
        angle, shift = rng.uniform(-180, 180), rng.uniform(-0.5, 0.5, 2)
        truth, image = scenes.turned_pair(rng, (size, size), shift=shift, angle=angle, beam=beam)
        middle = (size - 1) / 2
        c, s = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
        matrix = np.array([[c, s, 0.0], [-s, c, 0.0], [0.0, 0.0, 1.0]])
        matrix[:2, 2] = middle + shift - matrix[:2, :2] @ [middle, middle]
        # as far from the border of the image as of the result
        seen = np.stack(np.broadcast_arrays(*np.ogrid[:size, :size]), axis=-1) - matrix[:2, 2]
        seen = seen @ matrix[:2, :2]
        low, high = _BORDER, size - 1 - _BORDER
        inside = np.all((seen >= low) & (seen <= high), axis=-1)
        made = imreg_xp.apply_transform(image, matrix) - truth
        squares.append(np.mean(made[inside] ** 2) / np.var(truth))
    return _row("apply_transform", f"beam {beam:g}", np.sqrt(np.mean(squares)), "of the image rms", count)


def small(size: int, noise: str, count: int) -> Row:
    """Return the rms of the pulls of `register` on small images."""
    rng = np.random.default_rng([SEED, size])
    calibration = borrowed("calibration")
    pulls = []
    for _ in range(count):
        scene = calibration.draw(rng, (size, size), noise=0.1, largest=1 / size)
        found = imreg_xp.register(scene.reference, scene.moving, noise=noise, max_shift=3)
        pulls.append((found.shift + scene.offset) / found.shift_err)
    return _row("small images", f"{size}², {noise}", np.sqrt(np.nanmean(np.square(pulls))), "rms of pulls", count)


def undersampled(scene: str, given: bool, size: int, count: int) -> Row:
    """Return the rms error on undersampled images with hardly any noise: bias that depends on the sub-pixel phase."""
    rng = np.random.default_rng([SEED, len(scene)])
    made = []
    for _ in range(count):
        drawn = SCENES[scene](rng, size, 0.001)
        if drawn is None:
            return {**_row("undersampled", scene, np.nan, "pixels", count), "value": None, "note": "not installed"}
        pair = drawn.pair if given else drawn.pair._replace(moving_err=None)
        found = answer(_OVERLAP, imreg_xp, pair)
        made.append(found.shift - drawn.truth if isinstance(found, Answer) else np.full(2, np.nan))
    row = _row("undersampled", scene, np.sqrt(np.nanmean(np.square(made))), "pixels", count)
    return {**row, "errors": "moving_err alone" if given else "none given"}


def pair_bias(noise: float, fit_scale: bool, scenes: int, count: int) -> Row:
    """Return the bias of a pair of small noisy images: the mean error over noise, its rms over scenes."""
    skies = borrowed("skies")
    rng = np.random.default_rng([SEED, round(10 * noise)])
    shape = (41, 37)
    squares = []
    for _ in range(scenes):
        sky = skies.random_sky((128, 128), rng)
        offset = rng.uniform(-1, 1, 2)
        views = [skies.cut(sky, 40 - d, shape) for d in (np.zeros(2), offset)]
        first, second = (v / views[0].std() + noise * rng.normal(size=(count, *shape)) for v in views)
        made = imreg_xp.register(first, second, fit_scale=fit_scale).shift + offset
        made = made[np.isfinite(made).all(axis=1)]
        # the mean of so many errors is not 0 by chance either
        squares.append(made.mean(axis=0) ** 2 - made.var(axis=0, ddof=1) / len(made))
    case = f"noise {noise:g}{'' if fit_scale else ', fit_scale=False'}"
    return _row("bias of a pair", case, np.sqrt(max(np.mean(squares), 0.0)), "pixels", scenes * count)
