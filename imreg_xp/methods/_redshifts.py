"""Spectra and templates brought to one grid, fitted to each other, and ranked."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from .._array import Array, Namespace, accumulator_dtype, constant, device_of
from .._engine import solve
from .._engine.chunks import joined, rows, spans
from .._engine.extend import Field, make_field
from .._engine.problem import Options, Side
from .._engine.result import Registration
from .._engine.spectral import (
    band_passed,
    cosine_bell,
    explained,
    resampled,
    tonry_davis,
    without_continuum,
)
from ._wavelengths import Layout

__all__ = ["LIGHT", "Plan", "SpectralShift", "measure"]

LIGHT = 299792.458  # km/s
_APART = 1000.0  # km/s between redshifts that are not the same answer
_BYTES_PER_PIXEL = 8 * 40  # float64 arrays that the estimator holds at a time, at most


class SpectralShift(NamedTuple):
    """Redshifts of spectra, for one template or for several, the best first.

    Arrays of the inputs' library and device, (...) or (..., templates).
    """

    redshift: Array
    """z."""
    redshift_err: Array
    """1 sigma, from chi²."""
    velocity: Array
    """c z, km/s."""
    velocity_err: Array
    """1 sigma, km/s."""
    template: Array
    """Number of the template."""
    chi2: Array
    """Over all valid pixels; where the noise level was estimated it is the number of degrees of freedom for the best
    template."""
    dof: Array
    """Degrees of freedom."""
    delta_chi2: Array
    """How much larger chi² is without any template, or with the best of the templates that have another redshift (1000
    km/s away), whichever is less: negative for those that are not the best."""
    confidence: Array
    """Share of the likelihood among these, chance peaks at all offsets looked at included: 1 is certain."""
    r: Array
    """Tonry & Davis's ratio of peak to noise."""
    td_err: Array
    """Their error, km/s: for comparison."""
    status: Array
    """int32, flags of `imreg_xp.Status`."""


class Plan(NamedTuple):
    """What a caller chose."""

    layout: Layout
    degree: int
    band: tuple[float, ...] | None
    apodise: float
    options: Options


class _Ready(NamedTuple):
    """A spectrum or template on the grid, padded; and unpadded with cosines at its ends."""

    side: Side
    tapered: Array


def _basis(n: int, degree: int, like: Array, *, xp: Namespace) -> Array:
    """Return Chebyshev polynomials (n, degree + 1)."""
    columns = np.polynomial.chebyshev.chebvander(np.linspace(-1, 1, n), degree)
    return constant(columns, accumulator_dtype(like, xp=xp), like, xp=xp)


def _ready(side: Side, which: int, plan: Plan, *, xp: Namespace) -> _Ready:
    index, weight = plan.layout.tables[which]
    if not (index.shape[0] == 1 and index.shape[1] == side.image.shape[1]):
        table = constant(index, xp.int64, side.image, xp=xp), constant(weight, side.image.dtype, side.image, xp=xp)
        side = resampled(side, *table, xp=xp)
    n = side.image.shape[1]
    side = without_continuum(side, _basis(n, plan.degree, side.image, xp=xp), xp=xp)
    bell = xp.astype(cosine_bell(n, plan.apodise, side.image, xp=xp), side.image.dtype)
    tapered = side.image * bell
    if plan.band is not None:
        tapered, left = band_passed(tapered, plan.band, plan.layout.noise, xp=xp)
        full = (bell > 0.99)[None, :]
        valid = full if side.valid is None else side.valid & full
        err = None if side.err is None else side.err * xp.astype(xp.sqrt(left), side.err.dtype)
        side = side.with_image(tapered, valid=xp.broadcast_to(valid, tapered.shape), err=err)
    return _Ready(_padded(side, plan.layout.pads[which], xp=xp), tapered)


def _padded(side: Side, count: int, *, xp: Namespace) -> Side:
    """Return a spectrum with invalid pixels in front."""
    if count == 0:
        return side
    batch = side.image.shape[0]
    front = xp.zeros((batch, count), dtype=side.image.dtype, device=device_of(side.image))
    valid = xp.ones_like(side.image) > 0 if side.valid is None else side.valid
    err = side.err
    if err is not None and err.ndim > 1:
        err = xp.broadcast_to(err, side.image.shape)
        err = xp.concat([xp.ones_like(front), err], axis=1)
    image = xp.concat([front, side.image], axis=1)
    return side.with_image(image, valid=xp.concat([front > 0, valid], axis=1), err=err)


