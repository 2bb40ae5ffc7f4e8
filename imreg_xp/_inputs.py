"""What users hand over, checked, and turned into what the engine takes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from numbers import Integral
from typing import Any, NamedTuple, TypeVar, cast

import numpy as np

from ._array import (
    Array,
    Namespace,
    accumulator_dtype,
    as_errors,
    as_images,
    device_of,
    is_kind,
    is_number,
    is_traced_or_remote,
    known_finite,
    to_host,
)
from ._batch import as_batch, broadcast_batch
from ._bounds import at_least
from ._engine.problem import Options, Side, over_image
from ._engine.result import Registration, SimilarityRegistration
from ._sums import seen_in

__all__ = ["Seen", "choose", "image_pair", "one_image", "scalar_or_array", "shift_limits", "unflatten"]

_Result = TypeVar("_Result", Registration, SimilarityRegistration)
_HOPELESS = 30.0  # errors this many times the typical one mark bad pixels: together such pixels weigh nothing


class Seen(NamedTuple):
    """What was seen of two images: whether all pixels are finite; and if they are what a `Side` has of them."""

    finite: bool
    means: tuple[Array | None, Array | None] = (None, None)
    """Batch axes."""
    ends: tuple[Array | None, Array | None] = (None, None)
    """Batch axes, and one of two."""


def image_pair(
    images: tuple[Array, Array],
    *,
    errors: tuple[Any, Any],
    valid: tuple[Array | None, Array | None],
    names: tuple[str, str],
    same_shape: bool,
    ndim: int,
    xp: Namespace,
    error_names: tuple[str, str] | None = None,
    seen: Seen | None = None,
    look: bool = True,
    check_finite: bool = True,
) -> tuple[tuple[Side, Side], tuple[int, ...]]:
    """Check two images with their errors and masks; return them with a flat batch, and the batch shape.

    Images without masks are worth waiting for an accelerator to say whether all pixels are finite, if nobody has `seen`
    that yet: estimators that weigh every pixel take far longer. With no need for that, do not `look`. Without
    `check_finite` they are taken to be.
    """
    if not (ndim in (1, 2, 3) and isinstance(ndim, Integral)):
        msg = f"`ndim` must be 1, 2 or 3, got {ndim!r}"
        raise ValueError(msg)
    labels = error_names or (f"{names[0]}_err", f"{names[1]}_err")
    errs = [scalar_or_array(err, name=label) for err, label in zip(errors, labels, strict=True)]
    shapes: dict[str, tuple[int, ...]] = {}
    for name, label, image, err, ok in zip(names, labels, images, errs, valid, strict=True):
        shapes |= _checked_shapes(image, err, ok, names=(name, label, f"{name}_valid"), ndim=ndim)
    a, b = (tuple(image.shape[image.ndim - ndim :]) for image in images)
    if same_shape and a != b:
        msg = f"`{names[1]}` must have the image shape {a} of `{names[0]}` with boundary='wrap', got {b}"
        raise ValueError(msg)
    lead = broadcast_batch(shapes)
    if 0 in lead:
        msg = f"`{names[0]}` and `{names[1]}` must hold at least one image, got batches of shape {lead}"
        raise ValueError(msg)
    floats = as_images(xp=xp, **dict(zip(names, images, strict=True)))
    if seen is None:
        plain = all(ok is None for ok in valid) and all(_is_uniform(err) for err in errs)
        if plain and not check_finite:
            seen = Seen(finite=True)
        else:
            seen = _looked_at(images, floats, ndim, xp=xp) if look and plain else Seen(known_finite(*images, xp=xp))
    first, second = (
        one_image(image, err, ok, lead, ndim, names=(name, label, f"{name}_valid"), finite=seen.finite, xp=xp)
        for image, err, ok, name, label in zip(floats, errs, valid, names, labels, strict=True)
    )
    means = [None if mean is None else as_batch(mean, lead, 0, xp=xp) for mean in seen.means]
    ends = [None if pair is None else as_batch(pair, lead, 1, xp=xp) for pair in seen.ends]
    return (first._replace(mean=means[0], ends=ends[0]), second._replace(mean=means[1], ends=ends[1])), lead


def _looked_at(given: Sequence[Array], floats: Sequence[Array], ndim: int, *, xp: Namespace) -> Seen:
    """Return what the means of images tell; an accelerator is waited for, but not for integers."""
    with np.errstate(all="ignore"):
        means, ends = zip(*(seen_in(image, ndim, xp=xp) for image in floats), strict=True)
    unsure = [mean for mean, image in zip(means, given, strict=True) if not is_kind(image.dtype, "integral", xp=xp)]
    finite = known_finite(*unsure, wait=True, xp=xp)
    return Seen(finite, (means[0], means[1]), (ends[0], ends[1])) if finite else Seen(finite=False)


def scalar_or_array(x: Any, *, name: str) -> float | Array | None:
    """Return numbers as a checked positive float, arrays and None as they are."""
    if is_number(x):
        value = float(x)
        if not (math.isfinite(value) and value > 0):
            msg = f"`{name}` must be positive and finite, got {value}"
            raise ValueError(msg)
        return value
    return x


def _checked_shapes(
    image: Array, err: Any, valid: Array | None, *, names: tuple[str, str, str], ndim: int
) -> dict[str, tuple[int, ...]]:
    """Return the batch shapes of an image, its errors and its mask, or raise where their image shapes do not match."""
    if image.ndim < ndim:
        msg = f"`{names[0]}` must have at least `ndim` = {ndim} axes, got shape {tuple(image.shape)}"
        raise ValueError(msg)
    shape = tuple(image.shape[image.ndim - ndim :])
    if min(shape) < 2:
        msg = f"`{names[0]}` must have at least 2 pixels along each image axis, got shape {shape}"
        raise ValueError(msg)
    shapes = {names[0]: tuple(image.shape[: image.ndim - ndim])}
    for name, extra in ((names[1], err), (names[2], valid)):
        if extra is None or _is_uniform(extra):
            continue
        if tuple(extra.shape[max(extra.ndim - ndim, 0) :]) != shape:
            msg = f"`{name}` must have the image shape {shape} of `{names[0]}`, got {tuple(extra.shape)}"
            raise ValueError(msg)
        shapes[name] = tuple(extra.shape[: extra.ndim - ndim])
    return shapes


def _is_uniform(err: Any) -> bool:
    """Tell whether an error is unknown or one number, on the host or on the device."""
    return err is None or isinstance(err, float) or err.ndim == 0


def choose(
    sides: tuple[Side, Side],
    *,
    boundary: str,
    fit: tuple[bool, bool] = (True, True),
    noise: str = "correlated",
    max_shift: float | Sequence[float] | None = None,
    min_overlap: float = 0.3,
) -> Options:
    """Check the options and return them."""
    for name, value, known in (("boundary", boundary, ("overlap", "wrap")), ("noise", noise, ("correlated", "white"))):
        if value not in known:
            msg = f"`{name}` must be one of {known}, got {value!r}"
            raise ValueError(msg)
    if not is_number(min_overlap):
        msg = f"`min_overlap` must be a number, got {type(min_overlap).__name__}"
        raise TypeError(msg)
    if not 0 < min_overlap <= 1:
        msg = f"`min_overlap` must be in (0, 1], got {min_overlap!r}"
        raise ValueError(msg)
    longest = tuple(max(a, b) for a, b in zip(sides[0].image.shape[1:], sides[1].image.shape[1:], strict=True))
    limits = shift_limits(max_shift, longest)
    return Options(boundary == "wrap", bool(fit[0]), bool(fit[1]), noise == "correlated", limits, float(min_overlap))


def shift_limits(
    max_shift: float | Iterable[float] | None, longest: tuple[int, ...], *, name: str = "max_shift"
) -> tuple[float, ...]:
    """Return the largest shift per axis, that of the larger image where there is none."""
    if max_shift is None:
        return tuple(float(n) for n in longest)
    if isinstance(max_shift, Iterable) and not is_number(max_shift):
        given = list(max_shift)
    else:
        given = [cast("float", max_shift)] * len(longest)
    if len(given) != len(longest):
        msg = f"`{name}` must be one number or {len(longest)}, got {max_shift!r}"
        raise ValueError(msg)
    for value, size in zip(given, longest, strict=True):
        if not 0 < value <= size:
            msg = f"`{name}` must be positive and at most the image size {longest}, got {max_shift!r}"
            raise ValueError(msg)
    return tuple(float(v) for v in given)


def one_image(
    image: Array,
    err: Any,
    valid: Array | None,
    lead: tuple[int, ...],
    ndim: int,
    *,
    names: Sequence[str],
    finite: bool | None = None,
    xp: Namespace,
) -> Side:
    """Flatten the batch, find the valid pixels, and make every pixel and error a finite number.

    `names` are those of image, errors and mask in the messages; `finite` tells whether all pixels are known to be.
    """
    if valid is not None:
        _checked_shapes(image, None, valid, names=(names[0], names[1], names[2]), ndim=ndim)
        if not xp.isdtype(valid.dtype, "bool"):
            msg = f"`{names[2]}` must be boolean, got dtype {valid.dtype}"
            raise TypeError(msg)
    uniform = _is_uniform(err)
    masked = valid is not None or not uniform
    complete = valid is None and (known_finite(image, xp=xp) if finite is None else finite)
    image = as_batch(image, lead, ndim, xp=xp)
    if isinstance(err, float):
        err = xp.full((1,), err, dtype=accumulator_dtype(image, xp=xp), device=device_of(image))
    elif uniform and err is not None:
        err = xp.reshape(as_errors(err, accumulator_dtype(image, xp=xp), name=names[1], xp=xp), (1,))
    elif not uniform:
        err = as_batch(as_errors(err, image.dtype, name=names[1], xp=xp), lead, ndim, xp=xp)
    if complete and uniform:
        return Side(image, None, err)
    if complete and _alike(err, xp=xp):
        good = xp.ones(np.broadcast_shapes(image.shape, err.shape), dtype=xp.bool, device=device_of(image))
        return Side(xp.broadcast_to(image, good.shape), good, xp.broadcast_to(err, good.shape), masked)
    good = xp.isfinite(image)
    if valid is not None:
        good = good & as_batch(valid, lead, ndim, xp=xp)
    if not uniform:
        good = good & xp.isfinite(err) & (err > 0)
        good = good & (err < _HOPELESS * _typical(err, good, xp=xp))
        err = _sane(xp.broadcast_to(err, good.shape), good, xp=xp)
    image = xp.broadcast_to(image, good.shape)
    return Side(xp.where(good, image, xp.zeros_like(image)), good, err, masked)


def _alike(err: Array, *, xp: Namespace) -> bool:
    """Tell whether all errors are known to be those of good pixels, whatever the typical one is."""
    if is_traced_or_remote(err):
        return False
    low, high = (float(x) for x in to_host(xp.min(err), xp.max(err)))
    return 0 < low <= high < _HOPELESS * low


def _typical(err: Array, good: Array, *, xp: Namespace) -> Array:
    """Return the error whose weight is the mean weight, (batch, 1, ..., 1); infinite where no pixel is good."""
    axes = over_image(good)
    smallest = xp.min(xp.where(good, err, xp.full_like(err, math.inf)), axis=axes, keepdims=True)
    ratio = xp.where(good, smallest, xp.zeros_like(err)) / xp.where(good, err, xp.ones_like(err))
    count = xp.sum(xp.astype(good, err.dtype), axis=axes, keepdims=True)
    mean = xp.sum(ratio * ratio, axis=axes, keepdims=True) / at_least(count, 1.0, xp=xp)
    return smallest / xp.sqrt(xp.where(mean > 0, mean, xp.ones_like(mean)))


def _sane(err: Array, good: Array, *, xp: Namespace) -> Array:
    """Give invalid pixels the mean error of the others: it is not used, but must be a number."""
    axes = over_image(err)
    total = xp.sum(xp.where(good, err, xp.zeros_like(err)), axis=axes, keepdims=True)
    mean = total / at_least(xp.sum(xp.astype(good, err.dtype), axis=axes, keepdims=True), 1.0, xp=xp)
    return xp.where(good, err, xp.where(mean > 0, mean, xp.ones_like(mean)))


def unflatten(result: _Result, lead: tuple[int, ...], *, xp: Namespace) -> _Result:
    """Give the fields of a flat batch (or of one item for all) the batch shape back."""
    size = math.prod(lead)

    def shaped(x: Array) -> Array:
        if x.shape[0] != size:
            x = xp.broadcast_to(x, (size, *x.shape[1:]))
        return xp.reshape(x, (*lead, *x.shape[1:]))

    return type(result)(*(shaped(field) for field in result))
