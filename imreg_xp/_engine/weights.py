"""What pixels and modes weigh: errors of both images combined, and their powers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from .._array import Array, Namespace, device_of
from .._bounds import at_least
from .._providers import inner
from .problem import Side, column, over_image, precision
from .spectrum import Rings, power, radial_mean, sampled_spectrum

__all__ = ["combined", "rings_of", "totals"]


def totals(w: Array, image: Array, acc: object, *, xp: Namespace) -> tuple[Array, Array]:
    """Return the sums over the images of w and of w times the image, (batch,)."""
    return xp.sum(w, axis=over_image(w), dtype=acc), inner(w, image, acc, xp=xp)


def combined(
    reference: Side, moving: Side, moved: Callable[[Array], Array], w: Array, scale: Array, *, xp: Namespace
) -> tuple[Array, Array | None, bool]:
    """Return the weights, the variance of a pixel of weight 1 (None: unknown), and whether all weights are 0 or 1.

    Where both images have errors the variance is that of data less model; the weights `w` are of `moving` alone.
    `moved` brings a map of the reference to the pixels of `moving`.
    """
    e_m, e_r = moving.err, reference.err
    if e_m is None:
        return w, None, True
    maps = e_m.ndim > 1 or (e_r is not None and e_r.ndim > 1)
    if e_r is None:
        # of the whole image, as the relative weights are
        return w, xp.astype(_relative(moving, w, xp=xp)[1], scale.dtype) + 0 * scale, not maps
    if not maps:
        return w, e_m**2 + scale**2 * e_r**2, True
    # the relative precision is bounded, so that rolling it by Fourier leaves only rounding errors; a variance is not
    p_r, best_r = _relative(reference, w, xp=xp)
    if p_r.shape[1:] != (1,) * (w.ndim - 1):
        p_r = at_least(moved(p_r), 0.0, xp=xp)
    p_m, best_m = _relative(moving, w, xp=xp)
    joint = p_r * column(best_m, w, xp=xp) + p_m * column(scale**2 * best_r, w, xp=xp)
    precise = xp.where((w > 0) & (joint > 0), p_r * p_m / xp.where(joint > 0, joint, 1.0), 0 * joint)
    best = xp.max(precise, axis=over_image(precise))
    best = xp.where(best > 0, best, 1.0)
    return precise / column(best, w, xp=xp), 1 / xp.astype(best, scale.dtype), False


def _relative(side: Side, like: Array, *, xp: Namespace) -> tuple[Array, Array]:
    """Return the relative precision of the pixels (1 where the error is a number) and the smallest variance."""
    if side.err.ndim == 1:
        return xp.ones((1,) * like.ndim, dtype=like.dtype, device=device_of(like)), side.err**2
    square = xp.where(side.valid, side.err**2, xp.full_like(side.err, math.inf))
    best = xp.min(square, axis=over_image(square))
    return precision(side, xp=xp), xp.where(xp.isfinite(best), best, 1.0)


def rings_of(
    value: Array,
    residual: Array,
    window: Array,
    weight: Array,
    scale: Array,
    grid: Sequence[int],
    *,
    pixels: int | None = None,
    binary: bool = False,
    xp: Namespace,
) -> Rings:
    """Return radial powers of the reference in a smooth window, and of data = scale * reference + residual.

    Holes are in the residual alone: cut into the reference they would leak power from large scales to small ones. It is
    whitened by the weights, at the level they make of the noise, unless they are `binary`. So many `pixels` the images
    have: None, as many as the maps.
    """
    if not binary:
        acc, axes = scale.dtype, over_image(weight)
        count, total = xp.sum(xp.astype(weight > 0, acc), axis=axes), xp.sum(weight, axis=axes, dtype=acc)
        level = count / xp.where(total > 0, total, 1.0)
        weight = xp.sqrt(weight * column(level, weight, xp=xp))
    f = sampled_spectrum(window * value, grid, xp=xp)
    g = sampled_spectrum(window * (residual * weight), grid, xp=xp)
    powers = xp.concat([power(f, xp=xp), power(f, g, xp=xp), power(g, xp=xp)], axis=0)
    means, modes = radial_mean(powers, grid, xp=xp)
    n = g.shape[0]
    r, c, p = (means[i * n : (i + 1) * n, :] for i in range(3))
    s = scale[:, None]
    # a mode of a padded grid is less than an independent number
    pixels = math.prod(value.shape[1:]) if pixels is None else pixels
    independent = modes * min(1.0, pixels / math.prod(grid))
    return Rings(r, at_least(s * s * r + 2 * s * c + p, 0.0, xp=xp), s * r + c, xp.zeros_like(r) + independent)
