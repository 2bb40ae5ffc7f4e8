"""What the estimators are given: images, masks, errors, options; and images brought to a common scale."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from .._array import Array, Namespace, accumulator_dtype, constant, is_traced_or_remote, to_host
from .._bounds import at_least
from .._kernels import compiles, per_item
from .._layout import Unit, in_unit
from .._static import Keep, keeping
from .._sums import ends_of, seen_in

__all__ = [
    "Norm",
    "Options",
    "Side",
    "column",
    "complete_items",
    "items_of",
    "less_mean",
    "normalised",
    "over_image",
    "precision",
    "too_few",
]


class Options(NamedTuple):
    """What a caller may choose."""

    wrap: bool
    fit_scale: bool
    fit_background: bool
    correlated: bool
    limits: tuple[float, ...]
    min_overlap: float
    errors: bool = True
    """Without, those of periodic images are 0, or NaN where the fit has no maximum."""


class Side(NamedTuple):
    """One image (batch, ...).

    `valid` None: all pixels are. `err`, 1 sigma: a map (batch, ...), numbers (batch,) or None.
    """

    image: Array
    valid: Array | None
    err: Any
    masked: bool = False
    """A mask or an error map was given: some pixels count less than others whatever their values are."""
    mean: Array | None = None
    """The mean of each image (batch,), where it is known."""
    ends: Array | None = None
    """The smallest and the largest value of each, (batch, 2), where they are known."""
    unit: Unit | None = None
    """What is still to be done to the image where it is next used."""

    @property
    def ndim(self) -> int:
        """Number of image axes."""
        ndim: int = self.image.ndim - 1
        return ndim

    def with_image(self, image: Array, **changed: Any) -> Side:
        """Return the side with another image, of which nothing is known yet, and what else has `changed`."""
        return self._replace(**{"image": image, "mean": None, "ends": None, "unit": None, **changed})


def complete_items(masks: Sequence[Array], batch: int, *, xp: Namespace) -> list[bool] | None:
    """Return which items have valid pixels alone; None where that cannot be read at once."""
    if any(is_traced_or_remote(mask) for mask in masks):
        return None
    whole = to_host(*(xp.all(mask, axis=over_image(mask)) for mask in masks))
    return [all(mask[k % len(mask)] for mask in whole) for k in range(batch)]


def items_of(side: Side, items: Sequence[int], *, xp: Namespace) -> Side:
    """Return some of the images, of which one may stand for all."""
    index = constant(items, xp.int64, side.image, xp=xp)

    def chosen(x: Any) -> Any:
        return x if x is None or x.shape[0] == 1 else xp.take(x, index, axis=0)

    return side._replace(**{name: chosen(getattr(side, name)) for name in ("image", "valid", "err", "mean", "ends")})


class Norm(NamedTuple):
    """How an image was scaled: x = mean + top * normalised; and whether it is flat."""

    mean: Array
    top: Array
    flat: Array
    held: Array = None
    """How many of its pixels are valid, (batch,), where `too_few` asks."""


def over_image(x: Array) -> tuple[int, ...]:
    """Return the image axes of a batch of images."""
    return tuple(range(1, x.ndim))


def column(a: Array, like: Array, *, xp: Namespace) -> Array:
    """Lay per-item numbers (batch,) over images, in their dtype."""
    return xp.astype(xp.reshape(a, (-1,) + (1,) * (like.ndim - 1)), like.dtype, copy=False)


def less_mean(image: Array, valid: Array | None, *, xp: Namespace) -> tuple[Array, Array]:
    """Return images (batch, ...) less the mean of their valid pixels, 0 in the others; and the mean (batch, 1, ...)."""
    axes = over_image(image)
    if valid is None:
        mean = xp.mean(image, axis=axes, keepdims=True)
        return image - mean, mean
    count = xp.sum(xp.astype(valid, image.dtype), axis=axes, keepdims=True)
    mean = xp.sum(xp.where(valid, image, 0.0), axis=axes, keepdims=True) / at_least(count, 1.0, xp=xp)
    return xp.where(valid, image - mean, 0.0), mean


def normalised(
    reference: Side,
    moving: Side,
    options: Options,
    *,
    keep: Keep | None = None,
    later: bool = False,
    xp: Namespace,
) -> tuple[tuple[Side, Norm], tuple[Side, Norm]]:
    """Bring images to mean 0 and largest absolute value 1 on their valid pixels, errors alike.

    Fluxes of 1e-20 have no square in float32, and a pedestal hides small differences in rounding errors. Both images
    keep one scale where no gain is fitted. Where no background is, they are lowered by the same amount, which is exact
    for a gain of 1; with a free gain the level stays, and what is made of the reference may be kept.

    `moving` may be left as it is until `later`, with the unit to bring it to, where steps do so at no cost.
    """
    keep = keeping(None) if keep is None else keep
    r, low_r, high_r, mean_r, count_r = keep("range", lambda: _range(reference, xp=xp))
    m, low_m, high_m, mean_m, count_m = _range(moving, xp=xp)
    if not options.fit_background:
        mean_m = 0 * mean_r if options.fit_scale else mean_r
        mean_r = mean_m
    (flat_r, top_r), (flat_m, top_m) = (
        _flat_and_top(low, high, mean, xp=xp) for low, high, mean in ((low_r, high_r, mean_r), (low_m, high_m, mean_m))
    )
    if not options.fit_scale:
        top_r = top_m = xp.maximum(top_r, top_m)
    return (
        keep("scaled", lambda: _scaled(reference._replace(image=r), mean_r, top_r, flat_r, count_r, xp=xp)),
        _scaled(moving._replace(image=m), mean_m, top_m, flat_m, count_m, later=later, xp=xp),
    )


@per_item
def _flat_and_top(low: Array, high: Array, mean: Array, *, xp: Namespace) -> tuple[Array, Array]:
    """Return which images have rounding errors alone, and the largest absolute values less the mean, 1 if that is 0."""
    flat = ~(high - low > 8 * xp.finfo(low.dtype).eps * xp.maximum(abs(high), abs(low)))
    top = xp.maximum(high - mean, mean - low)
    return flat, xp.where(top > 0, top, xp.ones_like(top))


def too_few(used: Array, least: int, norms: tuple[Norm, Norm]) -> Array:
    """Tell where fewer than `least` pixels are used; a flat image lies anywhere, it must hold so few itself."""
    r, m = norms
    return (used < least) & ~(r.flat | m.flat) | (r.held < least) | (m.held < least)


def _range(side: Side, *, xp: Namespace) -> tuple[Array, Array, Array, Array, Array]:
    """Return the image with its mean in invalid pixels; smallest, largest and mean valid value; how many are valid."""
    x, ends = side.image, side.ends
    axes, acc = over_image(x), accumulator_dtype(x, xp=xp)
    if side.valid is None:
        mean, ends = seen_in(x, side.ndim, xp=xp) if side.mean is None else (side.mean, ends)
        count = xp.full_like(xp.astype(mean, acc), math.prod(x.shape[1:]))
    else:
        count = xp.sum(xp.astype(side.valid, acc), axis=axes)
        total = xp.sum(xp.where(side.valid, x, xp.zeros_like(x)), axis=axes, dtype=acc)
        mean = xp.astype(total / at_least(count, 1.0, xp=xp), x.dtype)
        x = xp.where(side.valid, x, column(mean, x, xp=xp))
    low, high = ends_of(x, xp=xp) if ends is None else (ends[:, 0], ends[:, 1])
    return x, low, high, mean, count


def _scaled(
    side: Side, mean: Array, top: Array, flat: Array, count: Array, *, later: bool = False, xp: Namespace
) -> tuple[Side, Norm]:
    unit = Unit(*(column(a, side.image, xp=xp) for a in (mean, 1 / top)))
    later = later and compiles(xp=xp) and side.ndim == 2 and not side.masked and side.valid is None
    image = side.image if later else in_unit(side.image, unit, xp=xp)
    acc = accumulator_dtype(image, xp=xp)
    top = xp.astype(top, acc)
    err = side.err
    if err is not None:
        err = err / (top if err.ndim == 1 else column(top, image, xp=xp))
    # with no gain the scale of one image depends on the other: one reference becomes as many as there are frames
    valid = None if side.valid is None else xp.broadcast_to(side.valid, image.shape)
    scaled = side.with_image(image, valid=valid, err=err, unit=unit if later else None)
    return scaled, Norm(xp.astype(mean, acc), top, flat, count)


def precision(side: Side, *, xp: Namespace) -> Array:
    """Return relative inverse variances of the pixels, 0 where invalid, largest 1; uniform unless errors are a map."""
    x = side.image
    v = xp.ones_like(x) if side.valid is None else xp.astype(side.valid, x.dtype)
    if side.err is None or side.err.ndim == 1:
        return v
    inverse = v / xp.where(side.err > 0, side.err, xp.ones_like(side.err))
    best = xp.max(inverse, axis=over_image(inverse), keepdims=True)
    return (inverse / xp.where(best > 0, best, xp.ones_like(best))) ** 2
