"""Images that are turned, magnified and shifted: errors of all three, and times."""

from __future__ import annotations

import functools
import warnings
import zlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy.ndimage

from . import speed
from .clock import at_once, in_child
from .peers import OURS, Method, Pair, filled, load
from .scenes import borrowed, picture

__all__ = ["BIAS", "METHODS", "NOISE", "REGISTER", "SCENES", "SEED", "Found", "cell", "everyone", "rows", "times"]

Row = dict[str, Any]

SEED = 20260123
BIAS, NOISE = 1e-4, 0.1
_LOST = 3.0  # pixels, rms over the image: beyond, an answer is no answer
_BEAM = 1.5  # pixels that real images are smoothed by, so that they have a value at any position
_FIELDS = ("rms_angle", "rms_magnification", "rms_shift", "lost", "pull", "ms", "ratio")


class Found(NamedTuple):
    """What to apply to `moving`: shift (y, x) in pixels, angle in degrees from +x to +y, magnification; 1 sigma."""

    shift: Any
    angle: Any
    magnification: Any
    error: np.ndarray | None = None
    """(4,), in this order."""


class Drawn(NamedTuple):
    """Two images without noise, and what to apply to the second."""

    reference: np.ndarray
    moving: np.ndarray
    truth: Found


def _register(package: Any, pair: Pair) -> Found:
    r = package.register(*pair[:2], model="similarity")
    return Found(r.shift, r.angle, r.magnification, np.array([*r.shift_err, r.angle_err, r.magnification_err]))


def _similarity(**options: Any) -> Callable[[Any, Pair], Found]:
    def call(package: Any, pair: Pair) -> Found:
        _, scale, angle, shift = package.similarity(*pair[:2], **options)
        return Found(np.array(shift), -angle, 1 / scale)

    return call


def _imreg_dft(**options: Any) -> Callable[[Any, Pair], Found]:
    def call(package: Any, pair: Pair) -> Found:
        r = package.similarity(*pair[:2], **options)
        return Found(np.asarray(r["tvec"]), -r["angle"], r["scale"])

    return call


REGISTER = "imreg_xp, similarity"
METHODS: tuple[Method, ...] = (
    Method(REGISTER, OURS, "imreg_xp", _register, masks=True, errors=True),
    Method("imreg_xp.similarity", OURS, "imreg_xp", _similarity(), masks=True),
    Method("imreg_xp.similarity, not refined", OURS, "imreg_xp", _similarity(refine=False), masks=True),
    Method("imreg_dft", ("imreg-dft",), "imreg_dft", _imreg_dft()),
    Method("imreg_dft, 3 iterations", ("imreg-dft",), "imreg_dft", _imreg_dft(numiter=3)),
)  # type: ignore[arg-type]


def _turn(rng: np.random.Generator, size: int, angle: float, scale: float) -> Found:
    return Found(rng.uniform(-0.05, 0.05, 2) * size, rng.uniform(-angle, angle), np.exp(rng.uniform(-scale, scale)))


def _sky(rng: np.random.Generator, size: int, truth: Found) -> Drawn:
    pair = borrowed("turned_scenes").turned_pair(
        rng, (size, size), shift=truth.shift, angle=truth.angle, magnification=truth.magnification
    )
    return Drawn(*pair, truth)


@functools.cache
def _smoothed(name: str) -> np.ndarray | None:
    image = picture(name)
    return None if image is None else scipy.ndimage.gaussian_filter(image - np.nanmean(image), _BEAM)


def _real(name: str, rng: np.random.Generator, size: int, truth: Found) -> Drawn | None:
    image = _smoothed(name)
    if image is None:
        return None
    size = min(size, *image.shape)
    corner = np.array([rng.integers(0, n - size + 1) for n in image.shape])
    middle = ((size - 1) / 2,) * 2
    places = borrowed("turned_scenes").places((size, size), middle, truth.shift, truth.angle, truth.magnification)
    seen = [y + c for y, c in zip(places, corner, strict=True)]
    moving = scipy.ndimage.map_coordinates(image, seen, order=5, cval=np.nan)
    return Drawn(image[corner[0] :, corner[1] :][:size, :size], moving, truth)


