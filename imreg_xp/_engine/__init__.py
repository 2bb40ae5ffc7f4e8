"""The estimators: written once, batched, in any number of dimensions."""

from __future__ import annotations

from .._array import Namespace
from . import periodic, weighted
from .problem import Options, Side
from .result import Registration

__all__ = ["solve"]


def solve(reference: Side, moving: Side, options: Options, *, xp: Namespace) -> Registration:
    """Register `moving` on `reference`, both (batch, ...), with the estimator that fits masks, errors and boundary.

    The choice follows from what was given, never from pixel values.
    """
    plain = all(side.valid is None and (side.err is None or side.err.ndim == 1) for side in (reference, moving))
    estimator = periodic if options.wrap and plain else weighted
    return estimator.solve(reference, moving, options, xp=xp)
