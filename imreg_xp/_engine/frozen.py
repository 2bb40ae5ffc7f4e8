"""The general fit with all but the offset frozen: weights, filter, and gain and background at one offset."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from .._array import Array, Namespace
from .._kernels import elementwise
from .._providers import inner
from ..fft_tools._dft import fourier_translate
from .extend import Field, sample, single
from .problem import Options, over_image

__all__ = ["Frozen", "Level", "Weighed", "attenuated", "gain_and_background", "lightened", "model", "residual_of"]


class Weighed(Protocol):
    """The moving image with its weights, whatever moves the model."""

    @property
    def moving(self) -> Array: ...
    @property
    def weight(self) -> Array: ...
    @property
    def total(self) -> Array: ...
    @property
    def data(self) -> Array: ...
    @property
    def attenuation(self) -> Array: ...


class Frozen(NamedTuple):
    """What does not move while the offset is refined."""

    field: Field
    gains: Array
    """Transfer function of h on the modes of the field."""
    filtered: bool
    """It is not 1 for all."""
    moving: Array
    weight: Array
    box: list[Array] | None
    """Sides (batch,) of the box of pixels with a weight; None: they are not known to be a box."""
    total: Array
    """Sum of w."""
    data: Array
    """Sum of w m."""
    attenuation: Array
    """Gain over the gain by least squares, which noise in the reference lowers."""
    unit: Array | None
    """Variance of a pixel of weight 1; None: not known."""
    binary: bool
    """All weights are 0 or 1."""


def lightened(frozen: Frozen, *, xp: Namespace) -> Frozen:
    """Return the problem in single precision."""
    field = frozen.field._replace(spectrum=single(frozen.field.spectrum, xp=xp))
    moving, weight, gains = (single(a, xp=xp) for a in (frozen.moving, frozen.weight, frozen.gains))
    return frozen._replace(field=field, moving=moving, weight=weight, gains=gains)


class Level(NamedTuple):
    """Gain and background of `moving` at one offset, w times the model, and the sums of that times 1 and the model."""

    scale: Array
    background: Array
    weighted: Array
    total: Array
    square: Array


def model(field: Field, offset: Array, shape: Sequence[int], *, xp: Namespace) -> tuple[Array, Array]:
    """Return the spectrum and the map of r(x - offset)."""
    spectrum = fourier_translate(field.spectrum, offset, field.grid, xp=xp)
    return spectrum, sample(spectrum, field.grid, shape, xp=xp)


@elementwise
def residual_of(image: Array, value: Array, scale: Array, background: Array, *, xp: Namespace) -> Array:  # noqa: ARG001
    """Return what a model (batch, ...) leaves of an image, with numbers (batch, 1, ..., 1)."""
    return image - scale * value - background


def gain_and_background(value: Array, frozen: Weighed, options: Options, *, xp: Namespace) -> Level:
    """Fit gain and background by weighted least squares at one offset; `value` is the model there."""
    acc = frozen.total.dtype
    weighted = frozen.weight * value
    n = _safe(frozen.total, xp=xp)
    t = xp.sum(weighted, axis=over_image(weighted), dtype=acc)
    scale = xp.ones_like(t)
    square = inner(weighted, value, acc, xp=xp)
    if options.fit_scale:
        variance = square
        covariance = inner(weighted, frozen.moving, acc, xp=xp)
        if options.fit_background:
            variance = variance - t * t / n
            covariance = covariance - t * frozen.data / n
        scale = covariance / _safe(variance, xp=xp)
    return attenuated(Level(scale, xp.zeros_like(t), weighted, t, square), frozen, options, xp=xp)


def attenuated(level: Level, frozen: Weighed, options: Options, *, xp: Namespace) -> Level:
    """Return the gain by least squares times what noise in the reference lowers it by, and the background with it."""
    scale = level.scale * frozen.attenuation
    background = level.background
    if options.fit_background:
        background = (frozen.data - scale * level.total) / _safe(frozen.total, xp=xp)
    return level._replace(scale=scale, background=background)


def _safe(x: Array, *, xp: Namespace) -> Array:
    return xp.where(x > 0, x, 1.0)
