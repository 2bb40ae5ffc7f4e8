"""Time and peak memory of registering a pair or a stack, in units of the bare FFTs of the same run and of one image."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import scipy.fft

from .clock import grown, in_child, interleaved, median, use_threads
from .peers import METHODS, Method, Pair, load
from .scenes import periodic_pair

__all__ = ["FLOORS", "memory", "of_kind", "pairs_of", "rows", "stacks_of", "with_times"]

Row = dict[str, Any]

# what no periodic registration can do without: the transforms of both images and one back; of each frame and one back
FLOORS = {"pair": "2 rfft2 + 1 irfft2", "stack": "rfft2 + irfft2 per frame"}
_BY_8 = "rfft2 + irfft2 per frame, 8 at a time"
_FRAMES_OF_A_LOOP = 10  # frames that a method without stacks is timed on
# methods that say nothing here that another one does not
_LEFT_OUT = ("imreg_xp, overlap, white", "OpenCV phaseCorrelate, Hann", "scikit-image, no phase")
_TIMED = tuple(m for m in METHODS if m.name not in _LEFT_OUT)

# (size of pairs, dtype, threads), (frames, size, dtype, threads)
_QUICK = (((128, "float64", 1), (256, "float32", 2)), ((24, 128, "float32", 1),))
_FULL = (
    (
        *((n, "float64", 1) for n in (128, 256, 512, 1024, 2048)),
        *((1024, dtype, k) for dtype, k in (("float32", 1), ("float64", 2), ("float32", 2))),
    ),
    tuple((200, 256, dtype, k) for dtype in ("float32", "float64") for k in (1, 2)),
)
# kind, size, dtype, threads of what peak memory is measured of, in a process for each method
_WEIGHED_QUICK = (("stack", 128, "float32", 1),)
_WEIGHED = (("pair", 1024, "float64", 1), ("stack", 256, "float32", 1))


def rows(quick: bool) -> list[Row]:
    """Return all rows of this part; each dtype and number of threads has a process of its own."""
    of_pairs, of_stacks = _QUICK if quick else _FULL
    repeats, seconds = (3, 0.3) if quick else (15, 0.4)
    kinds = sorted({case[1:] for case in of_pairs} | {case[2:] for case in of_stacks}, reverse=True)
    found = []
    for dtype, threads in kinds:
        sizes = [size for size, *kind in of_pairs if kind == [dtype, threads]]
        counts = [(frames, size) for frames, size, *kind in of_stacks if kind == [dtype, threads]]
        found += in_child("speed", "of_kind", threads=threads, sizes=sizes, counts=counts, dtype=dtype, use=threads,
                          repeats=repeats, seconds=seconds)  # fmt: skip
    weighed = [row for row in found if row["ms"] is not None and _is_weighed(row, quick)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # each waits for a process
        for row, images in zip(weighed, pool.map(_images, weighed), strict=True):
            row["images"] = images
    return found


def _is_weighed(row: Row, quick: bool) -> bool:
    case = row["kind"], row["size"], row["dtype"], row["threads"]
    own = row["method"].startswith("imreg_xp") or "rfft2" in row["method"]
    if "a loop" in row["note"]:  # the memory of one pair, over and over
        return False
    return case in (_WEIGHED_QUICK if quick else _WEIGHED) and (own or not quick)


def of_kind(
    sizes: list[int], counts: list[tuple[int, int]], dtype: str, use: int, repeats: int, seconds: float
) -> list[Row]:
    """Return the rows of pairs of some sizes, and of stacks of some numbers of frames and sizes."""
    case = (dtype, use, repeats, seconds)
    found = [pairs_of(_TIMED, size, *case) for size in sizes]
    found += [stacks_of(_TIMED, frames, size, *case) for frames, size in counts]
    return [row for part in found for row in part]


def pairs_of(methods: Sequence[Method], size: int, dtype: str, use: int, repeats: int, seconds: float) -> list[Row]:
    """Return a row per method, that of the bare FFTs first."""
    kinds = {FLOORS["pair"]: _transforms(size, dtype)}
    kinds |= {m.name: _pair_call(m, size, dtype) for m in methods if load(m) is not None}
    case = {"kind": "pair", "size": size, "frames": 1, "dtype": dtype, "threads": use}
    return _timed(methods, kinds, case, repeats, seconds)


def with_times(found: list[Row], taken: list[Row]) -> list[Row]:
    """Return rows with the time of their method on a pair."""
    times = {row["method"]: row for row in taken}
    kept = ("ms", "ratio")
    return [
        {**row, **{k: times[row["method"]][k] for k in kept}, "note": row["note"] or times[row["method"]]["note"]}
        for row in found
    ]


def stacks_of(
    methods: Sequence[Method], frames: int, size: int, dtype: str, use: int, repeats: int, seconds: float
) -> list[Row]:
    """Return a row per method; one that takes no stacks is timed on some frames and counted for all."""
    kinds = {
        FLOORS["stack"]: _transforms_of_stack(frames, size, dtype, frames),
        _BY_8: _transforms_of_stack(frames, size, dtype, 8),
    }
    kinds |= {m.name: _stack_call(m, frames, size, dtype) for m in methods if load(m) is not None}
    case = {"kind": "stack", "size": size, "frames": frames, "dtype": dtype, "threads": use}
    found = _timed(methods, kinds, case, repeats, seconds)
    looped = {m.name for m in methods if m.stack is None}
    for row in found:
        if row["method"] in looped and row["ms"] is not None and frames > _FRAMES_OF_A_LOOP:
            row["ms"], row["ratio"] = (row[k] * frames / _FRAMES_OF_A_LOOP for k in ("ms", "ratio"))
            row["note"] = f"a loop, timed on {_FRAMES_OF_A_LOOP} frames"
    return found


def _timed(
    methods: Sequence[Method], kinds: dict[str, Callable[[], Any]], case: Row, repeats: int, seconds: float
) -> list[Row]:
    with use_threads(case["threads"]):
        taken, failures = interleaved(kinds, repeats, seconds)
    floor = median(taken[FLOORS[case["kind"]]])
    found = []
    for name in (*(k for k in kinds if k not in {m.name for m in methods}), *(m.name for m in methods)):
        time = median(taken.get(name, []))
        note = failures.get(name, "" if name in kinds else "not installed")
        ratio = time / floor if time and floor else None
        ms = 1e3 * time if time else None
        found.append({**case, "method": name, "ms": ms, "ratio": ratio, "images": None, "note": note})
    return found


def _transforms(size: int, dtype: str) -> Callable[[], Any]:
    reference, moving = periodic_pair(size, dtype)

    def call() -> None:
        spectrum = scipy.fft.rfft2(reference)
        scipy.fft.rfft2(moving)
        scipy.fft.irfft2(spectrum, s=reference.shape)

    return call


def _transforms_of_stack(frames: int, size: int, dtype: str, chunk: int) -> Callable[[], Any]:
    _, stack = _stack(frames, size, dtype)

    def call() -> None:
        for start in range(0, frames, chunk):
            scipy.fft.irfft2(scipy.fft.rfft2(stack[start : start + chunk]), s=(size, size))

    return call


def _stack(frames: int, size: int, dtype: str) -> tuple[np.ndarray, np.ndarray]:
    reference, moving = periodic_pair(size, dtype)
    steps = np.random.default_rng(1).integers(-9, 9, size=(frames, 2))
    return reference, np.stack([np.roll(moving, step, axis=(0, 1)) for step in steps])


def _pair_call(method: Method, size: int, dtype: str) -> Callable[[], Any]:
    package, pair = load(method), Pair(*periodic_pair(size, dtype))
    return lambda: method.pair(package, pair)


def _stack_call(method: Method, frames: int, size: int, dtype: str) -> Callable[[], Any]:
    package = load(method)
    reference, stack = _stack(frames, size, dtype)
    if method.stack is not None:
        return lambda: method.stack(package, reference, stack)
    return lambda: [method.pair(package, Pair(reference, frame)) for frame in stack[:_FRAMES_OF_A_LOOP]]


def _images(row: Row) -> float:
    """Return the peak memory of a row's call in images, frames of a stack included in the count."""
    size = row["size"] ** 2 * np.dtype(row["dtype"]).itemsize * row["frames"]
    case = {name: row[name] for name in ("kind", "size", "frames", "dtype", "method")}
    return in_child("speed", "memory", **case) / size


def memory(kind: str, size: int, frames: int, dtype: str, method: str) -> int:
    """Return by how much the memory of this process grows while a method runs, bytes, inputs not counted."""
    named = {m.name: m for m in METHODS}
    calls = []
    for n, count in ((32, 2), (size, frames)):  # the first loads and plans what every call needs
        if kind == "pair":
            calls.append(_pair_call(named[method], n, dtype) if method in named else _transforms(n, dtype))
        elif method in named:
            calls.append(_stack_call(named[method], count, n, dtype))
        else:
            calls.append(_transforms_of_stack(count, n, dtype, 8 if method == _BY_8 else count))
    with use_threads(1):
        calls[0]()
        return grown(calls[1])
