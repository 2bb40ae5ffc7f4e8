"""What a user is told about an alignment, as text and as JSON."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import SimilarityRegistration, Status
from .._version import __version__
from .align import Alignment

__all__ = ["as_dict", "as_lines", "status_text", "with_error"]

_MEANING = {
    Status.NOT_CONVERGED: "the fit did not converge",
    Status.SEARCH_BORDER: "the best match lies on the border of the search",
    Status.TOO_FEW_VALID: "too few valid pixels",
    Status.FLAT_IMAGE: "an image is flat, there is nothing to align",
}


def status_text(status: int) -> str:
    """Return what status flags mean, in words."""
    return "; ".join(text for flag, text in _MEANING.items() if status & flag) or "found"


def with_error(value: float, error: float) -> str:
    """Return ``value +- error`` with two significant digits of the error."""
    if not (math.isfinite(value) and math.isfinite(error)):
        return "not measured"
    digits = 1 - math.floor(math.log10(error)) if error > 0 else 6
    digits = min(max(digits, 0), 12)
    return f"{value:+.{digits}f} +- {error:.{digits}f}"


def _number(value: Any) -> float | None:
    """Return a JSON number: what is not finite becomes null."""
    if value is None:
        return None
    number = float(value)
    return number if math.isfinite(number) else None


def as_dict(alignment: Alignment) -> dict[str, Any]:
    """Return the result as numbers, texts, None, lists and dicts, ready for JSON."""
    r = alignment.registration
    (xx, xy), (_, yy) = alignment.covariance_xy
    x, y = alignment.shift_xy
    chi2, dof = float(r.chi2), float(r.dof)
    sky = alignment.sky
    return {
        "version": __version__,
        "reference": alignment.reference.name,
        "moving": alignment.moving.name,
        "model": alignment.model,
        "found": alignment.found,
        "status": int(r.status),
        "status_text": status_text(int(r.status)),
        "shift_pix": {"x": _number(x), "y": _number(y)},
        "shift_err_pix": {"x": _number(np.sqrt(xx)), "y": _number(np.sqrt(yy))},
        "covariance_pix2": {"xx": _number(xx), "xy": _number(xy), "yy": _number(yy)},
        **_turned(alignment),
        "sky_arcsec": None if sky is None else {"east": _number(sky.east), "north": _number(sky.north)},
        "sky_err_arcsec": None if sky is None else {"east": _number(sky.east_err), "north": _number(sky.north_err)},
        "sky_frame": None if sky is None else sky.frame,
        "sky_angle_deg": None if sky is None else _number(sky.angle),
        "sky_angle_err_deg": None if sky is None else _number(sky.angle_err),
        "scale": _number(r.scale),
        "background": _number(r.background),
        "chi2": _number(chi2),
        "dof": _number(dof),
        "reduced_chi2": _number(chi2 / dof) if dof > 0 else None,
        "overlap": _number(r.overlap),
        "reprojected": alignment.reprojected,
        "notes": list(alignment.notes),
    }


def _turned(alignment: Alignment) -> dict[str, Any]:
    """Return angle and magnification, and the covariance of all in the order x, y, angle, magnification."""
    r = alignment.registration
    names = {"angle_deg": "angle", "angle_err_deg": "angle_err"}
    names |= {name: name for name in ("magnification", "magnification_err")}
    if not isinstance(r, SimilarityRegistration):
        return dict.fromkeys((*names, "covariance"))
    covariance = np.asarray(r.covariance, dtype=float)[[1, 0, 2, 3]][:, [1, 0, 2, 3]]
    found = {key: _number(getattr(r, name)) for key, name in names.items()}
    return {**found, "covariance": [[_number(value) for value in row] for row in covariance]}


def as_lines(alignment: Alignment) -> list[str]:
    """Return the result for people, one line each."""
    r = alignment.registration
    lines = []
    for role, image in (("reference", alignment.reference), ("moving", alignment.moving)):
        ny, nx = image.image.shape
        lines.append(f"{role:<10} {image.name} ({nx} x {ny})")
    if alignment.found:
        (x, y), (ex, ey) = alignment.shift_xy, np.sqrt(np.diag(alignment.covariance_xy))
        grid = ", reprojected" if alignment.reprojected else ""
        about = "" if alignment.model == "shift" else "   about the middle of the reference"
        lines.append(f"shift x    {with_error(x, ex)} pix   apply to the moving image{grid}")
        lines.append(f"shift y    {with_error(y, ey)} pix{about}")
        if isinstance(r, SimilarityRegistration):
            lines.append(f"angle      {with_error(float(r.angle), float(r.angle_err))} deg   in pixels, from +x to +y")
            size = with_error(float(r.magnification), float(r.magnification_err)).lstrip("+")
            lines.append(f"magnify    {size}" if alignment.model == "similarity" else "magnify    1 (fixed)")
        sky = alignment.sky
        if sky is not None:
            where = f"add to the {sky.frame} positions in its header"
            lines.append(f"sky east   {with_error(sky.east, sky.east_err)} arcsec   {where}")
            lines.append(f"sky north  {with_error(sky.north, sky.north_err)} arcsec")
            if sky.angle is not None and sky.angle_err is not None:
                where = "add to position angles, from north through east"
                lines.append(f"sky angle  {with_error(sky.angle, sky.angle_err)} deg   {where}")
        lines.append(f"gain       {float(r.scale):.5g}, background {float(r.background):.5g}")
        chi2, dof = float(r.chi2), float(r.dof)
        lines.append(f"chi2/dof   {chi2 / dof:.4g} ({chi2:.6g} / {dof:.6g})")
        lines.append(f"overlap    {float(r.overlap):.3f}")
    status = int(r.status)
    lines.append(f"status     {status} ({status_text(status)})")
    return lines + [f"note       {note}" for note in alignment.notes]
