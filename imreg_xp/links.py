"""Stacks registered pair by pair: frames on their neighbours, and the shifts of all that follow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ._array import device_of, to_host
from ._engine.result import Registration
from .adjustment import Links, adjusted, components
from .frames import Block, Frames
from .registration import register

__all__ = ["on_neighbours"]


def on_neighbours(
    stack: Frames, window: int, options: dict[str, Any], *, chain: bool, advance: Callable[[int], Any]
) -> Registration:
    """Register each frame on up to `window` frames before it, and put the shifts together.

    A pair gives a few numbers, and these are put together on the host. `advance` is told how many pairs are done.
    """
    count = stack.count
    parts = []
    lags = range(1, min(window, count - 1) + 1)
    pairs = (_read(stack, options, rows, lag) for lag in lags for rows in stack.spans(count - lag))
    for (first, second, _), found in stack.done(_registered, pairs):
        parts.append(_on_host(found, np.arange(first.start, first.stop), second.start - first.start))
        advance(first.size)
    dtype, device_like = found.shift.dtype, found.shift
    links, members = _bridged(stack, Links.joined(parts), options)
    whole = adjusted(links, members, count, chain=chain)
    dtypes = [dtype] * len(whole[:-1]) + [stack.xp.int32]
    fields = zip(whole, dtypes, strict=True)
    return Registration._make(stack.xp.asarray(x, dtype=d, device=device_of(device_like)) for x, d in fields)


class _Pair(NamedTuple):
    """Some rows of the stack, those some lag further on, and the options of both."""

    first: Block
    second: Block
    options: dict[str, Any]


def _read(stack: Frames, options: dict[str, Any], rows: tuple[int, int], lag: int) -> _Pair:
    """Read a pair of blocks; what holds for a frame does so on either side."""
    start, stop = rows
    first, second = (Block(stack.rows(stack.source, *ends), *ends) for ends in (rows, (start + lag, stop + lag)))
    given = {k: x for k, x in options.items() if not k.startswith("moving")}
    for name in ("err", "valid"):
        for side, block in (("reference", first), ("moving", second)):
            given[f"{side}_{name}"] = stack.per_frame(options[f"moving_{name}"], block)
    return _Pair(first, second, given)


def _registered(pair: _Pair) -> tuple[_Pair, Registration]:
    images = pair.first.images
    return pair, register(images, pair.second.images, ndim=images.ndim - 1, **pair.options)


def _on_host(found: Registration, first: np.ndarray, lag: int) -> Links:
    """Return the pairs that are some (the last chunk is filled up) as links."""
    some = len(first)
    return Links(first, first + lag, Registration(*(x[:some].astype(float) for x in to_host(*found))))


def _bridged(stack: Frames, links: Links, options: dict[str, Any]) -> tuple[Links, np.ndarray]:
    """Return the frames that hang together, with links over longer gaps where they are needed.

    A run of bad frames longer than the window would cut the stack in two.
    """
    parts = components(links, stack.count)
    whole = [frames for frames in parts if len(frames) > 1]
    if not whole:
        return links, np.zeros(0, dtype=int)
    members = whole[0]
    for frames in (f for f in parts if f[0] > members[0]):
        first, second = int(np.max(members[members < frames[0]])), int(frames[0])
        found = _registered(_read(stack, options, (first, first + 1), second - first))[1]
        bridge = _on_host(found, np.array([first]), 0)
        bridge = bridge._replace(second=np.array([second]))
        links = Links.joined([links, bridge])
        if bridge.good[0]:
            members = np.sort(np.concatenate([members, frames]))
    return links, members
