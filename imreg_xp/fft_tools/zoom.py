"""Zooms into images by Fourier interpolation, in any number of dimensions."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from .._array import Array, Namespace, array_namespace
from ._arguments import as_numeric, check_axes, factor, number, numbers, size, sizes
from ._matrices import Line, coordinates
from .sampling import on_grid, real_or_complex

__all__ = ["zoom1d", "zoom_on_pixel", "zoomnd"]


def zoom1d(
    inp: Array,
    usfac: float = 1,
    outsize: int | None = None,
    offset: float = 0,
    nthreads: int = 1,  # noqa: ARG001
    use_numpy_fft: bool = False,  # noqa: ARG001
    return_xouts: bool = False,
    return_real: bool = True,
) -> Any:
    r"""Zoom in on the centre of the last axis by Fourier interpolation.

    .. math:: O_j = f(x_j), \qquad
              x_j = \frac{n - 1}{2} + \mathrm{offset} + \frac{j - (\mathrm{outsize} - 1) / 2}{\mathrm{usfac}}

    with f the periodic trigonometric interpolant.

    Parameters
    ----------
    inp : array (..., n)
        Real or complex.
    usfac : number
        Samples per pixel.
    outsize : int, optional
        Samples of the result, n if not given.
    offset : number
        From the centre, in pixels of `inp`.
    nthreads, use_numpy_fft
        Without effect: nothing is transformed.
    return_xouts : bool
        Return (x, result), x in pixels of `inp`.
    return_real : bool
        Return the real part; otherwise the result is complex.

    Returns
    -------
    array (..., outsize)
        NaN in `inp` gives NaN everywhere.

    Raises
    ------
    TypeError
        `inp` is not a numeric array.
    ValueError
        `usfac` is not positive or `outsize` not a whole number of at least 1.
    """
    xp = array_namespace(inp=inp)
    check_axes("inp", inp, 1)
    centre = [(inp.shape[-1] - 1) / 2 + number("offset", offset)]
    shape = [size("outsize", outsize, inp.shape[-1])]
    lines, zoomed = _zoom(inp, centre, usfac, shape, return_real=return_real, xp=xp)
    return (_coordinates(lines[0], zoomed, xp=xp), zoomed) if return_xouts else zoomed


def zoomnd(
    inp: Array, offsets: Sequence[float] = (), middle_convention: Callable[[float], float] = float, **kwargs: Any
) -> Any:
    """Zoom in on the centre of an array by Fourier interpolation.

    Parameters
    ----------
    inp : array (n_1, ..., n_k)
        Real or complex.
    offsets : sequence of numbers
        From the centre per axis, in pixels of `inp`; none: 0.
    middle_convention : function
        What to make of the middle (n - 1) / 2: `float` (it may lie between two pixels), `math.floor`, `math.ceil`.
    **kwargs
        `usfac`, `outshape`, `nthreads`, `use_numpy_fft`, `return_real`, `return_xouts` of `zoom_on_pixel`.

    Returns
    -------
    As `zoom_on_pixel`.

    Raises
    ------
    TypeError, ValueError
        As `zoom_on_pixel`; `offsets` is not one number per axis.
    """
    array_namespace(inp=inp)
    given = numbers("offsets", offsets, inp.ndim, optional=True)
    middle = [middle_convention((n - 1) / 2) + offset for n, offset in zip(inp.shape, given, strict=True)]
    return zoom_on_pixel(inp, middle, **kwargs)


def zoom_on_pixel(
    inp: Array,
    coordinates: Sequence[float],
    usfac: float = 1,
    outshape: int | Sequence[int] | None = None,
    nthreads: int = 1,  # noqa: ARG001
    use_numpy_fft: bool = False,  # noqa: ARG001
    return_real: bool = True,
    return_xouts: bool = False,
) -> Any:
    r"""Zoom in on a point of an array by Fourier interpolation.

    .. math:: O_j = f(x_j), \qquad x_j = \mathrm{coordinates} + \frac{j - (\mathrm{outshape} - 1) / 2}{\mathrm{usfac}}

    along each axis, with f the periodic trigonometric interpolant.

    Parameters
    ----------
    inp : array (n_1, ..., n_k)
        Real or complex, with any number of axes.
    coordinates : sequence of numbers
        The point in the middle of the result, pixels, one per axis in array order.
    usfac : number
        Samples per pixel.
    outshape : int or sequence of int, optional
        Shape of the result, that of `inp` if not given.
    nthreads, use_numpy_fft
        Without effect: nothing is transformed.
    return_real : bool
        Return the real part; otherwise the result is complex.
    return_xouts : bool
        Return (x, result), x of shape (k, ...) in pixels of `inp`, as `numpy.indices` lays it out.

    Returns
    -------
    array of shape `outshape`
        NaN in `inp` gives NaN everywhere.

    Raises
    ------
    TypeError
        `inp` is not a numeric array.
    ValueError
        `coordinates` or `outshape` are not one number per axis, `usfac` is not positive.

    Notes
    -----
    The Nyquist mode of an even axis enters by its cosine along that axis, so the interpolant of real data is real. The
    toolkit has the cosine of the sum for a mode at Nyquist along two axes.
    """
    xp = array_namespace(inp=inp)
    check_axes("inp", inp, inp.ndim)
    centre = numbers("coordinates", coordinates, inp.ndim)
    shape = sizes("outshape", outshape, inp.shape)
    lines, zoomed = _zoom(inp, centre, usfac, shape, return_real=return_real, xp=xp)
    if not return_xouts:
        return zoomed
    x = [_coordinates(line, zoomed, xp=xp) for line in lines]
    grid = [
        xp.broadcast_to(xp.reshape(a, (-1,) + (1,) * (len(x) - 1 - axis)), zoomed.shape) for axis, a in enumerate(x)
    ]
    return xp.stack(grid, axis=0), zoomed


def _zoom(
    inp: Array, centre: Sequence[float], usfac: float, shape: Sequence[int], *, return_real: bool, xp: Namespace
) -> tuple[list[Line], Array]:
    """Return the coordinates per axis and the zoom over the last axes, as many as `centre` has."""
    ndim = len(centre)
    data = as_numeric("inp", inp, xp=xp)
    step = 1 / factor("usfac", usfac)
    lines = [Line(c - (n - 1) / 2 * step, step, n) for c, n in zip(centre, shape, strict=True)]
    lead, own = data.shape[: data.ndim - ndim], data.shape[data.ndim - ndim :]
    zoomed = on_grid(xp.reshape(data, (math.prod(lead), *own)), lines, xp=xp)
    return lines, real_or_complex(xp.reshape(zoomed, (*lead, *shape)), return_real=return_real, xp=xp)


def _coordinates(line: Line, like: Array, *, xp: Namespace) -> Array:
    real = xp.real(like) if xp.isdtype(like.dtype, "complex floating") else like
    return xp.astype(coordinates(line, real, xp=xp), real.dtype)
