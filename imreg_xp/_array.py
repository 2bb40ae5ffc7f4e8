"""The border between the library and the array libraries it runs on.

Everything that must know which array library holds the pixels lives here: the namespace, the device, the dtypes, the
FFT provider and the one transfer to the host. The algorithms above see a namespace ``xp`` of the array API standard
and nothing else.
"""

from __future__ import annotations

import functools
import math
import numbers
from collections.abc import Sequence
from typing import Any

import array_api_compat as compat
import array_api_compat.numpy as _numpy
import numpy as np
import scipy.fft

from ._host import NumpyNamespace, keep_freed_memory

__all__ = [
    "OVERWRITING",
    "Array",
    "Namespace",
    "accumulator_dtype",
    "array_namespace",
    "as_array",
    "as_errors",
    "as_images",
    "complex_dtype",
    "constant",
    "device_of",
    "finite",
    "from_lists",
    "is_array",
    "is_dask",
    "is_kind",
    "is_number",
    "is_traced",
    "is_traced_or_remote",
    "known_finite",
    "may_be_kept",
    "overwriting_fft",
    "to_host",
]

Array = Any
Namespace = Any


_FLOATS = frozenset((np.dtype(np.float32), np.dtype(np.float64)))  # in the byte order of the machine
_WITH_SCIPY_FFT = NumpyNamespace(scipy.fft, _numpy)
_WITH_NUMPY_FFT = NumpyNamespace(np.fft, _numpy)


def array_namespace(
    *, optional: dict[str, Any] | None = None, use_numpy_fft: bool = False, **arrays: Array
) -> Namespace:
    """Return the one namespace and check the one device of the named `arrays`.

    Of the `optional` ones those that are None or a number are passed over.

    Raises
    ------
    TypeError
        An argument is not an array, is a masked array, or the arrays come from different libraries or devices.
    """
    given = {k: a for k, a in (optional or {}).items() if a is not None and not is_number(a)}
    given = {**arrays, **given}
    first = next(iter(given))
    plain = all(type(a) is np.ndarray for a in given.values())
    for name, array in () if plain else given.items():
        if not compat.is_array_api_obj(array):
            msg = f"`{name}` must be an array (NumPy, CuPy, torch, JAX ...), got {type(array).__name__}"
            raise TypeError(msg)
        if isinstance(array, np.ma.MaskedArray):
            msg = f"`{name}` is a masked array: pass its data, and its inverted mask as the matching `*_valid`"
            raise TypeError(msg)
        if compat.array_namespace(array) is not compat.array_namespace(given[first]):
            got = f"{_library(array)} and {_library(given[first])}"
            msg = f"`{name}` must be from the same array library as `{first}`, got {got}"
            raise TypeError(msg)
        if device_of(array) != device_of(given[first]):
            msg = f"`{name}` must be on the device of `{first}`, got {device_of(array)} and {device_of(given[first])}"
            raise TypeError(msg)
    if compat.is_numpy_array(given[first]):
        keep_freed_memory()
        return _WITH_NUMPY_FFT if use_numpy_fft else _WITH_SCIPY_FFT
    return compat.array_namespace(given[first])


def _library(array: Array) -> str:
    return type(array).__module__.partition(".")[0]


def _fft_of_cupy() -> Any:
    from cupyx.scipy import fft  # noqa: PLC0415  (an extra)

    return fft


OVERWRITING = {"cupy": _fft_of_cupy}
"""What imports the transforms of an array library that may write over what they are given."""


def overwriting_fft(x: Array) -> Any:
    """Return the module whose transforms take `overwrite_x` for arrays like `x` on an accelerator, if there is one."""
    found = OVERWRITING.get(_library(x))
    return None if found is None else found()


@functools.lru_cache(maxsize=256)
def is_kind(dtype: Any, kind: str, *, xp: Namespace) -> bool:
    """Do what ``xp.isdtype`` does, which takes as long as many a step of the estimators."""
    return bool(xp.isdtype(dtype, kind))


