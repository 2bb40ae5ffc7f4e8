"""The array libraries that the tests run on, one member of an Enum each.

``IMREG_XP_BACKENDS=numpy,strict,torch`` selects; without it every backend runs that can be used here. A backend that
is named but cannot be used is an error: a skipped backend looks like one that passed.
"""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import functools
import importlib
import os
import sys
from collections.abc import Iterator
from typing import Any

import array_api_compat
import numpy as np

__all__ = ["VARIABLE", "Backend", "SyncLog", "count_syncs", "no_sync", "selected"]

VARIABLE = "IMREG_XP_BACKENDS"

_NARROW = {"float64": "float32", "complex128": "complex64"}


class Backend(enum.Enum):
    """An array library, and a device or a variant of it; members are called as in `IMREG_XP_BACKENDS`."""

    NUMPY = "numpy"
    NUMPY_READONLY = "numpy:readonly"
    STRICT = "strict"
    STRICT_DEVICE1 = "strict:device1"
    STRICT_NO_FLOAT64 = "strict:no_float64"
    TORCH = "torch"
    JAX = "jax"
    GPU_MODEL = "gpu_model"
    CUPY = "cupy"
    TORCH_CUDA = "torch:cuda"
    JAX_GPU = "jax:gpu"

    def __str__(self) -> str:
        return self.value

    @property
    def name(self) -> str:
        """The name that selects this backend."""
        return self.value

    @property
    def library(self) -> str:
        """The part of the name before the colon, as ``numpy`` or ``strict``."""
        return self.value.partition(":")[0]

    @property
    def variant(self) -> str:
        """The part of the name after the colon, or nothing."""
        return self.value.partition(":")[2]

    @property
    def problem(self) -> str | None:
        """Why this backend cannot be used here, or None."""
        return _problem(self)

    @property
    def xp(self) -> Any:
        """The namespace that `array_api_compat.array_namespace` gives for arrays of this backend."""
        return _namespace(self.library)

    @property
    def device(self) -> Any:
        """The device on which `asarray` puts its arrays."""
        return _device(self)

    @property
    def has_float64(self) -> bool:
        """Whether arrays of this backend can be float64 and complex128."""
        if self.library == "jax":
            return bool(importlib.import_module("jax").config.jax_enable_x64)
        return self is not Backend.STRICT_NO_FLOAT64

    def asarray(self, array: Any) -> Any:
        """Copy a NumPy array (or a list) to this backend; float64 becomes float32 where there is no float64."""
        host = np.array(array, order="C")
        if not self.has_float64 and host.dtype.name in _NARROW:
            host = host.astype(_NARROW[host.dtype.name])
        if self.library == "numpy":
            host.flags.writeable = self is not Backend.NUMPY_READONLY
            return host
        if self.library == "torch":
            return self.xp.from_numpy(host).to(self.device)
        if self.library == "jax":
            return importlib.import_module("jax").device_put(host, self.device)
        if self is Backend.GPU_MODEL:
            return importlib.import_module("gpu_model").asarray(host)
        return self.xp.asarray(host, device=self.device)

    def to_numpy(self, array: Any) -> np.ndarray:
        """Copy an array of this backend to NumPy; anything else, an array of another library included, is an error."""
        if not self.owns(array):
            msg = f"not an array of {self} on its device: {type(array)}"
            raise TypeError(msg)
        if self.library == "strict":
            array = array.to_device(importlib.import_module("array_api_strict").Device("CPU_DEVICE"))
        elif self.library == "torch":
            array = array.detach().cpu().resolve_conj().resolve_neg().numpy()
        elif self.library in {"cupy", "gpu_model"}:
            array = array.get()
        return np.array(array)

    def owns(self, array: Any) -> bool:
        """Tell whether `array` comes from this library and lies on the device of this backend."""
        if not array_api_compat.is_array_api_obj(array) or array_api_compat.array_namespace(array) is not self.xp:
            return False
        return bool(array_api_compat.device(array) == self.device)


@functools.cache
def _namespace(library: str) -> Any:
    if library == "strict":
        strict = importlib.import_module("array_api_strict")
        # what a traced or lazy library cannot do
        strict.set_array_api_strict_flags(boolean_indexing=False, data_dependent_shapes=False)
        return strict
    if library == "gpu_model":
        return importlib.import_module("gpu_model").xp
    return importlib.import_module("jax.numpy" if library == "jax" else f"array_api_compat.{library}")


