"""Stacks registered pair by pair: frames on their neighbours, and the shifts of all that follow."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

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
    blocks = (_blocks(stack, rows, lag) for lag in lags for rows in stack.spans(count - lag))
    for (first, second), found in stack.done(functools.partial(_registered, stack, options), blocks):
        parts.append(_on_host(found, np.arange(first.start, first.stop), second.start - first.start))
        advance(first.size)
    dtype, device_like = found.shift.dtype, found.shift
    links, members = _bridged(stack, Links.joined(parts), options)
    whole = adjusted(links, members, count, chain=chain)
    dtypes = [dtype] * len(whole[:-1]) + [stack.xp.int32]
    fields = zip(whole, dtypes, strict=True)
    return Registration._make(stack.xp.asarray(x, dtype=d, device=device_of(device_like)) for x, d in fields)


def _blocks(stack: Frames, rows: tuple[int, int], lag: int) -> tuple[Block, Block]:
    """Read some rows of the stack, and those `lag` further on."""
    start, stop = rows
    first, second = (Block(stack.rows(stack.source, *ends), *ends) for ends in (rows, (start + lag, stop + lag)))
    return first, second


def _registered(
    stack: Frames, options: dict[str, Any], pair: tuple[Block, Block]
) -> tuple[tuple[Block, Block], Registration]:
    """Register a block on another; what holds for a frame does so on either side."""
    a, b = pair
    given = {k: x for k, x in options.items() if not k.startswith("moving")}
    for name in ("err", "valid"):
        value = options[f"moving_{name}"]
        given[f"reference_{name}"], given[f"moving_{name}"] = (stack.per_frame(value, block) for block in (a, b))
    return pair, register(a.images, b.images, ndim=a.images.ndim - 1, **given)


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
        found = _registered(stack, options, _blocks(stack, (first, first + 1), second - first))[1]
        bridge = _on_host(found, np.array([first]), 0)
        bridge = bridge._replace(second=np.array([second]))
        links = Links.joined([links, bridge])
        if bridge.good[0]:
            members = np.sort(np.concatenate([members, frames]))
    return links, members
