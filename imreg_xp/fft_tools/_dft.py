r"""Fourier operators on coordinates: the one place that knows frequencies, phases and the Nyquist convention.

A real image :math:`f` of shape :math:`(n_1, \dots, n_k)` has the spectrum :math:`F = \mathrm{rfftn}(f)`. Its
trigonometric interpolant at the real coordinate :math:`x` is

.. math:: f(x) = \frac{1}{N} \sum_{\nu} F(\nu)\, e^{2\pi i \nu \cdot x}

with :math:`\nu` in cycles per pixel. The Nyquist mode of an even axis is its own conjugate: it is shifted by
:math:`\cos(\pi x)`, which keeps the result real, and it has no derivative.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from .._array import Array, Namespace, complex_dtype, is_kind
from .._providers import matmul, phases, product
from .._static import table
from ._modes import (
    entries,
    falling,
    frequency,
    low_frequency,
    moving_frequency,
    moving_modes,
    nyquist,
    order_columns,
    taylor_columns,
)

__all__ = [
    "along",
    "axes_of",
    "contract",
    "derivative",
    "dft_basis",
    "fourier_translate",
    "irfft",
    "part",
    "phasor",
    "rfft",
    "slopes_and_bends",
    "taylor_basis",
    "taylor_sums",
    "translate_real_part",
    "turns",
]


def axes_of(ndim: int) -> tuple[int, ...]:
    """Return the trailing image axes."""
    return tuple(range(-ndim, 0))


def rfft(x: Array, ndim: int, *, xp: Namespace, s: Sequence[int] | None = None) -> Array:
    """Transform the last `ndim` axes of a real array, zero-padded at the end to `s`."""
    return xp.fft.rfftn(x, s=x.shape[x.ndim - ndim :] if s is None else tuple(s), axes=axes_of(ndim))


def irfft(spectrum: Array, shape: Sequence[int], *, xp: Namespace) -> Array:
    """Invert `rfft` up to the factor N, which is cheaper to apply to something small."""
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
    shape: Sequence[int], lag: Array, x: Array, orders: int, *, dtype: object, xp: Namespace
) -> list[Array]:
    """Return per axis the columns (batch, modes, orders) that give the Taylor series of the interpolant at lag + x.

    The waves are as precise as a spectrum of that `dtype`. Both places are (batch, ndim), `lag` in whole pixels: the
    Nyquist mode, which has no derivative, is as at the sample there.
    """
    columns = []
    for axis, column in enumerate(taylor_columns(shape, orders, x, xp=xp)):
        n, half = shape[axis], axis == len(shape) - 1
        nu, moving = (table(f, n, half, dtype=x.dtype, like=x, xp=xp) for f in (frequency, moving_frequency))
        angle = (2 * math.pi) * (turns(nu, lag[:, axis, None], xp=xp) + moving * x[:, axis, None])
        columns.append(column * xp.astype(phases(angle, dtype, xp=xp), column.dtype, copy=False)[..., None])
    return columns


def taylor_sums(series: Array, x: Array, *, xp: Namespace) -> Array:
    """Return values and derivatives (batch, 3, ..., 3) of Taylor series (batch, orders, ...) at x (batch, ndim)."""
    factor, power = (
        table(falling, series.shape[1], which, dtype=x.dtype, like=x, xp=xp) for which in ("factor", "power")
    )
    columns = xp.astype(factor * x[..., None, None] ** power, series.dtype, copy=False)
    return contract(series, [columns[:, axis, ...] for axis in range(x.shape[-1])], xp=xp)


def _waves(n: int, half: bool, x: Array, sign: int, *, cosine: bool = True, xp: Namespace) -> Array:
    """Return exp(± 2 pi i nu x), (..., modes, points), of the modes of one axis, at Nyquist its real part."""
    nu = table(frequency, n, half, dtype=x.dtype, like=x, xp=xp)
    odd = moving_modes(n, half, x, xp=xp) if cosine and n % 2 == 0 else None
    return phasor(nu, x, sign, odd=odd, xp=xp)


def phasor(nu: Array, x: Array, sign: float, *, odd: Array | None = None, xp: Namespace) -> Array:
    r"""Return :math:`e^{\pm 2\pi i\nu x}` of shape (..., modes, points), its imaginary part times `odd`."""
    angle = (sign * 2 * math.pi) * turns(nu[:, None], x[..., None, :], xp=xp)
    cdtype = complex_dtype(angle.dtype, xp=xp)
    if odd is None:
        return phases(angle, cdtype, xp=xp)
    return xp.astype(xp.cos(angle), cdtype) + xp.astype(xp.sin(angle) * odd, cdtype) * 1j


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


def contract(spectrum: Array, columns: Sequence[Array], *, dtype: object = None, xp: Namespace) -> Array:
    r"""Apply one column matrix per image axis.

    .. math:: T_{a_1\dots a_k} = \sum_{\nu_1\dots\nu_k} S_{\nu_1\dots\nu_k} \prod_i E^{(i)}_{\nu_i a_i}

    Parameters
    ----------
    spectrum
        (batch, modes_1, ..., modes_k)
    columns
        k arrays (batch or 1, modes_i, K_i); the last is cast to the dtype of `spectrum` for the long sums.
    dtype
        That of the sums over the remaining axes and of the result; the dtype of the last columns unless given.

    Returns
    -------
    (batch, K_1, ..., K_k).
    """
    modes = spectrum.shape[1:]
    last = columns[-1]
    dtype = last.dtype if dtype is None else dtype
    flat = spectrum
    if len(modes) != 2:
        flat = xp.reshape(spectrum, (spectrum.shape[0], math.prod(modes[:-1]), modes[-1]))
    if spectrum.dtype == last.dtype == dtype:
        t = matmul(flat, last, xp=xp)
    elif spectrum.dtype == last.dtype or not _real_times_complex(spectrum, last, xp=xp):
        t = xp.astype(matmul(flat, xp.astype(last, spectrum.dtype, copy=False), xp=xp), dtype, copy=False)
    else:
        # a real spectrum times complex columns: a quarter of the work
        parts = xp.concat([xp.real(last), xp.imag(last)], axis=-1)
        t = xp.astype(xp.matmul(flat, xp.astype(parts, spectrum.dtype)), last.dtype)
        k = last.shape[-1]
        t = t[..., :k] + 1j * t[..., k:]
    if len(modes) == 2:
        return xp.matmul(xp.matrix_transpose(columns[0]), t)
    batch, sizes = t.shape[0], [last.shape[-1]]
    for axis in range(len(modes) - 2, -1, -1):
        column = xp.matrix_transpose(columns[axis])
        t = xp.reshape(t, (batch, *modes[:axis], modes[axis], math.prod(sizes)))
        column = xp.reshape(column, (column.shape[0], *(1,) * axis, *column.shape[1:])) if axis else column
        t = xp.matmul(column, t)
        batch = t.shape[0]
        sizes.insert(0, column.shape[-2])
    return xp.reshape(t, (batch, *sizes))


def _real_times_complex(a: Array, b: Array, *, xp: Namespace) -> bool:
    kinds = [is_kind(x.dtype, "complex floating", xp=xp) for x in (a, b)]
    return kinds == [False, True]


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
    ndim = len(shape)
    for axis, n in enumerate(shape):
        e = _waves(n, axis == ndim - 1, offset[:, axis, None], -1, xp=xp)
        e = e if factor is None or axis else e * factor[:, None, None]
        e = xp.reshape(xp.astype(e, spectrum.dtype), (e.shape[0], *along(n=e.shape[1], axis=axis, ndim=ndim)))
        spectrum = product(spectrum, e) if axis else spectrum * e
    return spectrum


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


def derivative(table: Array, *axes: int) -> Array:
    """Pick the mixed derivative along `axes` from a table (batch, orders, ..., orders) made by `dft_basis` columns."""
    return table[(slice(None), *(axes.count(a) for a in range(table.ndim - 1)))]


def slopes_and_bends(values: Array, *, xp: Namespace) -> tuple[Array, Array]:
    """Pick all first (batch, ndim) and second derivatives (batch, ndim, ndim) from a table of 3 orders per axis."""
    ndim = values.ndim - 1
    flat = xp.reshape(values, (values.shape[0], 3**ndim))
    both = xp.take(flat, table(entries, ndim, dtype=xp.int64, like=values, xp=xp), axis=1)
    return both[:, :ndim], xp.reshape(both[:, ndim:], (-1, ndim, ndim))


def part(x: Array, axis: int, start: int | None, stop: int | None) -> Array:
    """Return a slice of `x` along one axis."""
    return x[(*(slice(None),) * axis, slice(start, stop), ...)]


def along(*, n: int, axis: int, ndim: int) -> tuple[int, ...]:
    """Return the shape that lays a vector of length `n` along image axis `axis`."""
    return tuple(n if a == axis else 1 for a in range(ndim))
