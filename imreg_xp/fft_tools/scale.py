"""Interpolation by Fourier: the trigonometric interpolant at any coordinates, in any number of dimensions."""

from __future__ import annotations

import math
from typing import Any

from .._array import Array, Namespace, accumulator_dtype, array_namespace, device_of, from_lists
from .._bounds import bounded
from ._arguments import as_coordinates, as_numeric, check_axes
from .sampling import at_points, on_grid, real_or_complex

__all__ = ["fourier_interp1d", "fourier_interp2d", "fourier_interpnd"]


def fourier_interp1d(
    data: Array,
    out_x: Array,
    data_x: Array | None = None,
    nthreads: int = 1,  # noqa: ARG001
    use_numpy_fft: bool = False,  # noqa: ARG001
    return_real: bool = True,
) -> Array:
    r"""Interpolate along the last axis by Fourier; beyond the data their period repeats.

    .. math:: O_j = \frac{1}{n} \sum_\nu F(\nu)\, e^{2\pi i \nu p(x_j)}

    with p(x) the pixel at x: x itself, or the line through the `data_x` on both sides of it.

    Parameters
    ----------
    data : array (..., n)
        Real or complex.
    out_x : array (m,)
        Where to interpolate, in the units of `data_x`.
    data_x : array (n,), optional
        Where the data are, rising or falling; pixels if not given. Beyond its ends the last step goes on. At steps that
        are not equal the result passes through the data, and is exact for what is band-limited in pixels, not in x.
    nthreads, use_numpy_fft
        Without effect: nothing is transformed.
    return_real : bool
        Return the real part; otherwise the result is complex.

    Returns
    -------
    array (..., m)
        NaN in `data` gives NaN everywhere, NaN in `out_x` there.

    Raises
    ------
    TypeError
        An argument is not an array, or they are of different libraries or devices; coordinates are not real numbers.
    ValueError
        `out_x` has not one axis, or `data_x` not the length of the data, 2 at least.
    """
    xp = array_namespace(data=data, out_x=out_x, optional={"data_x": data_x})
    check_axes("data", data, 1)
    data = as_numeric("data", data, xp=xp)
    acc = accumulator_dtype(data, xp=xp)
    if out_x.ndim != 1:
        msg = f"`out_x` must have one axis, got shape {tuple(out_x.shape)}"
        raise ValueError(msg)
    at = as_coordinates("out_x", out_x, acc, xp=xp)
    lead, n = data.shape[:-1], data.shape[-1]
    if data_x is not None:
        if tuple(data_x.shape) != (n,) or n < 2:
            msg = f"`data_x` must have shape {(n,)}, 2 at least, got {tuple(data_x.shape)}"
            raise ValueError(msg)
        at = _pixels(at, as_coordinates("data_x", data_x, acc, xp=xp), xp=xp)
    result = on_grid(xp.reshape(data, (math.prod(lead), n)), [at], xp=xp)
    return real_or_complex(xp.reshape(result, (*lead, at.shape[0])), return_real=return_real, xp=xp)


def _pixels(at: Array, data_x: Array, *, xp: Namespace) -> Array:
    """Return which pixel, whole or not, is at each coordinate."""
    sign = xp.where(data_x[-1] < data_x[0], -xp.ones_like(data_x), xp.ones_like(data_x))
    x, at = data_x * sign, at * sign[0]
    left = bounded(xp.searchsorted(x, at, side="right") - 1, 0, x.shape[0] - 2, xp=xp)
    start = xp.take(x, left, axis=0)
    return xp.astype(left, at.dtype) + (at - start) / (xp.take(x, left + 1, axis=0) - start)