def device_of(x: Array) -> Any:
    """Return the device `x` lives on (None inside a `jax.jit` trace, where the compiler decides)."""
    if isinstance(x, np.ndarray):
        return "cpu"
    if _library(x) == "cupy":  # at once: small steps on an accelerator ask often
        return x.device
    try:
        return compat.device(x)
    except Exception as error:  # a tracer has no device, and each library says so in its own way
        if "Concretization" in type(error).__name__:
            return None
        raise


def _info(*, xp: Namespace) -> Any:
    return xp.__array_namespace_info__()


def accumulator_dtype(x: Array, *, xp: Namespace) -> Any:
    """Return float64 where the device of `x` has it, else float32: the dtype of coordinates, phases and small sums."""
    if isinstance(x, np.ndarray):
        return np.dtype(np.float64)
    kinds = _info(xp=xp).dtypes(device=device_of(x), kind="real floating")
    return kinds.get("float64", kinds["float32"])


def complex_dtype(real: Any, *, xp: Namespace) -> Any:
    """Return the complex dtype whose parts have the dtype `real`."""
    return xp.complex64 if xp.finfo(real).bits == 32 else xp.complex128


def as_images(*, xp: Namespace, **images: Array) -> list[Array]:
    """Return the named real `images` in one common floating dtype (float32 or float64).

    Raises
    ------
    TypeError
        An image is boolean or complex.
    """
    given = list(images.values())
    if all(type(x) is np.ndarray and x.dtype in _FLOATS and x.dtype is given[0].dtype for x in given):
        return given
    for name, image in images.items():
        if not any(is_kind(image.dtype, kind, xp=xp) for kind in ("real floating", "integral")):
            msg = f"`{name}` must be real-valued (floating or integer), got dtype {image.dtype}"
            raise TypeError(msg)
    floating = [im.dtype for im in images.values() if is_kind(im.dtype, "real floating", xp=xp)]
    device = device_of(next(iter(images.values())))
    dtype = floating[0] if floating else _info(xp=xp).default_dtypes(device=device)["real floating"]
    for other in floating[1:]:
        dtype = xp.result_type(dtype, other)
    dtype = xp.float32 if xp.finfo(dtype).bits <= 32 else xp.float64
    return [xp.astype(_plain(im), dtype, copy=False) for im in images.values()]


def _plain(x: Array) -> Array:
    """Drop ndarray subclasses (memory maps, quantities): they cost time and change the meaning of operations."""
    return np.asarray(x) if isinstance(x, np.ndarray) else x


def as_errors(x: Array, dtype: Any, *, name: str, xp: Namespace) -> Array:
    """Return an error map as an array of the floating `dtype`."""
    if not xp.isdtype(x.dtype, ("real floating", "integral")):
        msg = f"`{name}` must be real-valued, got dtype {x.dtype}"
        raise TypeError(msg)
    return xp.astype(_plain(x), dtype, copy=False)


def from_lists(x: Any) -> Array:
    """Return lists and tuples of numbers as a NumPy array, anything else as it is."""
    return np.asarray(x) if isinstance(x, (list, tuple)) else x


def as_array(x: Any) -> Array:
    """Return arrays of any library as they are, anything else as a NumPy array."""
    return x if compat.is_array_api_obj(x) else np.asarray(x)


def is_array(x: Any) -> bool:
    """Tell whether `x` is an array of a library, on the host or elsewhere."""
    return bool(compat.is_array_api_obj(x))


def is_dask(x: Any) -> bool:
    """Tell whether `x` is a lazy array of Dask, of whatever arrays its blocks are."""
    return bool(compat.is_dask_array(x))


def is_number(x: Any) -> bool:
    """Tell whether `x` is a real number of Python or NumPy; a NumPy array without axes is one too."""
    if isinstance(x, np.ndarray):
        return x.ndim == 0 and x.dtype.kind in "iuf"
    return isinstance(x, numbers.Real) and not isinstance(x, bool)


