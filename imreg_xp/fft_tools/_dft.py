r"""Fourier operators on coordinates: the one place that knows frequencies, phases and the Nyquist convention.

A real image :math:`f` of shape :math:`(n_1, \dots, n_k)` has the spectrum :math:`F = \mathrm{rfftn}(f)`. Its
trigonometric interpolant at the real coordinate :math:`x` is

.. math:: f(x) = \frac{1}{N} \sum_{\nu} F(\nu)\, e^{2\pi i \nu \cdot x}

with :math:`\nu` in cycles per pixel. The Nyquist mode of an even axis is its own conjugate: it is shifted by
:math:`\cos(\pi x)`, which keeps the result real, and it has no derivative.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

from .._array import Array, Namespace, complex_dtype
from .._kernels import Lookup, compiles, elementwise, per_item
from .._layout import zero_padded
from .._providers import Factors, inverse_transform, phases, product
from .._static import table
from ._modes import (
    frequency,
    low_frequency,
    mode_numbers,
    moving_frequency,
    moving_modes,
    nyquist,
    order_columns,
    roots_of_unity,
    taylor_columns,
)

__all__ = [
    "along",
    "axes_of",
    "dft_basis",
    "fourier_translate",
    "irfft",
    "lag_basis",
    "lag_waves",
    "part",
    "phasor",
    "rfft",
    "shift_waves",
    "taylor_basis",
    "translate_real_part",
    "translated",
    "turns",
]


_LONG = 2**16  # pixels: a quarter of the square of fewer is a number of 32 bits


def axes_of(ndim: int) -> tuple[int, ...]:
    """Return the trailing image axes."""
    return tuple(range(-ndim, 0))


def rfft(x: Array, ndim: int, *, xp: Namespace, s: Sequence[int] | None = None) -> Array:
    """Transform the last `ndim` axes of a real array, zero-padded at the end to `s`."""
    if s is not None and compiles(xp=xp):
        x = zero_padded(x, s, xp=xp)
    return xp.fft.rfftn(x, s=x.shape[x.ndim - ndim :] if s is None else tuple(s), axes=axes_of(ndim))


def irfft(spectrum: Array, shape: Sequence[int], *, keep: bool = True, xp: Namespace) -> Array:
    """Invert `rfft` up to the factor N, which is cheaper to apply to something small; images need not be kept."""
    if not keep:
        return inverse_transform(spectrum, shape, keep=False, xp=xp)
    return xp.fft.irfftn(spectrum, s=tuple(shape), axes=axes_of(len(shape)), norm="forward")


def dft_basis(
    shape: Sequence[int],
    at: Array,
    *,
    orders: int = 1,
    half: bool = True,
    conjugate: bool = False,
    nyquist: bool = True,
    xp: Namespace,
) -> list[Array]:
    r"""Return per axis the columns that evaluate a trigonometric polynomial and its derivatives.

    Parameters
    ----------
    shape
        The real image shape.
    at
        Coordinates in pixels, (..., ndim, points), in the accumulator dtype.
    orders
        1: values; 2: and first derivatives; 3: and second ones.
    half
        The last axis is the half axis of `rfftn`: its columns carry the weight 2 of the modes left out.
    conjugate
        Use :math:`e^{-2\pi i\nu x}`.
    nyquist
        Take the Nyquist mode by its cosine. Where the "modes" are samples it is one like any other.

    Returns
    -------
    One array (..., modes, points * orders) per axis; columns run over points, then orders.
    """
    columns = []
    for axis, n in enumerate(shape):
        folded = half and axis == len(shape) - 1
        e = _waves(n, folded, at[..., axis, :], -1 if conjugate else 1, cosine=nyquist, xp=xp)
        kept = order_columns(n, at, half=folded, orders=orders, conjugate=conjugate, cosine=nyquist, xp=xp)
        columns.append(xp.reshape(kept * e[..., None, :], (*e.shape[:-1], orders * e.shape[-1])))
    return columns


def taylor_basis(
    shape: Sequence[int], lag: Array, offset: Array, orders: int, *, dtype: Any, xp: Namespace
) -> list[Array]:
    """Return per axis the columns (batch, modes, orders) that give the Taylor series of the interpolant at `offset`.

    The waves are as precise as a spectrum of that `dtype`, which the columns of the last axis have. Both places are
    (batch, ndim), `lag` the whole pixel nearby: the Nyquist mode, which has no derivative, is as at the sample there.
    """
    columns = []
    for axis, column in enumerate(taylor_columns(shape, orders, lag, xp=xp)):
        n, half = shape[axis], axis == len(shape) - 1
        nu, moving = (
            table(f, n, half, dtype=lag.dtype, like=lag, xp=xp)[None, :] for f in (frequency, moving_frequency)
        )
        made = dtype if half else column.dtype
        places = (lag[:, axis, None], offset[:, axis, None])
        columns.append(_turned(column, nu, moving, *places, waves=dtype, dtype=made, xp=xp))
    return columns


def lag_basis(shape: Sequence[int], lag: Array, orders: int, *, dtype: Any, xp: Namespace) -> list[Array]:
    """Return the columns of `taylor_basis` for whole pixels (batch, ndim), all in one complex dtype."""
    made = taylor_columns(shape, orders, lag, dtype=dtype, xp=xp)
    return [lag_waves(shape, axis, lag, column, dtype=dtype, xp=xp) for axis, column in enumerate(made)]


def lag_waves(
    shape: Sequence[int], axis: int, lag: Array, column: Array | None = None, *, dtype: Any, xp: Namespace
) -> Array:
    """Return exp(2 pi i nu lag) of an axis for whole pixels (batch, ndim), (batch, modes); or that times columns."""
    n = shape[axis]
    whole = xp.int32 if n < _LONG else xp.int64
    mode = table(mode_numbers, n, axis == len(shape) - 1, dtype=whole, like=lag, xp=xp)[None, :]
    roots = Lookup(table(roots_of_unity, n, dtype=dtype, like=lag, xp=xp))
    return _looked_up(column, mode, roots, lag[:, axis, None], n=n, xp=xp)


@per_item(lead=2)
def _looked_up(column: Array | None, mode: Array, roots: Lookup, lag: Array, *, n: int, xp: Namespace) -> Array:
    """Return what belongs to modes of such numbers (1, modes) at a pixel (batch, 1), times (1, modes, orders)."""
    waves = roots.at((mode * xp.astype(lag, mode.dtype)) % n, xp=xp)
    return waves if column is None else waves[..., None] * column


@per_item(lead=2)
def _turned(
    column: Array, nu: Array, moving: Array, lag: Array, offset: Array, *, waves: Any, dtype: Any, xp: Namespace
) -> Array:
    """Return what belongs to modes (1, modes, orders) at `offset` (batch, 1), in a dtype, with `waves` of one."""
    angle = (2 * math.pi) * (turns(nu, lag, xp=xp) + moving * (offset - lag))
    turned = column * xp.astype(phases(angle, waves, xp=xp), column.dtype, copy=False)[..., None]
    return xp.astype(turned, dtype, copy=False)


def _waves(n: int, half: bool, x: Array, sign: int, *, cosine: bool = True, dtype: Any = None, xp: Namespace) -> Array:
    """Return exp(± 2 pi i nu x), (..., modes, points), of the modes of one axis, at Nyquist its real part."""
    nu = table(frequency, n, half, dtype=x.dtype, like=x, xp=xp)
    odd = moving_modes(n, half, x, xp=xp) if cosine and n % 2 == 0 else None
    return phasor(nu, x, sign, odd=odd, dtype=dtype, xp=xp)


def phasor(nu: Array, x: Array, sign: float, *, odd: Array | None = None, dtype: Any = None, xp: Namespace) -> Array:
    r"""Return :math:`e^{\pm 2\pi i\nu x}` of shape (..., modes, points), its imaginary part times `odd`, in a dtype."""
    places = xp.reshape(x, (-1, 1, x.shape[-1]))
    odd = None if odd is None else odd[None, ...]
    found = _phasor(nu[None, :, None], places, odd, sign=sign, dtype=dtype, xp=xp)
    return xp.reshape(found, (*x.shape[:-1], *found.shape[1:]))


@per_item(lead=2)
def _phasor(nu: Array, x: Array, odd: Array | None, *, sign: float, dtype: Any, xp: Namespace) -> Array:
    angle = (sign * 2 * math.pi) * turns(nu, x, xp=xp)
    cdtype = complex_dtype(angle.dtype, xp=xp)
    if odd is None:
        found = phases(angle, cdtype, xp=xp)
    else:
        found = xp.astype(xp.cos(angle), cdtype) + xp.astype(xp.sin(angle) * odd, cdtype) * 1j
    return found if dtype is None else xp.astype(found, dtype, copy=False)


def turns(nu: Array, x: Array, *, xp: Namespace) -> Array:
    """Return nu x without its whole turns, for arrays that broadcast.

    Without float64 those of the whole pixels go first, as a phase of 1000 turns has three digits fewer than one of less
    than a turn.
    """
    if xp.finfo(x.dtype).bits == 64:
        phase = nu * x
        return phase - xp.round(phase)
    whole = xp.round(x)
    phase = nu * whole
    phase = phase - xp.round(phase) + nu * (x - whole)
    return phase - xp.round(phase)


def fourier_translate(
    spectrum: Array, offset: Array, shape: Sequence[int], *, factor: Array | None = None, xp: Namespace
) -> Array:
    r"""Multiply an `rfftn` spectrum by :math:`e^{-2\pi i\nu\cdot d}`: the spectrum of :math:`f(x-d)`.

    Parameters
    ----------
    spectrum
        (batch, modes...)
    offset
        d in pixels, (batch or 1, ndim), accumulator dtype.
    factor
        What else to multiply by, (batch,).
    """
    return _by_all(spectrum, *shift_waves(shape, offset, spectrum.dtype, factor=factor, xp=xp), xp=xp)


def translated(spectrum: Array, offset: Array, shape: Sequence[int], *, xp: Namespace) -> tuple[Factors, Array | None]:
    """Return what `fourier_translate` does; on some libraries factors of it, and it once more to be written over."""
    waves = shift_waves(shape, offset, spectrum.dtype, xp=xp)
    made = _by_all(spectrum, *waves, xp=xp)
    if not compiles(xp=xp) or spectrum.ndim != 3:
        return made, None
    return (spectrum, *waves), made


def shift_waves(
    shape: Sequence[int], offset: Array, dtype: Any, *, factor: Array | None = None, xp: Namespace
) -> list[Array]:
    """Return what `fourier_translate` multiplies by: one array (batch, 1, ..., modes, ..., 1) per axis, in a dtype."""
    ndim, waves = len(shape), []
    for axis, n in enumerate(shape):
        e = _waves(n, axis == ndim - 1, offset[:, axis, None], -1, dtype=dtype, xp=xp)
        e = e if factor is None or axis else e * xp.astype(factor, xp.real(e).dtype)[:, None, None]
        waves.append(xp.reshape(e, (e.shape[0], *along(n=e.shape[1], axis=axis, ndim=ndim))))
    return waves


@elementwise
def _by_all(spectrum: Array, first: Array, *waves: Array, xp: Namespace) -> Array:  # noqa: ARG001
    return functools.reduce(product, waves, spectrum * first)


def translate_real_part(spectrum: Array, offset: Array, shape: Sequence[int], *, xp: Namespace) -> Array:
    r"""Return the `rfftn` spectrum of the real part of :math:`f(x-d)` where Nyquist modes turn by :math:`e^{i\pi d}`.

    It differs from `fourier_translate` where a mode is at Nyquist along several axes: that one moves by
    :math:`\cos(\pi\sum_i d_i)` here, by :math:`\prod_i\cos(\pi d_i)` there.

    Parameters
    ----------
    spectrum
        (batch, modes...)
    offset
        d in pixels, (ndim,), accumulator dtype.
    """
    turn = 1.0
    for axis, n in enumerate(shape):
        half = axis == len(shape) - 1
        top = nyquist(n, half, offset, xp=xp)
        nu = table(low_frequency, n, half, dtype=offset.dtype, like=offset, xp=xp)
        e = phasor(nu, offset[axis : axis + 1], -1.0, xp=xp)[:, 0]
        laid = along(n=e.shape[0], axis=axis, ndim=len(shape))
        turn = turn * xp.reshape(xp.where(top, e, 1.0), laid)
        spectrum = spectrum * xp.reshape(xp.astype(xp.where(top, 1.0, e), spectrum.dtype), laid)
    return spectrum * xp.astype(xp.real(turn), xp.real(spectrum).dtype)


def part(x: Array, axis: int, start: int | None, stop: int | None) -> Array:
    """Return a slice of `x` along one axis."""
    return x[(*(slice(None),) * axis, slice(start, stop), ...)]


def along(*, n: int, axis: int, ndim: int) -> tuple[int, ...]:
    """Return the shape that lays a vector of length `n` along image axis `axis`."""
    return tuple(n if a == axis else 1 for a in range(ndim))
