"""Two FITS images in, their shift, and rotation and magnification, in pixels and on the sky out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from astropy.wcs import WCS

from .. import Registration, SimilarityRegistration, register
from .corrections import Correction, corrected_wcs, fit_correction, fit_turn
from .errors import InputError
from .load import FitsImage, load_error, load_image
from .motions import PixelMotion, motion_of, restated, turn_on_sky, with_motion
from .reprojecting import Plane, canvas, linear_part, paste, plane_of, resample, samples
from .sky import PixelMap, SkyOffset, comparable, pixel_map, shifted_wcs, sky_offset

__all__ = ["Alignment", "align_fits"]

_SMALL = 0.3  # pixels: resampled pixels that are farther off are measured again with the coordinates corrected
_SAME_GRID = 0.01  # pixels: grids that differ by a pure shift up to this are compared without resampling
_WORTH_SAYING = 0.02  # pixels that a corrected header is off


@dataclass(frozen=True, eq=False)
class Alignment:
    """The shift between two images, with rotation and magnification if asked for, and what is needed to apply it."""

    reference: FitsImage
    moving: FitsImage
    registration: Registration | SimilarityRegistration
    """On NumPy arrays; `shift` is in (y, x) order. If `reprojected`, on the pixels of the reference: from where the
    header of the moving image puts things to where they are."""
    compared: tuple[Plane, Plane]
    """What was registered: reference and moving, the latter resampled if `reprojected`."""
    reprojected: bool
    systems: tuple[WCS, WCS] | None
    """Coordinate systems of moving and reference in comparable form; None: no map between the two is known."""
    sky: SkyOffset | None
    """None without celestial coordinates in both images, or without a reliable shift."""
    correction: Correction | None
    notes: tuple[str, ...]
    model: str = "shift"
    """That of `register`."""

    @property
    def found(self) -> bool:
        """Tell whether there is a reliable shift."""
        return int(self.registration.status) == 0

    @property
    def shift_xy(self) -> np.ndarray:
        """Shift to apply to the moving image, (x, y), pixels."""
        return np.asarray(self.registration.shift, dtype=float)[::-1]

    @property
    def covariance_xy(self) -> np.ndarray:
        """Covariance (2, 2) of `shift_xy`."""
        return np.asarray(self.registration.covariance, dtype=float)[:2, :2][::-1, ::-1]


class _Geometry(NamedTuple):
    """How the two pixel grids are related by their headers."""

    systems: tuple[WCS, WCS] | None
    to_reference: PixelMap | None
    same_grid: bool
    notes: tuple[str, ...]


def align_fits(
    reference: Any,
    moving: Any,
    *,
    reference_err: Any = None,
    moving_err: Any = None,
    reference_hdu: int | str | None = None,
    moving_hdu: int | str | None = None,
    plane: int | None = None,
    boundary: str = "overlap",
    noise: str = "correlated",
    max_shift: float | None = None,
    model: str = "shift",
) -> Alignment:
    """Measure the shift between two images with headers, and their rotation and magnification.

    Grids that differ by nothing but a shift are compared pixel by pixel. Otherwise the moving image is resampled onto
    the reference's grid first, as its header has it, and the shift is what is left, in reference pixels, at the middle
    of what both images show; with rotation, shift, angle and magnification are what is left, about the middle of the
    reference.

    Parameters
    ----------
    reference, moving
        Anything `load_image` takes, or a `FitsImage`.
    reference_err, moving_err
        Anything `load_error` takes.
    reference_hdu, moving_hdu, plane
        Which HDU of each file, which plane of cubes.
    boundary, noise, max_shift
        As in `imreg_xp.register`. `max_shift` counts from zero shift of the compared grids.
    model : {"shift", "rigid", "similarity"}
        As in `imreg_xp.register`.

    Returns
    -------
    Alignment
        With NaN shifts and flags in `registration.status` where the images give no reliable answer.

    Raises
    ------
    InputError
        An input cannot be used; the message is one line and names it.
    """
    ref = _loaded(reference, reference_err, reference_hdu, plane, "reference")
    mov = _loaded(moving, moving_err, moving_hdu, plane, "moving")
    geometry = _geometry(ref, mov)
    options = {"boundary": boundary, "noise": noise, "max_shift": max_shift, "model": model}
    compared, result = _measure(ref, mov, geometry, options)
    done = Alignment(
        reference=ref,
        moving=mov,
        registration=result,
        compared=compared,
        reprojected=not geometry.same_grid,
        systems=geometry.systems,
        sky=None,
        correction=None,
        notes=ref.notes + mov.notes + geometry.notes,
        model=model,
    )
    if not done.found or geometry.systems is None:
        return done
    if done.reprojected and _farthest(done) > _SMALL:
        done, geometry = _again(done, geometry, options)
    return _on_sky(done, geometry)


def _loaded(source: Any, err: Any, hdu: int | str | None, plane: int | None, role: str) -> FitsImage:
    if isinstance(source, FitsImage):
        image = source
    else:
        is_file = isinstance(source, str) or hasattr(source, "__fspath__")
        image = load_image(source, hdu=hdu, plane=plane, name=None if is_file else role)
    return replace(image, err=load_error(err, image, plane=plane, name=f"`{role}_err`"))


def _geometry(reference: FitsImage, moving: FitsImage) -> _Geometry:
    nothing = _Geometry(None, None, True, ())
    missing = [image.name for image in (reference, moving) if image.wcs is None]
    if missing:
        return nothing._replace(notes=(f"no coordinate system in {' and '.join(missing)}: pixels only",))
    systems = comparable(moving.wcs, reference.wcs)
    if systems is None:
        kinds = " and ".join("/".join(image.wcs.wcs.ctype) for image in (reference, moving))
        return nothing._replace(notes=(f"no way from {kinds} to the other: pixels only",))
    to_reference = pixel_map(*systems)
    same = _is_translation(to_reference, moving.image.shape)
    if systems[0].has_celestial:
        return _Geometry(systems, to_reference, same, ())
    kind = "/".join(moving.wcs.wcs.ctype)
    if same:
        return _Geometry(systems, to_reference, True, (f"coordinates {kind} are not celestial: no offset on the sky",))
    return nothing._replace(notes=(f"coordinates {kind} are not celestial and the grids differ: pixels only",))


def _is_translation(to_reference: PixelMap, shape: tuple[int, ...]) -> bool:
    points = samples(shape)
    steps = to_reference(points) - points
    if not np.isfinite(steps).all():
        return False
    return bool(np.hypot(*(steps - steps.mean(axis=0)).T).max() < _SAME_GRID)


def _measure(
    ref: FitsImage, mov: FitsImage, geometry: _Geometry, options: dict[str, Any]
) -> tuple[tuple[Plane, Plane], Any]:
    """Register two images on one grid: their own, or that of the reference."""
    a, b = plane_of(ref), plane_of(mov)
    if not geometry.same_grid and geometry.systems is not None and geometry.to_reference is not None:
        if options["boundary"] == "wrap":
            msg = f"boundary wrap needs images on one pixel grid, but {ref.name} and {mov.name} differ"
            raise InputError(msg)
        source, target = geometry.systems
        centred = options["model"] != "shift"  # rotation is about the middle of the reference, also of the larger grid
        on = canvas(geometry.to_reference, b.image.shape, a.image.shape, centred=centred)
        grid = shifted_wcs(target, (-on.origin[1], -on.origin[0]))
        landed = abs(np.linalg.det(linear_part(geometry.to_reference, b.image.shape))) * b.image.size
        smaller = min(a.image.size, landed) / (on.shape[0] * on.shape[1])
        a, b = paste(a, on), resample(b, source, grid, on.shape)
        result = _register(a, b, options)
        # of the images, not of the grid that holds both
        return (a, b), result._replace(overlap=np.minimum(result.overlap / smaller, 1.0))
    return (a, b), _register(a, b, options)


def _register(a: Plane, b: Plane, options: dict[str, Any]) -> Any:
    try:
        return register(
            a.image,
            b.image,
            reference_err=a.err,
            moving_err=b.err,
            reference_valid=None if a.valid.all() else a.valid,
            moving_valid=None if b.valid.all() else b.valid,
            **options,
        )
    except ValueError as error:
        raise InputError(str(error)) from error


def _motion(done: Alignment) -> PixelMotion:
    """Return what was found on the pixels compared, those of the reference if resampled."""
    return motion_of(done.registration, done.reference.image.shape)


def _farthest(done: Alignment) -> float:
    """Return the largest distance that pixels of the reference move by."""
    points = samples(done.reference.image.shape)
    return float(np.hypot(*(_motion(done)(points) - points).T).max())


def _again(done: Alignment, geometry: _Geometry, options: dict[str, Any]) -> tuple[Alignment, _Geometry]:
    """Resample with the corrected coordinates and measure what is left.

    A shift on the grid of the reference is not quite one on the sky where projections and distortions differ, and
    the pixels that fell outside at first come back.
    """
    first = _on_sky(done, geometry)
    if geometry.systems is None or first.correction is None:
        return done, geometry
    moving, reference = geometry.systems
    moving = corrected_wcs(moving, first.correction)
    better = geometry._replace(systems=(moving, reference), to_reference=pixel_map(moving, reference))
    compared, result = _measure(done.reference, done.moving, better, options)
    if int(result.status) != 0:
        return done, geometry
    return replace(done, registration=result, compared=compared), better


def _on_sky(done: Alignment, geometry: _Geometry) -> Alignment:
    """Add the offset on the sky and the correction of the header to what was found on resampled or raw pixels.

    `geometry` is the one the pixels were resampled with; `done.systems` holds the coordinates of the headers.
    """
    if done.systems is None or geometry.to_reference is None:
        return done
    moving, reference = done.systems
    motion, to_reference = _motion(done), pixel_map(moving, reference)
    compared = geometry.to_reference if done.reprojected else np.copy
    points = samples(done.moving.image.shape)
    nominal = to_reference(points)
    targets = motion(compared(points))
    usable = np.isfinite(nominal).all(axis=1) & np.isfinite(targets).all(axis=1)
    size = np.array(done.reference.image.shape[::-1])
    shared = usable & (targets >= 0).all(axis=1) & (targets <= size - 1).all(axis=1)
    use = shared if shared.sum() >= 6 else usable
    fit = fit_correction if done.model == "shift" else fit_turn
    correction = fit(moving, reference, points[use], targets[use])
    middle = points[use].mean(axis=0, keepdims=True)
    at, seen = to_reference(middle)[0], compared(middle)[0]
    true = motion(seen)
    registration, notes = done.registration, done.notes
    sky = None
    if reference.has_celestial:
        # the systems are relabelled to RA/Dec for comparing: names and signs of the axes are in the original
        sky = sky_offset(done.reference.wcs, at, true, motion.covariance_at(seen))
    if isinstance(registration, SimilarityRegistration):
        rigid = done.model == "rigid"
        motion = restated(motion, compared(points[use]), nominal[use], motion.centre, rigid=rigid)
        if sky is not None:
            angle, error = turn_on_sky(done.reference.wcs, at, motion)
            sky = sky._replace(angle=angle, angle_err=error)
        if done.reprojected:
            registration = with_motion(registration, motion)
        if correction.residual > _WORTH_SAYING:
            notes += (f"the corrected header leaves {correction.residual:.2g} pixels at the edges",)
    elif done.reprojected:
        registration = registration._replace(shift=(true - at)[::-1])
    return replace(done, registration=registration, correction=correction, sky=sky, notes=notes)
