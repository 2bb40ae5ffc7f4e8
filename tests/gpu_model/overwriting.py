"""What the model has of `cupyx.scipy.fft`: transforms that spoil what they are given, and need no copy of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.fft

from .array import Array, note
from .costs import cost

__all__ = ["irfftn"]


def irfftn(
    x: Array,
    s: Sequence[int] | None = None,
    axes: Sequence[int] | None = None,
    norm: str | None = None,
    overwrite_x: bool = False,
    *,
    plan: Any = None,
) -> Array:
    """Transform back to real numbers."""
    found = scipy.fft.irfftn(x._data, s=s, axes=axes, norm=norm)
    spent = cost("fft.irfftn", [x._data], [found], (), {"s": s, "axes": axes, "norm": norm})
    if overwrite_x:
        copied = x._data.nbytes
        spent = spent._replace(
            launches=spent.launches - 1, bytes_in=spent.bytes_in - copied, bytes_out=spent.bytes_out - copied
        )
        x._data[...] = np.nan
    note("fft.irfftn", spent, [x._data], [found])
    return Array(found)
