"""Are the errors true, and as small as they can be: pulls, coverage and efficiency of methods that report errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from .clock import at_once
from .peers import METHODS, Answer, Method, answer, load
from .scenes import Drawn, drawn
from .systems import REPORTING

__all__ = ["BINS", "CASES", "SEED", "Case", "everyone", "measure", "rows"]

Row = dict[str, Any]

SEED = 20260118
BINS = np.linspace(-5, 5, 41)  # of the histograms of pulls; what is beyond is counted in the outermost


@dataclass(frozen=True)
class Case:
    """What the images and their noise are like, and whether the errors are given."""

    boundary: str
    noise: float
    noise_in: str = "moving"
    errors: str = "uniform"
    noise_beam: float = 0.0
    given: bool = True

    @property
    def name(self) -> str:
        """In words."""
        images = "periodic" if self.boundary == "wrap" else "cut-outs"
        noise = f"noise {self.noise:g} in {self.noise_in}"
        beam = f", correlated over {self.noise_beam:g} px" if self.noise_beam else ""
        varying = ", varying by 10" if self.errors == "varying" else ""
        return f"{images}, {noise}{varying}{beam}, {'err given' if self.given else 'no err'}"

    def draw(self, rng: np.random.Generator, size: int) -> Drawn:
        """Draw a pair of equal gain (not all fit one)."""
        one = drawn(
            rng, size, self.noise, unit_gain=True, periodic=self.boundary == "wrap", ramp=self.errors == "varying",
            noise_beam=self.noise_beam, reference_noise=self.noise if self.noise_in == "both" else 0.0,
        )  # fmt: skip
        return one if self.given else one._replace(pair=one.pair._replace(moving_err=None, reference_err=None))


CASES = (
    Case("wrap", 0.1),
    Case("wrap", 0.1, given=False),
    Case("wrap", 0.1, "both"),
    Case("wrap", 0.1, "both", given=False),
    Case("wrap", 0.1, noise_beam=1.0, given=False),
    Case("overlap", 0.01),
    Case("overlap", 0.1),
    Case("overlap", 0.3),
    Case("overlap", 0.1, given=False),
    Case("overlap", 0.1, errors="varying"),
    Case("overlap", 0.1, errors="varying", given=False),
    Case("overlap", 0.1, "both"),
    Case("overlap", 0.1, "both", given=False),
    Case("overlap", 0.1, noise_beam=1.0),
    Case("overlap", 0.1, noise_beam=1.0, given=False),
    Case("overlap", 0.1, "both", noise_beam=2.0, given=False),
    Case("wrap", 0.1, noise_beam=1.0),
    Case("overlap", 0.1, "both", noise_beam=1.0),
    Case("overlap", 0.1, "both", errors="varying"),
)
_QUICK = (CASES[0], CASES[6], CASES[14])


def rows(quick: bool) -> list[Row]:
    """Return all rows of this part."""
    size, counts, cases = (64, (8, 4), _QUICK) if quick else (112, (200, 80), CASES)
    return at_once(everyone, [{"case": case, "size": size, "counts": counts} for case in cases], quick=quick)


def everyone(case: Case, size: int, counts: Sequence[int]) -> list[Row]:
    """Return the rows of all methods that report an error."""
    methods = ([m for m in METHODS if m.errors], REPORTING)
    return [row for m, n in zip(methods, counts, strict=True) for row in measure(m, case, size, n)]


def measure(methods: Sequence[Method], case: Case, size: int, count: int) -> list[Row]:
    """Return a row per method: `count` realisations of a case, the same ones for each.

    Methods of ours for periodic images are left out where the images are not.
    """
    rng = np.random.default_rng([SEED, size, CASES.index(case) if case in CASES else len(CASES)])
    scenes = [case.draw(rng, size) for _ in range(count)]
    meant = [m for m in methods if not (m.ours and case.boundary == "overlap" and "overlap" not in m.name)]
    return [_row(m, case, scenes, size) for m in meant]


def _row(method: Method, case: Case, scenes: list[Drawn], size: int) -> Row:
    nothing = dict.fromkeys(
        ("pull", "percent_off", "within_1", "within_2", "rms_over_bound", "efficiency", "lost", "histogram")
    )
    row = {"case": case.name, **asdict(case), "size": size, "method": method.name, "realisations": len(scenes)}
    row |= {**nothing, "note": ""}
    package = load(method)
    if package is None:
        return {**row, "note": "not installed"}
    answers = [answer(method, package, s.pair) for s in scenes]
    failures = [a for a in answers if not isinstance(a, Answer)]
    if failures:
        row["note"] = f"{failures[0]} ({len(failures)} of {len(answers)})"
    none = Answer(np.full(2, np.nan), np.full(2, np.nan))
    answers = [a if isinstance(a, Answer) else none for a in answers]
    made = np.array([a.shift - s.truth for a, s in zip(answers, scenes, strict=True)])
    claimed = np.array([a.error for a in answers])
    return {**row, **_statistics(made, claimed, [s.bound for s in scenes])}


def _statistics(made: np.ndarray, claimed: np.ndarray, bounds: list[Any]) -> Row:
    """Return what the errors made and claimed amount to; an answer that is missing is in no interval."""
    usable = np.isfinite(made) & (claimed > 0) & np.isfinite(claimed)
    if not usable.any():
        return {"lost": 1.0}
    pulls = made[usable] / claimed[usable]
    rms = np.sqrt(np.mean(made[usable] ** 2))
    bound = None if bounds[0] is None else float(np.sqrt(np.mean(np.square(bounds))))
    counts = np.histogram(np.clip(pulls, BINS[0], np.nextafter(BINS[-1], 0)), BINS)[0]
    return {
        "pull": float(np.sqrt(np.mean(pulls**2))),
        "percent_off": 100 * abs(float(np.sqrt(np.mean(pulls**2))) - 1),
        "within_1": float(np.sum(np.abs(pulls) <= 1) / made.size),
        "within_2": float(np.sum(np.abs(pulls) <= 2) / made.size),
        "rms": float(rms),
        "rms_over_bound": None if bound is None else float(rms / bound),
        "efficiency": None if bound is None else float(bound / rms),
        "lost": float(1 - np.mean(usable.all(axis=1) & (np.abs(np.where(usable, made, np.inf)).max(axis=1) < 1))),
        "histogram": counts.tolist(),
    }
