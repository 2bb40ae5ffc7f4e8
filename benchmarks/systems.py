"""The systems that people know by name: what each makes of the same scenes, and how long it takes."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

from . import accuracy, speed
from .clock import at_once, in_child
from .peers import METHODS, OURS, TOOLKIT, Answer, Method, Pair, backwards, forwards, of_two_jointly

__all__ = ["BIAS", "NOISE", "REPORTING", "SCENES", "SEED", "SYSTEMS", "everyone", "rows", "times"]

Row = dict[str, Any]

SEED = accuracy.SEED
# what is left without noise is bias; stars are no scene for what looks at all of an image, and the other way round
BIAS, NOISE = 1e-4, 0.1
SCENES = ("periodic", "cut-outs", "stars")
_MAGNIFICATION = 10


def _here(name: str, pair: Callable[[Any, Pair], Answer], *, errors: bool = False) -> Method:
    return Method(f"imreg_xp.{name}", OURS, "imreg_xp", pair, masks=True, errors=errors)


def _cross_correlation(**options: Any) -> Callable[[Any, Pair], Answer]:
    def call(package: Any, pair: Pair) -> Answer:
        found = package.cross_correlation_shifts(*pair[:2], return_error=True, **options)
        return Answer(backwards(found), forwards(found[2:4]))

    return call


def _register_images(package: Any, pair: Pair) -> Answer:
    found = package.register_images(*pair[:2], usfac=100, return_error=True)
    return Answer(backwards(found), forwards(found[2:4]))


def _dftregistration(package: Any, pair: Pair) -> Answer:
    module = importlib.import_module(f"{package.__name__}.register_images")  # the package has a function of this name
    found = module.dftregistration(*(np.fft.fft2(image) for image in pair[:2]), usfac=100, return_error=True)
    return Answer(np.array(found[2:4]), np.array(found[4:6]))


def _correl_optimize(package: Any, pair: Pair) -> Answer:
    found = package.correl_optimize(*pair[:2], magnification=_MAGNIFICATION, numpix=True)
    return Answer(forwards(found))


def _subreg(method: str) -> Callable[[Any, Pair], Answer]:
    return lambda package, pair: Answer(forwards(package.subreg(*pair[:2], method=method)))


_NAMED = {m.name: m for m in METHODS}
_CORRELATION = _cross_correlation()
# methods that report errors and are not among those that all parts compare
REPORTING: tuple[Method, ...] = (
    _here("chi2_shift, overlap", of_two_jointly("chi2_shift", boundary="overlap"), errors=True),
    _here("chi2_shift_iterzoom", of_two_jointly("chi2_shift_iterzoom"), errors=True),
    _here("cross_correlation_shifts", _CORRELATION, errors=True),
    _here("cross_correlation_shifts, overlap", _cross_correlation(boundary="overlap"), errors=True),
    _here("register_images", _register_images, errors=True),
    _here("dftregistration", _dftregistration, errors=True),
    Method("image_registration.cross_correlation_shifts", TOOLKIT, "image_registration", _CORRELATION, errors=True),
    Method("image_registration.register_images", TOOLKIT, "image_registration", _register_images, errors=True),
)
_REPORTING = {m.name: m for m in REPORTING}
_WELSCH = ("imreg_xp.cross_correlation_shifts", "image_registration.cross_correlation_shifts")
_PEERS = ("scikit-image, no phase", "imreg_dft")
SYSTEMS: tuple[Method, ...] = (
    _NAMED["imreg_xp, overlap"],
    _NAMED["imreg_xp, wrap"],
    _NAMED["imreg_xp.chi2_shift"],
    _NAMED["image_registration.chi2_shift"],
    *(_REPORTING[name] for name in _WELSCH),
    _here("cross_correlation_shifts, Gaussian", lambda p, q: Answer(backwards(
        p.cross_correlation_shifts(*q[:2], gaussfit=True)))),
    *(_REPORTING[f"{package}.register_images"] for package in ("imreg_xp", "image_registration")),
    _REPORTING["imreg_xp.dftregistration"],
    *(_NAMED[name] for name in _PEERS),
    _here("correl_optimize", _correl_optimize),
    *(_here(f"subreg, {method}", _subreg(method)) for method in ("X", "F", "FHP", "C", "O", "G", "R", "M")),
)  # fmt: skip
_OF_STARS = tuple(f"imreg_xp.subreg, {method}" for method in "COGRM")


def rows(quick: bool) -> list[Row]:
    """Return all rows of this part: each function on each scene that it is for."""
    size, count, repeats, seconds = (64, 4, 2, 0.1) if quick else (128, 40, 15, 0.5)
    taken = in_child("systems", "times", size=size, repeats=repeats, seconds=seconds)
    cases = [
        {"scene": scene, "noise": noise, "size": size, "count": count} for scene in SCENES for noise in (BIAS, NOISE)
    ]
    return speed.with_times(at_once(everyone, cases, quick=quick), taken)


def everyone(scene: str, noise: float, size: int, count: int) -> list[Row]:
    """Return the rows of the functions that are for a scene."""
    meant = [m for m in SYSTEMS if m.name not in _OF_STARS or scene == "stars"]
    return accuracy.cell(meant, scene, noise, size, count)


def times(size: int, repeats: int, seconds: float) -> list[Row]:
    """Return the time of each function on a pair of a size, float64, one thread."""
    return speed.pairs_of(SYSTEMS, size, "float64", 1, repeats, seconds)
