"""Shifts by the peak of the cross-correlation, with a parabola or a Gaussian through it."""

from __future__ import annotations

import math
import sys
import warnings
from typing import Any

import numpy as np
import scipy.fft
import scipy.optimize

from ._array import Array, Namespace, array_namespace, device_of, to_host
from ._engine import solve
from ._engine.lattice import Lattice, correlation_at_shifts, lattice
from ._engine.taylor import patch_at, taylor_covariance, taylor_peak
from ._inputs import choose, image_pair, shift_limits
from ._static import numbers
from .chi2_shifts.fitting import BOUNDARIES

__all__ = ["cross_correlation_shifts"]

_PATCH = 4  # pixels around the peak that a Gaussian is fitted to
_SAMPLES = (2 * _PATCH + 1) ** 2
# of the documented options of the convolution: how it is done is of no consequence here
_WITHOUT_EFFECT = {"fft_pad", "pad", "crop", "fftshift", "quiet", "min_wt", "interpolate_nan", "ignore_edge_zeros"}


def cross_correlation_shifts(
    image1: Array,
    image2: Array,
    errim1: Any = None,
    errim2: Any = None,
    maxoff: float | None = None,
    verbose: bool = False,
    gaussfit: bool = False,
    return_error: bool = False,
    zeromean: bool = True,
    **kwargs: Any,
) -> tuple[float, ...]:
    r"""Find how far image 2 lies from image 1 by a second-order Taylor expansion of their cross-correlation.

    .. math:: C(d) = \sum_x I_1(x - d)\, I_2(x), \qquad d = d_0 - H^{-1} g

    with gradient g and Hessian H of C at its largest sample :math:`d_0`, by central differences. The parabola is biased
    where the peak is not one, by up to a few hundredths of a pixel, the Gaussian too: `imreg_xp.chi2_shift` and
    `imreg_xp.register` find the exact maximum.

    Parameters
    ----------
    image1, image2 : array (ny, nx)
        The reference and the offset image; pixels that are NaN or infinite are left out.
    errim1, errim2 : array or number, optional
        1 sigma errors of their pixels. Pixels without a positive error are left out; the correlation is not weighted.
    maxoff : number, optional
        Largest offset along each axis, pixels.
    verbose : bool
        Warn if the expansion ends more than half a pixel from the largest sample.
    gaussfit : bool
        Fit an elliptical Gaussian on a constant, of any orientation, to the 9 x 9 samples around the peak instead.
    return_error : bool
        Return the errors.
    zeromean : bool
        Subtract the mean of each image (of its valid pixels) first.
    **kwargs
        `boundary`: "wrap" (default), "constant" or "fill" (zero beyond the border), "nearest", "reflect", or "overlap"
        (coefficient of correlation over the pixels that both images hold, at least a third). `nthreads`,
        `use_numpy_fft`: as in `imreg_xp.chi2_shift`. The other options of the documented convolution are accepted, and
        without effect.

    Returns
    -------
    dx, dy : float
        How far image2 lies from image1, pixels, x first: shift image2 by (-dx, -dy) to match image1. NaN if an image is
        flat, has no valid pixel, or if the Gaussian has its peak elsewhere.
    errx, erry : float
        With `return_error`: 1 sigma, from the scatter of the modes of both images; the bias comes on top. With a
        boundary that is not periodic those that `imreg_xp.register` gives for the best fit.

    Raises
    ------
    TypeError, ValueError
        As `imreg_xp.chi2_shift`, with the names of this function; an option that the documentation does not have.

    Notes
    -----
    After B. Welsch's ``cross_cor_taylor``.

    Examples
    --------
    >>> import numpy as np, imreg_xp
    >>> im1, im2 = np.zeros([10, 10]), np.zeros([10, 10])
    >>> im1[4, 3] = 1
    >>> im2[5, 5] = 1
    >>> xoff, yoff = imreg_xp.cross_correlation_shifts(im1, im2)
    >>> im1_aligned_to_im2 = np.roll(np.roll(im1, int(xoff), 1), int(yoff), 0)
    >>> assert (im1_aligned_to_im2 - im2).sum() == 0
    """
    boundary, nthreads, use_numpy_fft = _options(kwargs)
    errors = {"errim1": errim1, "errim2": errim2}
    xp = array_namespace(image1=image1, image2=image2, optional=errors, use_numpy_fft=use_numpy_fft)
    if image1.ndim != 2 or image2.ndim != 2:
        msg = f"`image1` and `image2` must be two-dimensional, got {tuple(image1.shape)} and {tuple(image2.shape)}"
        raise ValueError(msg)
    with scipy.fft.set_workers(nthreads):
        sides, _ = image_pair(
            (image1, image2),
            errors=(errim1, errim2),
            valid=(None, None),
            names=("image1", "image2"),
            error_names=("errim1", "errim2"),
            same_shape=True,
            ndim=2,
            xp=xp,
        )
        limits = shift_limits(maxoff, tuple(image1.shape), name="maxoff")
        first, second = (side._replace(err=None) for side in sides)
        images = lattice(first, second, boundary, zero_mean=zeromean, xp=xp)
        numbers, *at_peak = _peak(images, limits, _PATCH if gaussfit else 0, xp=xp)
        if return_error and boundary == "wrap":
            covariance = taylor_covariance(images, *at_peak, xp=xp)
            numbers = xp.concat([numbers, xp.sqrt(xp.stack([covariance[0, 1, 1], covariance[0, 0, 0]]))], axis=0)
        elif return_error:
            options = choose(sides, boundary="overlap", fit=(True, bool(zeromean)))
            fit = solve(*sides, options._replace(limits=limits), xp=xp)
            numbers = xp.concat([numbers, xp.astype(xp.flip(fit.shift_err[0, :], axis=0), numbers.dtype)], axis=0)
    found = to_host(numbers)[0].astype(float)
    dx, dy = _gaussian_peak(found) if gaussfit else _parabola_peak(found, verbose=verbose)
    return (dx, dy, *(float(e) for e in found[-2:])) if return_error else (dx, dy)


