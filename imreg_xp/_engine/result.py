"""What a registration returns."""

from __future__ import annotations

import enum
import math
from typing import Any, NamedTuple

import numpy as np

from .._array import Array, Namespace
from .._static import table
from .problem import Norm

__all__ = ["Registration", "Status", "finish"]

_STEP = 0.01  # pixels: a last step beyond this and beyond a tenth of the error is not convergence
_STEP_IN_ERRORS = 0.1


class Status(enum.IntFlag):
    """Why a registration has no answer; 0 is success and flags add up."""

    OK = 0
    NOT_CONVERGED = 1
    """The last step of the fit was not small, or chi² has no minimum there."""
    SEARCH_BORDER = 2
    """The best offset lies on the border of the region searched (`max_shift`, `min_overlap`)."""
    TOO_FEW_VALID = 4
    """Too few pixels are valid in both images."""
    FLAT_IMAGE = 8
    """One of the images has no structure to align."""


class Registration(NamedTuple):
    """The result of `register`: arrays of the input's library and device, with its batch shape in front.

    The model is ``moving(x) = scale * reference(x + shift) + background + noise``.
    """

    shift: Array
    """(..., ndim) pixels, array-axis order: what to apply to `moving` so that it matches `reference`."""
    shift_err: Array
    """(..., ndim) marginal 1 sigma of `shift`."""
    covariance: Array
    """(..., ndim, ndim) covariance of `shift`, pixels squared."""
    scale: Array
    """(...) gain of `moving` relative to `reference`."""
    background: Array
    """(...) offset of `moving` relative to the scaled reference, in its units."""
    chi2: Array
    """(...) chi² at the minimum; equal to `dof` where the noise level was estimated."""
    dof: Array
    """(...) degrees of freedom: pixels used minus parameters fitted."""
    overlap: Array
    """(...) pixels used as a fraction of the smaller image."""
    status: Array
    """(...) int32, flags of `Status`; 0 is success. Where it is not 0, the other fields are NaN."""


def finish(
    offset: Array,
    step: Array,
    covariance: Array,
    *,
    scale: Array,
    background: Array | None,
    chi2: Array,
    dof: Array,
    overlap: Array,
    flags: dict[Status, Array],
    norms: tuple[Norm, Norm],
    limits: tuple[float, ...],
    dtype: Any,
    xp: Namespace,
) -> Registration:
    """Bring the fit of normalised images to the units of the images, and failed items to NaN and their flags.

    `offset` is how far `moving` lies from the reference, `step` the last correction of it. `background` None: there is
    none between the normalised images. `limits` that are empty and flags that are left out cannot be met.
    """
    variance = xp.linalg.diagonal(covariance)
    error = xp.sqrt(xp.where(variance >= 0, variance, math.nan))
    fits = xp.isfinite(scale + xp.sum(error, axis=-1))
    still_moving = xp.any(abs(step) > xp.maximum(_STEP_IN_ERRORS * error, _STEP), axis=-1)
    status = xp.astype(flags[Status.NOT_CONVERGED] | still_moving | ~fits, xp.int32)
    if limits:
        far = table(np.asarray, tuple(limits), dtype=offset.dtype, like=offset, xp=xp)
        border = flags[Status.SEARCH_BORDER] | xp.any(abs(offset) > far, axis=-1)
        status = status + Status.SEARCH_BORDER.value * xp.astype(border, xp.int32)
    # no pixels are no flat image, and what cannot be aligned at all says that alone
    for flag in (Status.FLAT_IMAGE, Status.TOO_FEW_VALID):
        if flag in flags:
            status = xp.where(flags[flag], flag.value, status)
    mean_r, top_r, mean_m, top_m = norms[0].mean, norms[0].top, norms[1].mean, norms[1].top
    scale = scale * top_m / top_r
    level = mean_m - scale * mean_r
    if background is not None:
        level = level + top_m * background
    numbers = [-offset, error, covariance, scale, level, chi2, dof, overlap]
    return Registration._make([*_only_good(numbers, status, dtype, xp=xp), status])


def _only_good(numbers: list[Array], status: Array, dtype: Any, *, xp: Namespace) -> list[Array]:
    """Return per-item numbers (batch, ...) in `dtype`, NaN where the status is not 0: all of them at once."""
    batch = status.shape[0]
    flat = [xp.reshape(x, (x.shape[0], -1)) for x in numbers]
    flat = [x if x.shape[0] == batch else xp.broadcast_to(x, (batch, x.shape[1])) for x in flat]
    packed = xp.concat(flat, axis=1)
    packed = xp.astype(xp.where((status == 0)[:, None], packed, math.nan), dtype)
    parts, start = [], 0
    for x, columns in zip(numbers, flat, strict=True):
        stop = start + columns.shape[1]
        parts.append(xp.reshape(packed[:, start:stop], (batch, *x.shape[1:])))
        start = stop
    return parts
