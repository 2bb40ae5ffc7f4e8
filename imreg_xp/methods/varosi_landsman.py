"""`correl_optimize` and its parts (Varosi 1991; Landsman): a search for the largest correlation, coarse to fine."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from .._array import Array, Namespace, accumulator_dtype, array_namespace, as_images, device_of
from .._engine.chunks import joined, rows, spans
from .._engine.overlap import Best, best_of, correlation_around, magnified_around
from .._engine.problem import Side
from .._inputs import image_pair
from ._offset_search import reduced, search
from ._options import per_item, positive_or_zero, whole

__all__ = ["CorrelOptimum", "correl_images", "correl_optimize", "corrmat_analyze"]

_SHIFT = 7  # pixels, the documented default of the range
_BYTES_PER_PIXEL = 700  # padded spectra of images, squares and masks


class CorrelOptimum(NamedTuple):
    """Where two images correlate best: arrays of the inputs' library and device, with their batch shape."""

    xoffset: Array
    """(...) pixels: the offset of image B relative to A. Shift B by it to match A; NaN where nothing correlates."""
    yoffset: Array
    """(...) likewise."""
    max_corr: Array
    """(...) correlation coefficient there (with `numpix` weighted)."""
    edge: Array
    """(...) boolean: the maximum is at the edge of the range searched, the result inconclusive."""
    plateau: Array
    """(...) boolean: the offset is the middle of a plateau."""


