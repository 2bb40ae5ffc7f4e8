"""What NumPy does in other ways than the array API, to the same effect: in fewer passes, or by another name."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from ._array import Array, Namespace, overwriting_fft
from ._kernels import Total, compiles, elementwise
from ._sums import inner

__all__ = [
    "Factors",
    "as_reals",
    "cross_powers",
    "factored",
    "in_library",
    "in_range",
    "inverse_transform",
    "maps_in_single",
    "normalised",
    "phases",
    "power",
    "powers",
    "product",
    "product_of",
    "real_product",
    "squares",
    "suits_real_products",
    "transform_less_mean",
    "whole_powers",
    "with_items",
]

Factors = Array | tuple[Array, ...]
"""An array, or factors that are broadcast."""

_LARGE = 2**16  # elements that make a difference
_BEYOND_CACHE = 2**18  # elements of one image that do not stay in the cache of a core
_LEAST, _MOST = 1e-24, 1e30  # of the power of a mode, and of all modes: products are well within range
_SMALL_LEVEL = 4.0  # of the square of a mean, in units of the variance: rounding errors are twice as large


def transform_less_mean(x: Array, mean: Array | None, *, small: bool = False, conjugate: bool, xp: Namespace) -> Array:
    """Return the `rfftn` of images (batch, ...) less their means (batch,), if any, or its complex conjugate.

    The mean sits in one mode: where it does not drown the others in rounding errors, in double precision or where it is
    `small`, the host clears that, and spares two passes. A backward transform is a conjugate one.
    """
    axes = tuple(range(1, x.ndim))
    on_host = isinstance(x, np.ndarray)
    clears = mean is not None and on_host and (small or x.dtype == np.float64)
    if mean is not None and not clears:
        x = x - xp.reshape(mean, (-1,) + (1,) * len(axes))
    if conjugate and on_host and hasattr(xp.fft, "ihfftn"):
        spectrum = xp.fft.ihfftn(x, axes=axes, norm="forward")
    else:
        spectrum = xp.fft.rfftn(x, axes=axes)
        spectrum = xp.conj(spectrum) if conjugate else spectrum
    if clears:
        spectrum[(slice(None), *(0,) * len(axes))] = 0
    return spectrum


def in_range(x: Array, mean: Array, acc: Any, *, xp: Namespace) -> tuple[Array, Array, Array] | None:
    """Return images (batch, ...), the sums of the squares of their values less their means, and a scale (batch,).

    A mean that is larger than twice the rms is taken off; for the sums of the others it must be exact to its dtype.
    Images are divided by the scale, which is 1 where powers neither overflow nor vanish: the host sees it at once, and
    spares four passes. None where it is not the host that works.
    """
    if not isinstance(x, np.ndarray):
        return None
    pixels, scale = math.prod(x.shape[1:]), np.ones(x.shape[0])
    levels, most = [pixels * low * low for low in mean.tolist()], _MOST / pixels
    with np.errstate(all="ignore"):
        sums = inner(x, x, acc, xp=xp) - levels
    pairs = zip(sums.tolist(), levels, strict=True)
    others = [k for k, (a, level) in enumerate(pairs) if not max(level / _SMALL_LEVEL, _LEAST) <= a < most]
    if not others:
        return x, sums, scale
    taken = np.zeros_like(mean)
    taken[others] = mean[others]
    with np.errstate(all="ignore"):
        x = x - taken.reshape((-1,) + (1,) * (x.ndim - 1))
        for k in others:
            one = x[k : k + 1]
            sums[k] = inner(one, one, acc, xp=xp)[0]
            if not _LEAST < sums[k] < most:
                top = float(one.max())
                scale[k] = top if np.finfo(x.dtype).smallest_normal <= top < math.inf else 1.0
                one *= x.dtype.type(1 / scale[k])
                sums[k] = inner(one, one, acc, xp=xp)[0]
    return x, sums, scale


def normalised(x: Array, mean: Array, factor: Array, acc: Any, *, xp: Namespace) -> tuple[Array, Array]:
    """Return images (batch, ...) less their means and times a factor (batch,), and the sums of their squares."""
    lay = (-1,) + (1,) * (x.ndim - 1)
    columns = xp.reshape(mean, lay), xp.reshape(factor, lay)
    if isinstance(x, np.ndarray):
        x = product(x - columns[0], columns[1])
        return x, inner(x, x, acc, xp=xp)
    found: tuple[Array, Array] = _normalised(x, *columns, xp=xp)
    return found


@elementwise
def _normalised(x: Array, mean: Array, factor: Array, *, xp: Namespace) -> tuple[Array, Total]:  # noqa: ARG001
    x = (x - mean) * factor
    return x, Total(x, x)


def cross_powers(m: Array, r: Array, *, xp: Namespace) -> tuple[Array, Array | None]:
    """Return m r, in the memory of m if that can be; and where that is cheap once more, to be written over."""
    if isinstance(m, np.ndarray) or overwriting_fft(m) is None:
        return product(m, r), None
    found: tuple[Array, Array] = _twice(m, r, xp=xp)
    return found


@elementwise
def _twice(m: Array, r: Array, *, xp: Namespace) -> tuple[Array, Array]:  # noqa: ARG001
    return m * r, m * r


def inverse_transform(spectrum: Array, shape: Sequence[int], *, keep: bool, xp: Namespace) -> Array:
    """Return N times the `irfftn` of spectra (batch, modes...).

    The host transforms all axes but the last of large ones in place, which spares a temporary array; of those to
    be kept it does so with a copy if they are beyond its cache: strided passes over two arrays miss it twice as often.
    """
    axes = tuple(range(1, spectrum.ndim))
    on_host = isinstance(spectrum, np.ndarray) and hasattr(xp.fft, "ihfftn")
    least = _BEYOND_CACHE * spectrum.shape[0] if keep else _LARGE // 4
    if not (keep or on_host) and (fft := overwriting_fft(spectrum)) is not None:
        return fft.irfftn(spectrum, tuple(shape), axes, "forward", overwrite_x=True)
    if len(axes) == 1 or not on_host or spectrum.size < least:
        return xp.fft.irfftn(spectrum, s=tuple(shape), axes=axes, norm="forward")
    half = spectrum.copy() if keep else spectrum
    half = xp.fft.ifftn(half, axes=axes[:-1], norm="forward", overwrite_x=True)
    return xp.fft.irfft(half, shape[-1], axis=-1, norm="forward")


def product(a: Array, b: Array) -> Array:
    """Return a b; on the host into the memory of `a`, which nobody else may hold: fresh pages cost more than that."""
    if isinstance(a, np.ndarray) and a.dtype == b.dtype and np.broadcast_shapes(a.shape, b.shape) == a.shape:
        return np.multiply(a, b, out=a)
    return a * b


def suits_real_products(spectrum: Array) -> bool:
    """Tell whether spectra (batch, modes...) gain by `real_product`: on the host, of two axes, in single precision."""
    return isinstance(spectrum, np.ndarray) and spectrum.dtype == np.complex64 and spectrum.ndim == 3


def real_product(a: np.ndarray, b: np.ndarray, *, xp: Namespace) -> np.ndarray:
    """Return a real matrix (k, n) times complex ones (batch, n, m) of its precision, in half the time."""
    return np.matmul(a, as_reals(b, xp=xp)).view(b.dtype)


def as_reals(x: Array, *, xp: Namespace) -> Array:
    """Return complex numbers (..., n) as reals (..., 2 n), real and imaginary parts in turn; on the host a view."""
    if isinstance(x, np.ndarray) and x.flags.c_contiguous:
        return x.view(x.real.dtype)
    return xp.reshape(xp.stack([xp.real(x), xp.imag(x)], axis=-1), (*x.shape[:-1], -1))


def squares(x: Array, *, xp: Namespace) -> Array:
    """Return the squares of the parts of complex numbers: on the host (batch, ..., 2 n), in turn, else their sums."""
    if isinstance(x, np.ndarray):
        parts = as_reals(x, xp=xp)
        return parts * parts
    return power(x, None, xp=xp)


@elementwise
def power(a: Array, b: Array | None = None, *, xp: Namespace) -> Array:
    """Return Re(conj(a) b), or |a|^2, of spectra (batch, modes...)."""
    if b is None:
        size = abs(a)
        return size * size
    return xp.real(xp.conj(a) * b)


def powers(*spectra: Array, xp: Namespace) -> tuple[Array, ...]:
    """Return the `power` of each of several spectra."""
    return tuple([power(a, xp=xp) for a in spectra])


def phases(angle: Array, cdtype: Any, *, xp: Namespace) -> Array:
    """Return exp(i angle) in a complex dtype; the host puts sine and cosine where they belong."""
    if xp.finfo(cdtype).bits == 32:
        angle = xp.astype(angle, xp.float32, copy=False)
    if isinstance(angle, np.ndarray):
        waves = np.empty(angle.shape, cdtype)
        np.cos(angle, out=waves.real)
        np.sin(angle, out=waves.imag)
        return waves
    return xp.exp(1j * xp.astype(angle, cdtype))


def whole_powers(x: Array, exponents: Array) -> Array:
    """Return x (...) to whole powers (n, m) below n, (..., n, m); the host multiplies, in a tenth of the time."""
    if not isinstance(x, np.ndarray):
        return x[..., None, None] ** exponents
    factors = np.empty((*x.shape, exponents.shape[0]), x.dtype)
    factors[..., 0] = 1
    factors[..., 1:] = x[..., None]
    return np.multiply.accumulate(factors, axis=-1).take(exponents.astype(np.intp), axis=-1)


def maps_in_single(
    cross: Array, unit: Array | None, shape: Sequence[int], *, xp: Namespace
) -> tuple[Array, list[int]] | None:
    """Return the maps of cross-powers (batch, modes...) in units (batch,) in single precision, in half the time.

    With them come the items whose maximum they do not tell. None where the host cannot say so, or it is not worth it.
    """
    on_host = isinstance(cross, np.ndarray) and hasattr(xp.fft, "ihfftn")
    if not on_host or cross.dtype != np.complex128 or math.prod(cross.shape[1:]) < _LARGE // 4:
        return None
    single = np.empty(cross.shape, np.complex64)
    with np.errstate(all="ignore"):  # what overflows has no maximum
        factor = 1.0 if unit is None else 1 / unit.reshape(-1, *(1,) * (cross.ndim - 1))
        np.multiply(as_reals(cross, xp=xp), factor, out=single.view(np.float32), casting="same_kind")
        values = inverse_transform(single, shape, keep=False, xp=xp)
        return values, [item for item, one in enumerate(values) if not _one_is_highest(one)]


def _one_is_highest(values: np.ndarray) -> bool:
    """Tell whether all other values of a map are lower than its highest by more than rounding errors.

    Those of a transform go by the rms of the map: 5 sigma of two values, and as much again.
    """
    flat = values.reshape(-1)
    top, rms = np.max(flat), np.sqrt(np.dot(flat, flat) / flat.size)
    return bool(np.count_nonzero(flat >= top - 4 * np.finfo(flat.dtype).eps * (8 * rms + abs(top))) == 1)


def with_items(x: np.ndarray, items: list[int], values: np.ndarray) -> np.ndarray:
    """Return `x` with other values for some items."""
    x = x.copy()
    x[items, ...] = values
    return x


def in_library(function: Any, *, xp: Namespace) -> Any:
    """Return the function of the library that does what one of NumPy or Python does, any other as it is."""
    names = {np.sum: "sum", sum: "sum", np.max: "max", max: "max", np.min: "min", min: "min", np.mean: "mean"}
    return getattr(xp, names[function]) if function in names else function


def factored(factors: Sequence[Array], *, xp: Namespace) -> Factors:
    """Return the product of factors of images; the factors where steps multiply them at no cost."""
    if compiles(xp=xp) and factors[0].ndim == 3:
        return tuple(factors)
    return functools.reduce(operator.mul, factors)


def product_of(factors: Factors) -> Array:
    """Return factors as one array."""
    return functools.reduce(operator.mul, factors) if isinstance(factors, tuple) else factors
