"""Upsampled discrete Fourier transforms and images, by matrix products: exact, and only where asked for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from .._array import Array, Namespace, array_namespace, as_images
from ._arguments import as_numeric, check_axes, factor, number, size, sizes
from ._dft import part
from ._matrices import Line, along_axis, coordinates, cosine_and_sine, is_small, waves
from .sampling import as_complex, on_grid, parts, whole

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
        Row and column of the result where its origin lies, upsampled pixels: the region starts at (-roff, -coff).

    Returns
    -------
    array (..., nor, noc), complex

    Raises
    ------
    TypeError
        `inp` is not a numeric array, an offset not a number.
    ValueError
        `inp` has fewer than two axes, `usfac` is not positive or a size not at least 1.

    Notes
    -----
    After M. Guizar-Sicairos (doi:10.1364/OL.33.000156). An even axis has its middle index, which is its own opposite,
    at :math:`-n/2`. NaN in `inp` gives NaN everywhere.

    The documentation of the toolkit says that the region starts at (+roff, +coff). The toolkit itself and the original
    subtract the offsets, which is what programs that call them count on, and so does this function.
    """
    xp = array_namespace(inp=inp)
    check_axes("inp", inp, 2)
    data = as_complex(as_numeric("inp", inp, xp=xp), xp=xp)
    step = 1 / factor("usfac", usfac)
    counts = [size("nor", nor, data.shape[-2]), size("noc", noc, data.shape[-1])]
    offsets = (number("roff", roff), number("coff", coff))
    return _transform(data, [Line(-o * step, step, count) for o, count in zip(offsets, counts, strict=True)], xp=xp)


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
    check_axes("inp", inp, 1)
    data = as_complex(as_numeric("inp", inp, xp=xp), xp=xp)
    step = 1 / factor("usfac", usfac)
    count = size("outsize", outsize, data.shape[-1])
    line = Line(number("offset", offset) * step, step, count)
    values = _transform(data, [line], xp=xp)
    real = xp.real(data)
    return (xp.astype(coordinates(line, real, xp=xp), real.dtype), values) if return_xouts else values


def _transform(data: Array, lines: list[Line], *, xp: Namespace) -> Array:
    """Sum e^(-2 pi i x k / n) times the data over their last axes, k counted as frequencies."""
    lead, shape = data.shape[: data.ndim - len(lines)], data.shape[data.ndim - len(lines) :]
    flat = xp.reshape(data, (math.prod(lead), *shape))
    # the axis that shrinks most first: what is left is less work
    order = sorted(range(len(lines)), key=lambda a: lines[a].samples / shape[a])
    if all(is_small(n, line) for n, line in zip(shape, lines, strict=True)):
        for axis in order:
            flat = along_axis(axis + 1, waves(shape[axis], lines[axis], flat, xp=xp), flat, xp=xp)
    else:
        images, both = parts(flat, xp=xp)
        for axis in order:
            images = _waves_along(axis + 1, coordinates(lines[axis], images, xp=xp), images, xp=xp)
        flat = whole(images, both)
    return xp.reshape(flat, (*lead, *flat.shape[1:]))


def _waves_along(axis: int, at: Array, images: Array, *, xp: Namespace) -> Array:
    r"""Sum :math:`e^{-2\pi i x k / n}` times images, real parts before imaginary ones, over k along one axis.

    Opposite modes share their cosine and their sine, which are real: a quarter of the products of complex waves.

    .. math:: \sum_{k \ge 0} \cos(2\pi x k / n)\, (a_k + a_{-k}) - i \sin(2\pi x k / n)\, (a_k - a_{-k})
    """
    n, half = images.shape[axis], images.shape[0] // 2
    top = (n + 1) // 2
    rise = part(images, axis, 1, top)
    fall = xp.flip(part(images, axis, n - top + 1, None), axis=axis)
    own = [part(images, axis, 0, 1)]
    # the middle mode of an even axis is at -n / 2
    middle = [part(images, axis, top, top + 1)] if n % 2 == 0 else []
    even = xp.concat([*own, rise + fall, *middle], axis=axis)
    odd = xp.concat([rise - fall, *(-m for m in middle)], axis=axis)
    cosine, sine = (xp.astype(a, images.dtype, copy=False) for a in cosine_and_sine(n, at, xp=xp))
    result = along_axis(axis, cosine, even, xp=xp)
    turned = along_axis(axis, sine[:, 1:], odd, xp=xp)
    return result + xp.concat([turned[half:, ...], -turned[:half, ...]], axis=0)


def upsample_image(
    image: Array,
    upsample_factor: float = 1,
    output_size: int | Sequence[int] | None = None,
    nthreads: int = 1,  # noqa: ARG001
    use_numpy_fft: bool = False,  # noqa: ARG001
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
    nthreads, use_numpy_fft
        Without effect: nothing is transformed.
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

    Notes
    -----
    The Nyquist mode of an even axis enters by its cosine along that axis. The toolkit returns a complex array, and has
    the cosine of the sum for a mode at Nyquist along both axes.
    """
    xp = array_namespace(image=image)
    (data,) = as_images(xp=xp, image=image)
    check_axes("image", data, 2)
    up = factor("upsample_factor", upsample_factor)
    lead, shape = data.shape[:-2], data.shape[-2:]
    counts = sizes("output_size", output_size, [max(1, round(n * up)) for n in shape])
    shifts = (number("yshift", yshift), number("xshift", xshift))
    lines = [Line(-shift / up, 1 / up, count) for shift, count in zip(shifts, counts, strict=True)]
    result = on_grid(xp.reshape(data, (math.prod(lead), *shape)), lines, xp=xp)
    return xp.reshape(result, (*lead, *counts))
