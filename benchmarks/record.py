"""The JSON files: what a run wrote down, and whether it is what the other parts expect."""

from __future__ import annotations

import datetime as dt
import json
import math
import os
import platform
from pathlib import Path
from typing import Any

import numpy as np
import scipy

import imreg_xp

from . import peers

__all__ = ["FOLDER", "check", "environment", "new", "read", "write"]

Record = dict[str, Any]

FOLDER = Path(__file__).parents[1] / "docs" / "benchmarks"
VERSION = 1
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

_NUMBER, _MAYBE, _NUMBERS = "a number", "a number or null", "numbers or null"
# the fields that each row of a part must have; further ones are free
ROWS: dict[str, dict[str, Any]] = {
    "speed": {
        "kind": str, "size": int, "frames": int, "dtype": str, "threads": int, "method": str, "ms": _MAYBE,
        "ratio": _MAYBE, "images": _MAYBE, "note": str,
    },
    "accuracy": {
        "scene": str, "noise": _NUMBER, "size": int, "method": str, "realisations": int, "rms": _MAYBE, "bias": _MAYBE,
        "lost": _MAYBE, "bound": _MAYBE, "rms_over_bound": _MAYBE, "note": str,
    },
    "calibration": {
        "case": str, "boundary": str, "noise": _NUMBER, "noise_in": str, "errors": str, "noise_beam": _NUMBER,
        "given": bool, "size": int, "method": str, "realisations": int, "pull": _MAYBE, "percent_off": _MAYBE,
        "within_1": _MAYBE,
        "within_2": _MAYBE, "rms_over_bound": _MAYBE, "efficiency": _MAYBE, "lost": _MAYBE, "histogram": _NUMBERS,
        "note": str,
    },
    "scaling": {"against": str, "value": int, "method": str, "ms": _MAYBE, "megabytes": _MAYBE,
                "slope": _MAYBE, "memory_slope": _MAYBE, "note": str},
    "gpu": {"what": str, "model": bool, "boundary": str, "noise": str, "size": int, "frames": int, "launches": _MAYBE,
            "syncs": _MAYBE, "bytes_per_pixel": _MAYBE, "ms_per_frame": _MAYBE, "over_ffts": _MAYBE,
            "bandwidth": _MAYBE, "speed_up": _MAYBE, "note": str},
    "documented": {"size": int, "what": str},
    "systems": {
        "scene": str, "noise": _NUMBER, "size": int, "method": str, "realisations": int, "rms": _MAYBE,
        "rms_found": _MAYBE, "lost": _MAYBE, "ms": _MAYBE, "ratio": _MAYBE, "note": str,
    },
    "turned": {
        "scene": str, "noise": _NUMBER, "size": int, "method": str, "realisations": int, "rms_angle": _MAYBE,
        "rms_magnification": _MAYBE, "rms_shift": _MAYBE, "lost": _MAYBE, "pull": _MAYBE, "ms": _MAYBE,
        "ratio": _MAYBE, "note": str,
    },
    "limits": {"what": str, "case": str, "value": _MAYBE, "unit": str, "realisations": int, "note": str},
    "spectra": {
        "what": str, "method": str, "snr": _NUMBER, "spectra": int, "pixels": int, "templates": int, "scatter": _MAYBE,
        "claimed": _MAYBE, "pull": _MAYBE, "lost": _MAYBE, "seconds": _MAYBE, "megabytes": _MAYBE, "note": str,
    },
    "faint": {
        "scene": str, "snr": _NUMBER, "frames": int, "size": int, "method": str, "realisations": int, "rms": _MAYBE,
        "bound": _NUMBER, "rms_over_bound": _MAYBE, "lost": _MAYBE, "pull": _MAYBE, "ms": _MAYBE, "note": str,
    },
}  # fmt: skip
_TOP = {
    "version": int,
    "command": str,
    "quick": bool,
    "date": str,
    "seeds": _NUMBERS,
    "environment": dict,
    "rows": list,
}
_ENVIRONMENT = {"cpu": str, "cpus": int, "threads": dict, "python": str, "platform": str, "versions": dict}


def environment() -> dict[str, Any]:
    """Return what the numbers depend on."""
    return {
        "cpu": _cpu(),
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": {name: os.environ.get(name, "") for name in THREADS},
        "python": platform.python_version(),
        "platform": platform.platform(terse=True),
        "versions": {
            **peers.versions(),
            "imreg-xp": imreg_xp.__version__,
            "numpy": np.__version__,
            "scipy": scipy.__version__,
        },
    }


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return (named or [platform.processor() or platform.machine()])[0]


def new(command: str, rows: list[dict[str, Any]], *, quick: bool, seeds: list[int], **more: Any) -> Record:
    """Return the record of a run."""
    return {
        "version": VERSION,
        "command": command,
        "quick": quick,
        "date": dt.datetime.now(dt.UTC).strftime("%Y-%m-%d"),
        "seeds": seeds,
        "environment": environment() | more,
        "rows": rows,
    }


def write(path: Path, record: Record) -> None:
    """Write a record, all of it or nothing."""
    found = check(record)
    if found:
        msg = "; ".join(found[:5])
        raise ValueError(msg)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(record, indent=1, allow_nan=False) + "\n")
    part.replace(path)


def read(path: Path) -> Record:
    """Return a record that is as it should be."""
    record = json.loads(path.read_text())
    found = check(record)
    if found:
        msg = f"{path}: {'; '.join(found[:5])}"
        raise ValueError(msg)
    return record


def check(record: Any) -> list[str]:
    """Return what is wrong with a record, one sentence each."""
    if not isinstance(record, dict):
        return ["the record is not an object"]
    found = _fields(record, _TOP, "the record")
    if found:
        return found
    if record["version"] != VERSION:
        found.append(f"version {record['version']} is not {VERSION}")
    if record["command"] not in ROWS:
        return [*found, f"no part is called {record['command']!r}"]
    found += _fields(record["environment"], _ENVIRONMENT, "`environment`")
    if not record["rows"]:
        found.append("there are no rows")
    for i, row in enumerate(record["rows"]):
        found += _fields(row, ROWS[record["command"]], f"row {i}")
    return found


def _fields(found: Any, wanted: dict[str, Any], where: str) -> list[str]:
    if not isinstance(found, dict):
        return [f"{where} is not an object"]
    lacking = [f"{where} has no `{name}`" for name in wanted if name not in found]
    wrong = [
        f"{where}: `{name}` must be {kind if isinstance(kind, str) else kind.__name__}, got {found[name]!r}"
        for name, kind in wanted.items()
        if name in found and not _is(found[name], kind)
    ]
    return lacking + wrong


def _is(value: Any, kind: Any) -> bool:
    if kind in (_MAYBE, _NUMBERS) and value is None:
        return True
    if kind == _NUMBERS:
        return isinstance(value, list) and all(_is(v, _NUMBER) for v in value)
    if isinstance(kind, str):
        return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    return isinstance(value, kind) and not (kind is int and isinstance(value, bool))
