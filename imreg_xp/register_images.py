"""Registration by the peak of the cross-correlation: `register_images`, and `dftregistration` on complex spectra."""

from __future__ import annotations

import math
from typing import Any

import scipy.fft

from ._array import Array, Namespace, accumulator_dtype, array_namespace, complex_dtype, is_kind, is_number, to_host
from ._bounds import at_least
from ._engine import solve
from ._engine.complex_peak import aligned_to, complex_peak, offset_covariance, square
from ._engine.resample import shifted
from ._inputs import choose, image_pair, shift_limits
from ._providers import as_reals

__all__ = ["dftregistration", "register_images"]


def register_images(
    im1: Array,
    im2: Array,
    usfac: float = 1,
    return_registered: bool = False,
    return_error: bool = False,
    zeromean: bool = True,
    DEBUG: bool = False,  # noqa: ARG001, N803
    maxoff: float | None = None,
    nthreads: int = 1,
    use_numpy_fft: bool = False,
) -> tuple[Any, ...]:
    """Find how far image 2 lies from image 1 by the peak of their cross-correlation; both are taken to be periodic.

    Parameters
    ----------
    im1, im2 : array (ny, nx)
        The images to register; NaN and infinite pixels are left out.
    usfac : number
        1: whole pixels. Above 1: sub-pixel, and exact, not on a grid of 1 / usfac.
    return_registered : bool
        Return image 2 shifted to match image 1 as the last item; NaN where its source is invalid.
    return_error : bool
        Return the errors.
    zeromean : bool
        Leave the mean of the images out of account. It adds the same to the correlation at all shifts, so it has no
        say here unless pixels are missing.
    DEBUG : bool
        Without effect.
    maxoff : number, optional
        Largest offset along each axis, pixels.
    nthreads : int
        Threads for the FFTs (NumPy arrays).
    use_numpy_fft : bool
        Transform with `numpy.fft` instead of `scipy.fft` (NumPy arrays).

    Returns
    -------
    dx, dy : float
        How far im2 lies from im1, pixels, x first: shift im2 by (-dx, -dy) to match im1. NaN if there is no reliable
        shift.
    errx, erry : float
        With `return_error`: 1 sigma of the sub-pixel shift, from the data.
    registered : array (ny, nx)
        With `return_registered`.

    Raises
    ------
    TypeError, ValueError
        The images are not real arrays of one shape, library and device; `usfac` below 1; `maxoff` not positive or
        larger than the image.
    """
    _check_factor(usfac)
    xp = array_namespace(im1=im1, im2=im2, use_numpy_fft=use_numpy_fft)
    if im1.ndim != 2 or im2.ndim != 2:
        msg = f"`im1` and `im2` must be two-dimensional, got shapes {tuple(im1.shape)} and {tuple(im2.shape)}"
        raise ValueError(msg)
    with scipy.fft.set_workers(nthreads):
        sides, _ = image_pair(
            (im1, im2), errors=(None, None), valid=(None, None), names=("im1", "im2"), same_shape=True, ndim=2, xp=xp
        )
        limits = shift_limits(maxoff, tuple(im1.shape), name="maxoff")
        options = choose(sides, boundary="wrap", fit=(True, bool(zeromean)))
        options = options._replace(limits=limits, errors=bool(return_error))
        fit = solve(*sides, options, xp=xp)
        shift = xp.round(fit.shift) if usfac == 1 else fit.shift
        sy, sx, ey, ex = (float(v) for v in to_host(xp.concat([shift, fit.shift_err], axis=-1))[0][0])
        result: list[Any] = [-sx, -sy]
        if return_error:
            result += [ex, ey]
        if return_registered:
            good = xp.isfinite(shift)
            where = xp.astype(xp.where(good, shift, xp.zeros_like(shift)), accumulator_dtype(shift, xp=xp))
            moved = shifted(sides[1].image, sides[1].valid, where, math.nan, wrap=True, xp=xp)[0, ...]
            result.append(xp.where(xp.all(good), moved, xp.full_like(moved, math.nan)))
    return tuple(result)


