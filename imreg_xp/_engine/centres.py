"""Where a star or a peak is: the brightest pixel, centres of mass, zero slope, a Gaussian; for boxes of a batch.

A box is (batch, rows, columns) around a pixel; centres are (batch, 2) in pixels from its middle, in array-axis order.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from .._array import Array, Namespace, device_of
from ..fft_tools._dft import along, dft_basis, fourier_translate, irfft, rfft
from ..fft_tools._sums import contract
from .peaks import argmax
from .problem import over_image
from .taylor import patch_at

__all__ = [
    "Box",
    "above_sky",
    "aperture_centre",
    "box_at",
    "brightest",
    "centre_of_mass",
    "moved_box",
    "peak_centroid",
    "zero_slope",
]

_STEPS = 20  # of centres found again around themselves
_STAR_BOX = 3  # pixels around a star for its slopes
_STAR_ROWS = 2  # pixels around a star that slopes are added up over
_STAR_PAD = 6  # pixels around the box, to move it
_STAR_STEPS = 6


class Box(NamedTuple):
    """Pixels around one of an image, in the accumulator dtype; 0 outside the image."""

    values: Array
    inside: list[Array]
    """Per axis (batch, n): 1 inside the image, 0 outside."""


def brightest(images: Array, *, xp: Namespace) -> Array:
    """Return the index (batch, ndim) of the brightest pixel."""
    return argmax(images, xp=xp)


def box_at(images: Array, index: Array, halves: Sequence[int], *, xp: Namespace) -> Box:
    """Return the pixels around `index`, as many as `halves` on each side."""
    values = patch_at(images, index, tuple(halves), xp=xp)
    inside = []
    for axis, (n, k) in enumerate(zip(images.shape[1:], halves, strict=True)):
        at = index[:, axis, None] + xp.arange(-k, k + 1, dtype=index.dtype, device=device_of(index))
        there = (at >= 0) & (at < n)
        values = xp.where(_laid(there, axis, xp=xp), values, xp.zeros_like(values))
        inside.append(xp.astype(there, values.dtype))
    return Box(values, inside)


def _laid(a: Array, axis: int, *, xp: Namespace) -> Array:
    return xp.reshape(a, (a.shape[0], *along(n=a.shape[1], axis=axis, ndim=2)))


def _coordinates(values: Array, *, xp: Namespace) -> list[Array]:
    """Return per axis the pixels from the middle, (1, n, 1) and (1, 1, n)."""
    found = []
    for axis, n in enumerate(values.shape[1:]):
        at = xp.arange(n, dtype=values.dtype, device=device_of(values)) - n // 2
        found.append(_laid(at[None, :], axis, xp=xp))
    return found


def _mean_place(weights: Array, places: Sequence[Array], *, xp: Namespace) -> Array:
    """Return the mean of the coordinates; NaN where the weights have no sum."""
    axes = over_image(weights)
    total = xp.sum(weights, axis=axes)
    known = total > 0
    total = xp.where(known, total, xp.ones_like(total))
    mean = xp.stack([xp.sum(weights * x, axis=axes) / total for x in places], axis=-1)
    return xp.where(known[:, None], mean, xp.full_like(mean, math.nan))


def centre_of_mass(box: Box, *, xp: Namespace) -> Array:
    """Return the centre of mass of a box as it is, sky included."""
    return _mean_place(box.values, _coordinates(box.values, xp=xp), xp=xp)


def aperture_centre(box: Box, radius: float, *, xp: Namespace) -> Array:
    """Return the centre of mass of a round aperture around itself, less the mean of the sky around it.

    At a fixed point the level of the sky has no moment: it does not matter how well it is known.
    """
    places = _coordinates(box.values, xp=xp)
    inside = _laid(box.inside[0], 0, xp=xp) * _laid(box.inside[1], 1, xp=xp)
    centre = xp.zeros_like(box.values[:, 0, :2])
    axes = over_image(inside)
    for _ in range(_STEPS):
        rest = [x - centre[:, axis, None, None] for axis, x in enumerate(places)]
        distance = xp.sqrt(rest[0] ** 2 + rest[1] ** 2)
        edge = radius + 0.5 - distance
        aperture = inside * xp.minimum(xp.maximum(edge, xp.zeros_like(edge)), xp.ones_like(edge))
        ring = inside * xp.astype((distance > radius + 1) & (distance < radius + 4), inside.dtype)
        count = xp.sum(ring, axis=axes, keepdims=True)
        sky = xp.sum(ring * box.values, axis=axes, keepdims=True) / xp.where(count > 0, count, xp.ones_like(count))
        centre = centre + _mean_place(aperture * (box.values - sky), rest, xp=xp)
    return centre


def zero_slope(images: Array, index: Array, *, xp: Namespace) -> Array:
    r"""Return where a line through the slopes around the star at `index` is zero, as in DAOPHOT (Stetson 1987).

    For stars of 5 pixels width (FWHM): differences of neighbours over 7 pixels, summed over 5 rows or columns, with
    weights that fall from 1 to 0.6. A line has its zero elsewhere than the slope of a star, by up to 0.1 pixels, unless
    it is in the middle: the star is moved there and its slopes are taken again. NaN where the slope does not fall, or
    the box is not inside the image.
    """
    half = _STAR_BOX + _STAR_PAD
    box = box_at(images, index, (half, half), xp=xp)
    values = above_sky(box, xp=xp)
    inner = slice(_STAR_PAD, -_STAR_PAD)
    centre = _slope_step(values[:, inner, inner], xp=xp)
    for _ in range(_STAR_STEPS):
        known = xp.where(xp.isfinite(centre), centre, xp.zeros_like(centre))
        centre = centre + _slope_step(moved_box(values, -known, xp=xp)[:, inner, inner], xp=xp)
    whole = [xp.min(inside[:, inner], axis=1) > 0 for inside in box.inside]
    known = whole[0] & whole[1] & xp.all(abs(centre) <= _STAR_BOX, axis=-1)
    return xp.where(known[:, None], centre, xp.full_like(centre, math.nan))


def _slope_step(values: Array, *, xp: Namespace) -> Array:
    """Return the zero (batch, 2) of lines through the slopes of boxes of 7 by 7 pixels."""
    at = xp.arange(2 * _STAR_BOX, dtype=values.dtype, device=device_of(values)) + 0.5 - _STAR_BOX
    weight = 1 - 0.5 * (abs(at) - 0.5) / (_STAR_BOX - 0.5)
    middle = slice(_STAR_BOX - _STAR_ROWS, _STAR_BOX + _STAR_ROWS + 1)
    found = []
    for line in (xp.sum(values[:, :, middle], axis=2), xp.sum(values[:, middle, :], axis=1)):
        slope = line[:, 1:] - line[:, :-1]
        level, fall = xp.sum(weight * slope, axis=1), xp.sum(weight * at * slope, axis=1)
        falling = fall < 0
        step = -xp.sum(weight * at * at) * level / (xp.sum(weight) * xp.where(falling, fall, -xp.ones_like(fall)))
        found.append(xp.where(falling, step, xp.full_like(step, math.nan)))
    return xp.stack(found, axis=-1)


def above_sky(box: Box, *, xp: Namespace) -> Array:
    """Return a box less its mean; what is outside the image is of that level."""
    weight = _laid(box.inside[0], 0, xp=xp) * _laid(box.inside[1], 1, xp=xp)
    axes = over_image(weight)
    mean = xp.sum(weight * box.values, axis=axes, keepdims=True) / xp.sum(weight, axis=axes, keepdims=True)
    return weight * (box.values - mean)


def peak_centroid(cross: Array, lag: Array, shape: Sequence[int], half: int, *, xp: Namespace) -> Array:
    """Return the centre of mass of the correlation (less its minimum) in a box of 2 half + 1 samples around itself.

    `cross` is the cross-spectrum, `lag` (batch, 2) where to begin. The samples are taken around the centre itself,
    wherever that is between the pixels.
    """
    step = xp.arange(-half, half + 1, dtype=lag.dtype, device=device_of(lag))
    for _ in range(_STEPS):
        values = xp.real(contract(cross, dft_basis(shape, lag[..., None] + step, xp=xp), xp=xp))
        values = values - xp.min(values, axis=over_image(values), keepdims=True)
        change = _mean_place(values, _coordinates(values, xp=xp), xp=xp)
        # further than its box the centre does not go at once, and a flat correlation has none
        lag = lag + change
        lag = xp.where(xp.isfinite(lag), lag, xp.zeros_like(lag))
    known = xp.all(xp.isfinite(change), axis=-1, keepdims=True)
    return xp.where(known, lag, xp.full_like(lag, math.nan))


def moved_box(values: Array, offset: Array, *, xp: Namespace) -> Array:
    """Return boxes shifted by `offset` (batch, 2); they are dark, and alike, at their borders."""
    shape = tuple(values.shape[1:])
    spectrum = rfft(values / math.prod(shape), len(shape), xp=xp)
    return irfft(fourier_translate(spectrum, offset, shape, xp=xp), shape, xp=xp)
