"""The documented functions beside those of the package `image-registration`: time, and error against a known shift."""

from __future__ import annotations

import concurrent.futures
import functools
import importlib
import importlib.util
import itertools
import multiprocessing
import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

import imreg_xp

__all__ = ["accuracy", "rows", "speed"]

Row = dict[str, Any]

_OURS, _THEIRS = "imreg_xp", "image_registration"


def rows(quick: bool) -> list[Row]:
    """Return all rows of this part: times, then errors."""
    # turns, and calls in each: what is over in a blink is timed more often
    sizes = {64: (2, 1)} if quick else {64: (5, 20), 128: (5, 10), 512: (9, 1), 1024: (5, 1)}
    return [row for n, (turns, calls) in sizes.items() for row in speed(n, turns, calls)] + accuracy(
        *((64, 5) if quick else (128, 40))
    )


def _toolkit() -> Any | None:
    """Return the package to compare with, or None."""
    if importlib.util.find_spec(_THEIRS) is None:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        package = importlib.import_module(_THEIRS)
        # its `chi2_shift_iterzoom` reads a name that it does not have
        importlib.import_module("image_registration.chi2_shifts").allow_huge = False
        return package


def _calls(package: Any, n: int) -> dict[str, Callable[[], Any]]:
    """Return one call of each documented function on images of n x n pixels."""
    rng = np.random.default_rng(0)
    image = rng.normal(size=(n, n))
    moved = np.roll(image, (3, -5), (0, 1)) + 0.1 * rng.normal(size=(n, n))
    err = np.full((n, n), 0.1)
    kernel = np.exp(-0.5 * np.sum((np.indices((9, 9)) - 4) ** 2, axis=0) / 4)
    spectrum = np.fft.fft2(image)
    line = image[0]
    tools = package.fft_tools

    def module(name: str) -> Any:
        return importlib.import_module(f"{package.__name__}.{name}")

    convolve = module("fft_tools.convolve_nd")
    convolve = getattr(convolve, "convolve_nd", None) or convolve.convolvend
    return {
        "chi2_shift": lambda: package.chi2_shift(image, moved, 0.1),
        "chi2_shift, map": lambda: package.chi2_shift(image, moved, err),
        "chi2_shift_iterzoom": lambda: package.chi2_shift_iterzoom(image, moved, 0.1),
        "chi2n_map": lambda: package.chi2n_map(image, moved, 0.1),
        "chi2n_map, map": lambda: package.chi2n_map(image, moved, err),
        "cross_correlation_shifts": lambda: package.cross_correlation_shifts(image, moved),
        "register_images": lambda: package.register_images(image, moved, usfac=10),
        "dftregistration": lambda: module("register_images").dftregistration(spectrum, np.fft.fft2(moved), usfac=10),
        "correlate2d": lambda: tools.correlate2d(image, moved),
        "convolve_nd": lambda: convolve(image, kernel, boundary="fill"),
        "dftups": lambda: tools.dftups(spectrum, nor=n // 4, noc=n // 4, usfac=8),
        "upsample_image": lambda: tools.upsample_image(image, upsample_factor=2),
        "shiftnd": lambda: module("fft_tools.shift").shiftnd(image, (1.3, -2.4)),
        "smooth": lambda: tools.smooth(image, 3),
        "zoomnd": lambda: module("fft_tools.zoom").zoomnd(image, usfac=4, outshape=(n // 4, n // 4)),
        "zoom1d": lambda: module("fft_tools.zoom").zoom1d(line, usfac=4),
        "fourier_interp1d": lambda: module("fft_tools.scale").fourier_interp1d(line, np.linspace(0, n - 1, 2 * n)),
        "fourier_interp2d": lambda: module("fft_tools.scale").fourier_interp2d(
            image, (np.linspace(3, 9, 40), np.linspace(5, 20, 40))
        ),
        "downsample": lambda: module("fft_tools.downsample").downsample(image, 2),
    }


def speed(n: int, turns: int, calls: int) -> list[Row]:
    """Return a row per function: our median time, theirs, and the ratio.

    The two take turns, each in a process of its own, as whoever chooses one of them runs it: what one does to the
    memory of its process neither helps nor hinders the other.
    """
    fresh = functools.partial(concurrent.futures.ProcessPoolExecutor, 1, multiprocessing.get_context("spawn"))
    with fresh() as ours, fresh() as theirs:
        return [_row(n, what, turns, calls, {_OURS: ours, _THEIRS: theirs}) for what in _calls(imreg_xp, n)]


def _row(n: int, what: str, turns: int, calls: int, processes: dict[str, concurrent.futures.Executor]) -> Row:
    note = "" if importlib.util.find_spec(_THEIRS) else "not installed"
    taken: dict[str, list[float]] = {name: [] for name in processes}
    for turn in range(turns + 1):
        for name, process in processes.items():
            if note and name == _THEIRS:
                continue
            seconds, failure = process.submit(_timed, name, n, what, calls).result()
            note = failure or note
            taken[name] += seconds if turn else []
    mine, its = (1e3 * statistics.median(t) if t else None for t in taken.values())
    ratio = its / mine if mine and its else None
    return {"size": n, "what": what, "ms": mine, "theirs_ms": its, "ratio": ratio, "note": note}


@functools.lru_cache(maxsize=1)
def _kept_calls(name: str, n: int) -> dict[str, Callable[[], Any]]:
    return _calls(imreg_xp if name == _OURS else _toolkit(), n)


def _timed(name: str, n: int, what: str, calls: int) -> tuple[list[float], str]:
    """Return the times of some calls, and how theirs failed; what they print and warn of is of no interest."""
    function = _kept_calls(name, n)[what]
    times = [time.perf_counter()]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for _ in range(calls):
                function()
                times.append(time.perf_counter())
    except Exception as error:  # of another package, on this version of NumPy
        if name == _OURS:
            raise
        return [], f"fails: {type(error).__name__}"
    return [after - before for before, after in itertools.pairwise(times)], ""


ESTIMATORS: dict[str, Callable[[Any, np.ndarray, np.ndarray, float], Any]] = {
    "cross_correlation_shifts": lambda p, a, b, _: p.cross_correlation_shifts(a, b),
    "Gaussian fit": lambda p, a, b, _: p.cross_correlation_shifts(a, b, gaussfit=True),
    "register_images": lambda p, a, b, _: p.register_images(a, b, usfac=100),
    "chi2_shift": lambda p, a, b, noise: p.chi2_shift(a, b, noise, upsample_factor="auto")[:2],
    "chi2_shift, overlap": lambda p, a, b, noise: p.chi2_shift(a, b, noise, boundary="overlap", zeromean=True)[:2],
}


def accuracy(n: int, realisations: int, noise: float = 0.1) -> list[Row]:
    """Return a row per scene and estimator: bias and rms error of the shift, pixels; pairs lost; ours and theirs."""
    theirs = _toolkit()
    rows = []
    for scene in ("periodic", "cut out of a larger sky"):
        pairs = [_scene(n, scene, noise, seed) for seed in range(realisations)]
        for name, estimate in ESTIMATORS.items():
            row: Row = {"size": n, "scene": scene, "what": name, "noise": noise}
            for who, package in (("", imreg_xp), ("theirs_", theirs)):
                row[f"{who}bias"], row[f"{who}rms"], row[f"{who}lost"] = _errors(estimate, package, pairs, noise)
            rows.append(row)
    return rows


def _errors(estimate: Callable[..., Any], package: Any, pairs: list[Any], noise: float) -> tuple[Any, Any, Any]:
    """Return bias, rms error and the fraction of pairs without an answer."""
    if package is None:
        return None, None, None
    errors = []
    for first, second, offset in pairs:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found = np.array([float(v) for v in estimate(package, first, second, noise)[:2]])
        except Exception:  # noqa: BLE001  # of another package, on this version of NumPy
            return None, None, None
        errors.append(found - offset)
    found = np.array([e for e in errors if np.isfinite(e).all()])
    if not len(found):
        return None, None, 1.0
    lost = 1 - len(found) / len(errors)
    return float(np.max(np.abs(found.mean(axis=0)))), float(np.sqrt(np.mean(found**2))), lost


def _scene(n: int, kind: str, noise: float, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return two views of a red sky through a beam of one pixel, and the offset (dx, dy) of the second."""
    rng = np.random.default_rng(seed)
    size = n if kind == "periodic" else 2 * n
    k = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size))
    k[0, 0] = np.inf
    amplitude = k**-1.5 * np.exp(-2 * (np.pi * np.where(np.isfinite(k), k, 0)) ** 2)
    spectrum = np.fft.rfft2(rng.normal(size=(size, size))) * amplitude
    # the same sub-pixel phase each time: what is left of it in the mean is bias
    dx, dy = np.round(rng.uniform(-4, 4, size=2)) + np.array([0.3, -0.4])
    phase = np.exp(-2j * np.pi * (np.fft.fftfreq(size)[:, None] * dy + np.fft.rfftfreq(size) * dx))
    views = [np.fft.irfft2(s, s=(size, size)) for s in (spectrum, spectrum * phase)]
    scale = views[0].std()
    first, second = (v[:n, :n] / scale + noise * rng.normal(size=(n, n)) for v in views)
    return first, second, np.array([dx, dy])
