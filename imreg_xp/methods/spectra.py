"""Redshifts by correlation with templates: `spectral_shift`."""

from __future__ import annotations

import math
from typing import Any, Literal

from .._array import Array, Namespace, array_namespace, as_images, is_number
from .._engine.problem import Options, Side
from .._inputs import one_image, scalar_or_array
from ._options import whole
from ._redshifts import Plan, SpectralShift, measure
from ._wavelengths import Spectrum, host_wavelengths, layout, plain_spectrum

__all__ = ["SpectralShift", "spectral_shift"]

_LEAST = 16  # pixels
_DEGREE = 5
_NOISE = ("correlated", "white")


def spectral_shift(
    flux: Any,
    template: Any,
    *,
    wavelength: Any = None,
    template_wavelength: Any = None,
    err: Any = None,
    valid: Array | None = None,
    template_valid: Array | None = None,
    z_range: tuple[float, float] | None = None,
    continuum: int = 5,
    bandpass: tuple[float, float, float, float] | None = None,
    apodise: float = 0.05,
    noise: Literal["correlated", "white"] = "correlated",
    min_overlap: float = 0.3,
    chunk: int | None = None,
) -> SpectralShift:
    r"""Measure redshifts of spectra by the best fit of templates, with errors from chi².

    Spectra and templates are resampled to equal steps in :math:`\ln\lambda`, where a redshift is a shift, and their
    continuum is subtracted. Then the estimator of `imreg_xp.register` in one dimension finds

    .. math:: f(\ln\lambda) = s\, t(\ln\lambda - \ln(1 + z)) + b + \mathrm{noise}

    with gain s and background b free, by chi² over the pixels that both hold.

    Parameters
    ----------
    flux : array (..., n), quantity or spectrum
        The spectra; NaN and infinite pixels are left out. Of a spectrum (what has a `flux` and a `spectral_axis`)
        wavelength, uncertainty and mask are taken too, unless they are given.
    template : array (k,) or (templates, k), quantity or spectrum
        One template, or several; taken to be free of noise.
    wavelength, template_wavelength : array (n,) and (k,), or quantity
        Of the pixels of all spectra and of all templates, positive and increasing, in one unit; those of the templates,
        at rest, are those of the spectra if not given. They are read on the host.
    err : number or array (..., n), optional
        1 sigma of the pixels. Without, the noise level is estimated from the residuals.
    valid, template_valid : boolean array, optional
        True = use the pixel.
    z_range : (number, number), optional
        Redshifts to look for; all that leave `min_overlap`, if not given.
    continuum : int
        Degree of the polynomial that is subtracted, 0 to 5; pixels 3 standard deviations from it are left out.
    bandpass : four numbers, optional
        Waves per spectrum: where the pass-band begins, is full, is full no more and ends. `apodise` of both spectra is
        lost at each end.
    apodise : number
        Part of the spectrum, at each end, over which it is brought to 0 by a cosine before it is filtered, and for the
        correlation of Tonry & Davis. 0 to 0.5.
    noise : {"correlated", "white"}
        As in `imreg_xp.register`. Resampling and filters correlate the noise.
    min_overlap : number
        Least overlap, as a fraction of the shorter of the two spectra.
    chunk : int, optional
        Spectra at a time; what fits the cache of a CPU or keeps an accelerator busy, within its memory, if not given.

    Returns
    -------
    SpectralShift
        Arrays of the inputs' library, device and batch shape; with several templates with a last axis for these, the
        best first. What cannot be measured is NaN, has its `status`, and comes last.

    Raises
    ------
    TypeError
        Not real arrays of one library and device; no wavelength; a mask that is not boolean; an uncertainty of unknown
        type.
    ValueError
        Shapes that do not match; wavelengths that do not increase; options out of range; a template that has less than
        16 pixels where it can be seen in `z_range`.

    Notes
    -----
    Tonry & Davis (1979, doi:10.1086/112569) take the antisymmetric part of the correlation for its noise: `r` is the
    height of the peak over sqrt(2) times its rms, and `td_err` is c w (1 + z) / (1 + r) 3/8, w the width (FWHM) of the
    peak in ln(wavelength) (Kurtz et al. 1992). It is for comparison: it knows neither the noise of the pixels nor what
    the peak would be without it, and is wrong by factors (Heavens 1993).

    Examples
    --------
    >>> import numpy as np, imreg_xp
    >>> rng = np.random.default_rng(0)
    >>> wavelength = np.linspace(4000, 5000, 800)
    >>> lines = rng.uniform(3800, 5000, size=(60, 1))
    >>> template = 1 - 0.3 * np.sum(np.exp(-0.5 * ((wavelength - lines) / 3) ** 2), axis=0)
    >>> flux = 1 - 0.3 * np.sum(np.exp(-0.5 * ((wavelength / 1.02 - lines) / 3) ** 2), axis=0)
    >>> flux = flux + 0.1 * rng.normal(size=flux.shape)
    >>> found = imreg_xp.spectral_shift(flux, template, wavelength=wavelength, err=0.1, z_range=(0, 0.1))
    >>> bool(abs(found.redshift - 0.02) < 4 * found.redshift_err)
    True
    """
    observed = plain_spectrum("flux", flux, wavelength, err, valid)
    rest = plain_spectrum("template", template, template_wavelength, None, template_valid)
    extras = {"err": observed.err, "valid": observed.valid, "template_valid": rest.valid}
    xp = array_namespace(flux=observed.flux, template=rest.flux, optional=extras)
    if rest.flux.ndim not in (1, 2) or observed.flux.ndim < 1:
        got = f"{tuple(observed.flux.shape)} and {tuple(rest.flux.shape)}"
        msg = f"`flux` must be (..., n) and `template` (k,) or (templates, k), got shapes {got}"
        raise ValueError(msg)
    sizes = observed.flux.shape[-1], rest.flux.shape[-1]
    log_wave = host_wavelengths("wavelength", observed.wavelength, sizes[0])
    own = rest.wavelength
    log_rest = log_wave if own is None else host_wavelengths("template_wavelength", own, sizes[1])
    if own is None and sizes[0] != sizes[1]:
        msg = f"`template_wavelength` must be given for templates of {sizes[1]} pixels and spectra of {sizes[0]}"
        raise ValueError(msg)
    fractions = _fraction("apodise", apodise, 0.5), _fraction("min_overlap", min_overlap, 1.0)
    limits, degree, band = _redshifts(z_range), _degree(continuum), _band(bandpass, sizes[0])
    first, lead = _side(observed, ("flux", "err", "valid"), xp=xp)
    second, _ = _side(rest, ("template", "template_err", "template_valid"), xp=xp)
    laid = layout(log_wave, log_rest, limits)
    options = Options(False, True, True, _is_correlated(noise), (laid.limit,), fractions[1])
    plan = Plan(laid, degree, band, fractions[0], options)
    found = measure(first, second, plan, chunk if chunk is None else whole("chunk", chunk, 1), xp=xp)
    tail = () if rest.flux.ndim == 1 else (rest.flux.shape[0],)
    return SpectralShift(*(xp.reshape(field, (*lead, *tail)) for field in found))


