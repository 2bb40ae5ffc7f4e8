r"""Images with every pixel valid, transformed: what of an image the periodic fit needs, one image at a time.

Images are brought to mean 0, which is exact: the mode of the mean tells nothing of the offset, and what the model keeps
of it, where no background is fitted, is a number. A reference is transformed once, however many images are compared
with it.

Each image has its own scale, so that squares, and products of these, neither overflow nor vanish. In single precision
pixels are divided by it, unless the host sees that there is no need. In double precision it is enough to do so with the
numbers that come out, but for the weights, which go by the square of the power.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from .._array import Array, Namespace, accumulator_dtype
from .._kernels import per_item
from .._providers import as_reals, in_range, normalised, squares, transform_less_mean
from .._sums import image_means, inner
from ..fft_tools._modes import moment_columns
from ..fft_tools._sums import contract, derivative
from .problem import Norm, Options, Side, column, over_image

__all__ = ["Transformed", "transformed"]


class Transformed(NamedTuple):
    """The transform of each image (batch, modes...) and what was taken off before."""

    spectrum: Array
    """Of a reference, its complex conjugate; None once nobody needs it."""
    unit: Array | None
    """What the spectrum is still to be divided by, (batch,); None where the pixels were."""
    shape: tuple[int, ...]
    dtype: Any
    norm: Norm
    err: Array | None
    square: Array
    """N times the sum of squares, (batch,): the sum of the power over all modes but that of the mean."""
    level: Array | None
    """The mode of the mean that the model keeps; None where a background is fitted."""
    moments: Array | None
    """Of a reference, the sums over all modes of the power times up to two powers of 2 pi nu per axis, (batch, 3, ...),
    where white noise asks for them."""


def transformed(side: Side, options: Options, reference: Transformed | None = None, *, xp: Namespace) -> Transformed:
    """Transform images without masks, those to be registered on a `reference` with it."""
    x = side.image
    shape, dtype, acc = tuple(x.shape[1:]), x.dtype, accumulator_dtype(x, xp=xp)
    mean = image_means(x, len(shape), xp=xp) if side.mean is None else side.mean
    weighted = (side if reference is None else reference).err is not None
    white = reference is None and side.err is None and options.errors and not options.correlated
    n, moments, double = math.prod(shape), None, xp.finfo(dtype).bits > 32
    precise = double and not weighted
    taken = None if double or weighted else in_range(x, mean, acc, xp=xp)
    if taken is not None:
        x, square, scale = taken
    elif not precise:
        # the highest less the mean is, to the last bit, the highest of what is left when the mean is taken off
        top, factor = _scale(_top(side, xp=xp), mean, side.err, acc, xp=xp)
        x, square = normalised(x, mean, factor, acc, xp=xp)
    there = mean if precise or taken is not None else None
    spectrum = transform_less_mean(x, there, small=taken is not None, conjugate=reference is None, xp=xp)
    if white:
        moments = _moments(spectrum, shape, xp=xp)
    unit = None
    if precise:
        square, scale = (derivative(moments) if white else _power(spectrum, shape, acc, xp=xp)) / n, 1.0
    if precise or taken is not None:
        top = _sane(scale * xp.sqrt(square / n), mean, side.err, dtype, xp=xp)
        unit = top / scale
        square = square / (unit * unit)
        moments = moments / column(unit * unit, moments, xp=xp) if white else None
    # rounding errors of the pixels, and those of a transform
    rounding = (64 if precise else 8) * n * xp.finfo(dtype).eps
    mean_of = None if reference is None else reference.norm.mean
    kept = (options.fit_scale, options.fit_background)
    numbers = _numbers(mean, top, square, side.err, mean_of, n=n, rounding=rounding, fits=kept, xp=xp)
    norm, err, square, level = numbers
    return Transformed(spectrum, unit, shape, dtype, norm, err, square, level, moments)


def _top(side: Side, *, xp: Namespace) -> Array:
    return xp.max(side.image, axis=over_image(side.image)) if side.ends is None else side.ends[:, 1]


@per_item
def _scale(highest: Array, mean: Array, err: Array | None, acc: Any, *, xp: Namespace) -> tuple[Array, Array]:
    """Return what values are divided by (batch,), given their maximum and mean, and one over that in their dtype."""
    top = _sane(xp.astype(highest - mean, acc, copy=False), xp.astype(mean, acc), err, highest.dtype, xp=xp)
    return top, xp.astype(1 / top, highest.dtype, copy=False)


@per_item
def _numbers(
    mean: Array,
    top: Array,
    square: Array,
    err: Array | None,
    mean_of_reference: Array | None,
    *,
    n: int,
    rounding: float,
    fits: tuple[bool, bool],
    xp: Namespace,
) -> tuple[Norm, Array | None, Array, Array | None]:
    """Return what else is known of images, given the sum of the squares of their values: see `Transformed`."""
    mean, square = xp.astype(mean, top.dtype, copy=False), n * square
    units = mean / top
    kept, level = _kept(mean, top, fits, mean_of_reference)
    norm = Norm(kept, top, square <= rounding * rounding * (units * units))
    return norm, None if err is None else err / top, square, None if level is None else n * level


def _sane(top: Array, mean: Array, err: Array | None, dtype: Any, *, xp: Namespace) -> Array:
    """Return the larger of a scale of values and their errors; of flat images one that is not 0."""
    least = xp.finfo(dtype).smallest_normal
    top = xp.where(top >= least, top, abs(mean))
    if err is not None:
        top = xp.maximum(top, err)
    return xp.where(top >= least, top, 1.0)


def _kept(mean: Array, top: Array, fits: tuple[bool, bool], reference: Array | None) -> tuple[Array, Array | None]:
    """Return the level that both images are lowered by, and what is then left of the mean, in units of `top`.

    Without a background and with a free gain nothing may be taken off; with a gain of 1, the same of both: that
    of the `reference`, if this is not one.
    """
    scale, background = fits
    if background:
        return mean, None
    if scale:
        return 0 * mean, mean / top
    lowered = mean if reference is None else reference
    return lowered, (mean - lowered) / top


def _power(spectrum: Array, shape: Sequence[int], acc: Any, *, xp: Namespace) -> Array:
    """Return the sum of the power over all modes, (batch,)."""
    parts = as_reals(spectrum, xp=xp)
    # those that have no conjugate are at the ends of the half axis
    single = abs(spectrum[..., :: shape[-1] // 2] if shape[-1] % 2 == 0 else spectrum[..., :1])
    return 2 * inner(parts, parts, acc, xp=xp) - xp.sum(single * single, axis=over_image(single), dtype=acc)


def _moments(spectrum: Array, shape: Sequence[int], *, xp: Namespace) -> Array:
    """Return the sums of the power times up to two powers of 2 pi nu per axis, (batch, 3, ...)."""
    parts = squares(spectrum, xp=xp)
    columns = moment_columns(shape, parts, parts=parts.shape != spectrum.shape, xp=xp)
    return contract(parts, columns, dtype=accumulator_dtype(parts, xp=xp), xp=xp)
