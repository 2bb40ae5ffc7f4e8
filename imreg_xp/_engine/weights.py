"""What pixels and modes weigh: errors of both images combined, and their powers."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable, Sequence

from .._array import Array, Namespace, device_of
from .._bounds import at_least
from .._kernels import elementwise
from .._providers import product_of
from ..fft_tools._dft import part
from .frozen import Level, Weighed, Weights, residual_of
from .problem import Side, column, over_image, precision
from .rings import Rings, folds_of, radial_means, sampled_spectrum
from .spectrum import power

__all__ = ["combined", "rings_of"]


def combined(
    reference: Side, moving: Side, moved: Callable[[Array], Array], w: Weights, scale: Array, *, xp: Namespace
) -> tuple[Weights, Array | None, bool]:
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
        return w, xp.astype(_relative(moving, moving.image, xp=xp)[1], scale.dtype) + 0 * scale, not maps
    if not maps:
        return w, e_m**2 + scale**2 * e_r**2, True
    w = product_of(w)
    # the relative precision is bounded, so that rolling it by Fourier leaves only rounding errors; a variance is not
    p_r, best_r = _relative(reference, moving.image, xp=xp)
    if p_r.shape[1:] != (1,) * (w.ndim - 1):
        p_r = at_least(moved(p_r), 0.0, xp=xp)
    p_m, best_m = _relative(moving, moving.image, xp=xp)
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
    moving: Weighed,
    level: Level,
    window: Sequence[Array],
    grid: Sequence[int],
    *,
    pixels: int | None = None,
    binary: bool = False,
    xp: Namespace,
) -> Rings:
    """Return radial powers of the reference in a window, the product of factors, and of what `level` makes of it.

    Holes are in the residual alone: cut into the reference they would leak power from large scales to small ones. It is
    whitened by the weights, at the level they make of the noise, unless they are `binary`. So many `pixels` the images
    have: None, as many as the maps.
    """
    weights = moving.weight if isinstance(moving.weight, tuple) else (moving.weight,)
    if not binary:
        weight = product_of(weights)
        acc, axes = level.scale.dtype, over_image(weight)
        count, total = xp.sum(xp.astype(weight > 0, acc), axis=axes), xp.sum(weight, axis=axes, dtype=acc)
        weights = (xp.sqrt(weight * column(count / xp.where(total > 0, total, 1.0), weight, xp=xp)),)
    numbers = (column(a, value, xp=xp) for a in (level.scale, level.background))
    window = [xp.astype(a, value.dtype, copy=False) for a in window]
    count = folds_of(value.shape[1], grid)
    pieces = [piece for a in (value, moving.moving, *weights, *window) for piece in _in_pieces(a, count)]
    maps = _windowed(*numbers, *pieces, count=count, weights=len(weights), xp=xp)
    spectra = [sampled_spectrum(a, grid, xp=xp) for a in maps]
    powers, modes = radial_means(spectra, grid, _powers, xp=xp)
    # a mode of a padded grid is less than an independent number
    pixels = math.prod(value.shape[1:]) if pixels is None else pixels
    share = min(1.0, pixels / math.prod(grid))
    found: Rings = _rings(*powers, modes[None, :], level.scale[:, None], share=share, xp=xp)
    return found


@elementwise
def _rings(r: Array, c: Array, p: Array, modes: Array, s: Array, *, share: float, xp: Namespace) -> Rings:
    """Return the powers of model and data from those of the model and of what it leaves, and their cross-power."""
    return Rings(r, at_least(s * s * r + 2 * s * c + p, 0.0, xp=xp), s * r + c, xp.zeros_like(r) + share * modes)


def _in_pieces(x: Array, count: int) -> list[Array]:
    """Return equal parts along the first axis; what has one row goes with all of them."""
    rows = x.shape[1] // count
    return [x if x.shape[1] == 1 else part(x, 1, k * rows, (k + 1) * rows) for k in range(count)]


@elementwise
def _windowed(
    scale: Array, background: Array, *pieces: Array, count: int, weights: int, xp: Namespace
) -> tuple[Array, Array]:
    """Return the sums of `count` pieces of the model and of what is left of it, in a window: these come piece by piece.

    `pieces` are those of the model, of the image, of so many factors of its weights, and of those of the window.
    """
    rows = [pieces[k : k + count] for k in range(0, len(pieces), count)]
    found = [
        _in_window(
            value,
            product_of(tuple(factors[:weights])) * residual_of(image, value, scale, background, xp=xp),
            factors[weights:],
        )
        for value, image, *factors in zip(*rows, strict=True)
    ]
    model, residual = (functools.reduce(operator.add, parts) for parts in zip(*found, strict=True))
    return model, residual


def _in_window(value: Array, residual: Array, window: Sequence[Array]) -> tuple[Array, Array]:
    if not window:
        return value, residual
    taper = functools.reduce(operator.mul, window)
    return taper * value, taper * residual


def _powers(f: Array, g: Array, *, xp: Namespace) -> tuple[Array, ...]:
    return power(f, xp=xp), power(f, g, xp=xp), power(g, xp=xp)