def _side(spectrum: Spectrum, names: tuple[str, str, str], *, xp: Namespace) -> tuple[Side, tuple[int, ...]]:
    """Return spectra with a flat batch, and the batch shape."""
    shape = tuple(spectrum.flux.shape)
    (flux,) = as_images(xp=xp, **{names[0]: spectrum.flux})
    err = scalar_or_array(spectrum.err, name=names[1])
    for name, extra in ((names[1], err), (names[2], spectrum.valid)):
        own = tuple(getattr(extra, "shape", ()))
        if own and own not in (shape, shape[-1:]):
            msg = f"`{name}` must have the shape {shape} of `{names[0]}`, or {shape[-1:]}, got {own}"
            raise ValueError(msg)
    if 0 in shape or shape[-1] < _LEAST:
        msg = f"`{names[0]}` must hold spectra of at least {_LEAST} pixels, got shape {shape}"
        raise ValueError(msg)
    lead = shape[:-1]
    return one_image(flux, err, spectrum.valid, lead, 1, names=names, xp=xp), lead


def _redshifts(z_range: Any) -> tuple[float, float] | None:
    """Return ln(1 + z) at the ends of a range."""
    if z_range is None:
        return None
    ends = tuple(z_range)
    if not (len(ends) == 2 and all(is_number(z) for z in ends) and -1 < ends[0] < ends[1] < math.inf):
        msg = f"`z_range` must be two redshifts above -1, the smaller first, got {z_range!r}"
        raise ValueError(msg)
    return math.log1p(ends[0]), math.log1p(ends[1])


def _degree(continuum: Any) -> int:
    if whole("continuum", continuum, 0) > _DEGREE:
        msg = f"`continuum` must be a degree of at most {_DEGREE}, got {continuum!r}"
        raise ValueError(msg)
    return int(continuum)


def _band(bandpass: Any, size: int) -> tuple[float, ...] | None:
    if bandpass is None:
        return None
    limits = tuple(bandpass)
    if (
        len(limits) != 4
        or not all(is_number(k) for k in limits)
        or not 0 <= limits[0] <= limits[1] < limits[2] <= limits[3]
    ):
        msg = f"`bandpass` must be four numbers of waves that do not fall, got {bandpass!r}"
        raise ValueError(msg)
    if limits[0] > size / 2:
        msg = f"`bandpass` must begin below {size / 2} waves for {size} pixels, got {bandpass!r}"
        raise ValueError(msg)
    return tuple(float(k) for k in limits)


def _fraction(name: str, value: Any, most: float) -> float:
    if not (is_number(value) and 0 <= value <= most):
        msg = f"`{name}` must be a number from 0 to {most}, got {value!r}"
        raise ValueError(msg)
    return float(value)


def _is_correlated(noise: Any) -> bool:
    if noise not in _NOISE:
        msg = f"`noise` must be one of {_NOISE}, got {noise!r}"
        raise ValueError(msg)
    return bool(noise == "correlated")
