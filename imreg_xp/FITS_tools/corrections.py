"""Corrections of a header, so that the positions in it are right: found, applied, and written in its own form."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

from .errors import InputError
from .sky import REFUSALS, pixel_map, shifted_wcs, units_per_degree

__all__ = ["Correction", "correct_cards", "corrected_wcs", "fit_correction", "fit_turn"]

_SAME = 1e-6  # of a row of a matrix: what is read from the cards must be what wcslib makes of them
_CROTA = 1e-3  # pixels over the size of an image: a matrix that CROTA2 and CDELT give to this is written as such


class Correction(NamedTuple):
    """How to change a header so that its positions are right."""

    keyword: str
    """"CRPIX" or "CRVAL"."""
    change: np.ndarray
    """What to add to the keyword's value on the two axes: pixels, or degrees (units of the axis, if not on the sky)."""
    residual: float
    """Largest distance left, in pixels of the reference."""
    matrix: np.ndarray | None = None
    """(2, 2) what to multiply the CD matrix by, from the right; None: it stays."""


def fit_correction(moving: WCS, reference: WCS, points: np.ndarray, targets: np.ndarray) -> Correction:
    """Find the change of CRPIX, or of CRVAL, that puts `points` of the moving image at `targets` of the reference.

    CRPIX turns nothing, whatever the declination. But where a distortion is part of the coordinates, it would move that
    over the detector, and CRVAL is changed.

    Raises
    ------
    InputError
        There is no such change.
    """
    units_of = {"CRPIX": 1.0, "CRVAL": float(np.abs(moving.pixel_scale_matrix).max())}
    for keyword in sorted(units_of, reverse=_distorted(moving)):

        def residual(v: np.ndarray, keyword: str = keyword) -> np.ndarray:
            return pixel_map(corrected_wcs(moving, Correction(keyword, v, 0.0)), reference)(points) - targets

        fitted = _solve(residual, units_of[keyword])
        if fitted is not None:
            return Correction(keyword, *fitted)
    msg = "no change of CRPIX or CRVAL makes the coordinate systems agree"
    raise InputError(msg)


def fit_turn(moving: WCS, reference: WCS, points: np.ndarray, targets: np.ndarray) -> Correction:
    r"""Find the change of CRPIX, or of CRVAL, and of the matrix that puts `points` at `targets`.

    The positions p' whose old coordinates are the right ones of p are very nearly linear in p: p' = B p + b, so that
    CD B is the right matrix, and B⁻¹ (CRPIX - b) the right CRPIX. Where a distortion is part of the coordinates, this
    is true of the undistorted positions, with CRPIX kept and CRVAL where that pixel is. What was found on distorted
    pixels is then taken for a rotation and magnification of the sky.

    Raises
    ------
    InputError
        There is no such change.
    """
    try:
        there = pixel_map(reference, moving)(targets)
        plane = moving.pixel_scale_matrix if _distorted(moving) or _distorted(reference) else None
        fitted = (_fit_distorted if _distorted(moving) else _fit_linear)(moving, points, there, plane)
        left = pixel_map(corrected_wcs(moving, fitted), reference)(points) - targets
    except REFUSALS:  # NaN stops lstsq; positions beyond the pole
        left = np.full((1, 2), np.nan)
    largest = float(np.hypot(*left.T).max())
    if not np.isfinite(largest):
        msg = "no change of CRPIX or CRVAL and of the CD matrix makes the coordinate systems agree"
        raise InputError(msg)
    return fitted._replace(residual=largest)


def _distorted(wcs: WCS) -> bool:
    return wcs.sip is not None or wcs.cpdis1 is not None or wcs.det2im1 is not None


def _fit_linear(moving: WCS, points: np.ndarray, there: np.ndarray, plane: np.ndarray | None) -> Correction:
    # counted from the reference pixel (from 0), which is where `there` lies at `offset`
    origin = moving.wcs.crpix - 1
    matrix, offset = _affine(points - origin, there - origin, plane)
    return Correction("CRPIX", -np.linalg.solve(matrix, offset), 0.0, matrix)


