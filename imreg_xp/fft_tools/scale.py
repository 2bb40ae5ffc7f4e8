"""Interpolation by Fourier: the trigonometric interpolant at any coordinates, in any number of dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import scipy.fft

from .._array import Array, Namespace, accumulator_dtype, array_namespace, as_images
from .sampling import as_complex, at_points, on_grid

__all__ = ["fourier_interp1d", "fourier_interp2d", "fourier_interpnd"]


def fourier_interp1d(
    data: Array,
    out_x: Array,
    data_x: Array | None = None,
    nthreads: int = 1,
    use_numpy_fft: bool = False,
    return_real: bool = True,
) -> Array:
    r"""Interpolate along the last axis by Fourier; beyond the data their period repeats.

    .. math:: O_j = \frac{1}{n} \sum_\nu F(\nu)\, e^{2\pi i \nu x_j}

    Parameters
    ----------
    data : array (..., n)
        Real or complex.
    out_x : array (m,)
        Where to interpolate, in the units of `data_x`.
    data_x : array (n,), optional
        Where the data are, at equal steps; pixels if not given. Only the first and the last are looked at.
    nthreads : int
        Threads for the FFT (NumPy arrays).
    use_numpy_fft : bool
        Transform with `numpy.fft` instead of `scipy.fft` (NumPy arrays).
    return_real : bool
        Return the real part; otherwise the result is complex.

    Returns
    -------
    array (..., m)
        NaN in `data` gives NaN everywhere, NaN in `out_x` there.

    Raises
    ------
    TypeError
        An argument is not an array, or they are of different libraries or devices.
    ValueError
        `out_x` has not one axis, or `data_x` not the length of the data, 2 at least.
    """
    xp = array_namespace(data=data, out_x=out_x, optional={"data_x": data_x}, use_numpy_fft=use_numpy_fft)
    data, real = _numeric(data, xp=xp)
    acc = accumulator_dtype(real, xp=xp)
    if data.ndim < 1 or out_x.ndim != 1:
        msg = f"`out_x` must have one axis, got shape {tuple(out_x.shape)}"
        raise ValueError(msg)
    at = xp.astype(out_x, acc)
    if data_x is not None:
        if tuple(data_x.shape) != tuple(data.shape[-1:]) or data_x.shape[0] < 2:
            msg = f"`data_x` must have shape {tuple(data.shape[-1:])}, 2 at least, got {tuple(data_x.shape)}"
            raise ValueError(msg)
        x = xp.astype(data_x, acc)
        at = (at - x[0]) * ((data.shape[-1] - 1) / (x[-1] - x[0]))
    with scipy.fft.set_workers(nthreads):
        result = on_grid(xp.reshape(data, (-1, data.shape[-1])), [at], xp=xp)
    return _returned(xp.reshape(result, (*data.shape[:-1], at.shape[0])), return_real=return_real, xp=xp)


def fourier_interpnd(
    data: Array, outinds: Any, nthreads: int = 1, use_numpy_fft: bool = False, return_real: bool = True
) -> Array:
    r"""Interpolate an array by Fourier; beyond the data their period repeats.

    .. math:: O = \frac{1}{N} \sum_\nu F(\nu)\, e^{2\pi i \nu \cdot x}

    Parameters
    ----------
    data : array (n_1, ..., n_k)
        Real or complex, with any number of axes.
    outinds : array (k, ...) or k arrays (m_i,)
        Where to interpolate, pixels, in array order. Either k coordinates for each point of the result, as
        `numpy.indices` gives them, which takes a sum over all modes at each; or the coordinates along each axis of a
        grid, which takes far less.
    nthreads : int
        Threads for the FFT (NumPy arrays).
    use_numpy_fft : bool
        Transform with `numpy.fft` instead of `scipy.fft` (NumPy arrays).
    return_real : bool
        Return the real part; otherwise the result is complex.

    Returns
    -------
    array (...) or (m_1, ..., m_k)
        NaN in `data` gives NaN everywhere, NaN in `outinds` there.

    Raises
    ------
    TypeError
        An argument is not an array, or they are of different libraries or devices.
    ValueError
        `outinds` has not one entry per axis of the data.
    """
    grid = isinstance(outinds, Sequence)
    named = {f"outinds[{i}]": a for i, a in enumerate(outinds)} if grid else {"outinds": outinds}
    xp = array_namespace(data=data, **named, use_numpy_fft=use_numpy_fft)
    data, real = _numeric(data, xp=xp)
    count = len(outinds) if grid else (outinds.shape[0] if outinds.ndim else 0)
    if count != data.ndim or not count or (grid and any(a.ndim != 1 for a in outinds)):
        msg = f"`outinds` must be an array of shape ({data.ndim}, ...) or {data.ndim} arrays of one axis"
        raise ValueError(msg)
    acc = accumulator_dtype(real, xp=xp)
    with scipy.fft.set_workers(nthreads):
        if grid:
            result = on_grid(data[None, ...], [xp.astype(a, acc) for a in outinds], xp=xp)[0, ...]
        else:
            points = [xp.reshape(xp.astype(outinds[i, ...], acc), (-1,)) for i in range(count)]
            result = xp.reshape(at_points(data[None, ...], points, xp=xp), tuple(outinds.shape[1:]))
    return _returned(result, return_real=return_real, xp=xp)


def fourier_interp2d(
    data: Array, outinds: Any, nthreads: int = 1, use_numpy_fft: bool = False, return_real: bool = True
) -> Array:
    """Interpolate an image by Fourier: `fourier_interpnd` for two axes, which has the details."""
    array_namespace(data=data)
    if data.ndim != 2:
        msg = f"`data` must have two axes, got shape {tuple(data.shape)}"
        raise ValueError(msg)
    return fourier_interpnd(data, outinds, nthreads=nthreads, use_numpy_fft=use_numpy_fft, return_real=return_real)


def _numeric(data: Array, *, xp: Namespace) -> tuple[Array, Array]:
    """Return the data in a floating dtype, and their real part."""
    if xp.isdtype(data.dtype, "complex floating"):
        return data, xp.real(data)
    (data,) = as_images(xp=xp, data=data)
    return data, data


def _returned(result: Array, *, return_real: bool, xp: Namespace) -> Array:
    if not return_real:
        return as_complex(result, xp=xp)
    return xp.real(result) if xp.isdtype(result.dtype, "complex floating") else result
