"""chi² maps and errors read off them: `chi2n_map` and `chi2map_to_errors`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import scipy.fft

from .._array import Array, Namespace, accumulator_dtype, array_namespace, to_host
from .._engine.lattice import Lattice, chi2_at_shifts, lattice, moving_term, pixels_compared, reference_term
from .fitting import delta_chi2, sides_of

__all__ = ["chi2map_to_errors", "chi2n_map"]


def chi2n_map(
    im1: Array,
    im2: Array,
    err: Any = None,
    boundary: str = "wrap",
    nthreads: int = 1,
    zeromean: bool = False,
    use_numpy_fft: bool = False,
    return_all: bool = False,
    reduced: bool = False,
) -> Any:
    r"""Return chi² for every whole-pixel shift of image 1 against image 2.

    .. math:: \chi^2(dx, dy) = \sum_{ij} \frac{[I_2(i, j) - I_1(i - dy, j - dx)]^2}{\sigma_{ij}^2}

    Pixel pairs of which one is NaN, infinite or without a positive error are left out of the sum, at each shift those
    it is made of.

    Parameters
    ----------
    im1, im2 : array (ny, nx)
        The images.
    err : array or number, optional
        1 sigma error per pixel in image 2; 1 without it.
    boundary : {"wrap", "overlap", "constant", "fill", "reflect", "nearest"}
        What image 1 is beyond its border: periodic; unknown (only the pixels that both images hold are compared, fewer
        at large shifts: ask for `reduced`); zero ("constant", "fill"); its mirror image (d c b a | a b c d); its last
        pixel.
    nthreads : int
        Threads for the FFTs (NumPy arrays).
    zeromean : bool
        Subtract the mean of each image (of its valid pixels) first.
    use_numpy_fft : bool
        Transform with `numpy.fft` instead of `scipy.fft` (NumPy arrays).
    return_all : bool
        Return the three terms of the sum too.
    reduced : bool
        Divide by the number of pixels compared less the 2 parameters of a shift; NaN where there are not that many.

    Returns
    -------
    chi2n : array (ny, nx)
        The shift (dx, dy), how far im2 lies from im1, is at row ``(ny - 1) // 2 - dy``, column ``(nx - 1) // 2 - dx``.
    term1, term2, term3 : array
        With `return_all`: the sum of I_2², minus twice that of I_1 I_2, and the sum of I_1², each over sigma² and
        divided as `chi2n` is, which is what they add up to. Terms that are the same for all shifts have shape ().

    Raises
    ------
    TypeError, ValueError
        As `imreg_xp.chi2_shift`.
    """
    xp = array_namespace(im1=im1, im2=im2, optional={"err": err}, use_numpy_fft=use_numpy_fft)
    with scipy.fft.set_workers(nthreads):
        sides = sides_of(im1, im2, err, boundary, xp=xp)
        dtype = sides[1].image.dtype
        images = lattice(*sides, "constant" if boundary == "fill" else boundary, zero_mean=zeromean, xp=xp)
        chi2 = chi2_at_shifts(images, xp=xp)
        terms = [chi2]
        if return_all:
            term1, term3 = moving_term(images, xp=xp), reference_term(images, xp=xp)
            terms += [term1, chi2 - term1 - term3, term3]
        if reduced:
            terms = [t / _degrees_of_freedom(images, xp=xp) for t in terms]
    maps = tuple(xp.astype(t[0, ...] if t.shape[1:] == chi2.shape[1:] else t[0, 0, 0], dtype) for t in terms)
    return maps if return_all else maps[0]


def _degrees_of_freedom(images: Lattice, *, xp: Namespace) -> Array:
    dof = pixels_compared(images, xp=xp) - 2
    return xp.where(dof > 0, dof, xp.full_like(dof, math.nan))


def chi2map_to_errors(
    chi2map: Array, zoomfactor: float = 1.0, nsigma: float = 1, nfitted: int = 2
) -> tuple[float, float, float, float]:
    r"""Read errors off a chi² map with its minimum inside.

    A paraboloid is fitted by least squares to the samples within the error region or next to the minimum:

    .. math:: \chi^2(x) = \chi^2_0 + (x - x_0)^T A\, (x - x_0), \qquad e_i = \sqrt{q\, (A^{-1})_{ii}}

    with q the quantile of chi² for `nfitted` parameters at `nsigma`. The map need not be fine, nor reach to the edge of
    the region.

    Parameters
    ----------
    chi2map : array (ny, nx)
        chi² (not reduced) at equal steps of the shift.
    zoomfactor : float
        Samples per pixel.
    nsigma : float
        Size of the region in sigmas.
    nfitted : int
        Number of parameters for which the region holds jointly: 2.30 above the minimum for 2 and one sigma.

    Returns
    -------
    -ex, +ex, -ey, +ey : float
        Extents of the region, pixels, all positive. NaN if the map has no minimum inside.

    Raises
    ------
    TypeError, ValueError
        `chi2map` is not an array, or not of two axes of at least 3 samples; a number is not positive.
    """
    xp = array_namespace(chi2map=chi2map)
    if chi2map.ndim != 2 or min(chi2map.shape) < 3:
        msg = f"`chi2map` must have two axes of at least 3 samples, got shape {tuple(chi2map.shape)}"
        raise ValueError(msg)
    for name, value in (("zoomfactor", zoomfactor), ("nsigma", nsigma), ("nfitted", nfitted)):
        if not value > 0:
            msg = f"`{name}` must be positive, got {value!r}"
            raise ValueError(msg)
    level = delta_chi2(nfitted, nsigma)
    values = to_host(xp.astype(chi2map, accumulator_dtype(chi2map, xp=xp)))[0].astype(float)
    ey, ex = np.sqrt(level * _paraboloid_extent(values, level)) / zoomfactor
    return float(ex), float(ex), float(ey), float(ey)


def _paraboloid_extent(values: np.ndarray, level: float) -> np.ndarray:
    """Return the diagonal of the inverse of A, in samples squared; NaN without a minimum inside."""
    none = np.full(2, np.nan)
    if not np.any(np.isfinite(values)):
        return none
    low = np.unravel_index(np.nanargmin(values), values.shape)
    if any(i in {0, n - 1} for i, n in zip(low, values.shape, strict=True)):
        return none
    y, x = np.indices(values.shape) - np.array(low)[:, None, None]
    near = (np.abs(x) <= 1) & (np.abs(y) <= 1)
    use = np.isfinite(values) & (near | (values - values[low] < level))
    columns = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1)[use].astype(float)
    *_, a, b, c = np.linalg.lstsq(columns, values[use] - values[low], rcond=None)[0]
    determinant = a * c - b * b / 4
    return np.array([a, c]) / determinant if a > 0 and determinant > 0 else none
