"""Shift of an image that may have holes and need not be periodic."""

from __future__ import annotations

from .._array import Array, Namespace, device_of
from ..fft_tools._dft import along, fourier_translate
from .extend import make_field, roll, sample
from .problem import less_mean

__all__ = ["shifted"]


def shifted(
    image: Array, valid: Array | None, offset: Array, fill: float, *, wrap: bool = False, xp: Namespace
) -> Array:
    """Return f(x - offset) on the pixels of `image` (batch, ...); what comes from outside or from a hole is `fill`.

    A pixel comes from outside, which a periodic image (`wrap`) does not have, if its source lies beyond the centres of
    the outermost pixels, and from a hole if the nearest source pixel is invalid.
    """
    shape = tuple(image.shape[1:])
    ndim = len(shape)
    level, mean = less_mean(image, valid, xp=xp)
    field = make_field(level, valid, shape, wrap=wrap, xp=xp)
    value = sample(fourier_translate(field.spectrum, offset, field.grid, xp=xp), field.grid, shape, xp=xp) + mean
    inside = xp.ones((1,) * (ndim + 1), dtype=xp.bool, device=device_of(offset))
    for axis, n in enumerate(() if wrap else shape):
        x = xp.arange(n, dtype=offset.dtype, device=device_of(offset)) - offset[:, axis, None]
        # a whole-pixel shift that came through floating point still finds the outermost pixels
        ok = (x > -1e-6) & (x < n - 1 + 1e-6)
        inside = inside & xp.reshape(ok, (ok.shape[0], *along(n=n, axis=axis, ndim=ndim)))
    if valid is not None:
        holes = roll(xp.astype(~valid, image.dtype), field, offset, shape, xp=xp)
        inside = inside & (holes < 0.5)
    return xp.where(inside, value, xp.full_like(value, fill))