def correl_images(
    image_a: Array,
    image_b: Array,
    *,
    xshift: int = _SHIFT,
    yshift: int = _SHIFT,
    xoffset_b: Any = 0,
    yoffset_b: Any = 0,
    reduction: int = 1,
    magnification: int = 1,
    numpix: bool = False,
) -> Any:
    r"""Correlate two images, of any sizes, at a range of offsets of one relative to the other.

    .. math:: \rho(d) = \frac{\sum a(x + d)\, b(x)}{\sqrt{\sum a(x + d)^2 \sum b(x)^2}}

    with sums over the overlap, and a and b less the mean of the whole image.

    Parameters
    ----------
    image_a, image_b : array (..., ny, nx)
        Real images; pixels that are NaN or infinite are left out. Leading axes broadcast.
    xshift, yshift : int
        Range on each side of the initial offset, pixels.
    xoffset_b, yoffset_b : number or array (...)
        Initial offset of B relative to A, pixels, rounded.
    reduction : int
        Average blocks of so many pixels along each axis first; what does not fill a block is left out.
    magnification : int
        Above 1: correlate images of repeated pixels, 2 + `magnification` of these on each side; with `reduction` 1.
    numpix : bool
        Return the number of pixels that each coefficient is from, too.

    Returns
    -------
    correlation : array (..., 2 yshift + 1, 2 xshift + 1)
        The initial offset is in the middle, offsets grow with the indices, in blocks with `reduction` and in steps of
        1 / `magnification` pixels. 0 where the images do not overlap by 2 pixels along each axis, or one has no
        structure there.
    pixels : array
        With `numpix`; of the same shape.

    Raises
    ------
    TypeError
        Not real arrays of one library and device.
    ValueError
        Images of less than 2 pixels (of 2 blocks) along an axis; a range, reduction or magnification that is not a
        whole number of at least 0, 1 and 1; both of the latter.

    Notes
    -----
    As `CORREL_IMAGES` of the IDL Astronomy User's Library (F. Varosi 1991, W. Landsman). What it loops over is a
    product of spectra here, and its magnified correlation is found without magnifying anything.
    """
    xp = array_namespace(image_a=image_a, image_b=image_b, optional={"xoffset_b": xoffset_b, "yoffset_b": yoffset_b})
    reach = [whole(name, n, 0) for name, n in (("yshift", yshift), ("xshift", xshift))]
    reduction, magnification = whole("reduction", reduction, 1), whole("magnification", magnification, 1)
    if min(reduction, magnification) > 1:
        msg = f"`magnification` must be 1 with a `reduction`, got {magnification} and {reduction}"
        raise ValueError(msg)
    sides, lead = _sides(image_a, image_b, xp=xp)
    start = _start(sides, lead, xoffset_b, yoffset_b, ("xoffset_b", "yoffset_b"), xp=xp)
    pair = reduced(sides, reduction, xp=xp)
    if magnification > 1:
        found = magnified_around(pair, start, magnification, xp=xp)
    else:
        centre = xp.round(start / reduction)
        found = correlation_around(pair, centre, [k // reduction for k in reach], xp=xp)
    dtype = sides[0].image.dtype
    rho, count = (xp.astype(xp.reshape(a, (*lead, *a.shape[1:])), dtype) for a in found)
    return (rho, count) if numpix else rho


def corrmat_analyze(
    correl_mat: Any,
    *,
    xoff_init: Any = 0,
    yoff_init: Any = 0,
    reduction: int = 1,
    magnification: int = 1,
    plateau_thresh: float = 0.01,
) -> CorrelOptimum:
    r"""Find the offset of the largest correlation in what `correl_images` returns.

    Parameters
    ----------
    correl_mat : array (..., ny, nx) or pair of such
        The correlation; with the numbers of pixels n of each coefficient these are weighted by
        :math:`(n / n_{max})^{1/4}`.
    xoff_init, yoff_init : number or array (...)
        As the offsets `correl_images` was called with.
    reduction, magnification : int
        As it was called with.
    plateau_thresh : number
        With `magnification` above 1: how far below the maximum a plateau may reach. If at least as many coefficients do
        not lie below as their box has rows and columns in sum (less 2), the answer is the middle of the box.

    Returns
    -------
    CorrelOptimum
        In pixels. NaN where no coefficient is positive.

    Raises
    ------
    TypeError
        `correl_mat` is not a real array, or pair of arrays of one library and device.
    ValueError
        It has less than 2 axes, the two differ in shape; a reduction or magnification that is not a whole number of at
        least 1; `plateau_thresh` is negative.

    Notes
    -----
    As `CORRMAT_ANALYZE` of the IDL Astronomy User's Library.
    """
    matrix, count = correl_mat if isinstance(correl_mat, tuple) else (correl_mat, None)
    offsets = {"xoff_init": xoff_init, "yoff_init": yoff_init}
    xp = array_namespace(correl_mat=matrix, optional={"correl_mat[1]": count, **offsets})
    reduction, magnification = whole("reduction", reduction, 1), whole("magnification", magnification, 1)
    plateau_thresh = positive_or_zero("plateau_thresh", plateau_thresh)
    if matrix.ndim < 2 or (count is not None and count.shape != matrix.shape):
        other = "" if count is None else f" and {tuple(count.shape)}"
        msg = f"`correl_mat` must be (..., ny, nx), or two arrays of this shape, got {tuple(matrix.shape)}{other}"
        raise ValueError(msg)
    (matrix,) = as_images(xp=xp, correl_mat=matrix)
    count = None if count is None else xp.astype(count, matrix.dtype)
    lead, size = tuple(matrix.shape[:-2]), tuple(matrix.shape[-2:])
    flat = xp.reshape(matrix, (-1, *size))
    pixels = None if count is None else xp.reshape(count, (-1, *size))
    acc = accumulator_dtype(matrix, xp=xp)
    like = xp.zeros((flat.shape[0],), dtype=acc, device=device_of(matrix))
    start = per_item(like, lead, xoff_init, yoff_init, ("xoff_init", "yoff_init"), xp=xp)
    step = 1 / magnification if magnification > 1 else reduction
    centre = xp.round(start / step)
    best = best_of(flat, pixels, plateau_thresh if magnification > 1 else None, xp=xp)
    return _optimum(best, (centre + best.offset) * step, lead, matrix.dtype, xp=xp)


def correl_optimize(
    image_a: Array,
    image_b: Array,
    *,
    xoff_init: Any = 0,
    yoff_init: Any = 0,
    magnification: int = 1,
    numpix: bool = False,
    plateau_thresh: float = 0.01,
) -> CorrelOptimum:
    r"""Find the offset of image B relative to image A by the largest correlation of their overlap, coarse to fine.

    Both are averaged to about 8 pixels first and searched all over, then with blocks half as large, and again, within
    4 of these; then over 2 or 3 pixels around, and with `magnification` in steps of 1 / `magnification` pixels.

    Parameters
    ----------
    image_a, image_b : array (..., ny, nx)
        Real images, of any sizes; pixels that are NaN or infinite are left out. Leading axes broadcast.
    xoff_init, yoff_init : number or array (...)
        Initial offset of B relative to A, pixels.
    magnification : int
        2 and more: steps of 1 / `magnification` pixels, by repeating pixels.
    numpix : bool
        Weight each coefficient by :math:`(n / n_{max})^{1/4}`, n its number of pixels. Small overlaps correlate by
        chance, and two corners of flat sky, both below the mean, perfectly: without it they are often the answer.
    plateau_thresh : number
        See `corrmat_analyze`; less for data of high signal-to-noise.

    Returns
    -------
    CorrelOptimum
        Pixel (x, y) of B lies at (x + xoffset, y + yoffset) in A: shift B by this to match A. It is the opposite of
        the (dx, dy) of `imreg_xp.chi2_shift`. Inconclusive where `edge`; NaN where nothing correlates.

    Raises
    ------
    TypeError
        Not real arrays of one library and device.
    ValueError
        Images of less than 2 pixels along an axis; an option that is out of range.

    Notes
    -----
    As `CORREL_OPTIMIZE` of the IDL Astronomy User's Library (F. Varosi 1991, W. Landsman). What it prints is in the
    result. Repeated pixels correlate best at whole pixels: the fraction comes from the plateau, and is biased towards
    whole pixels by up to half of one. There is no error. For both see `imreg_xp.register`.

    Examples
    --------
    >>> import numpy as np, imreg_xp
    >>> y, x = np.indices((64, 80))
    >>> nebula = np.exp(-((x - 40) ** 2) / 60 - (y - 30) ** 2 / 30) + np.exp(-((x - 48) ** 2 + (y - 36) ** 2) / 9)
    >>> found = imreg_xp.correl_optimize(nebula[:, 10:70], nebula[4:60, 17:], numpix=True)
    >>> float(found.xoffset), float(found.yoffset), bool(found.edge)
    (7.0, 4.0, False)
    """
    xp = array_namespace(image_a=image_a, image_b=image_b, optional={"xoff_init": xoff_init, "yoff_init": yoff_init})
    magnification, threshold = (
        whole("magnification", magnification, 1),
        positive_or_zero("plateau_thresh", plateau_thresh),
    )
    sides, lead = _sides(image_a, image_b, xp=xp)
    offset = _start(sides, lead, xoff_init, yoff_init, ("xoff_init", "yoff_init"), xp=xp)
    pixels = sum(math.prod(side.image.shape[1:]) for side in sides)
    parts = [
        search(
            (rows(sides[0], *span), rows(sides[1], *span)),
            offset[slice(*span), :],
            magnification,
            numpix,
            threshold,
            xp=xp,
        )
        for span in spans(offset.shape[0], None, sides[0].image, pixels, _BYTES_PER_PIXEL, xp=xp)
    ]
    best, offsets = zip(*parts, strict=True)
    whole_best = Best(*(joined(list(field), xp=xp) for field in zip(*best, strict=True)))
    return _optimum(whole_best, joined(list(offsets), xp=xp), lead, sides[0].image.dtype, xp=xp)


def _sides(image_a: Array, image_b: Array, *, xp: Namespace) -> tuple[tuple[Side, Side], tuple[int, ...]]:
    return image_pair(
        (image_a, image_b),
        errors=(None, None),
        valid=(None, None),
        names=("image_a", "image_b"),
        same_shape=False,
        ndim=2,
        look=False,
        xp=xp,
    )


def _start(
    sides: tuple[Side, Side], lead: tuple[int, ...], x: Any, y: Any, names: tuple[str, str], *, xp: Namespace
) -> Array:
    """Return the initial offsets (batch, 2), y first, for a batch of images."""
    image = sides[0].image
    like = xp.zeros((math.prod(lead),), dtype=accumulator_dtype(image, xp=xp), device=device_of(image))
    return per_item(like, lead, x, y, names, xp=xp)


def _optimum(best: Best, offset: Array, lead: tuple[int, ...], dtype: Any, *, xp: Namespace) -> CorrelOptimum:
    """Return the result with its batch shape, NaN where nothing correlates."""
    known = best.value > 0
    offset = xp.astype(xp.where(known[:, None], offset, xp.full_like(offset, math.nan)), dtype)
    fields = (offset[:, 1], offset[:, 0], xp.astype(best.value, dtype), best.edge, best.plateau)
    return CorrelOptimum(*(xp.reshape(field, lead) for field in fields))
