"""`similarity` and its parts (Gohlke's imreg.py): rotation, scale and shift by log-polar correlation of spectra."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .._array import Array, Namespace, accumulator_dtype, array_namespace, complex_dtype, device_of, is_number
from .._engine.complex_peak import complex_peak
from .._engine.logpolar import Known
from .._engine.motion import Motion, centre_of, matrix_of
from .._engine.problem import Side, less_mean, over_image
from .._engine.result import MAGNIFICATIONS
from .._engine.similar import guess_similarity, solve_similarity
from .._engine.warp import warped
from .._inputs import choose, image_pair
from ..fft_tools._dft import axes_of

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

    Examples
    --------
    >>> import numpy as np, imreg_xp
    >>> y, x = np.indices((70, 80)) - 35.0
    >>> scene = np.exp(-((x - 9) ** 2 + (y + 10) ** 2) / 20) + np.exp(-((x + 12) ** 2) / 50 - (y - 8) ** 2 / 12)
    >>> turned = imreg_xp.apply_transform(scene, imreg_xp.similarity_matrix(1, 10, (6, -4)), fill=0.0)
    >>> im2, scale, angle, (t0, t1) = imreg_xp.similarity(scene, turned)
    >>> bool(abs(scale - 1) < 0.001), bool(abs(angle + 10) < 0.05)
    (True, True)
    """
    xp = array_namespace(im0=im0, im1=im1)
    sides, lead = _sides(im0, im1, xp=xp)
    turn, size = _constraint("angle", angle), _constraint("scale", scale)
    if size is not None and not MAGNIFICATIONS[0] <= size[0] <= MAGNIFICATIONS[1]:
        msg = f"`scale` must be from {MAGNIFICATIONS[0]} to {MAGNIFICATIONS[1]}, got {scale!r}"
        raise ValueError(msg)
    known = Known(
        None if turn is None else (math.radians(-turn[0]), math.radians(turn[1])),
        None if size is None else (1 / size[0], size[1] / size[0] ** 2),
    )
    options = choose(sides, boundary="overlap")
    if refine:
        fixed = [k for k, value in ((2, turn), (3, size)) if value is not None and value[1] == 0]
        free = tuple(k for k in range(4) if k not in fixed)
        found = solve_similarity(*sides, options, known=known, free=free, xp=xp)
        motion = Motion(found.shift, found.angle * (math.pi / 180), found.magnification)
    else:
        motion = guess_similarity(*sides, options, known, xp=xp)
    acc, dtype = accumulator_dtype(sides[0].image, xp=xp), sides[0].image.dtype
    motion = Motion(*(xp.astype(x, acc) for x in motion))
    shape = tuple(im1.shape[-2:])
    im2 = warped(sides[1], matrix_of(motion, centre_of(shape), xp=xp), shape, math.nan, xp=xp)
    degrees = motion.angle * (-180 / math.pi)
    degrees = degrees - 360 * xp.ceil((degrees - 180) / 360)
    fields = (im2, 1 / motion.magnification, degrees, motion.shift[:, 0], motion.shift[:, 1])
    out = [xp.reshape(xp.astype(x, dtype), (*lead, *x.shape[1:])) for x in fields]
    return out[0], out[1], out[2], (out[3], out[4])


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
    xp = array_namespace(im0=im0, im1=im1)
    sides, lead = _sides(im0, im1, xp=xp)
    spectra = [_spectrum(side, xp=xp) for side in sides]
    cross = xp.conj(spectra[0]) * spectra[1]
    power = abs(cross)
    least = 1e3 * xp.finfo(power.dtype).eps * xp.max(power, axis=over_image(power), keepdims=True)
    seen = power > least
    cross = xp.where(seen, cross / xp.where(seen, power, xp.ones_like(power)), xp.zeros_like(cross))
    offset, value = complex_peak(cross, [float(n) for n in im1.shape[-2:]], refine=True, xp=xp)
    offset = xp.where((abs(value) > 0)[:, None], -offset, xp.full_like(offset, math.nan))
    t0, t1 = (xp.reshape(xp.astype(offset[:, axis], sides[0].image.dtype), lead) for axis in range(2))
    return t0, t1


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
    given = {"scale": scale, "angle": angle}
    if not hasattr(vector, "__len__") or len(vector) != 2:
        msg = f"`vector` must have two parts, got {vector!r}"
        raise ValueError(msg)
    given |= {f"vector[{i}]": x for i, x in enumerate(vector)}
    arrays = {name: x for name, x in given.items() if not is_number(x)} or {"scale": np.zeros(1)}
    xp, like = array_namespace(**arrays), next(iter(arrays.values()))
    dtype = accumulator_dtype(like, xp=xp)
    parts = [
        xp.asarray(x, dtype=dtype, device=device_of(like)) if is_number(x) else xp.astype(x, dtype)
        for x in given.values()
    ]
    s, a, u, v = xp.broadcast_arrays(*parts)
    a = a * (math.pi / 180)
    c, t = s * xp.cos(a), s * xp.sin(a)
    none = xp.zeros_like(c)
    return xp.stack([xp.stack(row, axis=-1) for row in ([c, -t, u], [t, c, v], [none, none, none + 1])], axis=-2)


def _sides(im0: Array, im1: Array, *, xp: Namespace) -> tuple[tuple[Side, Side], tuple[int, ...]]:
    """Check two images of one shape."""
    sides, lead = image_pair(
        (im0, im1),
        errors=(None, None),
        valid=(None, None),
        names=("im0", "im1"),
        same_shape=False,
        ndim=2,
        xp=xp,
    )
    a, b = tuple(im0.shape[-2:]), tuple(im1.shape[-2:])
    if a != b:
        msg = f"`im1` must have the image shape {a} of `im0`, got {b}"
        raise ValueError(msg)
    return sides, lead


def _constraint(name: str, given: Any) -> tuple[float, float] | None:
    """Return centre and softness of what is known, 0 if it is fixed."""
    if given is None:
        return None
    pair = (given, 0.0) if is_number(given) else given
    if not (
        isinstance(pair, (tuple, list))
        and len(pair) == 2
        and all(is_number(x) and math.isfinite(x) for x in pair)
        and pair[1] >= 0
    ):
        msg = f"`{name}` must be a number or (centre, softness), got {given!r}"
        raise ValueError(msg)
    return float(pair[0]), float(pair[1])


def _spectrum(side: Side, *, xp: Namespace) -> Array:
    """Return the spectrum (batch, modes...) of an image less its mean, invalid pixels left out."""
    level, _ = less_mean(side.image, side.valid, xp=xp)
    return xp.fft.fftn(xp.astype(level, complex_dtype(level.dtype, xp=xp)), axes=axes_of(2))
