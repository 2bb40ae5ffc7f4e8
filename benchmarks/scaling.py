"""Time and memory against pixels, frames and workers, and the slope of each in a log-log plot."""

from __future__ import annotations

import importlib.util
import itertools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from . import speed
from .clock import in_child, interleaved, median, use_threads
from .peers import METHODS, load
from .scenes import periodic_pair

__all__ = ["rows", "slope", "times", "worker_times"]

Row = dict[str, Any]

_PAIR = ("imreg_xp, overlap", "imreg_xp, wrap", "scikit-image", "image_registration.chi2_shift")
_STACK = ("imreg_xp, overlap", "imreg_xp, wrap, white", "torch phase correlation")
_WORKERS = "imreg_xp, overlap, dask"


def rows(quick: bool) -> list[Row]:
    """Return all rows of this part."""
    sizes, counts, frame = ((64, 128), (8, 16), 64) if quick else ((128, 256, 512, 1024, 2048), (16, 64, 256), 128)
    repeats, seconds = (2, 0.3) if quick else (5, 0.5)
    settings = {"repeats": repeats, "seconds": seconds}
    pixels = [
        in_child("scaling", "times", kind="pair", size=n, frames=1, methods=[speed.FLOORS["pair"], *_PAIR], **settings)
        for n in sizes
    ]
    frames = [
        in_child("scaling", "times", kind="stack", size=frame, frames=k, methods=[speed.FLOORS["stack"], *_STACK],
                 **settings)
        for k in counts
    ]  # fmt: skip
    found = [*itertools.chain(*pixels), *itertools.chain(*frames)]
    cases = [{k: row.pop(k) for k in ("kind", "size", "frames")} | {"method": row["method"]} for row in found]
    weighed = [row["ms"] is not None and (row["method"] == _PAIR[0] or not quick) for row in found]
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # each waits for a process
        grown = pool.map(_megabytes, [case for case, is_so in zip(cases, weighed, strict=True) if is_so])
    for row in [row for row, is_so in zip(found, weighed, strict=True) if is_so]:
        row["megabytes"] = next(grown)
    for row in found:
        alike = [r for r in found if (r["against"], r["method"]) == (row["against"], row["method"])]
        row["slope"], row["memory_slope"] = (slope(alike, field) for field in ("ms", "megabytes"))
    return found + in_child("scaling", "worker_times", size=frame, frames=counts[-2], **settings)


def _megabytes(case: Row) -> float:
    return max(in_child("speed", "memory", dtype="float64", **case), 4096) / 1e6


def slope(alike: list[Row], field: str) -> float | None:
    """Return the exponent of a power law through rows."""
    known = [(r["value"], r[field]) for r in alike if r[field]]
    if len(known) < 2:
        return None
    x, y = np.log(known).T
    return float(np.polyfit(x, y, 1)[0])


def times(kind: str, size: int, frames: int, methods: list[str], repeats: int, seconds: float) -> list[Row]:
    """Return a row per method for one size or number of frames, float64, one thread."""
    chosen = [m for m in METHODS if m.name in methods]
    if kind == "pair":
        measured = speed.pairs_of(chosen, size, "float64", 1, repeats, seconds)
    else:
        measured = speed.stacks_of(chosen, frames, size, "float64", 1, repeats, seconds)
    against, value = ("pixels", size**2) if kind == "pair" else ("frames", frames)
    nothing = dict.fromkeys(("megabytes", "slope", "memory_slope"))
    return [
        {"against": against, "value": value, **{k: r[k] for k in ("kind", "size", "frames", "method", "ms", "note")},
         **nothing}
        for r in measured
        if r["method"] in methods
    ]  # fmt: skip


def worker_times(size: int, frames: int, repeats: int, seconds: float) -> list[Row]:
    """Return the time of a stack, by blocks of 16 frames, on one and on two workers of dask."""
    nothing = dict.fromkeys(("ms", "megabytes", "slope", "memory_slope"))
    cases = [{"against": "dask workers", "value": k, "method": _WORKERS, **nothing, "note": ""} for k in (1, 2)]
    if importlib.util.find_spec("dask") is None:
        return [{**case, "note": "not installed"} for case in cases]
    kinds = {str(k): _on_workers(k, size, frames) for k in (1, 2)}
    with use_threads(1):
        taken, failures = interleaved(kinds, repeats, seconds)
    for case, name in zip(cases, kinds, strict=True):
        time = median(taken[name])
        case["ms"], case["note"] = 1e3 * time if time else None, failures.get(name, f"{frames} frames of {size}²")
    return cases


def _on_workers(workers: int, size: int, frames: int) -> Callable[[], Any]:
    import dask  # noqa: PLC0415  (an extra)

    method = next(m for m in METHODS if m.name == _PAIR[0])
    package, register = load(method), method.stack
    reference, moving = periodic_pair(size, "float64")
    stack = np.repeat(moving[None], frames, axis=0)
    tasks = [dask.delayed(register)(package, reference, stack[i : i + 16]) for i in range(0, frames, 16)]
    return lambda: dask.compute(*tasks, scheduler="threads", num_workers=workers)
