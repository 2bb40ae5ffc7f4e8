"""The shift of two images by chi², with errors: `chi2_shift` and `chi2_shift_iterzoom`."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import scipy.fft

from .._array import Array, array_namespace
from .fitting import Fit, check_factor, chi2_array, delta_chi2, fit_pair

__all__ = ["chi2_shift", "chi2_shift_iterzoom"]


def chi2_shift(
    im1: Array,
    im2: Array,
    err: Any = None,
    upsample_factor: int | Literal["auto"] = "auto",
    boundary: str = "wrap",
    nthreads: int = 1,
    use_numpy_fft: bool = False,
    zeromean: bool = False,
    nfitted: int = 2,
    verbose: bool = False,
    return_error: bool = True,
    return_chi2array: bool = False,
    max_auto_size: int = 512,
    max_nsig: float = 1.1,
) -> tuple[Any, ...]:
    r"""Find how far image 2 lies from image 1, with errors, by minimising chi².

    .. math:: \chi^2(dx, dy) = \sum_{ij} \frac{[I_2(i, j) - I_1(i - dy, j - dx)]^2}{\sigma_{ij}^2}

    Parameters
    ----------
    im1, im2 : array (ny, nx)
        The images to register.
    err : array or number, optional
        1 sigma error per pixel in image 2. Without it the noise level is estimated from the residuals.
    upsample_factor : int or "auto"
        Samples per pixel of the chi² array. The shift itself is not quantised. "auto" samples the error region well.
    boundary : {"wrap", "overlap", "constant", "fill", "reflect", "nearest"}
        "wrap": periodic images. With all others only the pixels that both images hold are compared: pixels invented
        beyond the border have nothing to say.
    nthreads : int
        Threads for the FFTs (NumPy arrays).
    use_numpy_fft : bool
        Transform with `numpy.fft` instead of `scipy.fft` (NumPy arrays).
    zeromean : bool
        Take the difference of the means off, over the pixels compared. Without it the two images must have one level.
    nfitted : int
        Number of parameters for which the error region holds jointly; see Notes.
    verbose : bool
        Warn if `upsample_factor` is too small for the chi² array to resolve the errors.
    return_error : bool
        Return the errors.
    return_chi2array : bool
        Return (xvals, yvals, chi2) as the last item.
    max_auto_size : int
        Largest chi² array, per axis, with ``upsample_factor="auto"``.
    max_nsig : float
        Half-width of the chi² array in units of the errors.

    Returns
    -------
    dx, dy : float
        How far im2 lies from im1, pixels, x first: shift im2 by (-dx, -dy) to match im1. NaN if there is no reliable
        shift.
    errx, erry : float
        With `return_error`. Half the extent of the region in which Delta chi² is below its 68.27 % quantile for
        `nfitted` parameters.
    (xvals, yvals, chi2) : tuple of arrays
        With `return_chi2array`. Arrays of one shape: shifts in pixels and chi² there.

    Raises
    ------
    TypeError, ValueError
        As `imreg_xp.register`, with the names of this function; `upsample_factor`, `nfitted` or `boundary` unknown.

    Notes
    -----
    The errors are :math:`\sqrt{q}` times the marginal 1 sigma of `imreg_xp.register`, q the 68.27 % quantile of chi²
    with `nfitted` degrees of freedom: 1.515 for the default of 2, 1 for ``nfitted=1``. They are computed, not counted
    in pixels of the chi² array, and hold for noise that is correlated between pixels too.

    Examples
    --------
    >>> import numpy as np, imreg_xp
    >>> rng = np.random.default_rng(0)
    >>> rr = ((np.indices([100, 100]) - np.array([50.0, 50.0])[:, None, None]) ** 2).sum(axis=0) ** 0.5
    >>> image = np.exp(-(rr**2) / (3.0**2 * 2.0)) * 20
    >>> shifted = np.roll(np.roll(image, 12, 0), 5, 1) + rng.normal(size=(100, 100))
    >>> dx, dy, edx, edy = imreg_xp.chi2_shift(image, shifted, upsample_factor="auto")
    >>> bool(abs(dx - 5) < 3 * edx and abs(dy - 12) < 3 * edy)
    True
    """
    check_factor(upsample_factor)
    _check_sizes(nfitted=(nfitted, 1), max_auto_size=(max_auto_size, 5))
    if not max_nsig > 0:
        msg = f"`max_nsig` must be positive, got {max_nsig!r}"
        raise ValueError(msg)
    xp = array_namespace(im1=im1, im2=im2, optional={"err": err}, use_numpy_fft=use_numpy_fft)
    with scipy.fft.set_workers(nthreads):
        fit = fit_pair(im1, im2, err, boundary, zeromean=zeromean, xp=xp)
        errors = _errors(fit, nfitted)
        array = None
        if return_chi2array:
            rate = _samples_per_pixel(upsample_factor, errors, max_nsig, max_auto_size)
            halves = (math.ceil(max_nsig * e * rate) if math.isfinite(e) else 1 for e in errors[::-1])
            ny, nx = (2 * max(2, min(half, 1024)) + 1 for half in halves)
            array = chi2_array(fit, rate, (ny, nx), xp=xp)
    return _returned(fit, errors, array, upsample_factor, return_error=return_error, verbose=verbose)


def chi2_shift_iterzoom(
    im1: Array,
    im2: Array,
    err: Any = None,
    upsample_factor: int | Literal["auto"] = "auto",
    boundary: str = "wrap",
    nthreads: int = 1,
    use_numpy_fft: bool = False,
    zeromean: bool = False,
    verbose: bool = False,
    return_error: bool = True,
    return_chi2array: bool = False,
    zoom_shape: Sequence[int] = [10, 10],
    rezoom_shape: Sequence[int] = [100, 100],
    rezoom_factor: float = 5,
    mindiff: float = 1,
    **kwargs: Any,
) -> tuple[Any, ...]:
    r"""Find how far image 2 lies from image 1, with errors; the chi² array has a shape of choice.

    The shift and its errors are those of `chi2_shift`, which says how they are defined: both are exact, so there is
    nothing to iterate. The chi² array is the one that zooming in on the minimum leads to, evaluated directly.

    Parameters
    ----------
    im1, im2, err, boundary, nthreads, use_numpy_fft, zeromean, verbose, return_error
        As in `chi2_shift`.
    upsample_factor : int or "auto"
        Samples per pixel of the chi² array. "auto": `rezoom_factor` times the zoom at which chi² varies by `mindiff`
        over `zoom_shape` samples.
    return_chi2array : bool
        Return (xvals, yvals, chi2) as the last item.
    zoom_shape, rezoom_shape : (int, int)
        Samples (y, x) of the zoom and of the chi² array.
    rezoom_factor : float
        Zoom of the chi² array over the one found.
    mindiff : float
        By how much chi² varies over the zoom, from its minimum to the corners, going by the errors.
    **kwargs
        `nfitted`, as in `chi2_shift`.

    Returns
    -------
    dx, dy : float
        How far im2 lies from im1, pixels, x first: shift im2 by (-dx, -dy) to match im1. NaN if there is no reliable
        shift.
    errx, erry : float
        With `return_error`; as in `chi2_shift`.
    (xvals, yvals, chi2) : tuple of arrays
        With `return_chi2array`. Arrays of `rezoom_shape`: shifts in pixels and chi² there.

    Raises
    ------
    TypeError, ValueError
        As `chi2_shift`; a shape of the zoom that is not two numbers, a factor or `mindiff` that is not positive.

    Examples
    --------
    >>> import numpy as np, imreg_xp
    >>> image = np.random.default_rng(42).normal(size=(50, 55))
    >>> shifted = np.roll(np.roll(image, 12, 0), 5, 1)
    >>> dx, dy, edx, edy = imreg_xp.chi2_shift_iterzoom(image, shifted, upsample_factor="auto")
    >>> bool(abs(dx - 5) < 1e-9 and abs(dy - 12) < 1e-9)
    True
    """
    check_factor(upsample_factor)
    nfitted = kwargs.pop("nfitted", 2)
    if kwargs:
        msg = f"chi2_shift_iterzoom() got an unexpected keyword argument `{next(iter(kwargs))}`"
        raise TypeError(msg)
    _check_sizes(nfitted=(nfitted, 1))
    for name, shape in (("zoom_shape", zoom_shape), ("rezoom_shape", rezoom_shape)):
        if len(shape) != 2 or not min(shape) >= 1:
            msg = f"`{name}` must be two numbers of samples, got {shape!r}"
            raise ValueError(msg)
    for name, value in (("rezoom_factor", rezoom_factor), ("mindiff", mindiff)):
        if not value > 0:
            msg = f"`{name}` must be positive, got {value!r}"
            raise ValueError(msg)
    xp = array_namespace(im1=im1, im2=im2, optional={"err": err}, use_numpy_fft=use_numpy_fft)
    with scipy.fft.set_workers(nthreads):
        fit = fit_pair(im1, im2, err, boundary, zeromean=zeromean, xp=xp)
        array = None
        if return_chi2array:
            zoom = upsample_factor if upsample_factor != "auto" else rezoom_factor * _zoom(fit, zoom_shape, mindiff)
            # no further than once around the image
            least = max(k / n for k, n in zip(rezoom_shape, im1.shape, strict=True))
            array = chi2_array(fit, max(float(zoom), least), (rezoom_shape[0], rezoom_shape[1]), xp=xp)
    return _returned(fit, _errors(fit, nfitted), array, upsample_factor, return_error=return_error, verbose=verbose)


def _zoom(fit: Fit, shape: Sequence[int], mindiff: float) -> float:
    """Return the samples per pixel with which chi² is `mindiff` above its minimum in the corners of the zoom."""
    if not np.all(np.isfinite(fit.covariance)) or not np.linalg.det(fit.covariance) > 0:
        return 1.0
    corners = 0.5 * np.array([[shape[1], shape[0]], [shape[1], -shape[0]]])
    growth = np.sum(corners.T * np.linalg.solve(fit.covariance, corners.T), axis=0)
    return math.sqrt(growth.max() / mindiff)


def _returned(
    fit: Fit, errors: tuple[float, float], array: Any, upsample_factor: Any, *, return_error: bool, verbose: bool
) -> tuple[Any, ...]:
    if verbose and upsample_factor != "auto" and min(errors) < 1 / upsample_factor:
        msg = f"upsample_factor={upsample_factor} does not resolve the errors ({errors[0]:.2g}, {errors[1]:.2g})"
        warnings.warn(msg, stacklevel=3)
    return (*fit.offset, *(errors if return_error else ()), *(() if array is None else (array,)))


def _errors(fit: Fit, nfitted: int) -> tuple[float, float]:
    """Return half the extent of the joint 68.27 % region."""
    factor = math.sqrt(delta_chi2(nfitted))
    ex, ey = (factor * math.sqrt(v) for v in np.diag(fit.covariance))
    return ex, ey


def _check_sizes(**sizes: tuple[int, int]) -> None:
    for name, (value, least) in sizes.items():
        if not value >= least:
            msg = f"`{name}` must be at least {least}, got {value!r}"
            raise ValueError(msg)


def _samples_per_pixel(upsample_factor: Any, errors: tuple[float, float], max_nsig: float, max_auto_size: int) -> float:
    """Return the samples per pixel of the chi² array: as asked, or ten to the smaller error within the size allowed."""
    if upsample_factor != "auto":
        return float(upsample_factor)
    if not all(math.isfinite(e) and e > 0 for e in errors):
        return 1.0
    return min(10 / min(errors), (max_auto_size - 1) / (2 * max_nsig * max(errors)))
