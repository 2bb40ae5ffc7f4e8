"""The namespace of the model: the names and signatures of `array_api_compat.cupy`, carried out by NumPy and SciPy."""

from __future__ import annotations

import functools
from typing import Any

import array_api_compat.numpy as on_numpy
import numpy as np
import scipy.fft

from .array import Array, Device, arrays_in, run, upload
from .kernels import RawKernel
from .signatures import check_call, member

__all__ = ["Namespace", "xp"]


class Namespace:
    """One module of CuPy: "main", "fft" or "linalg"."""

    def __init__(self, space: str) -> None:
        self._space = space
        self.__name__ = "gpu_model" if space == "main" else f"gpu_model.{space}"

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        described = member(self._space, name)
        thing = _FUNCTIONS.get((self._space, name)) or _on_numpy(self._space, name)
        if thing is None:
            msg = f"CuPy has `{name}`, but the model does not: add it to {__name__}"
            raise NotImplementedError(msg)
        found = thing if described in ("type", "constant") else self._checked(name, thing)
        self.__dict__[name] = found  # found directly from now on
        return found

    def _checked(self, name: str, function: Any) -> Any:
        label = name if self._space == "main" else f"{self._space}.{name}"
        is_own = (self._space, name) in _FUNCTIONS and self._space == "main"

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            check_call(self._space, name, args, kwargs)
            _check_device(label, kwargs)
            if is_own:
                return function(*args, **kwargs)
            return run(label, function, args, kwargs)

        return call

    def __repr__(self) -> str:
        return f"<namespace {self.__name__}>"


def _check_device(label: str, kwargs: dict[str, Any]) -> None:
    device = kwargs.pop("device", None)
    # the wrapper of array-api-compat knows no device here
    known = (None, "cpu") if label in ("fft.fftfreq", "fft.rfftfreq") else (None, Device())
    if device not in known:
        msg = f"Unsupported device {device!r} for `{label}`"
        raise ValueError(msg)


def _on_numpy(space: str, name: str) -> Any:
    module = on_numpy if space == "main" else getattr(on_numpy, space)
    return getattr(module, name, None)


def _asarray(obj: Any, *, dtype: Any = None, copy: bool | None = None, order: Any = None) -> Array:
    if isinstance(obj, Array):
        same = dtype is None or obj.dtype == dtype
        if copy is False and not same:
            msg = "Unable to avoid copy while creating an array as requested"
            raise ValueError(msg)
        return obj if same and not copy else obj.astype(obj.dtype if dtype is None else dtype)
    if any(True for _ in arrays_in(obj)):
        stacked = run("stack", np.stack, ([_asarray(item) for item in obj],))
        return _asarray(stacked, dtype=dtype)
    return upload(obj, dtype=dtype, order=order)


def _astype(x: Array, dtype: Any, /, *, copy: bool = True) -> Array:
    return x.astype(dtype, copy=copy)


class _Info:
    """What `__array_namespace_info__` returns."""

    _host = on_numpy.__array_namespace_info__()

    def devices(self) -> list[Any]:
        return [Device()]

    def default_device(self) -> Any:
        return Device()

    def dtypes(self, *, device: Any = None, kind: Any = None) -> dict[str, Any]:  # noqa: ARG002
        return self._host.dtypes(kind=kind)

    def default_dtypes(self, *, device: Any = None) -> dict[str, Any]:  # noqa: ARG002
        return self._host.default_dtypes()

    def capabilities(self) -> dict[str, Any]:
        return self._host.capabilities()


_TRANSFORMS = ("fft", "fftn", "rfft", "rfftn", "ifft", "ifftn", "irfft", "irfftn", "hfft", "ihfft")
# `scipy.fft` keeps single precision, as cuFFT does
_FUNCTIONS: dict[tuple[str, str], Any] = {("fft", name): getattr(scipy.fft, name) for name in _TRANSFORMS}
_FUNCTIONS |= {
    ("main", "asarray"): _asarray,
    ("main", "astype"): _astype,
    ("main", "RawKernel"): RawKernel,
    ("main", "ndarray"): Array,
}

xp = Namespace("main")
xp.__dict__["__array_namespace_info__"] = _Info
xp.__dict__["__array_api_version__"] = on_numpy.__array_api_version__
xp.__dict__["fft"] = Namespace("fft")
xp.__dict__["linalg"] = Namespace("linalg")
xp.__dict__["RawKernel"] = RawKernel
