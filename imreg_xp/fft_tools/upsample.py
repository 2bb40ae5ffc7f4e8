"""Upsampled discrete Fourier transforms and images, by matrix products: exact, and only where asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import scipy.fft

from .._array import Array, Namespace, array_namespace, as_images, is_number
from ._dft import contract
from .sampling import as_complex, columns_at, coordinates, on_grid

__all__ = ["dftups", "dftups1d", "odddftups", "upsample_image"]


def dftups(
    inp: Array, nor: int | None = None, noc: int | None = None, usfac: float = 1, roff: float = 0, coff: float = 0
) -> Array:
    r"""Return a region of the upsampled discrete Fourier transform, without zero-padding.

    .. math:: O_{rc} = \sum_{yx} I_{yx}\,
              \exp\left[-2\pi i \left(\frac{(r - \mathrm{roff})\, \tilde y}{n_y\, \mathrm{usfac}} +
              \frac{(c - \mathrm{coff})\, \tilde x}{n_x\, \mathrm{usfac}}\right)\right]

    with :math:`\tilde y, \tilde x` the indices counted from the centre as `fftfreq` does (0, 1, ..., -2, -1). It is the
    crop of the transform of the array embedded in zeros to usfac times its size.

    Parameters
    ----------
    inp : array (..., ny, nx), real or complex
        Its index 0 is the origin (no `fftshift`); usually a cross-power spectrum.
    nor, noc : int, optional
        Rows and columns of the result, those of `inp` if not given.
    usfac : number
        Upsampling factor.
    roff, coff : number
        Row and column of the result where its origin lies.

    Returns
    -------
    array (..., nor, noc), complex

    Raises
    ------
    TypeError
        `inp` is not a numeric array.
    ValueError
        `inp` has fewer than two axes, `usfac` is not positive or a size not at least 1.

    Notes
    -----
    After M. Guizar-Sicairos (doi:10.1364/OL.33.000156). An even axis has its middle index, which is its own opposite,
    at :math:`-n/2`. NaN in `inp` gives NaN everywhere.
    """
    xp = array_namespace(inp=inp)
    data = _numeric(inp, 2, xp=xp)
    ny, nx = data.shape[-2:]
    rows = _size("nor", nor, ny)
    columns = _size("noc", noc, nx)
    _check_factor("usfac", usfac)
    flat = xp.reshape(as_complex(data, xp=xp), (-1, ny, nx))
    at = [
        coordinates(-roff / usfac, 1 / usfac, rows, xp.real(flat), xp=xp),
        coordinates(-coff / usfac, 1 / usfac, columns, xp.real(flat), xp=xp),
    ]
    table = _transform(flat, at, xp=xp)
    return xp.reshape(xp.astype(table, flat.dtype), (*data.shape[:-2], rows, columns))


def odddftups(
    inp: Array, nor: int | None = None, noc: int | None = None, usfac: float = 1, roff: float = 0, coff: float = 0
) -> Array:
    """Return what `dftups` does: it is as good for odd sizes as for even ones."""
    return dftups(inp, nor=nor, noc=noc, usfac=usfac, roff=roff, coff=coff)


def dftups1d(
    inp: Array, usfac: float = 1, outsize: int | None = None, offset: float = 0, return_xouts: bool = False
) -> Any:
    r"""Return a stretch of the upsampled discrete Fourier transform along the last axis.

    .. math:: O_j = \sum_k I_k \exp(-2\pi i\, x_j \tilde k / n), \qquad x_j = (j + \mathrm{offset}) / \mathrm{usfac}

    with :math:`\tilde k` the index counted as `fftfreq` does.

    Parameters
    ----------
    inp : array (..., n), real or complex
        Index 0 is the origin.
    usfac : number
        Upsampling factor.
    outsize : int, optional
        Samples of the result, n if not given.
    offset : number
        Of the first sample, in upsampled pixels.
    return_xouts : bool
        Return (x, result).

    Returns
    -------
    array (..., outsize), complex

    Raises
    ------
    TypeError, ValueError
        As `dftups`.
    """
    xp = array_namespace(inp=inp)
    data = _numeric(inp, 1, xp=xp)
    count = _size("outsize", outsize, data.shape[-1])
    _check_factor("usfac", usfac)
    flat = xp.reshape(as_complex(data, xp=xp), (-1, data.shape[-1]))
    at = coordinates(offset / usfac, 1 / usfac, count, xp.real(flat), xp=xp)
    table = xp.reshape(xp.astype(_transform(flat, [at], xp=xp), flat.dtype), (*data.shape[:-1], count))
    return (xp.astype(at, xp.real(flat).dtype), table) if return_xouts else table


def _transform(data: Array, at: list[Array], *, xp: Namespace) -> Array:
    """Sum e^(-2 pi i x k / n) times the data, k counted as frequencies."""
    columns = columns_at(data.shape[1:], at, half=False, conjugate=True, nyquist=False, xp=xp)
    return contract(data, columns, xp=xp)


def upsample_image(
    image: Array,
    upsample_factor: float = 1,
    output_size: int | Sequence[int] | None = None,
    nthreads: int = 1,
    use_numpy_fft: bool = False,
    xshift: float = 0,
    yshift: float = 0,
) -> Array:
    r"""Return an image upsampled by Fourier interpolation.

    .. math:: O_{ji} = f\left(\frac{j - \mathrm{yshift}}{\mathrm{factor}},\ \frac{i - \mathrm{xshift}}{\mathrm{factor}}
              \right)

    with f the periodic trigonometric interpolant of the image.

    Parameters
    ----------
    image : array (..., ny, nx)
        Real-valued.
    upsample_factor : number
        Samples per pixel.
    output_size : int or (int, int), optional
        Rows and columns of the result; the factor times those of the image if not given.
    nthreads : int
        Threads for the FFT (NumPy arrays).
    use_numpy_fft : bool
        Transform with `numpy.fft` instead of `scipy.fft` (NumPy arrays).
    xshift, yshift : number
        Shift of the result, in its own pixels.

    Returns
    -------
    array (..., rows, columns)
        Real, in the floating dtype of `image`. NaN in the image gives NaN everywhere.

    Raises
    ------
    TypeError
        `image` is not a real array.
    ValueError
        `image` has fewer than two axes, `upsample_factor` is not positive or a size not at least 1.
    """
    xp = array_namespace(image=image, use_numpy_fft=use_numpy_fft)
    (data,) = as_images(xp=xp, image=image)
    _check_axes("image", data, 2)
    _check_factor("upsample_factor", upsample_factor)
    if output_size is None or is_number(output_size):
        output_size = (output_size, output_size)  # type: ignore[assignment]
    if len(output_size) != 2:  # type: ignore[arg-type]
        msg = f"`output_size` must be one number or two, got {output_size!r}"
        raise ValueError(msg)
    sizes = [
        _size("output_size", given, round(n * upsample_factor))
        for given, n in zip(output_size, data.shape[-2:], strict=True)  # type: ignore[arg-type]
    ]
    at = [
        coordinates(-shift / upsample_factor, 1 / upsample_factor, count, data, xp=xp)
        for shift, count in zip((yshift, xshift), sizes, strict=True)
    ]
    with scipy.fft.set_workers(nthreads):
        result = on_grid(xp.reshape(data, (-1, *data.shape[-2:])), at, xp=xp)
    return xp.reshape(result, (*data.shape[:-2], *sizes))


def _numeric(inp: Array, axes: int, *, xp: Namespace) -> Array:
    _check_axes("inp", inp, axes)
    if xp.isdtype(inp.dtype, "complex floating"):
        return inp
    return as_images(xp=xp, inp=inp)[0]


def _check_axes(name: str, x: Array, axes: int) -> None:
    if x.ndim < axes:
        msg = f"`{name}` must have at least {axes} axes, got shape {tuple(x.shape)}"
        raise ValueError(msg)


def _check_factor(name: str, value: Any) -> None:
    if not (is_number(value) and value > 0):
        msg = f"`{name}` must be a positive number, got {value!r}"
        raise ValueError(msg)


def _size(name: str, value: Any, default: int) -> int:
    if value is None:
        return default
    if not (is_number(value) and value == round(value) and value >= 1):
        msg = f"`{name}` must be a whole number of at least 1, got {value!r}"
        raise ValueError(msg)
    return round(value)
