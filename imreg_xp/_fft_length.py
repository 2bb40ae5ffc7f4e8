"""Lengths that every FFT library transforms fast."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["fast_length"]


def fast_length(shape: Sequence[int]) -> tuple[int, ...]:
    """Return per axis the next length with no prime factor above 7, which every FFT library transforms fast."""
    return tuple(_next_7_smooth(n) for n in shape)


def _next_7_smooth(n: int) -> int:
    while True:
        rest = n
        for p in (2, 3, 5, 7):
            while rest % p == 0:
                rest //= p
        if rest == 1:
            return n
        n += 1
