"""Wavelengths, on the host: logarithmic grids, tables for resampling, and spectra taken out of what carries them."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from .._array import to_host

__all__ = ["Grid", "Layout", "Spectrum", "host_wavelengths", "layout", "plain_spectrum"]

_SAME = 1e-3  # pixels: wavelengths no further from a logarithmic grid are on it
_UNIT = "Angstrom"
_LEAST = 16  # pixels of a template
_LAGS = 16


class Grid(NamedTuple):
    """Equal steps in ln(wavelength)."""

    start: float
    step: float
    size: int


class Layout(NamedTuple):
    """How spectra and templates are brought to one grid; the offset between them is ln(1 + z) / step + zero."""

    step: float
    zero: float
    tables: tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
    """For flux and templates: the pixels (taps, n) that each place is made from, and their weights."""
    pads: tuple[int, int]
    """Invalid pixels in front of flux and templates, which put the middle of the search at the offset 0."""
    limit: float
    """Largest offset to look for, pixels."""
    noise: tuple[float, ...]
    """Autocorrelation that resampling gives the noise of the flux, from lag 0."""


class Spectrum(NamedTuple):
    """A spectrum as plain arrays; None: not known."""

    flux: Any
    wavelength: Any
    err: Any
    valid: Any


def _plain_value(x: Any, unit: Any = None) -> Any:
    """Return a quantity as its value (in `unit`, if given), anything else as it is."""
    if not (hasattr(x, "to_value") and hasattr(x, "unit")):
        return x
    return x.to_value(x.unit if unit is None else unit)


def plain_spectrum(name: str, flux: Any, wavelength: Any, err: Any, valid: Any) -> Spectrum:
    """Take a `Spectrum`-like object, or quantities, apart.

    Raises
    ------
    TypeError
        An uncertainty is of a kind that is not known.
    """
    if hasattr(flux, "spectral_axis") and hasattr(flux, "flux"):
        mask, uncertainty = getattr(flux, "mask", None), getattr(flux, "uncertainty", None)
        wavelength = flux.spectral_axis if wavelength is None else wavelength
        valid = ~np.asarray(mask) if valid is None and mask is not None else valid
        flux, err = flux.flux, _deviation(name, uncertainty) if err is None and uncertainty is not None else err
    unit = getattr(flux, "unit", None) if hasattr(flux, "to_value") else None
    # a wavelength without a unit is as good as one with: only ratios matter
    return Spectrum(_plain_value(flux), _plain_value(wavelength, _UNIT), _plain_value(err, unit), valid)


def _deviation(name: str, uncertainty: Any) -> np.ndarray:
    kind = getattr(uncertainty, "uncertainty_type", None)
    values = np.asarray(uncertainty.array)
    if kind == "std":
        return values
    if kind == "var":
        return np.sqrt(values)
    if kind == "ivar":
        return 1 / np.sqrt(np.where(values > 0, values, np.nan))
    msg = f"`{name}` must have an uncertainty of type 'std', 'var' or 'ivar', got {kind!r}"
    raise TypeError(msg)


def host_wavelengths(name: str, wavelength: Any, size: int) -> np.ndarray:
    """Return the logarithm of wavelengths that are checked."""
    if wavelength is None:
        msg = f"`{name}` must be given, got None"
        raise TypeError(msg)
    host = to_host(wavelength)[0] if hasattr(wavelength, "shape") else np.asarray(wavelength)
    if host.dtype.kind not in "iuf":
        msg = f"`{name}` must be real numbers, got dtype {host.dtype}"
        raise TypeError(msg)
    if host.shape != (size,):
        msg = f"`{name}` must have the shape {(size,)} of one spectrum, got {host.shape}"
        raise ValueError(msg)
    if not (np.all(np.isfinite(host)) and np.all(host > 0) and np.all(np.diff(host) > 0)):
        msg = f"`{name}` must be positive and increase, got {host[:3]} ... {host[-3:]}"
        raise ValueError(msg)
    return np.log(host.astype(np.float64))


def _log_grid(log_wave: np.ndarray) -> Grid:
    """Return the grid that the wavelengths are on, or one as fine as they are where they are finest."""
    n = log_wave.size
    step = float(log_wave[-1] - log_wave[0]) / (n - 1)
    straight = log_wave[0] + step * np.arange(n)
    if np.max(np.abs(log_wave - straight)) > _SAME * step:
        step = float(np.min(np.diff(log_wave)))
        n = math.floor((log_wave[-1] - log_wave[0]) / step) + 1
    return Grid(float(log_wave[0]), step, n)


def _template_grid(log_wave: np.ndarray, flux: Grid, limits: tuple[float, float] | None) -> Grid:
    """Return the grid for a template, in step with that of the flux, of what may be seen with ln(1 + z) in `limits`."""
    first, last = float(log_wave[0]), float(log_wave[-1])
    if limits is not None:
        # and a little more, for the border
        first = max(first, flux.start - limits[1] - 32 * flux.step)
        last = min(last, flux.start + (flux.size + 31) * flux.step - limits[0])
    own = _log_grid(log_wave)
    # on a grid of its own, if that has the same step: nothing is made up between pixels
    origin = own.start if abs(own.step / flux.step - 1) * own.size < _SAME else flux.start
    begin = math.ceil((first - origin) / flux.step - _SAME)
    end = math.floor((last - origin) / flux.step + _SAME)
    return Grid(origin + begin * flux.step, flux.step, max(end - begin + 1, 0))


def _table(log_wave: np.ndarray, grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Return the pixels (taps, n) around each place of the grid, and their weights: the polynomial through 6 pixels."""
    target = grid.start + grid.step * np.arange(grid.size)
    at = np.interp(target, log_wave, np.arange(log_wave.size))
    near = np.round(at)
    if np.max(np.abs(at - near), initial=0.0) < 2 * _SAME:
        return near.astype(np.int64)[None, :], np.ones((1, grid.size))
    first = np.clip(np.floor(at) - 2, 0, log_wave.size - 6).astype(np.int64)
    index = np.stack([first + k for k in range(6)])
    x = log_wave[index]
    weights = [
        math.prod(((target - x[j]) / (x[k] - x[j]) for j in range(6) if j != k), start=np.ones_like(target))
        for k in range(6)
    ]
    return index, np.stack(weights)


