r"""The fast estimator: periodic images, uniform noise, every pixel valid. Three FFTs a pair and little else.

.. math:: C(d) = \frac{1}{N} \sum_\nu W X\, e^{2\pi i \nu d}, \qquad X = \bar R M

is a trigonometric polynomial: its value, gradient and Hessian are exact at any real d from separable columns. Gain and
background do not move its maximum. With noise in both images (powers P_r, P_m per mode) the score
:math:`u_i = -\sum W 2\pi\nu_i\, \mathrm{Im}(X e^{2\pi i\nu d})` has the covariance
:math:`J = \sum W^2 (|R|^2 P_m + |M|^2 P_r - P_r P_m)(2\pi\nu)(2\pi\nu)^T` and cov(d) = H^-1 J H^-1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from .._array import Array, Namespace
from .._kernels import per_item
from .._providers import cross_powers, inverse_transform, maps_in_single, powers, with_items
from .._static import keeping, numbers
from ..fft_tools._dft import fourier_translate
from .peaks import covered, peak_within
from .periodic_errors import Fit, Pair, evidence, fit_at
from .problem import Options, Side
from .result import Registration, Status, finish
from .rings import Rings, radial_mean, spread
from .spectrum import weights_from_all_powers, white_floor
from .subpixel import Nearby, Peak, highest, nearby, polished, refined
from .transformed import Transformed, transformed

__all__ = ["Found", "concluded", "joined", "measured"]


class Found(NamedTuple):
    """What the modes of some pairs say. The rest is algebra with a few numbers of each."""

    reference: Transformed
    moving: Transformed
    """Without their spectra."""
    peak: Peak | Nearby
    value: Array | None
    """N C, where it is not that of the peak."""
    scatter: Array | None
    """The moments of J, where they are not those of the reference."""
    on_border: Array | None


def measured(
    reference: Side, moving: Side, options: Options, *, kept: dict[Any, Any] | None = None, xp: Namespace
) -> Found:
    """Compare `moving` with `reference`, both (batch, ...); errors are numbers per item or None.

    `kept` holds what is made of the reference, for the other frames that are registered on it.
    """
    r = keeping(kept)("periodic", lambda: transformed(reference, options, xp=xp))
    m = transformed(moving, options, r, xp=xp)
    shape = m.shape
    units = [side.unit for side in (r, m) if side.unit is not None]
    unit = math.prod(units) if units else None
    if r.err is None:
        # what is held no longer than needed stays in the memory at hand: fresh pages cost more than the arithmetic
        cross, spare = cross_powers(m.spectrum, r.spectrum, xp=xp)
        pair = Pair(r._replace(spectrum=None), m._replace(spectrum=None), cross, unit, shape)
    else:
        spare, pair = None, Pair(r, m, m.spectrum * r.spectrum, unit, shape)
    del moving, r, m
    weights, value, scatter = None, None, None
    # the modes tell of the noise too
    keep = options.errors and options.correlated
    if pair.reference.err is None:
        peak, on_border = _peak(pair.cross, shape, options, unit, spare, keep=keep, xp=xp)
    else:
        weights, peak, on_border = _weighted_search(pair, options, xp=xp)
    if weights is not None or keep:
        peak = highest(peak, xp=xp)
        value, scatter = evidence(pair, peak, weights, options, xp=xp)
    r, m = (side._replace(spectrum=None) for side in (pair.reference, pair.moving))
    return Found(r, m, peak, value, scatter, on_border)


def joined(parts: Sequence[tuple[Found, int]], *, xp: Namespace) -> Found:
    """Return as one what was measured of the first few items of some batches, all with one reference."""
    founds, counts = zip(*parts, strict=True)
    batches = tuple([found.moving.square.shape[0] for found in founds])
    if len(founds) == 1 and counts == batches:
        return founds[0]

    def rows(values: Sequence[Any]) -> Any:
        first = values[0]
        if hasattr(first, "_fields"):
            return type(first)(*map(rows, zip(*values, strict=True)))
        if not isinstance(first, type(founds[0].moving.square)):
            return first
        values = [
            x if x.shape[0] == n else xp.broadcast_to(x, (n, *x.shape[1:]))
            for x, n in zip(values, batches, strict=True)
        ]
        return xp.concat([x[:n, ...] for x, n in zip(values, counts, strict=True)], axis=0)

    reference = founds[0].reference
    whole: Found = rows([found._replace(reference=None) for found in founds])
    return whole._replace(reference=reference)


def concluded(found: Found, options: Options, *, xp: Namespace) -> Registration:
    """Return the result of what was measured with these options."""
    peak = highest(found.peak, xp=xp)
    limits = None
    if found.on_border is not None:
        limits = numbers(options.limits, dtype=peak.offset.dtype, like=peak.offset, xp=xp)[None, :]
    value = peak.value if found.value is None else found.value
    # what of the options makes another kernel
    options = options._replace(limits=())
    return _outcome(*found._replace(peak=peak, value=value), limits, options=options, xp=xp)


@per_item
def _outcome(
    r: Transformed,
    m: Transformed,
    peak: Peak,
    value: Array,
    scatter: Array | None,
    on_border: Array | None,
    limits: Array | None,
    *,
    options: Options,
    xp: Namespace,
) -> Registration:
    """Return the result, given the maximum and what else was `Found`."""
    pixels = math.prod(m.shape)
    fitted = len(m.shape) + options.fit_scale + options.fit_background
    dof = pixels - fitted
    fit = fit_at(r, m, peak, value, scatter, options, xp=xp)
    one = xp.ones_like(peak.value)
    return finish(
        peak.offset,
        peak.step,
        fit.covariance,
        scale=fit.scale if options.fit_scale else None,
        background=None,
        chi2=dof * one if fit.chi2 is None else fit.chi2,
        dof=dof * one,
        overlap=one,
        flags=_flags(r, m, peak, fit, on_border, few=pixels < 3 * fitted, options=options, xp=xp),
        norms=(r.norm, m.norm),
        limits=limits,
        dtype=m.dtype,
        xp=xp,
    )


def _peak(
    cross: Array,
    shape: Sequence[int],
    options: Options,
    unit: Array | None = None,
    spare: Array | None = None,
    *,
    keep: bool = True,
    xp: Namespace,
) -> tuple[Peak | Nearby, Array | None]:
    """Return the maximum of C within the limits, and whether it is there at their border.

    The cross-power is still to be divided by its `unit`; a `spare` copy of it may be written over, and it itself if it
    need not be kept. A map in single precision tells the pixel, and of spectra in double precision roughly where next
    to it; where exactly is told by the modes.
    """
    told = maps_in_single(cross, unit, shape, xp=xp) if covered(shape, options.limits) else None
    if told is None:
        values = inverse_transform(cross if spare is None else spare, shape, keep=spare is None, xp=xp)
        if xp.finfo(values.dtype).bits > 32:
            _, peak, on_border = _on_map(values, options, unit, xp=xp)
            return peak, on_border
        _, lag, on_border = peak_within(values, options.limits, xp=xp)
        return nearby(cross, lag, shape, unit, keep=keep, xp=xp), on_border
    values, unsure = told
    lag, peak, on_border = _on_map(values, options, None, xp=xp)
    offset = peak.offset
    if unsure:
        values = inverse_transform(cross[unsure, ...], shape, keep=False, xp=xp)
        again, peak, _ = _on_map(values, options, None if unit is None else unit[unsure, ...], xp=xp)
        lag, offset = with_items(lag, unsure, again), with_items(offset, unsure, peak.offset)
    return polished(lag, offset, cross, shape, unit, xp=xp), on_border


def _on_map(values: Array, options: Options, unit: Array | None, *, xp: Namespace) -> tuple[Array, Peak, Array | None]:
    """Return the whole-pixel lag of the maximum of maps within the limits, the maximum itself, and the border flag."""
    index, lag, on_border = peak_within(values, options.limits, xp=xp)
    return lag, refined(values, index, lag, unit, xp=xp), on_border


def _flags(
    r: Transformed,
    m: Transformed,
    peak: Peak,
    fit: Fit,
    on_border: Array | None,
    *,
    few: bool,
    options: Options,
    xp: Namespace,
) -> dict[Status, Array]:
    """Return what is wrong with which item."""
    lost = ~(peak.value > 0)
    if options.fit_scale and not options.fit_background:
        # with a negative gain the best offset is not at the maximum of C
        lost = lost | ~(fit.scale > 0)
    flags = {Status.FLAT_IMAGE: r.norm.flat | m.norm.flat, Status.NOT_CONVERGED: lost}
    if on_border is not None:
        flags = {**flags, Status.SEARCH_BORDER: on_border}
    return {**flags, Status.TOO_FEW_VALID: xp.ones_like(lost)} if few else flags


def _weighted_search(pair: Pair, options: Options, *, xp: Namespace) -> tuple[Array, Peak | Nearby, Array | None]:
    """Return maximum-likelihood weights (modes), maximum and border flag for known noise in the reference.

    The common signal S comes first from the auto-powers less the noise, then from these and the cross-power at the
    offset found.
    """
    n, shape, err_r, err_m = math.prod(pair.shape), pair.shape, pair.reference.err, pair.moving.err
    r, modes = radial_mean(pair.reference.spectrum, shape, powers, xp=xp)
    m = radial_mean(pair.moving.spectrum, shape, powers, xp=xp)[0]

    def without_mean(a: Array) -> Array:
        # ring 0 is the mean, which tells nothing of the offset; two pixels have no other
        return xp.concat([a[:, 1:2], a[:, 1:]], axis=1) if a.shape[1] > 1 else a

    r, m = without_mean(r), without_mean(m)
    p_r = xp.astype(err_r, r.dtype) ** 2 * n + 0 * m[:, 0]
    p_m = white_floor(m, shape, xp=xp) if err_m is None else xp.astype(err_m, r.dtype) ** 2 * n + 0 * m[:, 0]
    rings = Rings(r + 0 * m, m, 0 * m, modes + 0 * m)
    total_r, total_m = (xp.sum(modes * (x - p[:, None]), axis=1) for x, p in ((r, p_r), (m, p_m)))
    usable = (total_r > 0) & (total_m > 0)
    gain = xp.sqrt(xp.where(usable, total_m, 1.0) / xp.where(usable, total_r, 1.0))

    def filtered(cross: Array | None, gain: Array) -> Array:
        weights = weights_from_all_powers(rings._replace(cross=cross), gain, (p_r, p_m), xp=xp)
        return spread(weights, shape, xp.real(pair.cross).dtype, xp=xp)

    first, _ = _peak(pair.cross * filtered(None, gain), shape, options, xp=xp)
    aligned = fourier_translate(pair.cross, -highest(first, xp=xp).offset, shape, xp=xp)
    cross = without_mean(radial_mean(xp.real(aligned), shape, xp=xp)[0])
    gain = _ring_gain(rings._replace(cross=cross), p_r, xp=xp)
    weights = filtered(cross, gain)
    return weights, *_peak(pair.cross * weights, shape, options, xp=xp)


def _ring_gain(rings: Rings, p_r: Array, *, xp: Namespace) -> Array:
    """Return the gain of `moving` with the noise taken off the power of the reference (ring 0 is the mean)."""
    signal = xp.sum((rings.modes * (rings.reference - p_r[:, None]))[:, 1:], axis=1)
    cross = xp.sum((rings.modes * rings.cross)[:, 1:], axis=1)
    usable = (signal > 0) & (cross > 0)
    return xp.where(usable, cross, xp.ones_like(cross)) / xp.where(usable, signal, xp.ones_like(signal))