def measure(flux: Side, templates: Side, plan: Plan, chunk: int | None, *, xp: Namespace) -> SpectralShift:
    """Fit all templates (T, k) to all spectra (batch, n), a chunk of these at a time; fields are (batch, T)."""
    shapes = [table[0].shape[1] + pad for table, pad in zip(plan.layout.tables, plan.layout.pads, strict=True)]
    rest = [_ready(rows(templates, t, t + 1), 1, plan, xp=xp) for t in range(templates.image.shape[0])]
    fields = [make_field(t.side.image, t.side.valid, (shapes[0],), wrap=False, xp=xp) for t in rest]
    parts = [
        _fitted(_ready(rows(flux, *span), 0, plan, xp=xp), rest, fields, plan, xp=xp)
        for span in spans(flux.image.shape[0], chunk, flux.image, sum(shapes), _BYTES_PER_PIXEL, xp=xp)
    ]
    return SpectralShift(*(joined(list(field), xp=xp) for field in zip(*parts, strict=True)))


def _fitted(flux: _Ready, templates: list[_Ready], fields: list[Field], plan: Plan, *, xp: Namespace) -> SpectralShift:
    """Fit each template, and put the best first."""
    columns = []
    for template, field in zip(templates, fields, strict=True):
        fit = solve(template.side, flux.side, plan.options, xp=xp)
        columns.append(_column(fit, flux, template, field, plan, xp=xp))
    table = {name: xp.stack([c[name] for c in columns], axis=1) for name in columns[0]}
    return _ranked(table, plan, known_noise=flux.side.err is not None, dtype=flux.side.image.dtype, xp=xp)


def _column(
    fit: Registration, flux: _Ready, template: _Ready, field: Field, plan: Plan, *, xp: Namespace
) -> dict[str, Array]:
    """Return what one template says, (batch,) each."""
    layout, acc = plan.layout, accumulator_dtype(fit.shift, xp=xp)
    offset = -xp.astype(fit.shift, acc)
    ok = (fit.status == 0)[:, None]
    offset = xp.where(ok, offset, xp.zeros_like(offset))
    better = explained(field, flux.side, offset, xp=xp)
    peak = tonry_davis(template.tapered, flux.tapered, offset + (layout.pads[1] - layout.pads[0]), xp=xp)
    nan = xp.full_like(offset[:, 0], math.nan)
    log_z = xp.where(ok[:, 0], layout.step * (offset[:, 0] - layout.zero), nan)
    return {
        "log_z": log_z,
        "log_err": layout.step * xp.astype(fit.shift_err[:, 0], acc),
        "chi2": xp.where(ok[:, 0], better.chi2, nan),
        "empty": better.empty,
        "dof": better.dof,
        "r": xp.where(ok[:, 0], peak.r, nan),
        "td": xp.where(ok[:, 0], 0.375 * layout.step * peak.width / (1 + peak.r), nan),
        "status": fit.status,
    }


def _ranked(table: dict[str, Array], plan: Plan, *, known_noise: bool, dtype: object, xp: Namespace) -> SpectralShift:
    chi2 = table["chi2"]
    found = table["status"] == 0
    far = xp.full_like(chi2, math.inf)
    order = xp.argsort(xp.where(found, chi2, far), axis=1)
    table = {name: xp.take_along_axis(x, order, axis=1) for name, x in table.items()}
    chi2, empty = table["chi2"], table["empty"]
    if not known_noise:
        best = chi2[:, :1]
        level = table["dof"] / xp.where(best > 0, best, xp.ones_like(best))
        chi2, empty = chi2 * level, empty * level
    delta, confidence = _compared(chi2, empty, table["log_z"], plan, xp=xp)
    z = xp.expm1(table["log_z"])
    z_err = (1 + z) * table["log_err"]
    shifts = (z, z_err, LIGHT * z, LIGHT * z_err)
    quality = (chi2, table["dof"], delta, confidence, table["r"], LIGHT * (1 + z) * table["td"])
    numbers = [xp.astype(x, dtype) for x in (*shifts, *quality)]
    names = [name for name in SpectralShift._fields if name not in ("template", "status")]
    fields = dict(zip(names, numbers, strict=True))
    return SpectralShift(**fields, template=xp.astype(order, xp.int32), status=table["status"])


def _compared(chi2: Array, empty: Array, log_z: Array, plan: Plan, *, xp: Namespace) -> tuple[Array, Array]:
    """Return how far the others are behind in chi², and the share of the likelihood of each."""
    usable = xp.isfinite(chi2)
    far = xp.full_like(chi2, math.inf)
    safe = xp.where(usable, chi2, far)
    # one along axis 1, the other along axis 2
    apart = abs(log_z[:, :, None] - log_z[:, None, :]) > math.log1p(_APART / LIGHT)
    behind = xp.where(apart & usable[:, None, :], safe[:, None, :] - chi2[:, :, None], far[:, None, :])
    nothing = empty - chi2
    delta = xp.minimum(nothing, xp.min(behind, axis=2))

    def likelihood(x: Array) -> Array:
        return xp.exp(-0.5 * xp.maximum(x, xp.full_like(x, -80.0)))

    chances = 2 * plan.options.limits[0]
    confidence = 1 / (1 + chances * likelihood(nothing) + xp.sum(likelihood(behind), axis=2))
    nan = xp.full_like(chi2, math.nan)
    return xp.where(usable, delta, nan), xp.where(usable, confidence, nan)
