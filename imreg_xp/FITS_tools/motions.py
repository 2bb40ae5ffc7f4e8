"""Shifts, rotations and magnifications as maps of pixel positions (x, y), and what they are on the sky."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from astropy.wcs import WCS

from .. import Registration, SimilarityRegistration
from .sky import local_axes

__all__ = ["PixelMotion", "motion_of", "restated", "turn_on_sky", "with_motion"]

# of a SimilarityRegistration, (y, x) and degrees, to (x, y) and radians
_UNITS = np.eye(4)[[1, 0, 2, 3]] * np.array([1.0, 1.0, np.pi / 180, 1.0])


class PixelMotion(NamedTuple):
    """The map z -> centre + factor (z - centre) + shift of pixel positions z = x + iy."""

    centre: complex
    shift: complex
    factor: complex
    """Magnification times exp(i angle)."""
    covariance: np.ndarray
    """(4, 4) of shift x, shift y, angle (radians) and magnification; 0 for what is fixed."""

    def __call__(self, xy: np.ndarray) -> np.ndarray:
        """Return where positions (..., 2) come to."""
        z = self.centre + self.factor * (_complex(xy) - self.centre) + self.shift
        return np.stack([z.real, z.imag], axis=-1)

    def derivative(self, xy: np.ndarray) -> np.ndarray:
        """Return the change (..., 4) of where positions come to, x + iy, with each parameter."""
        arm = self.factor * (_complex(xy) - self.centre)
        one = np.ones_like(arm)
        return np.stack([one, 1j * one, 1j * arm, arm / abs(self.factor)], axis=-1)

    def covariance_at(self, xy: np.ndarray) -> np.ndarray:
        """Return the covariance (2, 2) of where one position comes to."""
        change = self.derivative(xy)
        jacobian = np.stack([change.real, change.imag])
        return jacobian @ self.covariance @ jacobian.T


def _complex(xy: np.ndarray) -> np.ndarray:
    return xy[..., 0] + 1j * xy[..., 1]


def motion_of(registration: Registration | SimilarityRegistration, shape: tuple[int, ...]) -> PixelMotion:
    """Return the map that a registration on a reference of this shape has found."""
    centre = complex((shape[1] - 1) / 2, (shape[0] - 1) / 2)
    shift = complex(float(registration.shift[1]), float(registration.shift[0]))
    found = np.asarray(registration.covariance, dtype=float)
    if isinstance(registration, SimilarityRegistration):
        factor = float(registration.magnification) * np.exp(1j * np.deg2rad(float(registration.angle)))
        return PixelMotion(centre, shift, complex(factor), _UNITS @ found @ _UNITS.T)
    covariance = np.zeros((4, 4))
    covariance[:2, :2] = found[::-1, ::-1]
    return PixelMotion(centre, shift, 1.0 + 0j, covariance)


def restated(
    motion: PixelMotion, points: np.ndarray, nominal: np.ndarray, centre: complex, *, rigid: bool
) -> PixelMotion:
    """Return a motion of `points` as one, about `centre`, of where the header has these points.

    It is the one that is nearest to taking `nominal` to ``motion(points)``, by least squares; its covariance is that
    of `motion`. `rigid`: without magnification.
    """
    design = np.stack([np.ones(len(nominal)), _complex(nominal) - centre], axis=-1)
    inverse = np.linalg.pinv(design)
    place, factor = inverse @ _complex(motion(points))
    change = inverse @ motion.derivative(points)
    turned = change[1] / factor
    jacobian = np.stack([change[0].real, change[0].imag, turned.imag, abs(factor) * turned.real])
    if rigid:
        factor, jacobian[3] = factor / abs(factor), 0.0
    return PixelMotion(centre, complex(place - centre), complex(factor), jacobian @ motion.covariance @ jacobian.T)


def with_motion(registration: SimilarityRegistration, motion: PixelMotion) -> SimilarityRegistration:
    """Return a registration with another motion in it."""
    back = np.linalg.inv(_UNITS)
    covariance = back @ motion.covariance @ back.T
    error = np.sqrt(np.maximum(np.diag(covariance), 0.0))
    return registration._replace(
        shift=np.array([motion.shift.imag, motion.shift.real]),
        shift_err=error[:2],
        angle=np.rad2deg(np.angle(motion.factor)),
        angle_err=error[2],
        magnification=np.asarray(abs(motion.factor)),
        magnification_err=error[3],
        covariance=covariance,
    )


def turn_on_sky(wcs: WCS, at: np.ndarray, motion: PixelMotion) -> tuple[float, float]:
    """Return how much position angles change, from north through east, where a motion takes a position, and the error.

    A direction on the sky is counted from the north of where it is: at high declination a shift alone changes it.

    Parameters
    ----------
    wcs : WCS
        Celestial system of the reference image.
    at : (2,) array
        A nominal position, (x, y).
    motion : PixelMotion
        From nominal to true positions.

    Returns
    -------
    angle, error : float
        Degrees; the angle in (-180, 180].
    """
    nominal = np.linalg.inv(local_axes(wcs, at))

    def angle(change: np.ndarray) -> float:
        moved = motion._replace(
            shift=motion.shift + complex(*change[:2]),
            factor=motion.factor * (1 + change[3] / abs(motion.factor)) * np.exp(1j * change[2]),
        )
        w = moved.factor
        turn = local_axes(wcs, moved(at)) @ np.array([[w.real, -w.imag], [w.imag, w.real]]) @ nominal
        # the rotation that is nearest, from north (second) to east (first)
        return float(np.rad2deg(np.arctan2(turn[0, 1] - turn[1, 0], turn[0, 0] + turn[1, 1])))

    steps = np.diag([0.5, 0.5, 1e-3, 1e-3])
    jacobian = np.array([_wrapped(angle(h) - angle(-h)) / (2 * h.max()) for h in steps])
    error = float(np.sqrt(max(jacobian @ motion.covariance @ jacobian, 0.0)))
    return _wrapped(angle(np.zeros(4))), error


def _wrapped(degrees: float) -> float:
    """Return an angle in (-180, 180]."""
    return float(degrees - 360 * np.ceil((degrees - 180) / 360))
