"""What the functions of this package share: checked images, one fit, and chi² sampled around it."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import scipy.special

from .._array import Array, Namespace, accumulator_dtype, device_of, is_number, to_host
from .._engine import solve
from .._engine.chi2 import chi2_grid
from .._engine.problem import Options, Side, column
from .._engine.result import Registration
from .._inputs import choose, image_pair

__all__ = ["BOUNDARIES", "Fit", "check_factor", "chi2_array", "delta_chi2", "fit_pair", "sides_of"]

BOUNDARIES = ("wrap", "overlap", "constant", "fill", "reflect", "nearest")


class Fit(NamedTuple):
    """The registration of two images, and its numbers on the host, x first."""

    sides: tuple[Side, Side]
    options: Options
    result: Registration
    offset: tuple[float, float]
    """How far image 2 lies from image 1."""
    covariance: np.ndarray


def delta_chi2(nfitted: float, nsigma: float = 1.0) -> float:
    """Return by how much chi² grows within the region that holds `nfitted` parameters jointly with `nsigma`."""
    # the part outside, which keeps its digits far out where the part inside is 1
    outside = math.erfc(nsigma / math.sqrt(2))
    return float(2 * scipy.special.gammainccinv(nfitted / 2, outside))


def sides_of(im1: Array, im2: Array, err: Any, boundary: str, *, xp: Namespace) -> tuple[Side, Side]:
    """Check two images and the error of the second; return them as a batch of one."""
    if boundary not in BOUNDARIES:
        msg = f"`boundary` must be one of {BOUNDARIES}, got {boundary!r}"
        raise ValueError(msg)
    if im1.ndim != 2 or im2.ndim != 2:
        msg = f"`im1` and `im2` must be two-dimensional, got shapes {tuple(im1.shape)} and {tuple(im2.shape)}"
        raise ValueError(msg)
    sides, _ = image_pair(
        (im1, im2),
        errors=(None, err),
        valid=(None, None),
        names=("im1", "im2"),
        error_names=("im1_err", "err"),
        same_shape=boundary != "overlap",
        ndim=2,
        xp=xp,
    )
    return sides


def fit_pair(im1: Array, im2: Array, err: Any, boundary: str, *, zeromean: bool, xp: Namespace) -> Fit:
    """Fit the offset of two images of one gain, and of one level too unless `zeromean`."""
    boundary = "overlap" if boundary in BOUNDARIES[1:] else boundary
    sides = sides_of(im1, im2, err, boundary, xp=xp)
    # a difference of means, over the pixels compared, is a background
    options = choose(sides, boundary=boundary, fit=(False, zeromean))
    result = solve(*sides, options, xp=xp)
    numbers = xp.concat([result.shift, xp.reshape(result.covariance, (1, 4))], axis=-1)
    sy, sx, yy, yx, xy, xx = (float(v) for v in to_host(numbers)[0][0])
    return Fit(sides, options, result, (-sx, -sy), np.array([[xx, xy], [yx, yy]]))


def chi2_array(fit: Fit, rate: float, counts: tuple[int, int], *, xp: Namespace) -> tuple[Array, Array, Array]:
    """Sample chi² at `counts` points (y, x), `rate` to the pixel, a multiple of which is the whole-pixel grid."""
    acc = accumulator_dtype(fit.result.shift, xp=xp)
    best = xp.astype(-fit.result.shift, acc)
    centre = xp.where(xp.isfinite(best), xp.round(best * rate) / rate, xp.zeros_like(best))
    steps = [(xp.arange(n, dtype=acc, device=device_of(best)) - n // 2) / rate for n in counts]
    reference, moving = fit.sides
    background = xp.where(fit.result.status == 0, fit.result.background, xp.zeros_like(fit.result.background))
    level = moving.with_image(moving.image - column(background, moving.image, xp=xp))
    values = chi2_grid(reference, level, centre, steps, fit.options, xp=xp)[0, ...]
    values = values / _unit_variance(moving, values, xp.astype(fit.result.dof, acc), xp=xp)
    y, x = (centre[0, axis] + step for axis, step in enumerate(steps))
    return xp.broadcast_to(x[None, :], values.shape), xp.broadcast_to(y[:, None], values.shape), values


def _unit_variance(moving: Side, values: Array, dof: Array, *, xp: Namespace) -> Array:
    """Return the variance of a pixel of weight 1; where no error is given, the one that makes reduced chi² 1."""
    if moving.err is None:
        return xp.min(values) / dof
    square = xp.astype(moving.err, dof.dtype) ** 2
    if square.ndim > 1:
        square = xp.min(xp.where(moving.valid, square, xp.full_like(square, math.inf)))
    return xp.reshape(square, (1,))


def check_factor(upsample_factor: Any) -> None:
    """Refuse what is no number of samples per pixel."""
    if upsample_factor != "auto" and not (is_number(upsample_factor) and upsample_factor >= 1):
        msg = f"`upsample_factor` must be 'auto' or a number of at least 1, got {upsample_factor!r}"
        raise ValueError(msg)
