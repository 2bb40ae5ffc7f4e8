r"""chi² and correlation at every whole-pixel shift.

.. math:: \chi^2(d) = \sum_x w\, v(x-d)\, [m - r(x-d)]^2
          = (w m^2 \star v)(d) - 2 (w m \star v r)(d) + (w \star v r^2)(d)

with w the inverse variance of m, v the mask of r and :math:`(a \star b)(d) = \sum_x a(x)\, b(x - d)`. How the reference
goes on beyond its border is a matter of r and v there. Maps (batch, n_1, ..., n_k) have the shift d at the index
(n - 1) // 2 - d along each axis; what does not depend on the shift is (batch, 1, ..., 1).
"""

from __future__ import annotations

import math
from typing import NamedTuple

from .._array import Array, Namespace, accumulator_dtype, device_of
from .._bounds import at_least
from .._fft_length import fast_length
from ..fft_tools._dft import irfft, rfft
from ..fft_tools.borders import continued, within
from .problem import Side, column, over_image

__all__ = [
    "Lattice",
    "chi2_at_shifts",
    "correlation_at_shifts",
    "lattice",
    "moving_term",
    "pixels_compared",
    "reference_term",
]


class Lattice(NamedTuple):
    """Images (batch, ...) of one shape, 0 where invalid, and how the shifted reference goes on beyond its border."""

    reference: Array
    known: Array | None
    """v: 1 where the reference is valid, 0 elsewhere; None: it is everywhere."""
    moving: Array
    weight: Array
    """w, (batch, 1, ..., 1) where it is the same for all pixels."""
    beyond: str


def lattice(reference: Side, moving: Side, beyond: str, *, zero_mean: bool, xp: Namespace) -> Lattice:
    """Prepare images (batch, ...) of one shape, if asked for without the mean of their valid pixels, for exact sums.

    `beyond` its border the reference is: "wrap" periodic, "constant" zero, "nearest" its last pixel, "reflect" its
    mirror image (with the last pixel twice), "overlap" unknown.
    """
    r, known = _without_holes(reference, zero_mean=zero_mean, xp=xp)
    m, good = _without_holes(moving, zero_mean=zero_mean, xp=xp)
    if moving.err is None:
        w = xp.ones_like(m[(slice(None), *(slice(0, 1),) * (m.ndim - 1))])
    else:
        w = 1 / (column(moving.err, m, xp=xp) if moving.err.ndim == 1 else xp.astype(moving.err, m.dtype)) ** 2
    w = w if good is None else w * good
    return Lattice(r, known, m, w, beyond)


def _without_holes(side: Side, *, zero_mean: bool, xp: Namespace) -> tuple[Array, Array | None]:
    """Return an image in the dtype of its sums, 0 where invalid, and its mask in that dtype if it has one."""
    acc = accumulator_dtype(side.image, xp=xp)
    x = xp.astype(side.image, acc)
    axes = over_image(x)
    if side.valid is None:
        return (x - xp.mean(x, axis=axes, keepdims=True) if zero_mean else x), None
    good = xp.astype(side.valid, acc)
    x = xp.where(side.valid, x, xp.zeros_like(x))
    if zero_mean:
        count = xp.sum(good, axis=axes, keepdims=True)
        x = good * (x - xp.sum(x, axis=axes, keepdims=True) / at_least(count, 1.0, xp=xp))
    return x, good


def chi2_at_shifts(images: Lattice, *, xp: Namespace) -> Array:
    """Return the map of chi² with gain 1 and no background."""
    # chi² knows differences only: a level in common costs digits
    axes = over_image(images.reference)
    level = xp.mean(images.reference, axis=axes, keepdims=True)
    m, w = images.moving - level, images.weight
    if _is_uniform(images):
        r = images.reference - level
        constant = xp.sum(m * m, axis=axes, keepdims=True) + xp.sum(r * r, axis=axes, keepdims=True)
        return w * (constant - 2 * _correlate([(m, r)], "wrap", xp=xp))
    r, v = _continued(images, xp=xp)
    r = v * (r - level)
    return _correlate([(w * m * m, v), (-2 * w * m, r), (w + 0 * m, r * r)], images.beyond, xp=xp)