def finite(x: Array, *, xp: Namespace) -> tuple[Array, Array]:
    """Return `x` with non-finite pixels set to 0, and the mask of the finite ones."""
    good = xp.isfinite(x)
    return xp.where(good, x, xp.zeros_like(x)), good


def is_traced(x: Array) -> bool:
    """Tell whether `x` has no values yet: it is being traced, or has a shape alone."""
    if isinstance(x, np.ndarray):
        return False
    device = device_of(x)
    return device is None or getattr(device, "type", None) == "meta"


def is_traced_or_remote(x: Array) -> bool:
    """Tell whether a value of `x` cannot be read at once: it is on an accelerator, lazy, or being traced."""
    if isinstance(x, np.ndarray):
        return False
    device = device_of(x)
    return getattr(device, "type", getattr(device, "platform", device)) != "cpu"


def known_finite(*arrays: Array, wait: bool = False, xp: Namespace) -> bool:
    """Tell whether all pixels are known to be finite; with `wait`, once the accelerator has said so.

    False says "not known": the general path, which weighs every pixel, is always right. A sum is finite only if every
    term is; one that overflows says "not known" too. Integers are finite.
    """
    floats = [x for x in arrays if not is_kind(x.dtype, "integral", xp=xp)]
    with np.errstate(all="ignore"):
        if all(type(x) is np.ndarray or isinstance(x, np.generic) for x in floats):
            return all(math.isfinite(abs(x.sum() if x.ndim else x)) for x in floats)
        if any(is_traced(x) or (is_traced_or_remote(x) and not wait) for x in floats):
            return False
        flags = [xp.isfinite(xp.sum(x)) for x in floats]
    if len(flags) > 1 and is_traced_or_remote(floats[0]):
        flags = [functools.reduce(xp.logical_and, flags)]
    return all(bool(to_host(flag)[0]) for flag in flags)


def constant(values: np.ndarray | Sequence[float], dtype: Any, like: Array, *, xp: Namespace) -> Array:
    """Return numbers of the host as an array beside `like`; tables that depend on shapes alone: `_static.table`."""
    return xp.asarray(values, dtype=dtype, device=device_of(like))


def may_be_kept(x: Array) -> bool:
    """Tell whether an array made beside `x` may be used again in a later call: what JAX makes may belong to a trace."""
    return type(x) is np.ndarray or not (is_traced(x) or compat.is_jax_array(x))


def to_host(*arrays: Array) -> list[np.ndarray]:
    """Copy arrays to the host as NumPy arrays, the only place that does: several small ones in one transfer.

    They travel as accumulators, which hold the float32 and int32 of results exactly (int32 to 2^24 without float64).
    """
    if len(arrays) < 2 or not is_traced_or_remote(arrays[0]):
        return [_to_host(x) for x in arrays]
    xp = compat.array_namespace(arrays[0])
    acc = accumulator_dtype(arrays[0], xp=xp)
    acc = arrays[0].dtype if all(x.dtype == arrays[0].dtype for x in arrays) else acc
    packed = _to_host(xp.concat([xp.astype(xp.reshape(x, (-1,)), acc, copy=False) for x in arrays]))
    parts = np.split(packed, np.cumsum([math.prod(x.shape) for x in arrays])[:-1])
    return [
        part.reshape(x.shape).astype(str(x.dtype).rpartition(".")[2]) for part, x in zip(parts, arrays, strict=True)
    ]


def _to_host(x: Array) -> np.ndarray:
    if isinstance(x, (np.ndarray, np.generic)):
        return np.asarray(x)
    if hasattr(x, "get"):  # CuPy
        return x.get()
    if hasattr(x, "detach"):  # torch
        return x.detach().cpu().numpy()
    if compat.is_jax_array(x):
        return np.asarray(x)
    cpu = compat.to_device(x, _info(xp=compat.array_namespace(x)).devices()[0])
    return np.from_dlpack(cpu)