def _fit_distorted(moving: WCS, points: np.ndarray, there: np.ndarray, plane: np.ndarray | None) -> Correction:
    origin = moving.wcs.crpix - 1
    flat_points, flat_there = (moving.pix2foc(moving.det2im(p, 0), 0) for p in (points, there))
    offset = _affine(flat_points - origin, flat_there - origin, plane)[1]
    # the sky where the reference pixel is comes to lie in the plane that touches it there
    crval = moving.wcs_pix2world((origin + offset)[None, :], 0)[0]
    change = crval - moving.wcs.crval
    change[moving.wcs.lng] -= 360 * np.round(change[moving.wcs.lng] / 360)
    found = Correction("CRVAL", change, 0.0)
    flat = corrected_wcs(moving, found)
    wanted = flat.wcs_world2pix(moving.wcs_pix2world(flat_there, 0), 0)
    return found._replace(matrix=_affine(flat_points - origin, wanted - origin, plane)[0])


def _affine(points: np.ndarray, there: np.ndarray, plane: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Return the matrix and the offset that take points nearest to others.

    With the matrix to a `plane` they are a rotation and magnification there.
    """
    if plane is not None:
        z, target = (p @ plane.T @ [1, 1j] for p in (points, there))
        design = np.stack([z, np.ones_like(z)], axis=-1)
        w, offset = np.linalg.lstsq(design, target, rcond=None)[0]
        turn = np.array([[w.real, -w.imag], [w.imag, w.real]])
        return np.linalg.solve(plane, turn @ plane), np.linalg.solve(plane, [offset.real, offset.imag])
    design = np.concatenate([points, np.ones((len(points), 1))], axis=1)
    fitted = np.linalg.lstsq(design, there, rcond=None)[0].T
    return fitted[:, :2], fitted[:, 2]


def corrected_wcs(wcs: WCS, correction: Correction) -> WCS:
    """Return a copy of a coordinate system with a correction applied."""
    if correction.keyword == "CRPIX":
        copy = shifted_wcs(wcs, correction.change)
    else:
        copy = wcs.deepcopy()
        copy.wcs.crval = copy.wcs.crval + correction.change
    if correction.matrix is not None:
        if copy.wcs.has_cd():
            copy.wcs.cd = copy.wcs.cd @ correction.matrix
        else:
            matrix = copy.wcs.get_pc() @ correction.matrix
            if copy.wcs.has_crota():
                del copy.wcs.crota
            copy.wcs.pc = matrix
    copy.wcs.set()
    return copy


def _solve(residual: Callable[[np.ndarray], np.ndarray], unit: float) -> tuple[np.ndarray, float] | None:
    """Gauss-Newton for two unknowns of natural size `unit`; return them and the largest distance, or None."""
    v = np.zeros(2)
    try:
        for _ in range(6):
            now = residual(v).ravel()
            steps = 0.5 * unit * np.eye(2)
            jacobian = np.stack([(residual(v + h) - residual(v - h)).ravel() / unit for h in steps], axis=-1)
            v = v - np.linalg.lstsq(jacobian, now, rcond=None)[0]
        left = float(np.hypot(*residual(v).T).max())
    except REFUSALS:  # a CRVAL beyond the pole; NaN stops lstsq
        return None
    return (v, left) if np.isfinite(left) else None


def correct_cards(
    header: fits.Header, axes: tuple[int, int], wcs: WCS, shape: tuple[int, ...], correction: Correction
) -> dict[str, Any]:
    """Apply a correction to the cards of a header, in place, in the form that its matrix has; return what they were.

    Parameters
    ----------
    header : Header
        Of the moving image, or the same one as it stands in the file.
    axes : (int, int)
        FITS numbers of the x and y axes.
    wcs : WCS
        What was read from the header.
    shape : (ny, nx)
        Of the image.
    correction : Correction
        What to do.

    Raises
    ------
    InputError
        The matrix is in none of the forms of the FITS standard.
    """
    new = {}
    for axis, change in zip(axes, correction.change, strict=True):
        key = f"{correction.keyword}{axis}"
        new[key] = header.get(key, 0.0) + float(change) * _unit(header, correction, axis)
    if correction.matrix is not None:
        new |= _matrix_cards(header, axes, wcs, shape, correction.matrix)
    old = {key: header.get(key, "absent") for key in new}
    header.update(new)
    # PC and CROTA exclude each other
    if any(key.startswith("PC") for key in new):
        old |= {key: header.pop(key) for key in (f"CROTA{axis}" for axis in axes) if key in header}
    return old


def _unit(header: fits.Header, correction: Correction, axis: int) -> float:
    on_sky = "-" in str(header.get(f"CTYPE{axis}", ""))
    return units_per_degree(header, axis) if correction.keyword == "CRVAL" and on_sky else 1.0


def _matrix_cards(
    header: fits.Header, axes: tuple[int, int], wcs: WCS, shape: tuple[int, ...], by: np.ndarray
) -> dict[str, float]:
    """Return the cards of the matrix multiplied: CD, PC and CDELT, or CROTA2 and CDELT where these can hold it."""
    names = [[f"{i}_{j}" for j in axes] for i in axes]
    if any(key.startswith("CD") and key[2:3].isdigit() and "_" in key for key in header):
        matrix = np.array([[float(header.get(f"CD{name}", 0.0)) for name in row] for row in names])
        _check(matrix, wcs)
        return _named("CD", names, matrix @ by)
    steps = np.array([float(header.get(f"CDELT{i}", 1.0)) for i in axes])
    angle = np.deg2rad(float(header.get(f"CROTA{axes[1]}", 0.0)))
    has_pc = any(key.startswith("PC") and "_" in key for key in header)
    if has_pc or not angle:
        pc = np.array([[float(header.get(f"PC{name}", float(i == j))) for j, name in enumerate(row)]
                       for i, row in enumerate(names)])  # fmt: skip
        matrix = steps[:, None] * pc
    else:
        c, s = np.cos(angle), np.sin(angle)
        matrix = steps * np.array([[c, -s], [s, c]])
    _check(matrix, wcs)
    matrix = matrix @ by
    # it belongs to the latitude
    if not has_pc and wcs.wcs.lat == 1 and f"CROTA{axes[1]}" in header:
        turned, sizes, left = _as_crota(matrix, steps)
        if max(shape) * left < _CROTA:
            return _steps(axes, sizes) | {f"CROTA{axes[1]}": turned}
    size = float(np.sqrt(abs(np.linalg.det(by))))
    return _steps(axes, size * steps) | _named("PC", names, matrix / (size * steps[:, None]))


def _check(matrix: np.ndarray, wcs: WCS) -> None:
    """Look whether the rows of a matrix are those of a coordinate system, which may have other units."""
    mine, theirs = (m / np.linalg.norm(m, axis=1, keepdims=True) for m in (matrix, wcs.pixel_scale_matrix))
    if not np.allclose(mine, theirs, rtol=0, atol=_SAME):
        msg = "the header has its rotation in a form that cannot be corrected (not CDi_j, PCi_j or CROTA2)"
        raise InputError(msg)


def _named(what: str, names: list[list[str]], matrix: np.ndarray) -> dict[str, float]:
    return {f"{what}{name}": float(matrix[i, j]) for i, row in enumerate(names) for j, name in enumerate(row)}


def _steps(axes: tuple[int, int], steps: np.ndarray) -> dict[str, float]:
    return {f"CDELT{axis}": float(step) for axis, step in zip(axes, steps, strict=True)}


def _as_crota(matrix: np.ndarray, steps: np.ndarray) -> tuple[float, np.ndarray, float]:
    """Return CROTA2 in degrees, CDELT, and what is left of the matrix relative to its size."""
    signs = np.sign(steps)
    size = signs * np.linalg.norm(matrix, axis=0)
    # both columns tell the angle
    turn = matrix[0, 0] * signs[0] + matrix[1, 1] * signs[1] + 1j * (matrix[1, 0] * signs[0] - matrix[0, 1] * signs[1])
    angle = np.angle(turn)
    c, s = np.cos(angle), np.sin(angle)
    made = np.array([[c, -s], [s, c]]) * size
    return float(np.rad2deg(angle)), size, float(abs(made - matrix).max() / abs(size).min())
