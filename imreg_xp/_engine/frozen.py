"""The general fit with all but the offset frozen: weights, filter, and gain and background at one offset."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from .._array import Array, Namespace
from .._kernels import Total, elementwise, per_item
from .._providers import Factors, product_of
from ..fft_tools._dft import translated
from .extend import Field, sample, single
from .problem import Options
from .rings import Gains

__all__ = [
    "Frozen",
    "Level",
    "Weighed",
    "Weights",
    "attenuated",
    "gain_and_background",
    "level_of",
    "lightened",
    "model",
    "residual_of",
    "sums_with_model",
]


Weights = Factors
"""A map, or factors (batch, ..., n, ...) along one axis each."""


class Weighed(Protocol):
    """The moving image with its weights, whatever moves the model."""

    @property
    def moving(self) -> Array: ...
    @property
    def weight(self) -> Weights: ...
    @property
    def attenuation(self) -> Array: ...


class Frozen(NamedTuple):
    """What does not move while the offset is refined."""

    field: Field
    gains: Gains | None
    """Transfer function of h on the modes of the field, in single precision; None: 1 for all."""
    moving: Array
    weight: Weights
    box: list[Array] | None
    """Factors of the weights along each axis, if they are 1 in a box and 0 elsewhere; None: that is not known."""
    attenuation: Array
    """Gain over the gain by least squares, which noise in the reference lowers."""
    unit: Array | None
    """Variance of a pixel of weight 1; None: not known."""
    binary: bool
    """All weights are 0 or 1."""


def lightened(frozen: Frozen, *, xp: Namespace) -> Frozen:
    """Return the problem in single precision."""
    field = frozen.field._replace(spectrum=single(frozen.field.spectrum, xp=xp))
    return frozen._replace(field=field, moving=single(frozen.moving, xp=xp), weight=single(frozen.weight, xp=xp))


class Level(NamedTuple):
    """Gain and background of `moving` at one offset, and the sums of w times the model, its square, 1 and `moving`."""

    scale: Array
    background: Array
    total: Array
    square: Array
    count: Array
    data: Array


def model(field: Field, offset: Array, shape: Sequence[int], *, xp: Namespace) -> tuple[Factors, Array]:
    """Return the spectrum, maybe as factors, and the map of r(x - offset)."""
    spectrum, spare = translated(field.spectrum, offset, field.grid, xp=xp)
    value = sample(spectrum if spare is None else spare, field.grid, shape, keep=spare is None, xp=xp)
    return spectrum, value


@elementwise
def residual_of(image: Array, value: Array, scale: Array, background: Array, *, xp: Namespace) -> Array:  # noqa: ARG001
    """Return what a model (batch, ...) leaves of an image, with numbers (batch, 1, ..., 1)."""
    return image - scale * value - background


def gain_and_background(value: Array, frozen: Weighed, options: Options, *, xp: Namespace) -> Level:
    """Fit gain and background by weighted least squares at one offset; `value` is the model there."""
    sums = _sums_with_model(frozen.weight, value, frozen.moving, fit_scale=options.fit_scale, xp=xp)
    fitted = options.fit_scale, options.fit_background
    found: Level = level_of(sums, frozen.attenuation, fitted=fitted, xp=xp)
    return found


def sums_with_model(
    weight: Weights,
    value: Array,
    moving: Array,
    *,
    fit_scale: bool,
    xp: Namespace,  # noqa: ARG001
) -> tuple[Total, ...]:
    """Return the sums of w, w m, w r, w r^2 and, to fit a scale, w r m."""
    weight = product_of(weight)
    weighted = weight * value
    sums = Total(weight), Total(weight, moving), Total(weighted), Total(weighted, value)
    return (*sums, Total(weighted, moving)) if fit_scale else sums


_sums_with_model = elementwise(sums_with_model)


@per_item
def level_of(sums: tuple[Array, ...], attenuation: Array, *, fitted: tuple[bool, bool], xp: Namespace) -> Level:
    """Return the level from `sums_with_model`."""
    count, data, t, square, *products = sums
    scale, variance = xp.ones_like(t), square
    if products:
        covariance = products[0]
        if fitted[1]:
            variance = variance - t * t / _safe(count, xp=xp)
            covariance = covariance - t * data / _safe(count, xp=xp)
        scale = covariance / _safe(variance, xp=xp)
    level = Level(scale, xp.zeros_like(t), t, square, count, data)
    return _attenuated(level, attenuation, with_background=fitted[1], xp=xp)


@per_item
def _attenuated(level: Level, attenuation: Array, *, with_background: bool, xp: Namespace) -> Level:
    scale, background = level.scale * attenuation, level.background
    if with_background:
        background = (level.data - scale * level.total) / _safe(level.count, xp=xp)
    return level._replace(scale=scale, background=background)


def attenuated(level: Level, frozen: Weighed, options: Options, *, xp: Namespace) -> Level:
    """Return the gain by least squares times what noise in the reference lowers it by, and the background with it."""
    found: Level = _attenuated(level, frozen.attenuation, with_background=options.fit_background, xp=xp)
    return found


def _safe(x: Array, *, xp: Namespace) -> Array:
    return xp.where(x > 0, x, 1.0)