def correlation_at_shifts(images: Lattice, *, xp: Namespace) -> Array:
    """Return the map of the correlation (m ⋆ r)(d); over the pixels that both hold, the coefficient of correlation.

    The latter is 0 where the overlap is less than a third of the image or has no structure.
    """
    m, w = images.moving, images.weight + 0 * images.moving
    r, v = _continued(images, xp=xp)
    if images.beyond != "overlap":
        return _correlate([(w * m, v * r)], images.beyond, xp=xp)
    r = v * r
    pairs = ((w, v), (w, r), (w * m, v), (w * m, r), (w, r * r), (w * m * m, v))
    s00, s10, s01, s11, s20, s02 = (_correlate([pair], images.beyond, xp=xp) for pair in pairs)
    total = (s20 * s00 - s10 * s10) * (s02 * s00 - s01 * s01)
    axes = over_image(s00)
    usable = s00 > xp.max(s00, axis=axes, keepdims=True) / 3
    # differences of large sums: below this they are rounding errors
    usable = usable & (
        total > 1e6 * xp.finfo(total.dtype).eps ** 2 * xp.max(abs(s20 * s02) * s00 * s00, axis=axes, keepdims=True)
    )
    rho = (s11 * s00 - s10 * s01) / xp.sqrt(xp.where(usable, total, xp.ones_like(total)))
    return xp.where(usable, rho, xp.zeros_like(rho))


def moving_term(images: Lattice, *, xp: Namespace) -> Array:
    """Return the sum of w m², a map where the pixels compared depend on the shift."""
    values = images.weight * images.moving**2
    if images.known is None and images.beyond != "overlap":
        return xp.sum(values, axis=over_image(values), keepdims=True)
    return _correlate([(values, _continued(images, xp=xp)[1])], images.beyond, xp=xp)


def reference_term(images: Lattice, *, xp: Namespace) -> Array:
    """Return the sum of w r(x - d)², a map unless all pixels weigh the same at all shifts."""
    if _is_uniform(images):
        return images.weight * xp.sum(images.reference**2, axis=over_image(images.reference), keepdims=True)
    r, v = _continued(images, xp=xp)
    return _correlate([(images.weight + 0 * images.moving, v * r * r)], images.beyond, xp=xp)


def pixels_compared(images: Lattice, *, xp: Namespace) -> Array:
    """Return the number of pixels that chi² is a sum over, a map where it depends on the shift."""
    good = xp.astype(images.weight + 0 * images.moving > 0, images.moving.dtype)
    if images.known is None and images.beyond != "overlap":
        return xp.sum(good, axis=over_image(good), keepdims=True)
    return xp.round(_correlate([(good, _continued(images, xp=xp)[1])], images.beyond, xp=xp))


def _is_uniform(images: Lattice) -> bool:
    return images.beyond == "wrap" and images.known is None and images.weight.shape[1:] != images.moving.shape[1:]


def _reach(n: int) -> int:
    """Return the longest shift along an axis of n pixels."""
    return n // 2


def _continued(images: Lattice, *, xp: Namespace) -> tuple[Array, Array]:
    """Return the reference and its mask with as many pixels more on each side as the longest shift reaches."""
    r = images.reference
    v = xp.ones_like(r) if images.known is None else images.known
    if images.beyond == "wrap":
        return r, v
    inside = 1.0
    for axis in over_image(r):
        n = r.shape[axis]
        ends = (-_reach(n), n + _reach(n))
        inside = inside * within(images.reference, axis, *ends, xp=xp)
        r, v = (continued(a, axis, *ends, images.beyond, xp=xp) for a in (r, v))
    if images.beyond == "overlap":
        v = v * inside
    elif images.beyond == "constant":
        r, v = r * inside, 1 - inside + v * inside
    return r, v


def _correlate(pairs: list[tuple[Array, Array]], beyond: str, *, xp: Namespace) -> Array:
    """Return the sum of a ⋆ b over the pairs (a, b), b continued beyond its border, as a map of shifts."""
    shape = tuple(pairs[0][0].shape[1:])
    ndim = len(shape)
    grid = shape if beyond == "wrap" else fast_length(pairs[0][1].shape[1:])
    cross = 0.0
    for a, b in pairs:
        cross = cross + rfft(a, ndim, xp=xp, s=grid) * xp.conj(rfft(b, ndim, xp=xp, s=grid))
    values = irfft(cross, grid, xp=xp) / math.prod(grid)
    for axis, (n, size) in enumerate(zip(shape, grid, strict=True)):
        lag = (n - 1) // 2 - xp.arange(n, dtype=xp.int64, device=device_of(values))
        # pixel 0 of what was continued is `_reach` pixels below the image
        lag = lag if beyond == "wrap" else lag - _reach(n)
        values = xp.take(values, lag % size, axis=axis + 1)
    return values
