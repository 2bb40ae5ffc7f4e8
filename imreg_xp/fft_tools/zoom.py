"""Zooms into images by Fourier interpolation, in any number of dimensions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import scipy.fft

from .._array import Array, Namespace, array_namespace, as_images, is_number
from .sampling import as_complex, coordinates, on_grid

__all__ = ["zoom1d", "zoom_on_pixel", "zoomnd"]


def zoom1d(
    inp: Array,
    usfac: float = 1,
    outsize: int | None = None,
    offset: float = 0,
    nthreads: int = 1,
    use_numpy_fft: bool = False,
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
    nthreads : int
        Threads for the FFT (NumPy arrays).
    use_numpy_fft : bool
        Transform with `numpy.fft` instead of `scipy.fft` (NumPy arrays).
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
    xp = array_namespace(inp=inp, use_numpy_fft=use_numpy_fft)
    centre = [(inp.shape[-1] - 1) / 2 + offset] if inp.ndim else [0.0]
    size = None if outsize is None else (outsize,)
    with scipy.fft.set_workers(nthreads):
        x, zoomed = _zoom(inp, centre, usfac, size, name="outsize", return_real=return_real, xp=xp)
    return (x[0], zoomed) if return_xouts else zoomed


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
    given = list(offsets) if len(offsets) else [0.0] * inp.ndim
    if len(given) != inp.ndim:
        msg = f"`offsets` must be one number per axis ({inp.ndim}), got {offsets!r}"
        raise ValueError(msg)
    middle = [middle_convention((n - 1) / 2) + offset for n, offset in zip(inp.shape, given, strict=True)]
    return zoom_on_pixel(inp, middle, **kwargs)


def zoom_on_pixel(
    inp: Array,
    coordinates: Sequence[float],
    usfac: float = 1,
    outshape: int | Sequence[int] | None = None,
    nthreads: int = 1,
    use_numpy_fft: bool = False,
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
    nthreads : int
        Threads for the FFT (NumPy arrays).
    use_numpy_fft : bool
        Transform with `numpy.fft` instead of `scipy.fft` (NumPy arrays).
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
    """
    xp = array_namespace(inp=inp, use_numpy_fft=use_numpy_fft)
    if len(coordinates) != inp.ndim or not inp.ndim:
        msg = f"`coordinates` must be one number per axis ({inp.ndim}), got {coordinates!r}"
        raise ValueError(msg)
    shape = [outshape] * inp.ndim if is_number(outshape) else outshape
    with scipy.fft.set_workers(nthreads):
        x, zoomed = _zoom(inp, coordinates, usfac, shape, name="outshape", return_real=return_real, xp=xp)
    if not return_xouts:
        return zoomed
    grid = [
        xp.broadcast_to(xp.reshape(a, (-1,) + (1,) * (len(x) - 1 - axis)), zoomed.shape) for axis, a in enumerate(x)
    ]
    return xp.stack(grid, axis=0), zoomed


def _zoom(
    inp: Array, centre: Sequence[float], usfac: Any, shape: Any, *, name: str, return_real: bool, xp: Namespace
) -> tuple[list[Array], Array]:
    """Return the coordinates per axis and the zoom over the last axes, as many as `centre` has."""
    ndim = len(centre)
    complex_input = xp.isdtype(inp.dtype, "complex floating")
    data = inp if complex_input else as_images(xp=xp, inp=inp)[0]
    if not (is_number(usfac) and usfac > 0):
        msg = f"`usfac` must be a positive number, got {usfac!r}"
        raise ValueError(msg)
    shape = data.shape[data.ndim - ndim :] if shape is None else tuple(shape)
    if len(shape) != ndim or not all(is_number(n) and n == round(n) and n >= 1 for n in shape):
        msg = f"`{name}` must be whole numbers of at least 1, one per axis ({ndim}), got {shape!r}"
        raise ValueError(msg)
    real = xp.real(data) if complex_input else data
    at = [
        coordinates(c - (n - 1) / 2 / usfac, 1 / usfac, round(n), real, xp=xp)
        for c, n in zip(centre, shape, strict=True)
    ]
    lead = data.shape[: data.ndim - ndim]
    zoomed = on_grid(xp.reshape(data, (-1, *data.shape[data.ndim - ndim :])), at, xp=xp)
    zoomed = xp.reshape(zoomed, (*lead, *(round(n) for n in shape)))
    if not return_real:
        zoomed = as_complex(zoomed, xp=xp)
    elif complex_input:
        zoomed = xp.real(zoomed)
    return [xp.astype(a, real.dtype) for a in at], zoomed
