"""Times of calls that take turns, and what is measured in processes of their own."""

from __future__ import annotations

import concurrent.futures
import contextlib
import importlib
import json
import multiprocessing
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import scipy.fft

from .record import THREADS

__all__ = ["at_once", "grown", "in_child", "interleaved", "median", "use_threads"]

_LONG = 2.0  # seconds: what takes that long needs no warming up


def interleaved(
    kinds: dict[str, Callable[[], Any]], repeats: int, seconds: float = 2.0
) -> tuple[dict[str, list[float]], dict[str, str]]:
    """Return the times of each call, and how those that fail do so.

    They take turns, so that a busy spell of the machine hits all of them. The first turn warms up. A call that has used
    up its `seconds` gets no further turns, after at least one that counts.
    """
    taken: dict[str, list[float]] = {what: [] for what in kinds}
    spent = dict.fromkeys(kinds, 0.0)
    failures: dict[str, str] = {}
    for turn in range(repeats + 1):
        for what, kind in kinds.items():
            if what in failures or (taken[what] and spent[what] > seconds):
                continue
            start = time.perf_counter()
            try:
                kind()
            except Exception as error:  # noqa: BLE001  # of another package, on this version of NumPy
                failures[what] = f"fails: {type(error).__name__}"
                continue
            passed = time.perf_counter() - start
            spent[what] += passed
            if turn or passed > _LONG:
                taken[what].append(passed)
    return taken, failures


def median(values: list[float]) -> float | None:
    """Return the median, None of nothing."""
    ordered = sorted(values)
    half = len(ordered) // 2
    return None if not ordered else ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


@contextlib.contextmanager
def use_threads(count: int) -> Iterator[None]:
    """Let scipy.fft, OpenCV and torch use that many threads; BLAS reads the environment when it is loaded."""
    if "cv2" in sys.modules:
        sys.modules["cv2"].setNumThreads(count)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(count)
    with scipy.fft.set_workers(count):
        yield


def in_child(module: str, function: str, *, threads: int = 1, **arguments: Any) -> Any:
    """Return what a function of this package gives in a process of its own, all through JSON."""
    settings = dict.fromkeys(THREADS, str(threads))
    if function == "memory":  # what was freed goes back to the system, so that using it again is seen
        settings["MALLOC_MMAP_THRESHOLD_"] = "65536"
    done = subprocess.run(
        [sys.executable, "-m", f"{__package__}.clock"],
        input=json.dumps([module, function, arguments]),
        env={**os.environ, **settings},
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        msg = f"{function} of {module} failed in its own process:\n{done.stderr[-2000:]}"
        raise RuntimeError(msg)
    return json.loads(done.stdout.splitlines()[-1])


def at_once(function: Callable[..., list[Any]], cases: list[dict[str, Any]], *, quick: bool = False) -> list[Any]:
    """Return the rows that a function of a module gives for each case, as many cases at a time as there are cores.

    That is for errors, which do not depend on how busy the machine is. Few and quick ones are not worth the start.
    """
    if quick:
        return [row for case in cases for row in function(**case)]
    with concurrent.futures.ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn")) as pool:
        running = [pool.submit(function, **case) for case in cases]
        return [row for one in running for row in one.result()]


def grown(call: Callable[[], Any]) -> int:
    """Return by how many bytes the peak of this process's memory grows in a call."""
    with contextlib.suppress(OSError):  # the peak so far, that of making the images, is of no interest
        Path("/proc/self/clear_refs").write_text("5")
    before = _peak()
    call()
    return max(_peak() - before, 0)


def _peak() -> int:
    """Return the largest memory this process has held, bytes.

    On Linux `ru_maxrss` starts with that of the process which started this one; `VmHWM` does not.
    """
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest if sys.platform == "darwin" else 1024 * largest


def _main() -> None:
    module, function, arguments = json.loads(sys.stdin.read())
    result = getattr(importlib.import_module(f".{module}", __package__), function)(**arguments)
    print(json.dumps(result))


if __name__ == "__main__":
    _main()
