"""`similarity` and its parts (Gohlke's imreg.py): rotation, scale and shift by log-polar correlation of spectra."""

from __future__ import annotations

from typing import Any

from .._array import Array

__all__ = ["similarity", "similarity_matrix", "translation"]


def similarity(
    im0: Array, im1: Array, *, angle: Any = None, scale: Any = None, refine: bool = True
) -> tuple[Array, Array, Array, tuple[Array, Array]]:
    r"""Find scale, rotation and shift of an image relative to another, and undo them.

    The magnitudes of the spectra do not know of a shift; on log-polar axes they are moved by a rotation along one axis
    and by a scale along the other, which their correlation finds. It cannot tell an angle from one half a turn further:
    both are tried. Then the shift is found.

    Parameters
    ----------
    im0, im1 : array (..., ny, nx)
        Real images of one shape, of any sizes; pixels that are NaN or infinite are left out. Leading axes broadcast.
    angle, scale : number or (centre, softness), optional
        What is known of the result: a number is kept, of a pair the angle (degrees) or scale is preferred that is
        within about `softness` of the centre, by a Gaussian.
    refine : bool
        Refine the result on the overlap by least squares, as `register` does; False: that of the correlations.

    Returns
    -------
    im2 : array (..., ny, nx)
        `im1` scaled by 1 / `scale`, turned by `angle` and shifted by (t0, t1): it lies as `im0` does. NaN where `im1`
        does not reach.
    scale : array (...)
        Size of the scene in `im1` relative to that in `im0`, 0.5 to 2.
    angle : array (...)
        Degrees in (-180, 180] to turn `im1` by, about the middle of the image, as by `scipy.ndimage.rotate`:
        counter-clockwise if row 0 is at the top.
    t0, t1 : array (...)
        Pixels along rows and columns to shift `im1` by, when it has been scaled and turned about its middle.

    Raises
    ------
    TypeError
        Not real arrays of one library and device.
    ValueError
        Shapes that do not match or have less than 2 pixels along an axis; an `angle` or `scale` that is no number or
        pair of numbers, or out of range.

    Notes
    -----
    As `similarity` of C. Gohlke's imreg.py, and as imreg_dft for what may be known. The images may be rectangular, all
    is sub-pixel, and the shift is counted about the middle of the images. Where no pixel can be compared all is NaN.
    Beside this one, `register` with ``model="similarity"`` takes masks and errors and gives errors; its angle is
    positive in the opposite direction and its magnification is 1 / `scale`.

    References
    ----------
    Reddy & Chatterji 1996, doi:10.1109/83.506761.
    """
    raise NotImplementedError


def translation(im0: Array, im1: Array) -> tuple[Array, Array]:
    """Return the shift (t0, t1) along rows and columns that `im1` needs to match `im0`, by phase correlation.

    Parameters
    ----------
    im0, im1 : array (..., ny, nx)
        Real images of one shape. Leading axes broadcast.

    Returns
    -------
    t0, t1 : array (...)
        Pixels, from -n/2 to n/2.

    Raises
    ------
    TypeError
        Not real arrays of one library and device.
    ValueError
        Shapes that do not match.

    Notes
    -----
    As `translation` of C. Gohlke's imreg.py, and sub-pixel. The images are taken to be periodic.
    """
    raise NotImplementedError


def similarity_matrix(scale: Any, angle: Any, vector: Any) -> Array:
    r"""Return the homogeneous matrix that scales, then turns, then shifts.

    .. math:: T R S = \begin{pmatrix} s\cos a & -s\sin a & v_0 \\ s\sin a & s\cos a & v_1 \\ 0 & 0 & 1 \end{pmatrix}

    Parameters
    ----------
    scale : number or array (...)
    angle : number or array (...)
        Degrees.
    vector : sequence of two numbers or arrays (...)

    Returns
    -------
    array (..., 3, 3)
        Of NumPy, if only numbers are given.

    Raises
    ------
    TypeError
        Not numbers or arrays of one library and device.
    ValueError
        `vector` has not two parts.

    Notes
    -----
    As `similarity_matrix` of C. Gohlke's imreg.py. For what `similarity` finds, ``similarity_matrix(1 / scale, angle,
    (t0, t1))`` takes the place (row, column, 1) of something in `im1`, counted from the middle of the image, to that
    in `im0`.
    """
    raise NotImplementedError