@functools.cache
def _device(backend: Backend) -> Any:
    if backend.library == "strict":
        return backend.xp.Device(backend.variant or "CPU_DEVICE")
    if backend.library == "torch":
        return backend.xp.device("cuda", 0) if backend.variant else backend.xp.device("cpu")
    if backend.library == "jax":
        return importlib.import_module("jax").devices(backend.variant or "cpu")[0]
    if backend.library == "cupy":
        return importlib.import_module("cupy").cuda.Device(0)
    if backend is Backend.GPU_MODEL:
        return importlib.import_module("gpu_model").Device()
    return "cpu"


@functools.cache
def _problem(backend: Backend) -> str | None:
    try:
        _ = backend.xp
    except ImportError as error:
        return f"cannot be imported ({error})"
    # CuPy imports without a driver: only asking tells
    if backend is Backend.CUPY and not importlib.import_module("cupy").is_available():
        return "no GPU that CuPy can use"
    if backend is Backend.TORCH_CUDA and not backend.xp.cuda.is_available():
        return "no GPU that torch can use"
    if backend is Backend.JAX_GPU:
        try:
            _ = backend.device
        except RuntimeError as error:
            return f"no GPU that JAX can use ({error})"
    return None


def selected() -> list[Backend]:
    """Return the backends named in the environment, else all that can be used here.

    Raises
    ------
    RuntimeError
        A name is unknown, is given twice, or cannot be used here; or the variable is set and names nothing.
    """
    if VARIABLE not in os.environ:
        return [b for b in Backend if b.problem is None]
    names = [n.strip() for n in os.environ[VARIABLE].split(",")]
    known = {b.value: b for b in Backend}
    for name in names:
        if name not in known:
            msg = f"{VARIABLE} names the unknown backend {name!r}; known: {', '.join(known)}"
            raise RuntimeError(msg)
        if names.count(name) > 1:
            msg = f"{VARIABLE} names the backend {name!r} twice"
            raise RuntimeError(msg)
        if known[name].problem is not None:
            msg = f"{VARIABLE} names the backend {name!r}, but: {known[name].problem}"
            raise RuntimeError(msg)
    return [known[n] for n in names]


@dataclasses.dataclass
class SyncLog:
    """What a piece of code did that would make it wait for an accelerator.

    `reads` are values that reached the host, `moves` arrays that changed device; each says what and where.
    """

    reads: list[str] = dataclasses.field(default_factory=list)
    moves: list[str] = dataclasses.field(default_factory=list)


# float(x), int(x), bool(x) and `if x`, range(x), complex(x); np.asarray(x); np.from_dlpack(x)
_READS = ("__float__", "__int__", "__bool__", "__index__", "__complex__", "__array__", "__buffer__", "__dlpack__")


@contextlib.contextmanager
def count_syncs() -> Iterator[SyncLog]:
    """Record every read of a value of an array-api-strict array, and every change of device.

    The library lets ``float(x)`` and its like pass on every device; on a real accelerator each would wait for it. What
    the library does with its own arrays is not counted.
    """
    array_class = type(Backend.STRICT.xp.zeros(()))
    log = SyncLog()
    with contextlib.ExitStack() as stack:
        for name in _READS:
            if name in vars(array_class):
                stack.enter_context(_recording(array_class, name, log.reads))
        stack.enter_context(_recording(array_class, "to_device", log.moves))
        yield log


@contextlib.contextmanager
def _recording(cls: type, name: str, events: list[str]) -> Iterator[None]:
    original = vars(cls)[name]

    @functools.wraps(original)
    def recorded(*args: Any, **kwargs: Any) -> Any:
        frame = sys._getframe(1)
        if not frame.f_globals.get("__name__", "").startswith("array_api_strict"):
            events.append(f"{name} at {frame.f_code.co_filename}:{frame.f_lineno}")
        return original(*args, **kwargs)

    setattr(cls, name, recorded)
    try:
        yield
    finally:
        setattr(cls, name, original)


@contextlib.contextmanager
def no_sync(*, reads: int = 0, moves: int = 0) -> Iterator[SyncLog]:
    """Fail if the code inside reads or moves more array-api-strict arrays than allowed."""
    with count_syncs() as log:
        yield log
    for kind, events, allowed in (("reads", log.reads, reads), ("moves", log.moves, moves)):
        if len(events) > allowed:
            listed = "\n  ".join(events)
            msg = f"{len(events)} host {kind}, {allowed} allowed:\n  {listed}"
            raise AssertionError(msg)
