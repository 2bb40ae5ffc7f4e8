"""Large batches, some items at a time."""

from __future__ import annotations

from collections.abc import Iterator

from .._array import Array, Namespace
from .._memory import pixels_per_chunk
from .problem import Side

__all__ = ["joined", "rows", "spans"]


def spans(
    count: int, chunk: int | None, like: Array, pixels: int, bytes_per_pixel: int, *, xp: Namespace
) -> Iterator[tuple[int, int]]:
    """Yield the first and last of `chunk` items at a time; as many as are fast and fit the memory, if not given.

    An item has so many `pixels`, and takes so many bytes for each of them while it is worked on.
    """
    if chunk is None:
        chunk = max(1, pixels_per_chunk(like, bytes_per_pixel, xp=xp) // pixels)
    for start in range(0, count, chunk):
        yield start, min(start + chunk, count)


def rows(side: Side, start: int, stop: int) -> Side:
    """Return some items of a batch; a batch of one is for all."""

    def cut(x: Array) -> Array:
        return x if x is None or x.shape[0] == 1 else x[start:stop, ...]

    return side._replace(**{name: cut(getattr(side, name)) for name in ("image", "valid", "err", "mean", "ends")})


def joined(parts: list[Array], *, xp: Namespace) -> Array:
    """Return the results of all items."""
    return parts[0] if len(parts) == 1 else xp.concat(parts, axis=0)
