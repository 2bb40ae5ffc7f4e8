r"""Maximum-likelihood weights of two images with noise in both, from their isotropic spectra.

With noise in both images plain correlation is not the best estimator: maximum likelihood weights each mode of the
cross-spectrum (Hannan & Thomson 1973, doi:10.2307/2334540)

.. math:: W = \frac{s S}{P_r P_m + s^2 S P_r + S P_m}

with S the power of the common signal and P_r, P_m that of the noise. Only efficiency rests on the weights: any real,
even W leaves the estimate unbiased and the sandwich errors true. What has sums over the rings in it is a step of its
own, which is a kernel where these are compiled.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from .._array import Array, Namespace
from .._bounds import at_least, at_most, bounded
from .._kernels import Highest, Rows, Total, elementwise
from .._static import table
from .rings import Rings

__all__ = [
    "FLOOR",
    "SIGNIFICANT",
    "Near",
    "attenuation",
    "filter_of",
    "folded_power",
    "ml_weights",
    "relative",
    "ring_frequencies",
    "safe",
    "smoothed",
]

SIGNIFICANT = 2.0  # standard errors
FLOOR = 1e-6  # least noise power, in units of the image variance: what interpolation leaves
_ROUNDED = 1e-5  # of a gain: what single precision leaves of powers is no noise


def safe(x: Array, *, xp: Namespace) -> Array:
    """Return what may be divided by."""
    return xp.where(x > 0, x, 1.0)


class Near(NamedTuple):
    """Indices of the ring below, each ring, and the ring above, (1, rings)."""

    below: Array
    here: Array
    above: Array

    @classmethod
    def of(cls, rings: Array, *, xp: Namespace) -> Near:
        """Return those of values (batch, rings)."""
        n = rings.shape[1]
        return cls(*(table(_neighbours, n, k, dtype=xp.int64, like=rings, xp=xp) for k in (-1, 0, 1)))


def _neighbours(n: int, step: int) -> np.ndarray:
    return np.clip(np.arange(n) + step, 0, n - 1)[None]


def smoothed(rows: Rows, near: Near, *, xp: Namespace) -> Array:
    """Return values per ring smoothed by (1/4, 1/2, 1/4): part of a step."""
    below, here, above = (rows.at(index, xp=xp) for index in near)
    return 0.25 * below + 0.5 * here + 0.25 * above


def _columns(sums: tuple[Array, ...]) -> tuple[Array, ...]:
    return tuple([a[:, None] for a in sums])


def attenuation(rings: Rings, gain: Array, *, xp: Namespace) -> Array:
    """Return by how much the `gain` (batch,) by least squares underestimates that of `moving`, (batch,), at least 1.

    Least squares takes noise in the reference for signal. The rings where both images hold the same signal do not:
    they count by a high power of their coherence. What all rings say together is not asked: most of the power is in the
    few largest modes, of which the rings may hold some only.
    """
    found: Array = _ratio(*_columns((*_coherent_sums(*rings, xp=xp), gain)), xp=xp)
    return found[:, 0]


@elementwise
def _coherent_sums(r: Array, m: Array, cross: Array, modes: Array, *, xp: Namespace) -> tuple[Total, Total]:
    coherence = at_least(cross, 0.0, xp=xp) ** 2 / safe(r * m, xp=xp)
    h = modes * coherence**8
    return Total(h * cross), Total(h * r)


@elementwise
def _ratio(cross: Array, reference: Array, gain: Array, *, xp: Namespace) -> Array:
    coherent = cross / safe(reference, xp=xp)
    usable = (coherent > 0) & (gain > 0)
    return at_least(xp.where(usable, coherent, 1.0) / xp.where(usable, gain, 1.0) - _ROUNDED, 1.0, xp=xp)


def ml_weights(rings: Rings, gain: Array, ndim: int, *, xp: Namespace) -> Array:
    """Return W per ring (batch, rings), largest 1, for the gain s (batch,) and images of `ndim` axes.

    The noise is what the signal leaves of the auto-powers: what sampling has folded into the band, and a white level in
    either image.
    """
    s, modes = gain[:, None], rings.modes
    law, near = _Law.of(rings.reference, ndim, xp=xp), Near.of(rings.reference, xp=xp)
    rows = tuple([Rows.of(a, xp=xp) for a in rings[:3]])
    powers, sums, line = _shown_powers(rows, near, modes, s, law, xp=xp)
    line, least = _columns(line), _columns(sums)
    moments = _columns(_second_moments(powers.seen, powers.shown * modes, law, line, xp=xp))
    folded, noise = _noise_sums(powers, modes, s, law, line, moments, least, xp=xp)
    weights, best = _weights(powers, folded, modes, s, _columns(noise), least, xp=xp)
    found: Array = relative(weights, best[:, None], xp=xp)
    return found


class _Powers(NamedTuple):
    """Smoothed powers per ring; the signal where it shows and where it may, and how far it does, 0 to 1."""

    reference: Array
    moving: Array
    seen: Array
    shown: Array


class _Law(NamedTuple):
    """What a power law through the rings is made from, (1, rings): see `folded_power`."""

    log_nu: Array
    inside: Array
    log_mirrored: Array

    @classmethod
    def of(cls, rings: Array, ndim: int, *, xp: Namespace) -> _Law:
        n = rings.shape[1]
        return cls(*(table(_law, n, ndim, k, dtype=rings.dtype, like=rings, xp=xp) for k in range(3)))


def ring_frequencies(rings: int, ndim: int) -> np.ndarray:
    """Return |nu| of the rings: the last is the corner of the band, half a cycle per pixel along each axis."""
    return np.arange(rings) * (math.sqrt(ndim) / 2 / max(rings - 1, 1))


def _law(rings: int, ndim: int, which: int) -> np.ndarray:
    nu = np.maximum(ring_frequencies(rings, ndim), 1e-3)[None]
    return (np.log(nu), (nu > 0.15) & (nu < 0.5), np.log(np.maximum(1 - nu, 0.05)))[which]


@elementwise
def _shown_powers(
    rows: tuple[Rows, ...], near: Near, modes: Array, s: Array, law: _Law, *, xp: Namespace
) -> tuple[_Powers, tuple[Total, ...], tuple[Total, ...]]:
    """Return the powers, the sums of modes and of their powers, and the `_first_moments`."""
    r, m, x = (smoothed(a, near, xp=xp) for a in rows)
    error = xp.sqrt(r * m / at_least(modes, 1.0, xp=xp))
    shown = _beyond(x, SIGNIFICANT * error, xp=xp)
    seen = at_least(x, 0.0, xp=xp) / safe(s, xp=xp)
    sums = Total(modes), Total(modes * r), Total(modes * m)
    return _Powers(r, m, seen, shown), sums, _first_moments(seen, shown * modes, law, xp=xp)


def folded_power(signal: Array, modes: Array, ndim: int, *, xp: Namespace) -> Array:
    """Return the power that sampling has folded into each ring: that of 1 - nu, from a power law through the rings.

    It is signal of another phase, the same in all pairs of one scene, and biases the shift as noise would not.
    """
    law = _Law.of(signal, ndim, xp=xp)
    line = _columns(_line(signal, modes, law, xp=xp))
    moments = _columns(_second_moments(signal, modes, law, line, xp=xp))
    found: Array = _folded(law, line, moments, xp=xp)
    return found


def _counted(signal: Array, modes: Array, law: _Law, *, xp: Namespace) -> tuple[Array, Array]:
    """Return the weights of rings in the fit, and the logarithms of their powers."""
    return modes * law.inside * xp.astype(signal > 0, modes.dtype), xp.log(safe(signal, xp=xp))


def _first_moments(signal: Array, modes: Array, law: _Law, *, xp: Namespace) -> tuple[Total, ...]:
    w, y = _counted(signal, modes, law, xp=xp)
    return Total(w), Total(w * law.log_nu), Total(w * y)


_line = elementwise(_first_moments)


@elementwise
def _second_moments(
    signal: Array, modes: Array, law: _Law, line: tuple[Array, ...], *, xp: Namespace
) -> tuple[Total, Total]:
    w, y = _counted(signal, modes, law, xp=xp)
    x0, y0 = _centre(line, xp=xp)
    x = law.log_nu - x0
    return Total(w * x * (y - y0)), Total(w * x * x)


def _centre(line: tuple[Array, ...], *, xp: Namespace) -> tuple[Array, Array]:
    count, x, y = line
    return x / safe(count, xp=xp), y / safe(count, xp=xp)


def _folded_by(law: _Law, line: tuple[Array, ...], moments: tuple[Array, ...], *, xp: Namespace) -> Array:
    x0, y0 = _centre(line, xp=xp)
    slope = at_most(moments[0] / safe(moments[1], xp=xp), 0.0, xp=xp)
    power = xp.exp(y0 + slope * (law.log_mirrored - x0))
    return xp.where(line[0] > 0, power, xp.zeros_like(power))


_folded = elementwise(_folded_by)


def _leasts(sums: tuple[Array, ...], *, xp: Namespace) -> tuple[Array, Array]:
    """Return the least noise power of either image."""
    return FLOOR * sums[1] / safe(sums[0], xp=xp), FLOOR * sums[2] / safe(sums[0], xp=xp)


@elementwise
def _noise_sums(
    powers: _Powers,
    modes: Array,
    s: Array,
    law: _Law,
    line: tuple[Array, ...],
    moments: tuple[Array, ...],
    sums: tuple[Array, ...],
    *,
    xp: Namespace,
) -> tuple[Array, tuple[Total, ...]]:
    """Return the folded power, and the sums that the white level of either image is the mean of."""
    folded = _folded_by(law, line, moments, xp=xp)
    least_r, least_m = _leasts(sums, xp=xp)
    r, m, signal = powers.reference, powers.moving, powers.shown * powers.seen
    # a ring of which no mode is looked at has no power, and is not to be trusted; nor are powers that are but rounding
    # errors to be trusted more than the least that counts
    trust = modes / safe(xp.maximum(r, least_r) * xp.maximum(m, least_m), xp=xp)
    left_r, left_m = r - signal - folded, m - s * s * signal - s * s * folded
    return folded, (Total(trust), Total(trust * left_r), Total(trust * left_m))


@elementwise
def _weights(
    powers: _Powers,
    folded: Array,
    modes: Array,
    s: Array,
    noise: tuple[Array, ...],
    sums: tuple[Array, ...],
    *,
    xp: Namespace,
) -> tuple[Array, Highest]:
    least_r, least_m = _leasts(sums, xp=xp)
    trust, left_r, left_m = noise
    r, signal = powers.reference, powers.shown * powers.seen
    p_r = xp.maximum(left_r / safe(trust, xp=xp), least_r) + folded
    p_m = xp.maximum(left_m / safe(trust, xp=xp), least_m) + s * s * folded
    # a ring too faint to show in the cross-power may show in a reference with hardly any noise
    beyond = r - p_r
    limit = 2 * SIGNIFICANT * r * xp.sqrt(2 / at_least(modes, 1.0, xp=xp))
    faint = _beyond(beyond, limit, xp=xp) * at_least(beyond, 0.0, xp=xp)
    w = filter_of(signal + (1 - powers.shown) * faint, s, p_r, p_m, xp=xp)
    return w, Highest(w)


def _beyond(x: Array, limit: Array, *, xp: Namespace) -> Array:
    """Return 1 where x is well beyond a limit, 0 where it is not; between, rounding errors must not decide a weight."""
    ratio = x / xp.where(limit > 0, limit, math.inf)
    return bounded(4 * ratio - 3.5, 0.0, 1.0, xp=xp)


def filter_of(signal: Array, s: Array, p_r: Array, p_m: Array, *, xp: Namespace) -> Array:
    """Return W, not yet relative to its largest value."""
    return s * signal / safe(p_r * p_m + s * s * signal * p_r + signal * p_m, xp=xp)


@elementwise
def relative(w: Array, best: Array, *, xp: Namespace) -> Array:
    """Return weights relative to the best; without any significant ring 1: plain correlation."""
    return xp.where(best > 0, w / safe(best, xp=xp), 1.0)
