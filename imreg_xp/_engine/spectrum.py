r"""Filters made from isotropic spectra.

With noise in both images plain correlation is not the best estimator: maximum likelihood weights each mode of the
cross-spectrum (Hannan & Thomson 1973, doi:10.2307/2334540)

.. math:: W = \frac{s S}{P_r P_m + s^2 S P_r + S P_m}

with S the power of the common signal and P_r, P_m that of the noise. Only efficiency rests on the weights: any real,
even W leaves the estimate unbiased and the sandwich errors true.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from .._array import Array, Namespace, device_of
from .._bounds import at_least, at_most, bounded
from .._providers import power
from .rings import Rings, radial_mean

__all__ = [
    "attenuation",
    "folded_power",
    "ml_weights",
    "power",
    "smooth",
    "step_length",
    "weights_from_all_powers",
    "white_floor",
    "wiener",
]

_SIGNIFICANT = 2.0  # standard errors
_FLOOR = 1e-6  # least noise power, in units of the image variance: what interpolation leaves
_ROUNDED = 1e-5  # of a gain: what single precision leaves of powers is no noise


def smooth(rings: Array, *, times: int = 1, xp: Namespace) -> Array:
    """Smooth values per ring by (1/4, 1/2, 1/4), some times over."""
    for _ in range(times):
        inner = xp.concat([rings[:, :1], rings[:, :-1]], axis=1)
        outer = xp.concat([rings[:, 1:], rings[:, -1:]], axis=1)
        rings = 0.25 * inner + 0.5 * rings + 0.25 * outer
    return rings


def _safe(x: Array, *, xp: Namespace) -> Array:
    return xp.where(x > 0, x, 1.0)


def white_floor(rings: Array, shape: Sequence[int], *, xp: Namespace) -> Array:
    """Return the noise floor (batch,) of radial powers: the mean of the outermost quarter of the rings to Nyquist."""
    top = rings.shape[1] - 1 if len(shape) == 1 else max(shape) // 2
    return xp.mean(rings[:, (3 * top) // 4 : top + 1], axis=1)


def _mean(x: Array, weight: Array, *, xp: Namespace) -> Array:
    """Return the weighted mean over the rings, (batch, 1)."""
    return xp.sum(weight * x, axis=1, keepdims=True) / _safe(xp.sum(weight, axis=1, keepdims=True), xp=xp)


def wiener(spectrum: Array, shape: Sequence[int], *, xp: Namespace) -> Array:
    """Return sqrt(S / (S + P)) / N per ring, P the noise floor of the isotropic spectrum S + P and N the pixels."""
    total = smooth(radial_mean(spectrum, shape, _power, xp=xp)[0], xp=xp)
    floor = white_floor(total, shape, xp=xp)[:, None]
    gain = xp.sqrt(at_least(total - floor, 0.0, xp=xp) / _safe(total, xp=xp))
    return gain / math.prod(shape)


def _power(spectrum: Array, *, xp: Namespace) -> tuple[Array]:
    return (power(spectrum, xp=xp),)


def attenuation(rings: Rings, gain: Array, *, xp: Namespace) -> Array:
    """Return by how much the `gain` (batch,) by least squares underestimates that of `moving`, (batch,), at least 1.

    Least squares takes noise in the reference for signal. The rings where both images hold the same signal do not:
    they count by a high power of their coherence. What all rings say together is not asked: most of the power is in the
    few largest modes, of which the rings may hold some only.
    """
    coherence = at_least(rings.cross, 0.0, xp=xp) ** 2 / _safe(rings.reference * rings.moving, xp=xp)
    h = rings.modes * coherence**8
    coherent = xp.sum(h * rings.cross, axis=1) / _safe(xp.sum(h * rings.reference, axis=1), xp=xp)
    usable = (coherent > 0) & (gain > 0)
    ratio = xp.where(usable, coherent, 1.0) / xp.where(usable, gain, 1.0)
    return at_least(ratio - _ROUNDED, 1.0, xp=xp)


def ml_weights(rings: Rings, gain: Array, ndim: int, *, xp: Namespace) -> Array:
    """Return W per ring (batch, rings), largest 1, for the gain s (batch,) and images of `ndim` axes.

    The noise is what the signal leaves of the auto-powers: what sampling has folded into the band, and a white level in
    either image.
    """
    r, m, x = (smooth(a, xp=xp) for a in rings[:3])
    s = gain[:, None]
    modes = at_least(rings.modes, 1.0, xp=xp)
    error = xp.sqrt(r * m / modes)
    shown = _beyond(x, _SIGNIFICANT * error, xp=xp)
    seen_signal = at_least(x, 0.0, xp=xp) / _safe(s, xp=xp)
    signal = shown * seen_signal
    # a ring of which no mode is looked at has no power, and is not to be trusted
    least_r, least_m = (_FLOOR * _mean(a, rings.modes, xp=xp) for a in (r, m))
    # nor are powers that are but rounding errors to be trusted more than the least that counts
    trust = rings.modes / _safe(xp.maximum(r, least_r) * xp.maximum(m, least_m), xp=xp)
    folded = folded_power(seen_signal, rings.modes * shown, ndim, xp=xp)

    def noise_power(total: Array, part: Array, alias: Array, least: Array) -> Array:
        return xp.maximum(_mean(total - part - alias, trust, xp=xp), least) + alias

    p_r = noise_power(r, signal, folded, least_r)
    p_m = noise_power(m, s * s * signal, s * s * folded, least_m)
    # a ring too faint to show in the cross-power may show in a reference with hardly any noise
    beyond = r - p_r
    faint = _beyond(beyond, 2 * _SIGNIFICANT * r * xp.sqrt(2 / modes), xp=xp) * at_least(beyond, 0.0, xp=xp)
    signal = signal + (1 - shown) * faint
    return _filter(signal, s, p_r, p_m, xp=xp)


def _beyond(x: Array, limit: Array, *, xp: Namespace) -> Array:
    """Return 1 where x is well beyond a limit, 0 where it is not; between, rounding errors must not decide a weight."""
    ratio = x / xp.where(limit > 0, limit, math.inf)
    return bounded(4 * ratio - 3.5, 0.0, 1.0, xp=xp)


def _ring_frequencies(rings: int, ndim: int, like: Array, *, xp: Namespace) -> Array:
    """Return |nu| of the rings: the last is the corner of the band, half a cycle per pixel along each axis."""
    nu = xp.arange(rings, dtype=like.dtype, device=device_of(like))
    return nu * (math.sqrt(ndim) / 2 / max(rings - 1, 1))


def folded_power(signal: Array, modes: Array, ndim: int, *, xp: Namespace) -> Array:
    """Return the power that sampling has folded into each ring: that of 1 - nu, from a power law through the rings.

    It is signal of another phase, the same in all pairs of one scene, and biases the shift as noise would not.
    """
    nu = at_least(_ring_frequencies(signal.shape[1], ndim, signal, xp=xp), 1e-3, xp=xp)[None, :]
    w = modes * xp.astype((signal > 0) & (nu > 0.15) & (nu < 0.5), signal.dtype)
    x, y = xp.log(nu), xp.log(_safe(signal, xp=xp))
    x0, y0 = _mean(x, w, xp=xp), _mean(y, w, xp=xp)
    slope = at_most(_mean((x - x0) * (y - y0), w, xp=xp) / _safe(_mean((x - x0) ** 2, w, xp=xp), xp=xp), 0.0, xp=xp)
    power = xp.exp(y0 + slope * (xp.log(at_least(1 - nu, 0.05, xp=xp)) - x0))
    return xp.where(xp.sum(w, axis=1, keepdims=True) > 0, power, 0.0)


def step_length(rings: Rings, gains: Array, ndim: int, *, xp: Namespace) -> Array:
    """Return the sum of slopes times filtered slopes over that of filtered slopes squared, (batch,)."""
    square = rings.modes * rings.reference * _ring_frequencies(gains.shape[1], ndim, gains, xp=xp) ** 2
    return xp.sum(square * gains, axis=1) / _safe(xp.sum(square * gains**2, axis=1), xp=xp)


def weights_from_all_powers(rings: Rings, gain: Array, noise: tuple[Array, Array], *, xp: Namespace) -> Array:
    r"""Return W per ring (batch, rings), largest 1, for known white noise powers (batch,) of reference and moving.

    The signal is the mean of what both auto-powers less their noise and, if there is one, the cross-power say, each
    with its own variance: per mode :math:`2 P (2 S + P)` of an auto-power and :math:`S P_m + s^2 S P_r + P_r P_m` of
    the cross-power. The mean of many frames knows the signal far better than one more frame does.
    """
    s = gain[:, None]
    modes = at_least(rings.modes, 1.0, xp=xp)
    # noise too small to matter must not be divided by, nor that of flat images
    least = [_FLOOR * _mean(x, modes, xp=xp) for x in rings[:2]]
    p_r, p_m = (xp.where(low > 0, xp.maximum(p[:, None], low), 1.0) for p, low in zip(noise, least, strict=True))
    in_r, in_m = smooth(rings.reference - p_r, xp=xp), smooth(rings.moving - p_m, xp=xp) / s**2
    first = at_least(in_r, 0.0, xp=xp)
    parts = [
        (in_r, 1 / (2 * p_r * (2 * first + p_r))),
        (in_m, s**4 / (2 * p_m * (2 * s**2 * first + p_m))),
    ]
    if rings.cross is not None:
        parts.append((smooth(rings.cross, xp=xp) / s, s**2 / (first * (p_m + s**2 * p_r) + p_r * p_m)))
    precision = sum(w for _, w in parts)
    signal = sum(w * x for x, w in parts) / precision
    error = 1 / xp.sqrt(precision * modes)
    signal = xp.where(signal > _SIGNIFICANT * error, signal, 0.0)
    return _filter(signal, s, p_r, p_m, xp=xp)


def _filter(signal: Array, s: Array, p_r: Array, p_m: Array, *, xp: Namespace) -> Array:
    w = s * signal / _safe(p_r * p_m + s * s * signal * p_r + signal * p_m, xp=xp)
    best = xp.max(w, axis=1, keepdims=True)
    # no significant ring at all: plain correlation
    return xp.where(best > 0, w / _safe(best, xp=xp), 1.0)
