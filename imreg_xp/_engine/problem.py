"""What the estimators are given: images, masks, errors, options; and images brought to a common scale."""

from __future__ import annotations

from typing import Any, NamedTuple

from .._array import Array, Namespace, accumulator_dtype

__all__ = ["Norm", "Options", "Side", "column", "inner", "normalised", "over_image", "precision"]


class Options(NamedTuple):
    """What a caller may choose."""

    wrap: bool
    fit_scale: bool
    fit_background: bool
    correlated: bool
    limits: tuple[float, ...]
    min_overlap: float


class Side(NamedTuple):
    """One image (batch, ...).

    `valid` None: all pixels are. `err`, 1 sigma: a map (batch, ...), numbers (batch,) or None.
    """

    image: Array
    valid: Array | None
    err: Any
    masked: bool = False
    """A mask or an error map was given: some pixels count less than others whatever their values are."""

    @property
    def ndim(self) -> int:
        """Number of image axes."""
        ndim: int = self.image.ndim - 1
        return ndim


class Norm(NamedTuple):
    """How an image was scaled: x = mean + top * normalised; and whether it is flat."""

    mean: Array
    top: Array
    flat: Array


def over_image(x: Array) -> tuple[int, ...]:
    """Return the image axes of a batch of images."""
    return tuple(range(1, x.ndim))


def column(a: Array, like: Array, *, xp: Namespace) -> Array:
    """Lay per-item numbers (batch,) over images, in their dtype."""
    return xp.astype(xp.reshape(a, (-1,) + (1,) * (like.ndim - 1)), like.dtype)


def inner(a: Array, b: Array, acc: Any, *, xp: Namespace) -> Array:
    """Return sum_x a b, (batch,): row sums in the dtype of the images, their sum in `acc`."""
    rows = xp.vecdot(a, b)
    return xp.sum(rows, axis=tuple(range(1, rows.ndim)), dtype=acc) if rows.ndim > 1 else xp.astype(rows, acc)


def normalised(
    reference: Side, moving: Side, options: Options, *, xp: Namespace
) -> tuple[tuple[Side, Norm], tuple[Side, Norm]]:
    """Bring images to mean 0 and largest absolute value 1 on their valid pixels, errors alike; invalid pixels are 0.

    Fluxes of 1e-20 have no square in float32. The mean stays where no background is fitted, and both images keep one
    scale where no gain is.
    """
    r, m = (_centred(side, options.fit_background, xp=xp) for side in (reference, moving))
    top_r, top_m = (xp.where(n.flat, xp.ones_like(n.top), n.top) for _, n in (r, m))
    if not options.fit_scale:
        top_r = top_m = xp.maximum(top_r, top_m)
    return _scaled(*r, top_r, xp=xp), _scaled(*m, top_m, xp=xp)


def _centred(side: Side, centre: bool, *, xp: Namespace) -> tuple[Side, Norm]:
    """Take the mean off, put 0 into invalid pixels, find the largest absolute value and whether it is rounding."""
    x = side.image
    axes = over_image(x)
    acc = accumulator_dtype(x, xp=xp)
    if side.valid is None:
        mean = xp.mean(x, axis=axes)
    else:
        count = xp.sum(xp.astype(side.valid, acc), axis=axes)
        total = xp.sum(xp.where(side.valid, x, xp.zeros_like(x)), axis=axes, dtype=acc)
        mean = xp.astype(total / xp.clip(count, min=1.0), x.dtype)
    centred = x - column(mean, x, xp=xp)
    if side.valid is not None:
        centred = xp.where(side.valid, centred, xp.zeros_like(x))
    spread = _largest(centred, xp=xp)
    flat = ~(spread > 8 * xp.finfo(x.dtype).eps * abs(mean))
    if centre:
        return side._replace(image=centred), Norm(xp.astype(mean, acc), xp.astype(spread, acc), flat)
    if side.valid is not None:
        x = xp.where(side.valid, x, xp.zeros_like(x))
    top = xp.astype(_largest(x, xp=xp), acc)
    return side._replace(image=x), Norm(xp.zeros_like(top), top, flat)


def _largest(x: Array, *, xp: Namespace) -> Array:
    """Return the largest absolute value per item, with no map of absolute values."""
    axes = over_image(x)
    return xp.maximum(xp.max(x, axis=axes), -xp.min(x, axis=axes))


def _scaled(side: Side, norm: Norm, top: Array, *, xp: Namespace) -> tuple[Side, Norm]:
    err = side.err
    if err is not None:
        err = err / (top if err.ndim == 1 else column(top, side.image, xp=xp))
    return side._replace(image=side.image * column(1 / top, side.image, xp=xp), err=err), norm._replace(top=top)


def precision(side: Side, *, xp: Namespace) -> Array:
    """Return relative inverse variances of the pixels, 0 where invalid, largest 1; uniform unless errors are a map."""
    x = side.image
    v = xp.ones_like(x) if side.valid is None else xp.astype(side.valid, x.dtype)
    if side.err is None or side.err.ndim == 1:
        return v
    inverse = v / xp.where(side.err > 0, side.err, xp.ones_like(side.err))
    best = xp.max(inverse, axis=over_image(inverse), keepdims=True)
    return (inverse / xp.where(best > 0, best, xp.ones_like(best))) ** 2
