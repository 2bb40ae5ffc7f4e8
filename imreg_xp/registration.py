"""The native face: `register` on arrays of any library, and shifts of images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, TypedDict, Unpack, overload

from ._array import Array, Namespace, array_namespace, as_images
from ._engine import solve
from ._engine.logpolar import Known
from ._engine.problem import Options, Side
from ._engine.resample import shifted
from ._engine.result import Registration, SimilarityRegistration
from ._engine.similar import solve_similarity
from ._inputs import Seen, choose, image_pair, one_image, unflatten
from .fft_tools.shift import as_array_or_none, fourier_shift, per_item_shift

__all__ = ["apply_shift", "arrays_in", "checked", "fourier_shift", "register", "registered_with_rotation"]


class _Options(TypedDict, total=False):
    """What `register` takes with any model."""

    reference_err: Any
    moving_err: Any
    reference_valid: Array | None
    moving_valid: Array | None
    boundary: Literal["overlap", "wrap"]
    fit_scale: bool
    fit_background: bool
    noise: Literal["correlated", "white"]
    max_shift: float | Sequence[float] | None
    min_overlap: float
    check_finite: bool
    ndim: int


@overload
def register(
    reference: Array, moving: Array, *, model: Literal["shift"] = ..., **options: Unpack[_Options]
) -> Registration: ...


@overload
def register(
    reference: Array, moving: Array, *, model: Literal["rigid", "similarity"], **options: Unpack[_Options]
) -> SimilarityRegistration: ...


def register(
    reference: Array,
    moving: Array,
    *,
    model: Literal["shift", "rigid", "similarity"] = "shift",
    reference_err: Any = None,
    moving_err: Any = None,
    reference_valid: Array | None = None,
    moving_valid: Array | None = None,
    boundary: Literal["overlap", "wrap"] = "overlap",
    fit_scale: bool = True,
    fit_background: bool = True,
    noise: Literal["correlated", "white"] = "correlated",
    max_shift: float | Sequence[float] | None = None,
    min_overlap: float = 0.3,
    check_finite: bool = True,
    ndim: int = 2,
) -> Registration | SimilarityRegistration:
    r"""Measure the sub-pixel shift between images of the same scene, and their rotation and magnification, with errors.

    The model is :math:`m(x) = s\, r(x + \mathrm{shift}) + b + \mathrm{noise}`, r the reference and m the moving image.
    With rotation it is :math:`m(x) = s\, r(c + \mu R(\theta)(x - c) + \mathrm{shift}) + b + \mathrm{noise}`, see
    `SimilarityRegistration`.

    Parameters
    ----------
    reference, moving : array (..., image axes)
        Real images. Leading axes broadcast against each other; with ``boundary="overlap"`` the images may differ in
        size (the shift is then between their pixels (0, 0)).
    model : {"shift", "rigid", "similarity"}
        "rigid": the angle is free too, any; "similarity": and the magnification, from 0.5 to 2. Of two image axes, with
        ``boundary="overlap"``.
    reference_err, moving_err : number or array, optional
        1 sigma noise per pixel, in units of the image. Without `moving_err` the noise level is estimated from the
        residuals; with `moving_err` alone the reference counts as free of noise. With `reference_err` and uniform noise
        the modes are weighted by maximum likelihood (Hannan & Thomson 1973).
    reference_valid, moving_valid : boolean array, optional
        True = use the pixel. Pixels that are NaN or infinite, or whose error is not finite and positive or more than 30
        times the typical one, are invalid by themselves.
    boundary : {"overlap", "wrap"}
        "overlap": two pointings at a larger scene; only pixels both images hold are compared. "wrap": periodic images.
    fit_scale, fit_background : bool
        Whether gain s and background b are free; else s = 1, b = 0.
    noise : {"correlated", "white"}
        Whether the errors allow for noise that is correlated between pixels, as its residuals show it, or take it as
        white.
    max_shift : number or one per axis, optional
        Largest shift to look for, pixels.
    min_overlap : float
        Least overlap to look for, as a fraction of the smaller image ("overlap" only).
    check_finite : bool
        Whether to look for pixels that are NaN or infinite in images without masks or error maps, and leave them out.
        Without, such images are taken to have none: those that have come out as NaN with a status. With rotation they
        are looked for at any rate.
    ndim : int
        How many trailing axes are image axes.

    Returns
    -------
    Registration, or SimilarityRegistration unless the model is "shift"
        Arrays of the inputs' library, device and batch shape. `shift` is in pixels, array-axis order, and is what to
        apply to `moving` so that it matches `reference`. An item that cannot be aligned has NaN and its `status`.

    Raises
    ------
    TypeError
        Not arrays, boolean or complex images, several array libraries or devices.
    ValueError
        Shapes that do not match, image axes of 1 pixel, unknown options, errors that are not positive, a `max_shift`
        larger than the image; a rotation with ``boundary="wrap"`` or `ndim` other than 2.

    Notes
    -----
    `shift_err` is the marginal 1 sigma (Delta chi^2 = 1) from the sandwich :math:`H^{-1} J H^{-1}`, with J from the
    residuals' autocovariance. That takes samples: on images of less than about 24 pixels a side it is too small (by 1.2
    at 24, 1.35 at 16), and ``noise="white"`` is right. Undersampled images have a bias of 0.003 to 0.015 pixels
    that depends on the sub-pixel phase and that no noise term covers, many errors where there is little noise. With
    `moving_err` alone all modes weigh the same, and it is 0.01 to 0.025.

    Nothing waits for an accelerator, with one exception that `check_finite` decides: images of floating dtype without
    masks or error maps are looked at once, as those with NaN take far longer.

    References
    ----------
    Guizar-Sicairos et al. 2008, doi:10.1364/OL.33.000156; Padfield 2012, doi:10.1109/TIP.2011.2181402;
    Hannan & Thomson 1973, doi:10.2307/2334540.
    """
    if model != "shift":
        _check_model(model, boundary, ndim)
    options = {
        "reference_err": reference_err,
        "moving_err": moving_err,
        "reference_valid": reference_valid,
        "moving_valid": moving_valid,
        "boundary": boundary,
        "fit_scale": fit_scale,
        "fit_background": fit_background,
        "noise": noise,
        "max_shift": max_shift,
        "min_overlap": min_overlap,
        "check_finite": check_finite,
    }
    if model != "shift":
        free = (0, 1, 2) if model == "rigid" else (0, 1, 2, 3)
        known = Known(None, (1.0, 0.0) if model == "rigid" else None)
        return registered_with_rotation(reference, moving, options, known, free)
    xp = array_namespace(reference=reference, moving=moving, optional=arrays_in(options))
    sides, chosen, lead = checked(reference, moving, options, ndim=ndim, xp=xp)
    return unflatten(solve(*sides, chosen, xp=xp), lead, xp=xp)


def _check_model(model: str, boundary: str, ndim: int) -> None:
    if model not in ("rigid", "similarity"):
        msg = f"`model` must be one of ('shift', 'rigid', 'similarity'), got {model!r}"
        raise ValueError(msg)
    if boundary == "wrap":
        msg = f"`boundary` must be 'overlap' with model={model!r}: periodic images do not stay so when turned"
        raise ValueError(msg)
    if ndim != 2:
        msg = f"`ndim` must be 2 with model={model!r}, got {ndim!r}"
        raise ValueError(msg)


def registered_with_rotation(
    reference: Array, moving: Array, options: dict[str, Any], known: Known, free: tuple[int, ...]
) -> SimilarityRegistration:
    """Register as `register` does with rotation and these options; see the engine for what is known and free."""
    xp = array_namespace(reference=reference, moving=moving, optional=arrays_in(options))
    sides, chosen, lead = checked(reference, moving, {**options, "check_finite": True}, ndim=2, xp=xp)
    return unflatten(solve_similarity(*sides, chosen, known=known, free=free, xp=xp), lead, xp=xp)


def arrays_in(options: dict[str, Any]) -> dict[str, Any]:
    """Return those of the options of `register` that may be arrays."""
    return {name: options[name] for name in ("reference_err", "moving_err", "reference_valid", "moving_valid")}


def checked(
    reference: Array,
    moving: Array,
    options: dict[str, Any],
    *,
    ndim: int,
    seen: Seen | None = None,
    xp: Namespace,
) -> tuple[tuple[Side, Side], Options, tuple[int, ...]]:
    """Return what `solve` takes, and the batch shape of the result; pixels that were `seen` are not looked at again."""
    sides, lead = image_pair(
        (reference, moving),
        errors=(options["reference_err"], options["moving_err"]),
        valid=(options["reference_valid"], options["moving_valid"]),
        names=("reference", "moving"),
        same_shape=options["boundary"] == "wrap",
        ndim=ndim,
        seen=seen,
        check_finite=options["check_finite"],
        xp=xp,
    )
    chosen = choose(
        sides,
        boundary=options["boundary"],
        fit=(options["fit_scale"], options["fit_background"]),
        noise=options["noise"],
        max_shift=options["max_shift"],
        min_overlap=options["min_overlap"],
    )
    return sides, chosen, lead


def apply_shift(
    image: Array, shift: Any, *, valid: Array | None = None, fill: float = math.nan, ndim: int | None = None
) -> Array:
    r"""Shift images that are not periodic, such as ``apply_shift(moving, registration.shift)``.

    The image is continued smoothly beyond its border and into its invalid pixels, shifted by the Fourier shift theorem,
    :math:`f(x - \mathrm{shift})`, and cut to its own pixels.

    Parameters
    ----------
    image : array (..., image axes)
        Real images. NaN and infinite pixels are invalid.
    shift : array (..., ndim) or sequence
        Pixels, array-axis order: content moves towards larger indices.
    valid : boolean array, optional
        True = use the pixel.
    fill : float
        Value of the pixels that come from outside the image or from invalid pixels.
    ndim : int, optional
        How many trailing axes are image axes; the length of `shift` if not given.

    Returns
    -------
    array
        Same shape (broadcast with `shift`), dtype, library and device as `image`.

    Raises
    ------
    TypeError
        `image` is not a real array, or `valid` not boolean.
    ValueError
        `shift` or `valid` do not match the image.

    Notes
    -----
    The rms error 4 pixels inside the border is 4e-4 / 6e-5 / 2e-5 of the image rms for beams of 0.7 / 1.0 / 1.5 pixels
    sigma. A shift that is NaN gives an image of `fill`.
    """
    xp = array_namespace(image=image, optional={"shift": as_array_or_none(shift), "valid": valid})
    (image,) = as_images(xp=xp, image=image)
    flat, offsets, lead = per_item_shift(image, shift, ndim, valid=valid, xp=xp)
    k = flat.ndim - 1
    side = one_image(image, None, valid, lead, k, names=("image", "err", "valid"), xp=xp)
    known = xp.isfinite(offsets)
    moved = shifted(side.image, side.valid, xp.where(known, offsets, xp.zeros_like(offsets)), fill, xp=xp)
    keep = xp.reshape(xp.all(known, axis=-1), (-1,) + (1,) * k)
    moved = xp.where(keep, moved, xp.full_like(moved, fill))
    return xp.reshape(xp.broadcast_to(moved, (math.prod(lead), *moved.shape[1:])), (*lead, *moved.shape[1:]))
