"""What a registration returns."""

from __future__ import annotations

import enum
import math
from typing import Any, NamedTuple

import numpy as np

from .._array import Array, Namespace
from .._bounds import at_least
from .._static import table
from .motion import Motion
from .problem import Norm

__all__ = ["MAGNIFICATIONS", "Registration", "SimilarityRegistration", "Status", "finish", "finish_similarity"]

MAGNIFICATIONS = (0.5, 2.0)  # that are looked for

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


class SimilarityRegistration(NamedTuple):
    r"""The result of `register` with rotation: arrays of the input's library and device, with its batch shape in front.

    What to apply to `moving` so that it matches `reference` is, in array-axis order (y, x) and pixels,

    .. math:: x_{ref} = c + \mu R(\theta)\, (x_{mov} - c) + \mathrm{shift}, \qquad
              R = \begin{pmatrix} \cos\theta & \sin\theta \\ -\sin\theta & \cos\theta \end{pmatrix}

    with c = (n - 1) / 2 the centre of the reference image of n pixels, :math:`\theta` the angle and :math:`\mu` the
    magnification. The model is ``moving(x_mov) = scale * reference(x_ref) + background + noise``.
    """

    shift: Array
    """(..., 2) pixels, array-axis order; with no rotation and a magnification of 1 it is `Registration.shift`."""
    shift_err: Array
    """(..., 2) marginal 1 sigma of `shift`."""
    angle: Array
    """(...) degrees in (-180, 180], positive from the last axis (+x) towards the axis before it (+y)."""
    angle_err: Array
    """(...) marginal 1 sigma of `angle`, degrees."""
    magnification: Array
    """(...) length in the reference over length in `moving`; exactly 1 with ``model="rigid"``."""
    magnification_err: Array
    """(...) marginal 1 sigma of `magnification`, 0 where that is fixed."""
    covariance: Array
    """(..., 4, 4) of shift (2), angle and magnification; rows and columns of what is fixed are 0."""
    scale: Array
    """(...) gain of `moving` relative to `reference`."""
    background: Array
    """(...) offset of `moving` relative to the scaled reference, in its units."""
    chi2: Array
    """(...) chi² at the minimum; equal to `dof` where the noise level was estimated."""
    dof: Array
    """(...) degrees of freedom: pixels used minus parameters fitted."""
    overlap: Array
    """(...) pixels of `moving` used, as a fraction of the smaller image."""
    status: Array
    """(...) int32, flags of `Status`; 0 is success. Where it is not 0, the other fields are NaN."""


def finish(
    offset: Array,
    step: Array,
    covariance: Array,
    *,
    scale: Array | None,
    background: Array | None,
    chi2: Array,
    dof: Array,
    overlap: Array,
    flags: dict[Status, Array],
    norms: tuple[Norm, Norm],
    limits: Array | None,
    dtype: Any,
    xp: Namespace,
) -> Registration:
    """Bring the fit of normalised images to the units of the images, and failed items to NaN and their flags.

    `offset` is how far `moving` lies from the reference, `step` the last correction of it. `scale` None: it is 1 in the
    units of the images. `background` None: there is none between the normalised images. `limits` that are None
    and flags that are left out cannot be met.
    """
    beyond = None if limits is None else xp.any(abs(offset) > limits, axis=-1)
    error, status = _judged(step, _STEP, covariance, 1.0 if scale is None else scale, beyond, flags, xp=xp)
    scale, level = _in_units(scale, background, norms, xp=xp)
    numbers = [-offset, error, covariance, scale, level, chi2, dof, overlap]
    return Registration._make([*_only_good(numbers, status, dtype, xp=xp), status])


def finish_similarity(
    motion: Motion,
    step: Array,
    covariance: Array,
    *,
    free: tuple[int, ...],
    arm: float,
    scale: Array,
    background: Array,
    chi2: Array,
    dof: Array,
    overlap: Array,
    flags: dict[Status, Array],
    norms: tuple[Norm, Norm],
    limits: tuple[float, ...],
    dtype: Any,
    xp: Namespace,
) -> SimilarityRegistration:
    """Bring the fit of normalised images to the units of the images, and failed items to NaN and their flags.

    `step` is the last correction of the `free` parameters; a unit of angle or magnification moves pixels by `arm`.
    """
    shift, angle, magnification = motion
    step_limit = table(_least_steps, free, arm, dtype=step.dtype, like=step, xp=xp)
    far = table(np.asarray, tuple(limits), dtype=shift.dtype, like=shift, xp=xp)
    low, high = MAGNIFICATIONS
    beyond = xp.any(abs(shift) > far, axis=-1) | (magnification < low) | (magnification > high)
    _, status = _judged(step, step_limit, covariance, scale, beyond, flags, xp=xp)
    placed = table(_placed, free, dtype=step.dtype, like=step, xp=xp)
    covariance = xp.matmul(xp.matmul(placed, covariance), xp.matrix_transpose(placed))
    error = xp.sqrt(at_least(xp.linalg.diagonal(covariance), 0.0, xp=xp))
    degrees = angle * (180 / math.pi)
    degrees = degrees - 360 * xp.ceil((degrees - 180) / 360)
    scale, level = _in_units(scale, background, norms, xp=xp)
    numbers = [shift, error[:, :2], degrees, error[:, 2], magnification, error[:, 3], covariance, scale, level]
    return SimilarityRegistration._make([*_only_good([*numbers, chi2, dof, overlap], status, dtype, xp=xp), status])


def _least_steps(free: tuple[int, ...], arm: float) -> np.ndarray:
    return np.where(np.arange(len(free)) < 2, _STEP, _STEP / arm)


def _placed(free: tuple[int, ...]) -> np.ndarray:
    """Return what lays the covariance of the free parameters into that of all four, the angle in degrees."""
    return np.diag([1.0, 1.0, 180 / math.pi, 1.0])[:, list(free)]


def _judged(
    step: Array,
    least: Any,
    covariance: Array,
    scale: Array | float,
    beyond: Array | None,
    flags: dict[Status, Array],
    *,
    xp: Namespace,
) -> tuple[Array, Array]:
    """Return the errors and the status; a `step` above `least` and above a tenth of the error is not convergence."""
    variance = xp.linalg.diagonal(covariance)
    error = xp.sqrt(xp.where(variance >= 0, variance, math.nan))
    fits = xp.isfinite(scale + xp.sum(error, axis=-1))
    still_moving = xp.any(abs(step) > at_least(_STEP_IN_ERRORS * error, least, xp=xp), axis=-1)
    status = xp.astype(flags[Status.NOT_CONVERGED] | still_moving | ~fits, xp.int32)
    if beyond is not None:
        border = flags[Status.SEARCH_BORDER] | beyond
        status = status + Status.SEARCH_BORDER.value * xp.astype(border, xp.int32)
    # no pixels are no flat image, and what cannot be aligned at all says that alone
    for flag in (Status.FLAT_IMAGE, Status.TOO_FEW_VALID):
        if flag in flags:
            status = xp.where(flags[flag], flag.value, status)
    return error, status


def _in_units(
    scale: Array | None, background: Array | None, norms: tuple[Norm, Norm], *, xp: Namespace
) -> tuple[Array, Array]:
    """Return gain and background in the units of the images."""
    mean_r, top_r, mean_m, top_m = norms[0].mean, norms[0].top, norms[1].mean, norms[1].top
    scale = xp.ones_like(top_m) if scale is None else scale * top_m / top_r
    level = mean_m - scale * mean_r
    return scale, level if background is None else level + top_m * background


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
