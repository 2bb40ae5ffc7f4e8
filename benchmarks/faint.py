"""Many faint frames of one scene: registered in pairs, on their mean, all at once (Gratadour, Mugnier & Rouan 2005).

Each frame shows the scene elsewhere, with as much noise per pixel as the scene has structure (S/N 1), or more. Only
differences of shifts can be known: errors are those less their mean over the frames.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from .accuracy import LOST
from .peers import METHODS, Method, Pair, answer, load
from .scenes import borrowed

__all__ = ["SEED", "SIZE", "cell", "rows"]

Row = dict[str, Any]
_Shifts = Callable[[np.ndarray, np.ndarray, float], tuple[np.ndarray, np.ndarray | None]]

SEED = 20260120
SIZE = 64
_LARGEST = 3.0  # pixels
_NAMED = {m.name: m for m in METHODS}
# in pairs with the first frame, by the correlation that the field takes for the standard
_PAIRWISE = ("scikit-image, no phase", "image_registration.chi2_shift")
_POLICIES = ("first", "mean", "joint")
_KNOWN = "imreg_xp, the scene known"


def rows(quick: bool) -> list[Row]:
    """Return all rows of this part."""
    if quick:
        return [row for count in (5, 20) for row in cell("periodic", 1.0, count, 2, size=32)]
    cases = [("periodic", 1.0, n, 400 // n) for n in (5, 10, 30, 100)]
    cases += [("periodic", 0.5, n, 200 // n) for n in (10, 100)]
    cases += [("cut-outs", 1.0, n, 100 // n) for n in (10, 100)]
    return [row for case in cases for row in cell(*case)]


def cell(scene: str, snr: float, frames: int, realisations: int, *, size: int = SIZE) -> list[Row]:
    """Return a row per method: `realisations` stacks of one kind, the same ones for each."""
    rng = np.random.default_rng([SEED, len(scene), round(100 * snr), frames])
    drawn = [_draw(rng, scene, 1 / snr, frames, size) for _ in range(realisations)]
    case = {"scene": scene, "snr": snr, "frames": frames, "size": size, "realisations": realisations}
    bound = float(np.sqrt(np.mean([b**2 for *_, b in drawn])))
    found = [_row(name, run, drawn, {**case, "bound": bound}) for name, run in _methods(scene).items()]
    for row in found:
        if row["rms"] is not None:
            row["rms_over_bound"] = row["rms"] / bound
    return found


def _draw(rng: np.random.Generator, scene: str, noise: float, frames: int, size: int) -> tuple[Any, ...]:
    """Return frames, the scene where the first is, the shifts to apply, noise, and the bound if the scene is known."""
    skies, calibration = borrowed("skies"), borrowed("calibration")
    shape = (size, size)
    sky = skies.random_sky(shape if scene == "periodic" else (4 * size,) * 2, rng)
    origin = np.zeros(2) if scene == "periodic" else rng.uniform(1.0, 2.0, 2) * size
    sky = sky / skies.cut(sky, origin, shape).std()
    offsets = rng.uniform(-_LARGEST, _LARGEST, (frames, 2))
    views = np.stack([skies.cut(sky, origin - d, shape) for d in offsets])
    known = skies.cut(sky, origin - offsets[0], shape)
    bound = calibration.marginal_bound(sky, origin, shape, np.full(shape, 1 / noise**2))
    return views + noise * rng.normal(size=views.shape), known, -offsets, noise, bound


def _methods(scene: str) -> dict[str, _Shifts | None]:
    """Return calls of (frames, scene, noise) that give shifts and, where they say, errors; None of what is missing."""
    boundary = "wrap" if scene == "periodic" else "overlap"
    ours = load(_NAMED["imreg_xp, wrap"])

    def on(reference: str, *, given: bool = False) -> _Shifts:
        def call(frames: np.ndarray, _: np.ndarray, noise: float) -> tuple[np.ndarray, np.ndarray]:
            found = ours.register_stack(reference, frames, moving_err=noise if given else None, boundary=boundary)
            return found.shift, found.shift_err

        return call

    def known(frames: np.ndarray, image: np.ndarray, noise: float) -> tuple[np.ndarray, np.ndarray]:
        found = ours.register_stack(image, frames, moving_err=noise, boundary=boundary)
        return found.shift, found.shift_err

    return {
        **{f"imreg_xp, {policy}": on(policy) for policy in reversed(_POLICIES)},
        **{f"imreg_xp, {policy}, errors given": on(policy, given=True) for policy in ("joint", "first")},
        **{f"{name}, on the first": _in_pairs(_NAMED[name]) for name in _PAIRWISE},
        _KNOWN: known,
    }


def _in_pairs(method: Method) -> _Shifts | None:
    package = load(method)
    if package is None:
        return None

    def call(frames: np.ndarray, _: np.ndarray, noise: float) -> tuple[np.ndarray, None]:
        found = [answer(method, package, Pair(frames[0], frame, noise)) for frame in frames[1:]]
        failed = np.full(2, np.nan)
        return np.array([np.zeros(2), *(failed if isinstance(a, str) else a.shift for a in found)]), None

    return call


def _row(name: str, run: _Shifts | None, drawn: list[Any], case: Row) -> Row:
    row = {**case, "method": name, **dict.fromkeys(("rms", "rms_over_bound", "lost", "pull", "ms")), "note": ""}
    if run is None:
        return {**row, "note": "not installed"}
    made, pulls, seconds = [], [], 0.0
    for frames, known, truth, noise, _ in drawn:
        start = time.perf_counter()
        shift, err = run(frames, known, noise)
        seconds += time.perf_counter() - start
        made.append(_less_their_mean(shift - truth))
        if err is not None and name != "imreg_xp, mean":  # whose errors are relative to the mean of the others
            start = np.zeros(2) if name == _KNOWN else shift[0]
            pulls.append((shift - start - truth + truth[0])[1:] / err[1:])
    errors, count = np.concatenate(made), case["frames"]
    finite = np.isfinite(errors).all(axis=1)
    row["lost"] = float(1 - np.mean(np.max(np.abs(np.where(finite[:, None], errors, np.inf)), axis=1) < LOST))
    row["ms"] = 1e3 * seconds / len(errors)
    if finite.any():
        row["rms"] = float(np.sqrt(np.mean(errors[finite] ** 2) * count / (count - 1)))
    usable = np.concatenate(pulls)[np.isfinite(np.concatenate(pulls))] if pulls else np.array([])
    row["pull"] = float(np.sqrt(np.mean(usable**2))) if usable.size else None
    return row


def _less_their_mean(errors: np.ndarray) -> np.ndarray:
    """Subtract the mean of those that are within a pixel of the median."""
    finite = np.isfinite(errors).all(axis=1)
    if not finite.any():
        return errors
    middle = np.median(errors[finite], axis=0)
    near = np.max(np.abs(np.where(np.isfinite(errors), errors - middle, np.inf)), axis=1) < LOST
    return errors - (errors[near].mean(axis=0) if near.any() else middle)
