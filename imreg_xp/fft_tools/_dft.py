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

from .._array import Array, Namespace, accumulator_dtype, complex_dtype, device_of

__all__ = [
    "along",
    "angular_frequencies",
    "axes_of",
    "contract",
    "derivative",
    "dft_basis",
    "fourier_translate",
    "frequencies",
    "half_weights",
    "irfft",
    "part",
    "phasor",
    "rfft",
    "taylor_basis",
    "translate_real_part",
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


def frequencies(shape: Sequence[int], like: Array, *, xp: Namespace) -> list[Array]:
    """Return per axis the frequencies (cycles/pixel) of `rfftn`: full axes, then the half axis."""
    device = device_of(like)
    dtype = accumulator_dtype(like, xp=xp)
    full = [_frequency(n, n, dtype, device, xp=xp) for n in shape[:-1]]
    n = shape[-1]
    return [*full, _frequency(n, n // 2 + 1, dtype, device, xp=xp)]


def _frequency(n: int, count: int, dtype: object, device: object, *, xp: Namespace) -> Array:
    # `fftfreq` has no dtype on some libraries; the integers are exact in any
    j = xp.arange(count, dtype=dtype, device=device)
    return (j - n * xp.astype(j > (n - 1) // 2, j.dtype) if count == n else j) / n


def _nyquist(nu: Array, n: int) -> Array:
    return abs(nu) * n > n / 2 - 0.25 if n % 2 == 0 else nu > 1.0


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
    for axis, (n, nu) in enumerate(zip(shape, frequencies(shape, at, xp=xp), strict=True)):
        if not half and axis == len(shape) - 1:
            nu = _frequency(n, n, nu.dtype, device_of(at), xp=xp)
        top = _nyquist(nu, n) if nyquist else nu > 1.0
        e = phasor(nu, at[..., axis, :], -1.0 if conjugate else 1.0, xp=xp)
        dtype = e.dtype
        first = xp.astype(xp.where(top, xp.zeros_like(nu), (-2 if conjugate else 2) * math.pi * nu), dtype) * 1j
        value = xp.where(top[:, None], xp.astype(xp.real(e), dtype), e)
        stack = [value, *(first[:, None] ** order * e for order in range(1, orders))]
        if half and axis == len(shape) - 1:
            weight = xp.astype(_half_weight(nu, top, xp=xp), dtype)
            stack = [s * weight[:, None] for s in stack]
        columns.append(xp.concat(stack, axis=-1))
    return columns


def taylor_basis(shape: Sequence[int], at: Array, orders: int, *, xp: Namespace) -> list[Array]:
    r"""Return per axis the columns (batch, modes, orders) of the Taylor coefficients at one point (batch, ndim).

    Column j is :math:`(2\pi i\nu)^j e^{2\pi i\nu x} / j!`, with the weights of the half axis.
    """
    columns = []
    for axis, (n, nu) in enumerate(zip(shape, frequencies(shape, at, xp=xp), strict=True)):
        nyquist = _nyquist(nu, n)
        e = phasor(nu, at[:, axis, None], 1.0, xp=xp)
        omega = xp.where(nyquist, xp.zeros_like(nu), 2 * math.pi * nu)[:, None]
        j = xp.arange(1, orders, dtype=nu.dtype, device=device_of(at))
        steps = xp.astype(omega / j, e.dtype) * 1j
        value = xp.where(nyquist[:, None], xp.astype(xp.real(e), e.dtype), e)
        higher = xp.cumulative_prod(steps, axis=-1) * e
        stack = xp.concat([value, higher], axis=-1)
        if axis == len(shape) - 1:
            stack = stack * xp.astype(_half_weight(nu, nyquist, xp=xp), stack.dtype)[:, None]
        columns.append(stack)
    return columns


def _half_weight(nu: Array, nyquist: Array, *, xp: Namespace) -> Array:
    return xp.where((nu == 0) | nyquist, xp.ones_like(nu), 2 * xp.ones_like(nu))


def half_weights(shape: Sequence[int], like: Array, *, xp: Namespace) -> Array:
    """Return the multiplicity (1 or 2) of each mode along the half axis of `rfftn`."""
    nu = frequencies(shape, like, xp=xp)[-1]
    return _half_weight(nu, _nyquist(nu, shape[-1]), xp=xp)


def angular_frequencies(shape: Sequence[int], like: Array, *, xp: Namespace) -> list[Array]:
    r"""Return per axis :math:`2\pi\nu` with 0 at Nyquist: the multiplier, up to i, of the spectral derivative."""
    nus = frequencies(shape, like, xp=xp)
    return [xp.where(_nyquist(nu, n), xp.zeros_like(nu), 2 * math.pi * nu) for n, nu in zip(shape, nus, strict=True)]


def phasor(nu: Array, x: Array, sign: float, *, xp: Namespace) -> Array:
    r"""Return :math:`e^{\pm 2\pi i\nu x}` of shape (..., modes, points).

    The whole cycles are taken off first: a phase of 1000 turns has three digits fewer than one of less than a turn.
    """
    whole = xp.round(x)[..., None, :]
    rest = x[..., None, :] - whole
    turns = nu[:, None] * whole
    turns = turns - xp.round(turns) + nu[:, None] * rest
    angle = (sign * 2 * math.pi) * turns
    cdtype = complex_dtype(angle.dtype, xp=xp)
    return xp.astype(xp.cos(angle), cdtype) + xp.astype(xp.sin(angle), cdtype) * 1j


def contract(spectrum: Array, columns: Sequence[Array], *, xp: Namespace) -> Array:
    r"""Apply one column matrix per image axis.

    .. math:: T_{a_1\dots a_k} = \sum_{\nu_1\dots\nu_k} S_{\nu_1\dots\nu_k} \prod_i E^{(i)}_{\nu_i a_i}

    Parameters
    ----------
    spectrum
        (batch, modes_1, ..., modes_k)
    columns
        k arrays (batch or 1, modes_i, K_i), cast to the dtype of `spectrum` for the long sums and summed over the
        remaining axes in their own.

    Returns
    -------
    (batch, K_1, ..., K_k) in the dtype of `columns`.
    """
    modes = spectrum.shape[1:]
    last = columns[-1]
    flat = xp.reshape(spectrum, (spectrum.shape[0], math.prod(modes[:-1]), modes[-1]))
    if xp.isdtype(spectrum.dtype, "complex floating") or not xp.isdtype(last.dtype, "complex floating"):
        t = xp.astype(xp.matmul(flat, xp.astype(last, spectrum.dtype, copy=False)), last.dtype, copy=False)
    else:
        # a real spectrum times complex columns: a quarter of the work
        parts = xp.concat([xp.real(last), xp.imag(last)], axis=-1)
        t = xp.astype(xp.matmul(flat, xp.astype(parts, spectrum.dtype)), last.dtype)
        k = last.shape[-1]
        t = t[..., :k] + 1j * t[..., k:]
    kept = [last.shape[-1]]
    for axis in range(len(modes) - 2, -1, -1):
        column = columns[axis]
        t = xp.reshape(t, (t.shape[0], math.prod(modes[:axis]), modes[axis], math.prod(kept)))
        t = xp.matrix_transpose(t)
        t = xp.matmul(t, column[:, None, :, :])
        kept.append(column.shape[-1])
    t = xp.reshape(t, (t.shape[0], *kept))
    return xp.permute_dims(t, (0, *range(len(kept), 0, -1)))


def fourier_translate(spectrum: Array, offset: Array, shape: Sequence[int], *, xp: Namespace) -> Array:
    r"""Multiply an `rfftn` spectrum by :math:`e^{-2\pi i\nu\cdot d}`: the spectrum of :math:`f(x-d)`.

    Parameters
    ----------
    spectrum
        (batch, modes...)
    offset
        d in pixels, (batch or 1, ndim), accumulator dtype.
    """
    ndim = len(shape)
    for axis, (n, nu) in enumerate(zip(shape, frequencies(shape, offset, xp=xp), strict=True)):
        e = phasor(nu, offset[:, axis, None], -1.0, xp=xp)[..., 0]
        e = xp.where(_nyquist(nu, n), xp.astype(xp.real(e), e.dtype), e)
        e = xp.reshape(xp.astype(e, spectrum.dtype), (e.shape[0], *along(n=e.shape[1], axis=axis, ndim=ndim)))
        spectrum = spectrum * e
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
    for axis, (n, nu) in enumerate(zip(shape, frequencies(shape, offset, xp=xp), strict=True)):
        top = _nyquist(nu, n)
        # the half axis has its Nyquist mode at +1/2, the others at -1/2
        e = phasor(xp.where(top, -abs(nu), nu), offset[axis : axis + 1], -1.0, xp=xp)[:, 0]
        laid = along(n=e.shape[0], axis=axis, ndim=len(shape))
        turn = turn * xp.reshape(xp.where(top, e, xp.ones_like(e)), laid)
        spectrum = spectrum * xp.reshape(xp.astype(xp.where(top, xp.ones_like(e), e), spectrum.dtype), laid)
    return spectrum * xp.astype(xp.real(turn), spectrum.dtype)


def derivative(table: Array, *axes: int) -> Array:
    """Pick the mixed derivative along `axes` from a table (batch, orders, ..., orders) made by `dft_basis` columns."""
    return table[(slice(None), *(axes.count(a) for a in range(table.ndim - 1)))]


def part(x: Array, axis: int, start: int | None, stop: int | None) -> Array:
    """Return a slice of `x` along one axis."""
    return x[(*(slice(None),) * axis, slice(start, stop), ...)]


def along(*, n: int, axis: int, ndim: int) -> tuple[int, ...]:
    """Return the shape that lays a vector of length `n` along image axis `axis`."""
    return tuple(n if a == axis else 1 for a in range(ndim))
