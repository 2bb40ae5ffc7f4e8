r"""Images with every pixel valid, transformed: what of an image the periodic fit needs, one image at a time.

Images are brought to mean 0, which is exact: the mode of the mean tells nothing of the offset, and what the model keeps
of it, where no background is fitted, is a number. A reference is transformed once, however many images are compared
with it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from .._array import Array, Namespace, accumulator_dtype
from .._providers import as_reals, product
from ..fft_tools._dft import contract, rfft, slopes_and_bends
from ..fft_tools._modes import moment_columns
from .problem import Norm, Options, Side, column, inner, over_image

__all__ = ["Transformed", "transformed"]


class Transformed(NamedTuple):
    """The transform of each image (batch, modes...) and what was taken off before."""

    spectrum: Array | None
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
    """Transform images without masks, those to be registered on a `reference` with it.

    Each has its own scale, that of its brightest pixel: squares, and products of these, neither overflow nor vanish. In
    double precision it is enough that references have one, but for the weights, which go by the square of the power.
    """
    x = side.image
    shape, dtype, acc = tuple(x.shape[1:]), x.dtype, accumulator_dtype(x, xp=xp)
    mean = xp.mean(x, axis=over_image(x)) if side.mean is None else side.mean
    x = x - column(mean, x, xp=xp)
    mean = xp.astype(mean, acc, copy=False)
    if xp.finfo(dtype).bits == 32 or reference is None or reference.err is not None:
        top = _top(x, mean, side.err, xp=xp)
        x = product(x, column(1 / top, x, xp=xp))
    else:
        top = xp.ones_like(mean)
    n = math.prod(shape)
    square = n * inner(x, x, acc, xp=xp)
    units = mean / top
    dark = (8 * n * xp.finfo(dtype).eps) ** 2 * (units * units)
    kept, level = _kept(mean, top, options, reference)
    err = None if side.err is None else side.err / top
    spectrum = rfft(x, len(shape), xp=xp)
    white = reference is None and err is None and options.errors and not options.correlated
    slopes = _slopes(spectrum, shape, xp=xp) if white else None
    level = None if level is None else n * level
    return Transformed(spectrum, shape, dtype, Norm(kept, top, square <= dark), err, square, level, slopes)


def _top(x: Array, mean: Array, err: Array | None, *, xp: Namespace) -> Array:
    """Return the largest of values (with the mean taken off) and errors; of flat images a level that is not 0."""
    least = xp.finfo(x.dtype).smallest_normal
    top = xp.astype(xp.max(x, axis=over_image(x)), mean.dtype, copy=False)
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


def _slopes(spectrum: Array, shape: Sequence[int], *, xp: Namespace) -> Array:
    parts = as_reals(spectrum, xp=xp)
    columns = moment_columns(shape, parts, parts=True, xp=xp)
    return slopes_and_bends(contract(parts * parts, columns, xp=xp), xp=xp)[1]
