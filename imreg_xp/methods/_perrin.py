"""The methods of `subreg`: images (1, ny, nx) and (batch, ny, nx) to shifts (batch, 2), x first."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .._array import Array, Namespace, accumulator_dtype, device_of
from .._engine.centres import (
    above_sky,
    aperture_centre,
    box_at,
    brightest,
    centre_of_mass,
    moved_box,
    peak_centroid,
    zero_slope,
)
from .._engine.gaussian import fit_gaussian
from .._engine.peaks import lags
from .._engine.taylor import patch_at
from .._static import numbers
from ..fft_tools._dft import along, irfft, rfft
from ..fft_tools._modes import frequencies

__all__ = ["MEASURED"]

_CLOSE = 0.005  # pixels: a shift that changes by less is found
_REFITS = 5
_REFIT_STEPS = 6


def _xy(first: Array, second: Array, *, xp: Namespace) -> Array:
    return xp.flip(first - second, axis=-1)


def _brightest_pixel(ref: Array, images: Array, halves: Sequence[int], *, xp: Namespace) -> Array:  # noqa: ARG001
    acc = accumulator_dtype(images, xp=xp)
    return _xy(*(xp.astype(brightest(im, xp=xp), acc) for im in (ref, images)), xp=xp)


def _star(centre: Callable[..., Array]) -> Callable[..., Array]:
    """Return the method that takes the difference of the centres of the brightest stars."""

    def method(ref: Array, images: Array, halves: Sequence[int], *, xp: Namespace) -> Array:
        found = []
        for im in (ref, images):
            index = brightest(im, xp=xp)
            centred = centre(im, index, halves, xp=xp)
            found.append(xp.astype(index, centred.dtype) + centred)
        return _xy(*found, xp=xp)

    return method


def _mass(images: Array, index: Array, halves: Sequence[int], *, xp: Namespace) -> Array:
    return centre_of_mass(box_at(images, index, halves, xp=xp), xp=xp)


def _slopes(images: Array, index: Array, halves: Sequence[int], *, xp: Namespace) -> Array:  # noqa: ARG001
    return zero_slope(images, index, xp=xp)


def _aperture(images: Array, index: Array, halves: Sequence[int], *, xp: Namespace) -> Array:
    return aperture_centre(box_at(images, index, halves, xp=xp), min(halves) / 2, xp=xp)


def _refitted(ref: Array, images: Array, halves: Sequence[int], *, xp: Namespace) -> Array:
    """Fit Gaussians to the brightest stars, and shift that of the image until its fit agrees with the other."""
    indices = [brightest(im, xp=xp) for im in (ref, images)]
    boxes = [box_at(im, index, halves, xp=xp) for im, index in zip((ref, images), indices, strict=True)]
    values = [above_sky(box, xp=xp) for box in boxes]
    first, second = (fit_gaussian(v, box.inside, xp=xp) for v, box in zip(values, boxes, strict=True))
    shift = first.centre - second.centre
    ready = xp.zeros_like(shift[:, :1]) > 1
    for _ in range(_REFITS):
        known = xp.where(xp.isfinite(shift), shift, xp.zeros_like(shift))
        # as wide as before, where the other star is
        start = xp.concat([first.parameters[:, :2] + 0 * shift, second.parameters[:, 2:]], axis=1)
        moved = moved_box(values[1], known, xp=xp)
        second = fit_gaussian(moved, boxes[1].inside, start=start, steps=_REFIT_STEPS, xp=xp)
        change = first.centre - second.centre
        shift = xp.where(ready, shift, shift + change)
        ready = ready | (xp.sum(change * change, axis=-1, keepdims=True) < _CLOSE**2)
    rough = indices[0] - indices[1]
    return xp.flip(xp.astype(rough, shift.dtype) + shift, axis=-1)


def _correlated(*, centroid: bool = False, high_pass: bool = False, unwrap: bool = True) -> Callable[..., Array]:
    """Return the method that finds the peak of the correlation by Fourier."""

    def method(ref: Array, images: Array, halves: Sequence[int], *, xp: Namespace) -> Array:
        shape = tuple(images.shape[1:])
        spectra = [rfft(im - xp.mean(im, axis=(1, 2), keepdims=True), 2, xp=xp) for im in (ref, images)]
        cross = xp.conj(spectra[0]) * spectra[1]
        if high_pass:
            cross = cross * xp.astype(_without_large_scales(shape, images, xp=xp), images.dtype)
        values = irfft(cross, shape, xp=xp)
        index = brightest(values, xp=xp)
        lag = lags(index, shape, xp=xp)
        if centroid:
            half = min(max(k // 2, 1) for k in halves)
            lag = peak_centroid(cross, lag, shape, half, xp=xp)
        else:
            box = [xp.ones((images.shape[0], 2 * k + 1), dtype=lag.dtype, device=device_of(lag)) for k in halves]
            lag = lag + fit_gaussian(patch_at(values, index, tuple(halves), xp=xp), box, xp=xp).centre
        return xp.flip(_in_frame(-lag, images, xp=xp) if unwrap else -lag, axis=-1)

    return method


def _without_large_scales(shape: tuple[int, ...], like: Array, *, xp: Namespace) -> Array:
    """Return 1 - 1/(1 + (k/2)^2), k the number of waves per image."""
    square = 0.0
    for axis, (n, nu) in enumerate(zip(shape, frequencies(shape, like, xp=xp), strict=True)):
        square = square + xp.reshape((n * nu) ** 2, along(n=nu.shape[0], axis=axis, ndim=2))
    return 1 - 1 / (1 + square / 4)


def _in_frame(shift: Array, images: Array, *, xp: Namespace) -> Array:
    """Return shifts, by the size of the image more or less, that keep the brightest pixel inside."""
    star = xp.astype(brightest(images, xp=xp), shift.dtype)
    size = numbers(images.shape[1:], dtype=shift.dtype, like=shift, xp=xp)
    after = star + shift
    # half a pixel for a star at the very edge
    shift = xp.where(after < -0.5, shift + size, shift)
    return xp.where(after >= size - 0.5, shift - size, shift)


MEASURED: dict[str, Callable[..., Array]] = {
    "X": _correlated(centroid=True),
    "F": _correlated(),
    "FHP": _correlated(high_pass=True, unwrap=False),
    "HF": _correlated(unwrap=False),
    "C": _star(_mass),
    "O": _star(_slopes),
    "G": _refitted,
    "R": _star(_aperture),
    "M": _brightest_pixel,
}
