"""Shifts by chi²: the documented functions of `image_registration.chi2_shifts` on the engine of `imreg_xp`."""

from __future__ import annotations

import math
import warnings
from typing import Any, Literal

import scipy.fft
import scipy.special

from ._array import Array, Namespace, accumulator_dtype, array_namespace, device_of, is_number, to_host
from ._engine import solve
from ._engine.chi2 import chi2_grid
from ._engine.problem import Options, Side
from ._engine.result import Registration
from ._inputs import choose, image_pair

__all__ = ["chi2_shift"]

_BOUNDARIES = ("wrap", "overlap", "constant", "fill", "reflect", "nearest")


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
        Subtract the mean of each image first.
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
    _check(upsample_factor, boundary, nfitted, max_nsig, max_auto_size)
    xp = array_namespace(im1=im1, im2=im2, optional={"err": err}, use_numpy_fft=use_numpy_fft)
    if im1.ndim != 2 or im2.ndim != 2:
        msg = f"`im1` and `im2` must be two-dimensional, got shapes {tuple(im1.shape)} and {tuple(im2.shape)}"
        raise ValueError(msg)
    boundary = "wrap" if boundary == "wrap" else "overlap"
    with scipy.fft.set_workers(nthreads):
        sides, _ = image_pair(
            (im1, im2),
            errors=(None, err),
            valid=(None, None),
            names=("im1", "im2"),
            error_names=("im1_err", "err"),
            same_shape=boundary == "wrap",
            ndim=2,
            xp=xp,
        )
        if zeromean:
            sides = (_zero_mean(sides[0], xp=xp), _zero_mean(sides[1], xp=xp))
        options = choose(sides, boundary=boundary, fit=(False, False))
        fit = solve(*sides, options, xp=xp)
        numbers = xp.concat([fit.shift, fit.shift_err], axis=-1)
        sy, sx, ey, ex = (float(v) for v in to_host(numbers)[0][0])
        factor = math.sqrt(2 * scipy.special.gammaincinv(nfitted / 2, math.erf(1 / math.sqrt(2))))
        errors = (ex * factor, ey * factor)
        result: list[Any] = [-sx, -sy]
        if return_error:
            result += errors
        if return_chi2array:
            rate = _samples_per_pixel(upsample_factor, errors, max_nsig, max_auto_size)
            result.append(_chi2_array(sides, fit, errors, rate, max_nsig, options, xp=xp))
    if verbose and upsample_factor != "auto" and min(errors) < 1 / upsample_factor:
        msg = f"upsample_factor={upsample_factor} does not resolve the errors ({errors[0]:.2g}, {errors[1]:.2g})"
        warnings.warn(msg, stacklevel=2)
    return tuple(result)


def _check(upsample_factor: Any, boundary: str, nfitted: int, max_nsig: float, max_auto_size: int) -> None:
    if boundary not in _BOUNDARIES:
        msg = f"`boundary` must be one of {_BOUNDARIES}, got {boundary!r}"
        raise ValueError(msg)
    if upsample_factor != "auto" and not (is_number(upsample_factor) and upsample_factor >= 1):
        msg = f"`upsample_factor` must be 'auto' or a number of at least 1, got {upsample_factor!r}"
        raise ValueError(msg)
    for name, value, least in (("nfitted", nfitted, 1), ("max_auto_size", max_auto_size, 5)):
        if not value >= least:
            msg = f"`{name}` must be at least {least}, got {value!r}"
            raise ValueError(msg)
    if not max_nsig > 0:
        msg = f"`max_nsig` must be positive, got {max_nsig!r}"
        raise ValueError(msg)


def _zero_mean(side: Side, *, xp: Namespace) -> Side:
    """Take the mean of the valid pixels off."""
    if side.valid is None:
        return side._replace(image=side.image - xp.mean(side.image, axis=(1, 2), keepdims=True))
    count = xp.sum(xp.astype(side.valid, side.image.dtype), axis=(1, 2), keepdims=True)
    mean = xp.sum(side.image, axis=(1, 2), keepdims=True) / xp.clip(count, min=1.0)
    return side._replace(image=xp.where(side.valid, side.image - mean, xp.zeros_like(side.image)))


def _samples_per_pixel(upsample_factor: Any, errors: tuple[float, float], max_nsig: float, max_auto_size: int) -> float:
    """Return the samples per pixel of the chi² array: as asked, or ten to the smaller error within the size allowed."""
    if upsample_factor != "auto":
        return float(upsample_factor)
    if not all(math.isfinite(e) and e > 0 for e in errors):
        return 1.0
    return min(10 / min(errors), (max_auto_size - 1) / (2 * max_nsig * max(errors)))


def _chi2_array(
    sides: tuple[Side, Side],
    fit: Registration,
    errors: tuple[float, float],
    rate: float,
    max_nsig: float,
    options: Options,
    *,
    xp: Namespace,
) -> tuple[Array, Array, Array]:
    """Sample chi² on a grid of `rate` points per pixel, a multiple of which is the whole-pixel grid."""
    acc = accumulator_dtype(fit.shift, xp=xp)
    best = xp.astype(-fit.shift, acc)
    centre = xp.where(xp.isfinite(best), xp.round(best * rate) / rate, xp.zeros_like(best))
    steps = []
    for error in (errors[1], errors[0]):
        half = math.ceil(max_nsig * error * rate) if math.isfinite(error) else 1
        half = max(2, min(half, 1024))
        steps.append(xp.arange(-half, half + 1, dtype=acc, device=device_of(best)) / rate)
    values = chi2_grid(*sides, centre, steps, options, xp=xp)[0, ...]
    values = values / _unit_variance(sides[1], values, xp.astype(fit.dof, acc), xp=xp)
    y, x = (centre[0, axis] + step for axis, step in enumerate(steps))
    return xp.broadcast_to(x[None, :], values.shape), xp.broadcast_to(y[:, None], values.shape), values


def _unit_variance(moving: Side, values: Array, dof: Array, *, xp: Namespace) -> Array:
    """Return the variance of a pixel of weight 1; where no error is given, the one that makes reduced chi² 1."""
    if moving.err is None:
        return xp.min(values) / dof
    square = xp.astype(moving.err, dof.dtype) ** 2
    if square.ndim > 1:
        square = xp.min(xp.where(moving.valid, square, xp.full_like(square, math.inf)))
    return xp.reshape(square, (1,))