def _options(given: dict[str, Any]) -> tuple[str, int, bool]:
    """Return boundary, threads and which FFT out of the documented options."""
    boundary = given.get("boundary", "fill" if given.get("psf_pad") else "wrap")
    known = {"boundary", "psf_pad", "nthreads", "use_numpy_fft", *_WITHOUT_EFFECT}
    unknown = sorted(set(given) - known)
    if unknown:
        msg = f"cross_correlation_shifts() got an unexpected keyword argument `{unknown[0]}`"
        raise TypeError(msg)
    if boundary not in BOUNDARIES:
        msg = f"`boundary` must be one of {BOUNDARIES}, got {boundary!r}"
        raise ValueError(msg)
    boundary = "constant" if boundary == "fill" else boundary
    return boundary, given.get("nthreads", 1), given.get("use_numpy_fft", False)


def _peak(
    images: Lattice, limits: tuple[float, ...], reach: int, *, xp: Namespace
) -> tuple[Array, Array, Array, Array]:
    """Return what the host needs in one row; offset of the peak and step to it along the axes; minus the Hessian.

    The row is the offset of the largest sample (x, y), the step from there to the peak, and the samples around it.
    """
    values = correlation_at_shifts(images, xp=xp)
    allowed = None
    for axis, (n, limit) in enumerate(zip(values.shape[1:], limits, strict=True)):
        if limit < n // 2:
            lag = (n - 1) // 2 - xp.arange(n, dtype=values.dtype, device=device_of(values))
            near = xp.reshape(abs(lag) <= limit, (n, 1) if axis == 0 else (1, n))
            allowed = near if allowed is None else allowed & near
    index, step, bend = taylor_peak(values, allowed, xp=xp)
    patch = patch_at(values, index, (reach, reach), xp=xp)
    # the index grows against the offset
    middle = numbers(((n - 1) // 2 for n in values.shape[1:]), dtype=index.dtype, like=index, xp=xp)
    best = xp.astype(middle - index, step.dtype)
    peak = patch[:, reach, reach]
    there = xp.isfinite(peak) & (peak > 0)
    best = xp.where(there[:, None], best, xp.full_like(best, math.nan))
    rows = [xp.flip(best, axis=1), -xp.flip(step, axis=1), xp.reshape(patch, (1, -1))]
    return xp.concat(rows, axis=1)[0, :], best - step, -step, bend


def _parabola_peak(found: np.ndarray, *, verbose: bool) -> tuple[float, float]:
    if verbose and np.max(np.abs(found[2:4])) > 0.5:
        msg = f"the peak is ({found[2]:.2f}, {found[3]:.2f}) pixels from the largest sample: no parabola"
        warnings.warn(msg, stacklevel=3)
    return float(found[0] + found[2]), float(found[1] + found[3])


def _gaussian_peak(found: np.ndarray) -> tuple[float, float]:
    """Fit b + a exp(-(p u² + 2 q u v + s v²) / 2) to the samples; u, v from the peak along x, y."""
    values = found[4 : 4 + _SAMPLES].reshape(2 * _PATCH + 1, -1)
    v, u = np.indices(values.shape) - _PATCH
    use = np.isfinite(values)
    u, v, values = -u[use], -v[use], values[use]
    nowhere = (math.nan, math.nan)
    if not np.isfinite(found[0]) or values.size < 8 or not np.ptp(values) > 0:
        return nowhere
    values = (values - values.min()) / np.ptp(values)

    def residual(t: np.ndarray) -> np.ndarray:
        x, y = u - t[0], v - t[1]
        # a matrix made of its root is positive definite
        a, b = t[2] * x + t[3] * y, t[4] * y
        return t[5] + t[6] * np.exp(-0.5 * (a * a + b * b)) - values

    fit = scipy.optimize.least_squares(residual, [*found[2:4], 0.4, 0.0, 0.4, 0.0, 1.0], method="lm")
    dx, dy = fit.x[:2]
    if not fit.success or max(abs(dx), abs(dy)) > _PATCH or not fit.x[6] > 0:
        return nowhere
    return float(found[0] + dx), float(found[1] + dy)


def __getattr__(name: str) -> Any:
    if name == "cross_correlation_shifts_FITS":
        # it needs astropy, and the package knows where it is
        return getattr(sys.modules[__package__], name)
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
