r"""Images with every pixel valid, transformed: what of an image the periodic fit needs, one image at a time.

Images are brought to mean 0, which is exact: the mode of the mean tells nothing of the offset, and what the model keeps
of it, where no background is fitted, is a number. A reference is transformed once, however many images are compared
with it.

Each image has its own scale, so that squares, and products of these, neither overflow nor vanish. In single precision
pixels are divided by it. In double precision it is enough to do so with the numbers that come out, but for the weights,
which go by the square of the power.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from .._array import Array, Namespace, accumulator_dtype
from .._providers import as_reals, image_means, inner, product, transform_less_mean
from ..fft_tools._dft import contract, derivative, slopes_and_bends
from ..fft_tools._modes import moment_columns
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
    slopes: Array | None
    """Of a reference, the sum of the power times (2 pi nu)(2 pi nu)^T over all modes, where white noise asks for it."""


def transformed(side: Side, options: Options, reference: Transformed | None = None, *, xp: Namespace) -> Transformed:
    """Transform images without masks, those to be registered on a `reference` with it."""
    x = side.image
    shape, dtype, acc = tuple(x.shape[1:]), x.dtype, accumulator_dtype(x, xp=xp)
    mean = image_means(x, len(shape), xp=xp) if side.mean is None else side.mean
    level_of = xp.astype(mean, acc, copy=False)
    weighted = (side if reference is None else reference).err is not None
    white = reference is None and side.err is None and options.errors and not options.correlated
    n, slopes, precise = math.prod(shape), None, xp.finfo(dtype).bits > 32 and not weighted
    if not precise:
        x = x - column(mean, x, xp=xp)
        top = _sane(xp.astype(xp.max(x, axis=over_image(x)), acc, copy=False), level_of, side.err, dtype, xp=xp)
        x = product(x, column(1 / top, x, xp=xp))
        square, mean = n * inner(x, x, acc, xp=xp), None
    spectrum = transform_less_mean(x, mean, conjugate=reference is None, xp=xp)
    if white:
        power, slopes = _moments(spectrum, shape, xp=xp)
    if precise:
        root = xp.sqrt(power if white else _power(spectrum, shape, acc, xp=xp))
        top = _sane(root / n, level_of, side.err, dtype, xp=xp)
        square = (root / top) ** 2
        slopes = slopes / column(top * top, slopes, xp=xp) if white else None
    units = level_of / top
    # rounding errors of the pixels, and those of a transform
    dark = ((64 if precise else 8) * n * xp.finfo(dtype).eps) ** 2 * (units * units)
    kept, level = _kept(level_of, top, options, reference)
    err = None if side.err is None else side.err / top
    norm = Norm(kept, top, square <= dark)
    level = None if level is None else n * level
    return Transformed(spectrum, top if precise else None, shape, dtype, norm, err, square, level, slopes)


def _sane(top: Array, mean: Array, err: Array | None, dtype: Any, *, xp: Namespace) -> Array:
    """Return the larger of a scale of values and their errors; of flat images one that is not 0."""
    least = xp.finfo(dtype).smallest_normal
    top = xp.where(top >= least, top, abs(mean))
    if err is not None:
        top = xp.maximum(top, err)
    return xp.where(top >= least, top, 1.0)


def _kept(mean: Array, top: Array, options: Options, reference: Transformed | None) -> tuple[Array, Array | None]:
    """Return the level that both images are lowered by, and what is then left of the mean, in units of `top`.

    Without a background and with a free gain nothing may be taken off; with a gain of 1, the same of both.
    """
    if options.fit_background:
        return mean, None
    if options.fit_scale:
        return 0 * mean, mean / top
    lowered = mean if reference is None else reference.norm.mean
    return lowered, (mean - lowered) / top


def _power(spectrum: Array, shape: Sequence[int], acc: Any, *, xp: Namespace) -> Array:
    """Return the sum of the power over all modes, (batch,)."""
    parts = as_reals(spectrum, xp=xp)
    # those that have no conjugate are at the ends of the half axis
    single = abs(spectrum[..., :: shape[-1] // 2] if shape[-1] % 2 == 0 else spectrum[..., :1])
    return 2 * inner(parts, parts, acc, xp=xp) - xp.sum(single * single, axis=over_image(single), dtype=acc)


def _moments(spectrum: Array, shape: Sequence[int], *, xp: Namespace) -> tuple[Array, Array]:
    """Return the sums of the power over all modes, and of the power times (2 pi nu)(2 pi nu)^T."""
    parts = as_reals(spectrum, xp=xp)
    sums = contract(parts * parts, moment_columns(shape, parts, parts=True, xp=xp), xp=xp)
    return derivative(sums), slopes_and_bends(sums, xp=xp)[1]