def dftregistration(
    buf1ft: Array,
    buf2ft: Array,
    usfac: float = 1,
    return_registered: bool = False,
    return_error: bool = False,
    zeromean: bool = True,
    DEBUG: bool = False,  # noqa: ARG001, N803
    maxoff: float | None = None,
    nthreads: int = 1,
    use_numpy_fft: bool = False,
) -> tuple[Any, ...]:
    r"""Register two real or complex images by their spectra (Guizar-Sicairos, Thurman & Fienup 2008).

    .. math:: g(x) = s\, e^{-i\phi} f(x + \mathrm{shift}) + \text{noise}

    Parameters
    ----------
    buf1ft, buf2ft : array (n_1, ..., n_k), complex
        `fftn` of the reference f and of the image g, DC first (no `fftshift`).
    usfac : number
        1: whole pixels. Above 1: sub-pixel, and exact, not on a grid of 1 / usfac.
    return_registered : bool
        Return the spectrum of g brought to the place and phase of f as the last item.
    return_error : bool
        Return the errors of the shift.
    zeromean : bool
        Leave the DC mode out of account.
    DEBUG : bool
        Without effect.
    maxoff : number, optional
        Largest shift along each axis, pixels.
    nthreads : int
        Threads for the FFTs (NumPy arrays).
    use_numpy_fft : bool
        Transform with `numpy.fft` instead of `scipy.fft` (NumPy arrays).

    Returns
    -------
    error : float
        Normalised rms difference of f and the registered g, of the best gain: 0 for the same image, 1 for two that do
        not correlate.
    diffphase : float
        phi, radians in (-pi, pi]: the phase of f less that of g.
    shift_1, ..., shift_k : float
        What to apply to g so that it matches f, pixels, in the order of the axes (row, column).
    err_1, ..., err_k : float
        With `return_error`: 1 sigma of the sub-pixel shift, from the data.
    registered : array
        With `return_registered`: spectrum of :math:`e^{i\phi} g(x - \mathrm{shift})`.

    Raises
    ------
    TypeError, ValueError
        The spectra are not complex arrays of one shape, library and device with 1 to 3 axes; `usfac` below 1; `maxoff`
        not positive or larger than the image.

    Notes
    -----
    A spectrum that is zero or not finite gives NaN. doi:10.1364/OL.33.000156
    """
    _check_factor(usfac)
    xp = array_namespace(buf1ft=buf1ft, buf2ft=buf2ft, use_numpy_fft=use_numpy_fft)
    first, second = _spectra(buf1ft, buf2ft, zeromean=zeromean, xp=xp)
    limits = shift_limits(maxoff, tuple(buf1ft.shape), name="maxoff")
    with scipy.fft.set_workers(nthreads):
        cross = xp.conj(first) * second
        offset, value = complex_peak(cross, limits, refine=usfac > 1, xp=xp)
    power = _power(first, xp=xp) * _power(second, xp=xp)
    likeness = square(value, xp=xp) / xp.where(power > 0, power, math.nan)
    phase = -xp.atan2(xp.imag(value), xp.real(value))
    numbers = [xp.sqrt(at_least(1 - likeness, 0.0, xp=xp))[:, None], phase[:, None], -offset]
    if return_error:
        variance = offset_covariance(aligned_to(cross, offset, phase, xp=xp), xp=xp)
        numbers.append(xp.sqrt(xp.linalg.diagonal(variance)))
    row = xp.where(xp.isfinite(likeness)[:, None], xp.concat(numbers, axis=-1), math.nan)
    result: list[Any] = [float(v) for v in to_host(row)[0][0]]
    if return_registered:
        whole = xp.astype(buf2ft, cross.dtype)[None, ...]
        result.append(xp.astype(aligned_to(whole, offset, phase, xp=xp)[0, ...], buf2ft.dtype))
    return tuple(result)


def _spectra(buf1ft: Array, buf2ft: Array, *, zeromean: bool, xp: Namespace) -> tuple[Array, Array]:
    """Return checked spectra as a batch of one in the dtype of sums, scaled to a largest mode of 1."""
    if tuple(buf1ft.shape) != tuple(buf2ft.shape) or buf1ft.ndim not in (1, 2, 3):
        msg = f"`buf2ft` must have the shape {tuple(buf1ft.shape)} of `buf1ft`, 1 to 3 axes, got {tuple(buf2ft.shape)}"
        raise ValueError(msg)
    spectra = []
    for name, spectrum in (("buf1ft", buf1ft), ("buf2ft", buf2ft)):
        if not is_kind(spectrum.dtype, "complex floating", xp=xp):
            msg = f"`{name}` must be complex, got dtype {spectrum.dtype}"
            raise TypeError(msg)
        dtype = complex_dtype(accumulator_dtype(xp.real(spectrum), xp=xp), xp=xp)
        spectrum = xp.astype(spectrum, dtype, copy=False)[None, ...]
        if zeromean:
            flat = xp.reshape(spectrum, (1, -1))
            spectrum = xp.reshape(xp.concat([xp.zeros_like(flat[:, :1]), flat[:, 1:]], axis=1), spectrum.shape)
        top = xp.max(abs(as_reals(spectrum, xp=xp)))
        spectra.append(spectrum * xp.astype(1 / xp.where(top > 0, top, 1.0), dtype))
    return spectra[0], spectra[1]


def _power(spectrum: Array, *, xp: Namespace) -> Array:
    """Return the sum of the squares of the modes, (batch,)."""
    flat = xp.reshape(spectrum, (spectrum.shape[0], 1, -1))
    return xp.real(xp.matmul(xp.conj(flat), xp.matrix_transpose(flat)))[:, 0, 0]


def _check_factor(usfac: Any) -> None:
    if not (is_number(usfac) and usfac >= 1):
        msg = f"`usfac` must be a number of at least 1, got {usfac!r}"
        raise ValueError(msg)
