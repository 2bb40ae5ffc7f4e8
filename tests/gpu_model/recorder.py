"""What a piece of code asks of a GPU: kernels started, bytes moved, uploads, and waits for results.

``with recording() as log: ...`` collects it; each event knows the line of the code under test that caused it, which is
the first line outside this model and outside array-api-compat.
"""

from __future__ import annotations

import contextlib
import dataclasses
import sys
import weakref
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import array_api_compat
import numpy as np

__all__ = ["Call", "Event", "Log", "note_allocation", "note_call", "note_event", "recording"]

_ROOT = Path(__file__).parents[2]
_SKIPPED = (str(Path(__file__).parent), str(Path(array_api_compat.__file__).parent), "<frozen", "<string>")


class Call(NamedTuple):
    """One call of the array library: what it was, where, and what it costs on a GPU."""

    name: str
    where: str
    launches: int
    bytes_in: int
    bytes_out: int
    shapes: tuple[tuple[int, ...], ...]


class Event(NamedTuple):
    """A sync or an upload: what it was, where, and how many bytes went over the bus."""

    kind: str
    where: str
    bytes: int


@dataclasses.dataclass
class Log:
    """All that was recorded."""

    calls: list[Call] = dataclasses.field(default_factory=list)
    syncs: list[Event] = dataclasses.field(default_factory=list)
    uploads: list[Event] = dataclasses.field(default_factory=list)
    promotions: list[Event] = dataclasses.field(default_factory=list)
    """Single precision that became double precision because of a NumPy scalar."""
    loops: list[Event] = dataclasses.field(default_factory=list)
    """Python loops over the items of an array."""
    live_bytes: int = 0
    peak_bytes: int = 0
    """Most bytes of results alive at a time; work space within a call is not in it."""

    @property
    def launches(self) -> int:
        """Number of kernels started."""
        return sum(c.launches for c in self.calls)

    @property
    def bytes(self) -> int:
        """Bytes that kernels read and write in the memory of the device."""
        return sum(c.bytes_in + c.bytes_out for c in self.calls)

    def per_line(self) -> list[tuple[str, int, int, str]]:
        """Return (line, launches, bytes, names of the calls) for each source line."""
        launches, moved = Counter(), Counter()
        names: dict[str, Counter] = {}
        for call in self.calls:
            launches[call.where] += call.launches
            moved[call.where] += call.bytes_in + call.bytes_out
            names.setdefault(call.where, Counter())[call.name] += 1
        told = {w: ", ".join(f"{k}×{n}" if n > 1 else k for k, n in counts.items()) for w, counts in names.items()}
        return [(w, launches[w], moved[w], told[w]) for w in names]

    def table(self, *, by: str = "launches", top: int = 40, unit: int = 1) -> str:
        """Return the most expensive source lines as text; `unit` divides the bytes (pixels times frames, say)."""
        column = 1 if by == "launches" else 2
        rows = sorted(self.per_line(), key=lambda row: row[column], reverse=True)
        lines = [f"{'launches':>8} {'bytes':>12}  line: calls"]
        lines += [f"{n:8d} {b / unit:12.1f}  {where}: {names}" for where, n, b, names in rows[:top]]
        rest = rows[top:]
        if rest:
            lines.append(
                f"{sum(r[1] for r in rest):8d} {sum(r[2] for r in rest) / unit:12.1f}  {len(rest)} other lines"
            )
        lines.append(f"{self.launches:8d} {self.bytes / unit:12.1f}  in all")
        return "\n".join(lines)


_LOGS: list[Log] = []


@contextlib.contextmanager
def recording() -> Iterator[Log]:
    """Record what the code inside asks of the model; recordings may be nested."""
    log = Log()
    _LOGS.append(log)
    try:
        yield log
    finally:
        _LOGS.remove(log)


def _where() -> str:
    frame = sys._getframe(2)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_SKIPPED):
        frame = frame.f_back
    path = Path(frame.f_code.co_filename)
    return f"{path.relative_to(_ROOT) if path.is_relative_to(_ROOT) else path}:{frame.f_lineno}"


def note_call(name: str, launches: int, bytes_in: int, bytes_out: int, shapes: tuple[tuple[int, ...], ...]) -> None:
    """Record a call."""
    if _LOGS:
        call = Call(name, _where(), launches, bytes_in, bytes_out, shapes)
        for log in _LOGS:
            log.calls.append(call)


def note_event(of: str, kind: str, size: int = 0) -> None:
    """Record an event in the list `of` the logs: "syncs", "uploads", "promotions" or "loops"."""
    if _LOGS:
        event = Event(kind, _where(), size)
        for log in _LOGS:
            getattr(log, of).append(event)


def note_allocation(array: np.ndarray) -> None:
    """Count the memory of a new array as in use until the array and all its views are gone."""
    owner: Any = array
    while isinstance(owner.base, np.ndarray):
        owner = owner.base
    for log in _LOGS:
        log.live_bytes += array.nbytes
        log.peak_bytes = max(log.peak_bytes, log.live_bytes)
        weakref.finalize(owner, _release, log, array.nbytes)


def _release(log: Log, size: int) -> None:
    log.live_bytes -= size