# (angle up to, degrees; logarithm of the magnification up to; scene)
SCENES: dict[str, tuple[float, float, Callable[..., Drawn | None]]] = {
    "small turns": (5.0, 0.05, _sky),
    "any turn": (180.0, 0.35, _sky),
    "real: camera": (180.0, 0.35, functools.partial(_real, "camera")),
    "real: aia_171.fits": (180.0, 0.35, functools.partial(_real, "aia_171.fits")),
}


def rows(quick: bool) -> list[Row]:
    """Return all rows of this part."""
    size, count, repeats, seconds = (64, 2, 1, 0.1) if quick else (128, 12, 9, 1.0)
    taken = in_child("turned", "times", size=size, repeats=repeats, seconds=seconds)
    cases = [{"scene": scene, "size": size, "count": count} for scene in SCENES]
    return speed.with_times(at_once(everyone, cases, quick=quick), taken)


def everyone(scene: str, size: int, count: int) -> list[Row]:
    """Return the rows of all methods on a scene."""
    return cell(METHODS, scene, (BIAS, NOISE), size, count)


def times(size: int, repeats: int, seconds: float) -> list[Row]:
    """Return the time of each method on a pair of a size, float64, one thread."""
    return speed.pairs_of(METHODS, size, "float64", 1, repeats, seconds)


def cell(methods: Sequence[Method], scene: str, noises: Sequence[float], size: int, count: int) -> list[Row]:
    """Return a row per noise and method, on the same realisations of a scene; noise in units of its rms."""
    rng = np.random.default_rng([SEED, zlib.crc32(scene.encode())])
    angle, scale, draw = SCENES[scene]
    drawn = [draw(rng, size, _turn(rng, size, angle, scale)) for _ in range(count)]
    case = {"scene": scene, "size": size, "realisations": count, **dict.fromkeys(_FIELDS)}
    if drawn[0] is None:
        return [{**case, "noise": n, "method": m.name, "note": "the scene is not installed"}
                for n in noises for m in methods]  # fmt: skip
    case["size"] = drawn[0].reference.shape[0]
    made = []
    for noise in noises:
        pairs = [_noisy(rng, d, noise) for d in drawn if d is not None]
        truths = [d.truth for d in drawn if d is not None]
        made += [{**case, "noise": noise, "method": m.name, **_row(m, pairs, truths)} for m in methods]
    return made


def _noisy(rng: np.random.Generator, drawn: Drawn, noise: float) -> Pair:
    level = noise * float(np.std(drawn.reference))
    reference, moving = (im + level * rng.normal(size=im.shape) for im in drawn[:2])
    return Pair(reference, rng.uniform(0.3, 3) * moving + rng.uniform(-10, 10))


def _row(method: Method, pairs: list[Pair], truths: list[Found]) -> Row:
    package = load(method)
    if package is None:
        return {"note": "not installed"}
    made, pulls, note = [], [], ""
    for pair, truth in zip(pairs, truths, strict=True):
        found = _answer(method, package, pair)
        if isinstance(found, str):
            note = found
            continue
        turn = (float(found.angle) - truth.angle + 180) % 360 - 180
        error = np.array([*(found.shift - truth.shift), turn, float(found.magnification) / truth.magnification - 1])
        arm = pair.reference.shape[0] / np.sqrt(6)  # rms distance from the middle
        moved = np.hypot(np.hypot(*error[:2]), arm * np.hypot(np.deg2rad(error[2]), error[3]))
        if moved < _LOST:  # not if NaN
            made.append(error)
            pulls.append([] if found.error is None else error * [1, 1, 1, truth.magnification] / found.error)
    if not made:
        return {"lost": 1.0, "note": note}
    rms = np.sqrt(np.mean(np.square(made), axis=0))
    return {
        "rms_shift": float(np.sqrt(np.mean(rms[:2] ** 2))),
        "rms_angle": float(rms[2]),
        "rms_magnification": float(rms[3]),
        "lost": 1 - len(made) / len(pairs),
        "pull": float(np.sqrt(np.mean(np.square(pulls)))) if method.errors else None,
        "note": note,
    }


def _answer(method: Method, package: Any, pair: Pair) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return method.pair(package, pair if method.masks else filled(pair))
    except Exception as error:  # noqa: BLE001  # of another package, on this version of NumPy
        return f"fails: {type(error).__name__}"
