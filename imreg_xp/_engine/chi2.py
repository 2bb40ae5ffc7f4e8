r"""chi² as a function of a real-valued shift, exact between the pixels too.

.. math:: \chi^2(d) = \sum_x w m^2 - 2 \sum_x w m\, r(x-d) + \sum_x w\, r(x-d)^2

The square of r has twice its band: interpolated from whole-pixel shifts the last term would be aliased. It is formed on
a grid of half pixels, where it is exact.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from .._array import Array, Namespace
from .._static import numbers
from ..fft_tools._dft import dft_basis, fourier_translate, rfft
from ..fft_tools._sums import contract
from .extend import Field, footprint, make_field, sample
from .problem import Options, Side, over_image, precision

__all__ = ["chi2_grid"]


def chi2_grid(
    reference: Side, moving: Side, offset: Array, steps: Sequence[Array], options: Options, *, xp: Namespace
) -> Array:
    """Return chi² (batch, K_1, ..., K_ndim) at `offset` + the steps per axis, for gain 1 and background 0.

    The pixels compared are those in the overlap at `offset`; it is in units of the variance of a pixel of weight 1, the
    one with the smallest error.
    """
    # chi² is a small difference of large sums
    reference, moving = (_precise(side, offset.dtype, xp=xp) for side in (reference, moving))
    shape = moving.image.shape[1:]
    field = make_field(reference.image, reference.valid, shape, wrap=options.wrap, xp=xp)
    w = precision(moving, xp=xp)
    w = footprint(w, field, offset, shape, xp=xp)
    ndim = len(shape)
    at = [offset[:, axis, None] + step for axis, step in enumerate(steps)]

    def correlation(weights: Array, spectrum: Array, grid: Sequence[int], stretch: int) -> Array:
        columns = [dft_basis(grid, _on_axis(a * stretch, ndim, xp=xp), xp=xp)[axis] for axis, a in enumerate(at)]
        columns = [xp.conj(c) for c in columns]
        product = xp.conj(rfft(weights, ndim, xp=xp, s=grid)) * spectrum
        return xp.real(contract(product, columns, xp=xp))

    first = xp.sum(w * moving.image**2, axis=over_image(w), dtype=offset.dtype)
    second = correlation(w * moving.image, field.spectrum, field.grid, 1)
    fine = tuple(2 * n for n in field.grid)
    square = rfft(_half_pixels(field, xp=xp) ** 2, ndim, xp=xp) / math.prod(fine)
    third = correlation(_stretched(w, xp=xp), square, fine, 2)
    lay = (slice(None), *(None,) * ndim)
    return first[lay] - 2 * second + third


def _precise(side: Side, dtype: object, *, xp: Namespace) -> Side:
    err = side.err if side.err is None else xp.astype(side.err, dtype)
    return side.with_image(xp.astype(side.image, dtype), err=err)


def _on_axis(a: Array, ndim: int, *, xp: Namespace) -> Array:
    """Give every axis the coordinates (batch, K) of one: `dft_basis` is asked for one axis at a time."""
    return xp.stack([a] * ndim, axis=-2)


def _half_pixels(field: Field, *, xp: Namespace) -> Array:
    """Return the field on a grid of half pixels, whole pixels at even indices."""
    ndim = len(field.grid)
    phases = []
    for half in itertools.product((0.0, -0.5), repeat=ndim):
        d = numbers(half, dtype=_real(field, xp=xp), like=field.spectrum, xp=xp)[None, :]
        phases.append(sample(fourier_translate(field.spectrum, d, field.grid, xp=xp), field.grid, field.grid, xp=xp))
    return _interleave(phases, xp=xp)


def _real(field: Field, *, xp: Namespace) -> object:
    return xp.real(field.spectrum).dtype


def _stretched(w: Array, *, xp: Namespace) -> Array:
    """Put zeros between the pixels."""
    zero = xp.zeros_like(w)
    return _interleave([w] + [zero] * (2 ** (w.ndim - 1) - 1), xp=xp)


def _interleave(phases: list[Array], *, xp: Namespace) -> Array:
    """Merge 2^ndim images: the binary digits of the position in the list are the odd or even index per axis."""
    ndim = phases[0].ndim - 1
    for axis in range(ndim, 0, -1):
        merged = []
        for even, odd in zip(phases[::2], phases[1::2], strict=True):
            pair = xp.stack([even, odd], axis=axis + 1)
            merged.append(xp.reshape(pair, (*even.shape[:axis], 2 * even.shape[axis], *even.shape[axis + 1 :])))
        phases = merged
    return phases[0]
