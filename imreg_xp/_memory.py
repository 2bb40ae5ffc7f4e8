"""How much memory there is to work in, on the host or on the device of an array."""

from __future__ import annotations

import os

from ._array import Array, Namespace, device_of, is_traced_or_remote

__all__ = ["chunks_that_fit", "free_bytes", "pixels_per_chunk"]

_IN_CACHE = 2**19  # pixels: on a CPU stacks are fastest while the arrays of a chunk stay in its cache
_LAUNCHES_HIDDEN = 2**28  # pixels: on an accelerator the arithmetic on so many takes longer than starting it
_USED = 0.75  # of the free memory: the rest is for work areas of FFTs, and for what lies between blocks


def free_bytes(like: Array, *, xp: Namespace) -> int:
    """Return what may be used: the free memory of the device of `like`, or a quarter of the memory of the host."""
    device = device_of(like)
    # each library has its own way to ask; what it keeps for its next arrays is free, but taken to the device
    if hasattr(device, "mem_info"):
        pool = vars(xp).get("get_default_memory_pool")
        return int(device.mem_info[0]) + (int(pool().free_bytes()) if pool else 0)
    if getattr(device, "type", "") == "cuda":
        kept = xp.cuda.memory_reserved(device) - xp.cuda.memory_allocated(device)
        return int(xp.cuda.mem_get_info(device)[0] + kept)
    statistics = device.memory_stats() if hasattr(device, "memory_stats") else None
    if statistics:
        return int(statistics["bytes_limit"] - statistics["bytes_in_use"])
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 4 if hasattr(os, "sysconf") else 2**30


def pixels_per_chunk(like: Array, bytes_per_pixel: int, *, xp: Namespace) -> int:
    """Return how many pixels to work on at a time, each of which takes so many bytes at most."""
    wanted = _LAUNCHES_HIDDEN if is_traced_or_remote(like) else _IN_CACHE
    return min(wanted, int(_USED * free_bytes(like, xp=xp)) // bytes_per_pixel)


def chunks_that_fit(like: Array, bytes_per_chunk: int, *, xp: Namespace) -> int:
    """Return how many chunks may be worked on at a time, each of which takes so many bytes at most."""
    return max(1, int(_USED * free_bytes(like, xp=xp)) // bytes_per_chunk)
