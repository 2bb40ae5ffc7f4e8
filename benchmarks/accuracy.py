"""Rms error of every method against known shifts, per scene and noise."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from .clock import at_once
from .peers import METHODS, Answer, Method, answer, load
from .scenes import REAL, SCENES, STARS

__all__ = ["LOST", "SEED", "cell", "everyone", "rows"]

Row = dict[str, Any]

SEED = 20260117
LOST = 1.0  # pixels: beyond, an answer is no answer

_LEVELS = {"periodic": (0.01, 0.03, 0.1, 0.3, 1.0), "cut-outs": (0.01, 0.03, 0.1, 0.3, 1.0)}
_OTHERS = (0.01, 0.1, 0.3)


def rows(quick: bool) -> list[Row]:
    """Return all rows of this part."""
    size, count = (64, 4) if quick else (128, 40)
    cases = []
    for scene in SCENES:
        levels = (0.1,) if quick else _LEVELS.get(scene, _OTHERS[:2] if scene in REAL else _OTHERS)
        cases += [{"scene": scene, "noise": noise, "size": size, "count": count} for noise in levels]
    return at_once(everyone, cases, quick=quick)


def everyone(scene: str, noise: float, size: int, count: int) -> list[Row]:
    """Return the rows of all methods on a scene with a level of noise."""
    return cell(METHODS, scene, noise, size, count)


def cell(methods: Sequence[Method], scene: str, noise: float, size: int, count: int) -> list[Row]:
    """Return a row per method: `count` realisations of a scene, the same ones for each; noise in units of its rms."""
    rng = np.random.default_rng([SEED, zlib.crc32(scene.encode()), round(1e4 * noise)])
    draw = (SCENES | STARS)[scene]
    drawn = [draw(rng, size, noise) for _ in range(count)]
    case = {"scene": scene, "noise": noise, "realisations": count}
    if drawn[0] is None:
        return [_empty(m, {**case, "size": size}, "the scene is not installed") for m in methods]
    case["size"] = drawn[0].pair.moving.shape[0]
    bounds = [d.bound for d in drawn]
    bound = None if bounds[0] is None else float(np.sqrt(np.mean(np.square(bounds))))
    found = [{**_row(m, drawn, case), "bound": bound} for m in methods]
    for row in found:
        if bound is not None and row["rms"] is not None:
            row["rms_over_bound"] = row["rms"] / bound
    return found


def _row(method: Method, drawn: list[Any], case: Row) -> Row:
    package = load(method)
    if package is None:
        return _empty(method, case, "not installed")
    made, note = [], ""
    for d in drawn:
        found = answer(method, package, d.pair)
        if isinstance(found, Answer):
            made.append(found.shift - d.truth)
        else:
            note = found
            made.append(np.full(2, np.nan))
    errors = np.array(made)
    finite = np.isfinite(errors).all(axis=1)
    if not finite.any():
        return {**_empty(method, case, note), "lost": 1.0}
    good = finite & (np.abs(np.where(finite[:, None], errors, np.inf)).max(axis=1) < LOST)
    return {
        **_empty(method, case, note),
        "rms": float(np.sqrt(np.mean(errors[finite] ** 2))),
        "rms_found": float(np.sqrt(np.mean(errors[good] ** 2))) if good.any() else None,
        "bias": float(np.max(np.abs(errors[finite].mean(axis=0)))),
        "lost": float(1 - good.mean()),
    }


def _empty(method: Method, case: Row, note: str) -> Row:
    nothing = dict.fromkeys(("rms", "rms_found", "bias", "lost", "bound", "rms_over_bound"))
    return {**case, "method": method.name, **nothing, "note": note}
