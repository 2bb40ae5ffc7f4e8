"""Images turned, magnified and shifted: `apply_transform`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ._array import Array, Namespace, accumulator_dtype, array_namespace, as_images, is_number
from ._batch import as_batch, broadcast_batch
from ._engine.motion import Motion, centre_of, matrix_of
from ._engine.result import Registration, SimilarityRegistration
from ._engine.warp import warped
from ._inputs import one_image

__all__ = ["apply_transform"]


def apply_transform(
    image: Array,
    transform: Any,
    *,
    valid: Array | None = None,
    fill: float = math.nan,
    shape: Sequence[int] | None = None,
) -> Array:
    r"""Turn, magnify and shift images, such as ``apply_transform(moving, registration)``.

    The image is continued smoothly beyond its border and into its invalid pixels, and evaluated where the pixels of the
    result come from. Its values are those of its trigonometric interpolant at half pixels, and of quintic splines
    through these between them.

    Parameters
    ----------
    image : array (..., ny, nx)
        Real images. NaN and infinite pixels are invalid.
    transform : SimilarityRegistration, Registration or array (..., 3, 3)
        A result of `register`, or homogeneous matrices that take the pixel (y, x, 1) of `image` to its place in the
        result, as those of `similarity_matrix`. Leading axes broadcast with those of `image`.
    valid : boolean array, optional
        True = use the pixel.
    fill : float
        Value of the pixels that come from outside the image or from invalid pixels.
    shape : (int, int), optional
        Shape of the result: that of the reference, if it is not that of `image`. The centre of rotation of a
        `SimilarityRegistration` is the middle of it.

    Returns
    -------
    array (..., ny, nx)
        Of the dtype, library and device of `image`, of shape `shape`. A transform that is NaN gives an image of `fill`.

    Raises
    ------
    TypeError
        `image` is not a real array, `valid` not boolean, `transform` none of the above, or from another library.
    ValueError
        Shapes that do not match.

    Notes
    -----
    The rms error 4 pixels inside the border is 1e-4 / 2e-5 of the image rms for beams of 1.0 / 1.5 pixels sigma; the
    former is what sampling has folded into the corners of the band. A magnification well below 1 samples the image more
    coarsely than its own pixels: smooth it first where it has structure finer than that. The last row of a matrix is
    taken to be (0, 0, 1).
    """
    given = {"transform": transform[0] if isinstance(transform, tuple) else transform}
    given = given if hasattr(given["transform"], "dtype") else {}
    xp = array_namespace(image=image, optional={"valid": valid, **given})
    (image,) = as_images(xp=xp, image=image)
    if image.ndim < 2 or min(image.shape[-2:]) < 2:
        msg = f"`image` must have two image axes of at least 2 pixels, got shape {tuple(image.shape)}"
        raise ValueError(msg)
    out = _output_shape(shape, tuple(image.shape[-2:]))
    matrix = _matrix(transform, centre_of(out), image, xp=xp)
    masked = {} if valid is None else {"valid": tuple(valid.shape[:-2])}
    lead = broadcast_batch({"image": tuple(image.shape[:-2]), "transform": tuple(matrix.shape[:-2]), **masked})
    side = one_image(image, None, valid, lead, 2, names=("image", "err", "valid"), xp=xp)
    moved = warped(side, as_batch(matrix, lead, 2, xp=xp), out, fill, xp=xp)
    return xp.reshape(xp.broadcast_to(moved, (math.prod(lead), *out)), (*lead, *out))


def _output_shape(shape: Sequence[int] | None, own: tuple[int, ...]) -> tuple[int, ...]:
    if shape is None:
        return own
    sizes = tuple(shape)
    if len(sizes) != 2 or not all(is_number(n) and n >= 1 and n == math.floor(n) for n in sizes):
        msg = f"`shape` must be two numbers of pixels, got {shape!r}"
        raise ValueError(msg)
    return tuple(int(n) for n in sizes)


def _matrix(transform: Any, centre: tuple[float, ...], like: Array, *, xp: Namespace) -> Array:
    """Return any transform as matrices (..., 2, 3) from pixels of the image to pixels of the result."""
    acc = accumulator_dtype(like, xp=xp)
    if isinstance(transform, SimilarityRegistration):
        shift, angle, magnification = (
            xp.astype(x, acc) for x in (transform.shift, transform.angle, transform.magnification)
        )
        return matrix_of(Motion(shift, angle * (math.pi / 180), magnification), centre, xp=xp)
    if isinstance(transform, Registration):
        shift = xp.astype(transform.shift, acc)
        if shift.shape[-1] != 2:
            msg = f"`transform` must be of images of two axes, got shifts along {shift.shape[-1]}"
            raise ValueError(msg)
        still = xp.zeros_like(shift[..., 0])
        return matrix_of(Motion(shift, still, still + 1), centre, xp=xp)
    if not hasattr(transform, "dtype"):
        msg = f"`transform` must be a result of `register` or an array (..., 3, 3), got {type(transform).__name__}"
        raise TypeError(msg)
    if tuple(transform.shape[-2:]) != (3, 3):
        msg = f"`transform` must be matrices (..., 3, 3), got shape {tuple(transform.shape)}"
        raise ValueError(msg)
    return xp.astype(transform, acc)[..., :2, :]
