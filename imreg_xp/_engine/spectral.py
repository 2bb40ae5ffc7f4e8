r"""What spectra need beside the estimators in one dimension: (batch, pixels) each.

Log-wavelength resampling with tables made on the host, the continuum by a robust polynomial, a band-pass, how well a
template explains a spectrum, and the statistics of Tonry & Davis (1979, doi:10.1086/112569).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from .._array import Array, Namespace, accumulator_dtype, device_of
from .._fft_length import fast_length
from ..fft_tools._dft import fourier_translate, irfft, part, rfft
from ..fft_tools._modes import frequencies, half_weights
from ._linalg import inverse
from .extend import Field, sample
from .problem import Side

__all__ = [
    "Explained",
    "Peak",
    "band_passed",
    "cosine_bell",
    "explained",
    "resampled",
    "tonry_davis",
    "without_continuum",
]

_CLIP = 3.0  # standard deviations from the continuum
_ROUNDS = 6


def resampled(side: Side, index: Array, weight: Array, *, xp: Namespace) -> Side:
    """Return a spectrum at new places: sums of the pixels `index` (taps, n) times `weight` (taps, n).

    A place is valid if all pixels that it is made from are; errors are those of the sum.
    """
    taps = [(index[t, :], weight[t, :]) for t in range(index.shape[0])]
    image = xp.zeros((1, index.shape[1]), dtype=side.image.dtype, device=device_of(side.image))
    valid, variance = None, None
    for i, w in taps:
        image = image + w * xp.take(side.image, i, axis=1)
        if side.valid is not None:
            good = xp.take(side.valid, i, axis=1) | (w == 0)
            valid = good if valid is None else valid & good
        if side.err is not None and side.err.ndim > 1:
            square = (w * xp.take(side.err, i, axis=1)) ** 2
            variance = square if variance is None else variance + square
    err = side.err
    if variance is not None:
        err = xp.sqrt(variance)
    elif err is not None:
        # a number becomes a map: places between the pixels have less noise
        share = sum(w * w for _, w in taps)
        err = xp.astype(err[:, None], image.dtype) * xp.sqrt(share)
    return side.with_image(image, valid=valid, err=err)


def without_continuum(side: Side, basis: Array, *, xp: Namespace) -> Side:
    """Return the spectrum less the polynomial in the columns of `basis` (n, K) through its pixels, outliers left out.

    An outlier is 3 standard deviations from the fit of the round before. Invalid pixels become 0.
    """
    acc = accumulator_dtype(side.image, xp=xp)
    x = xp.astype(side.image, acc)
    good = xp.ones_like(x) if side.valid is None else xp.astype(side.valid, acc)
    top = xp.max(good * abs(x), axis=1, keepdims=True)
    top = xp.where(top > 0, top, xp.ones_like(top))
    x = x / top
    keep = good
    fit = xp.zeros_like(x)
    for _ in range(_ROUNDS):
        weighted = xp.matrix_transpose(basis)[None, ...] * keep[:, None, :]
        solution = xp.matmul(inverse(xp.matmul(weighted, basis), xp=xp), xp.matmul(weighted, x[..., None]))
        fit = xp.matmul(basis, solution)[..., 0]
        fit = xp.where(xp.isfinite(fit), fit, xp.zeros_like(fit))
        count = xp.sum(keep, axis=1, keepdims=True)
        scatter = xp.sum(keep * (x - fit) ** 2, axis=1, keepdims=True) / xp.where(count > 0, count, xp.ones_like(count))
        keep = good * xp.astype((x - fit) ** 2 <= _CLIP**2 * scatter, acc)
    left = good * (x - fit)
    # a spectrum that is nothing but continuum leaves rounding errors
    there = xp.max(abs(left), axis=1, keepdims=True) > 64 * xp.finfo(side.image.dtype).eps
    return side.with_image(xp.astype(xp.where(there, top * left, xp.zeros_like(left)), side.image.dtype))


def cosine_bell(n: int, fraction: float, like: Array, *, xp: Namespace) -> Array:
    """Return a window of n pixels, 1 but for `fraction` of it at each end, where it falls to 0 as a cosine."""
    i = xp.arange(n, dtype=accumulator_dtype(like, xp=xp), device=device_of(like)) + 0.5
    edge = xp.minimum(i, n - i) / max(fraction * n, 0.5)
    return 0.5 - 0.5 * xp.cos(math.pi * xp.minimum(edge, xp.ones_like(edge)))


def band_passed(
    images: Array, limits: Sequence[float], noise: Sequence[float], *, xp: Namespace
) -> tuple[Array, Array]:
    """Return spectra with the waves between `limits` only, and the share of the variance of their noise that is left.

    `limits` are four numbers of waves per spectrum: where the pass-band begins, is full, is full no more, and ends,
    with cosines between. `noise` is the autocorrelation of the noise, from lag 0.
    """
    n = images.shape[-1]
    grid = fast_length([n + n // 8])
    (nu,) = frequencies(grid, images, xp=xp)
    low, full, high, end = (limit / n for limit in limits)
    gain = _ramp(nu, low, full, xp=xp) * (1 - _ramp(nu, high, end, xp=xp))
    passed = irfft(rfft(images, 1, xp=xp, s=grid) * xp.astype(gain, images.dtype), grid, xp=xp) / grid[0]
    power = noise[0] * half_weights(grid, nu, xp=xp)
    for lag, c in enumerate(noise[1:], start=1):
        power = power + 2 * c * half_weights(grid, nu, xp=xp) * xp.cos(2 * math.pi * lag * nu)
    return part(passed, 1, 0, n), xp.sum(gain**2 * power) / xp.sum(power)


def _ramp(nu: Array, start: float, stop: float, *, xp: Namespace) -> Array:
    t = (nu - start) / max(stop - start, 1e-12)
    t = xp.minimum(xp.maximum(t, xp.zeros_like(t)), xp.ones_like(t))
    return 0.5 - 0.5 * xp.cos(math.pi * t)


class Explained(NamedTuple):
    """How well templates explain spectra, with gain and background at their best; (batch,) each."""

    chi2: Array
    empty: Array
    """chi² with the background alone."""
    dof: Array


def explained(field: Field, moving: Side, offset: Array, *, xp: Namespace) -> Explained:
    """Compare spectra with a template at their offsets, over all valid pixels: beyond its ends the template is 0.

    So chi² of one spectrum with several templates is a sum over the same pixels. Without errors those are 1.
    """
    n = moving.image.shape[-1]
    acc = offset.dtype
    value = sample(fourier_translate(field.spectrum, offset, field.grid, xp=xp), field.grid, (n,), xp=xp)
    source = xp.arange(n, dtype=acc, device=device_of(value)) - offset
    inside = (source >= 0) & (source <= field.shape[0] - 1)
    if field.holes is not None:
        holes = sample(fourier_translate(field.holes, offset, field.grid, xp=xp), field.grid, (n,), xp=xp)
        inside = inside & (holes < 0.5)
    t = xp.where(inside, xp.astype(value, acc), xp.zeros_like(offset))
    m = xp.astype(moving.image, acc)
    w = xp.ones_like(m) if moving.valid is None else xp.astype(moving.valid, acc)
    if moving.err is not None:
        err = xp.astype(moving.err, acc)
        w = w / (err[:, None] if err.ndim == 1 else err) ** 2
    total = xp.sum(w, axis=1, keepdims=True)
    total = xp.where(total > 0, total, xp.ones_like(total))
    t = t - xp.sum(w * t, axis=1, keepdims=True) / total
    m = m - xp.sum(w * m, axis=1, keepdims=True) / total
    power, both = xp.sum(w * t * t, axis=1), xp.sum(w * t * m, axis=1)
    empty = xp.sum(w * m * m, axis=1)
    gained = xp.where(both > 0, both**2 / xp.where(power > 0, power, xp.ones_like(power)), xp.zeros_like(both))
    return Explained(empty - gained, empty, xp.sum(xp.astype(w > 0, acc), axis=1) - 3)


class Peak(NamedTuple):
    """Of the correlation with a template: height over the rms of its antisymmetric part (times sqrt 2), and FWHM."""

    r: Array
    width: Array


def tonry_davis(template: Array, moving: Array, offset: Array, *, xp: Namespace) -> Peak:
    r"""Return :math:`r = h / \sqrt 2 \sigma_a` and the width (pixels) of the peak of the correlation at `offset`.

    With Y the cross-spectrum brought to the offset, :math:`h = \sum \mathrm{Re} Y / N` and by Parseval's theorem
    :math:`\sigma_a^2 = \sum_n [c(\delta + n) - c(\delta - n)]^2 / 2N = 2 \sum (\mathrm{Im} Y)^2 / N^2`.
    """
    grid = fast_length([template.shape[-1] + moving.shape[-1] - 1])
    acc = offset.dtype
    spectra = [rfft(xp.astype(x, acc), 1, xp=xp, s=grid) for x in (template, moving)]
    aligned = fourier_translate(xp.conj(spectra[0]) * spectra[1], -offset, grid, xp=xp)
    c = irfft(xp.astype(xp.real(aligned), aligned.dtype), grid, xp=xp)
    odd = irfft(1j * xp.astype(xp.imag(aligned), aligned.dtype), grid, xp=xp)
    height = c[:, 0]
    # the odd part is half of the difference
    scatter = xp.sqrt(2 * xp.mean(odd * odd, axis=1))
    known = (height > 0) & (scatter > 0)
    r = height / (math.sqrt(2) * xp.where(known, scatter, xp.ones_like(scatter)))
    half = part(c, 1, 0, grid[0] // 2)
    below = half < 0.5 * height[:, None]
    first = xp.argmax(xp.astype(below, xp.int32), axis=1)[:, None]
    first = xp.where(first > 0, first, xp.ones_like(first))
    after, before = (xp.take_along_axis(half, k, axis=1)[:, 0] for k in (first, first - 1))
    drop = before - after
    rest = (before - 0.5 * height) / xp.where(drop > 0, drop, xp.ones_like(drop))
    width = 2 * (xp.astype(first[:, 0] - 1, acc) + rest)
    nan = xp.full_like(r, math.nan)
    return Peak(xp.where(known, r, nan), xp.where(known, width, nan))