def _autocorrelation(index: np.ndarray, weight: np.ndarray) -> tuple[float, ...]:
    """Return the mean covariance of places 0, 1, 2 ... apart that are made from pixels with white noise."""
    if index.shape[0] == 1:
        return (1.0,)
    found = []
    for lag in range(_LAGS):
        n = index.shape[1] - lag
        same = index[:, None, :n] == index[None, :, lag:]
        found.append(float(np.sum(same * weight[:, None, :n] * weight[None, :, lag:]) / max(n, 1)))
    return tuple(found)


def layout(log_wave: np.ndarray, log_rest: np.ndarray, limits: tuple[float, float] | None) -> Layout:
    """Lay out the search for ln(1 + z) in `limits`, or anywhere.

    Raises
    ------
    ValueError
        Too little of the templates can be seen.
    """
    grid = _log_grid(log_wave)
    rest = _template_grid(log_rest, grid, limits)
    if rest.size < _LEAST:
        msg = f"`template` must have at least {_LEAST} pixels that can be seen within `z_range`, got {rest.size}"
        raise ValueError(msg)
    zero = (rest.start - grid.start) / grid.step
    tables = _table(log_wave, grid), _table(log_rest, rest)
    noise = _autocorrelation(*tables[0])
    if limits is None:
        return Layout(grid.step, zero, tables, (0, 0), float(max(grid.size, rest.size)), noise)
    middle = round((limits[0] + limits[1]) / 2 / grid.step + zero)
    pads = (max(-middle, 0), max(middle, 0))
    return Layout(grid.step, zero - middle, tables, pads, (limits[1] - limits[0]) / 2 / grid.step + 1, noise)