def fourier_interpnd(
    data: Array,
    outinds: Any,
    nthreads: int = 1,  # noqa: ARG001
    use_numpy_fft: bool = False,  # noqa: ARG001
    return_real: bool = True,
) -> Array:
    r"""Interpolate an array by Fourier; beyond the data their period repeats.

    .. math:: O = \frac{1}{N} \sum_\nu F(\nu)\, e^{2\pi i \nu \cdot x}

    Parameters
    ----------
    data : array (n_1, ..., n_k)
        Real or complex, with any number of axes.
    outinds : array (k, ...) or sequence of k arrays or lists (m_i,)
        Where to interpolate, pixels, in array order. An array holds k coordinates for each point of the result, as
        `numpy.indices` lays them out, which takes a sum over all modes at each point. A sequence holds the coordinates
        along each axis of a grid, which takes far less.
    nthreads, use_numpy_fft
        Without effect: nothing is transformed.
    return_real : bool
        Return the real part; otherwise the result is complex.

    Returns
    -------
    array (...) or (m_1, ..., m_k)
        NaN in `data` gives NaN everywhere, NaN in `outinds` there.

    Raises
    ------
    TypeError
        An argument is not an array, or they are of different libraries or devices; coordinates are not real numbers.
    ValueError
        `outinds` has not one entry per axis of the data.

    Notes
    -----
    The Nyquist mode of an even axis enters by its cosine along that axis, so the interpolant of real data is real. The
    toolkit has the cosine of the sum for a mode at Nyquist along two axes.

    The toolkit takes an array of shape (2, m) for the coordinates along the axes of a grid; here it holds m points, as
    an array with more axes does.
    """
    grid = isinstance(outinds, (list, tuple))
    given = {f"outinds[{i}]": a for i, a in enumerate(outinds)} if grid else {"outinds": outinds}
    arrays = {name: a for name, a in given.items() if not isinstance(a, (list, tuple))}
    xp = array_namespace(data=data, **arrays)
    check_axes("data", data, data.ndim)
    data = as_numeric("data", data, xp=xp)
    at = _along_axes(given, data, xp=xp) if grid else _of_points(outinds, data, xp=xp)
    if grid:
        result = on_grid(data[None, ...], at, xp=xp)[0, ...]
    else:
        result = xp.reshape(at_points(data[None, ...], at, xp=xp), tuple(outinds.shape[1:]))
    return real_or_complex(result, return_real=return_real, xp=xp)


def _along_axes(given: dict[str, Any], data: Array, *, xp: Namespace) -> list[Array]:
    """Return the coordinates along each axis, which may be lists of numbers, (m_i,) each."""
    acc = accumulator_dtype(data, xp=xp)
    at = []
    for name, a in given.items():
        a = from_lists(a)
        if a.ndim != 1 or len(given) != data.ndim:
            break
        if not isinstance(given[name], (list, tuple)):
            at.append(as_coordinates(name, a, acc, xp=xp))
        elif a.dtype.kind in "iuf":
            at.append(xp.asarray(a, dtype=acc, device=device_of(data)))
        else:
            msg = f"`{name}` must be real numbers, got {given[name]!r}"
            raise TypeError(msg)
    if len(at) != data.ndim:
        msg = f"`outinds` must be an array of shape ({data.ndim}, ...) or {data.ndim} arrays of one axis"
        raise ValueError(msg)
    return at


def _of_points(outinds: Array, data: Array, *, xp: Namespace) -> list[Array]:
    """Return the coordinates of the points along each axis, (P,) each."""
    if outinds.ndim < 1 or outinds.shape[0] != data.ndim:
        msg = f"`outinds` must have shape ({data.ndim}, ...), got {tuple(outinds.shape)}"
        raise ValueError(msg)
    at = as_coordinates("outinds", outinds, accumulator_dtype(data, xp=xp), xp=xp)
    at = xp.reshape(at, (data.ndim, math.prod(outinds.shape[1:])))
    return [at[axis, ...] for axis in range(data.ndim)]


def fourier_interp2d(
    data: Array, outinds: Any, nthreads: int = 1, use_numpy_fft: bool = False, return_real: bool = True
) -> Array:
    """Interpolate an image by Fourier: `fourier_interpnd` for two axes, which has the details."""
    array_namespace(data=data)
    if data.ndim != 2:
        msg = f"`data` must have two axes, got shape {tuple(data.shape)}"
        raise ValueError(msg)
    return fourier_interpnd(data, outinds, nthreads=nthreads, use_numpy_fft=use_numpy_fft, return_real=return_real)
