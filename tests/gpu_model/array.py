"""An array on NumPy that refuses what a CuPy array refuses, and records what would make a GPU work or the host wait."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from . import recorder
from .costs import Cost, cost, gathered
from .signatures import ARRAY_MEMBERS

__all__ = ["Array", "Device", "arrays_in", "note", "run", "upload"]


# those of CuPy's methods that the functions of the same name stand in for
_METHODS = frozenset(
    ("all", "any", "argmax", "argmin", "clip", "conj", "max", "mean", "min", "nonzero", "prod", "reshape", "round",
     "squeeze", "std", "sum", "take")
)  # fmt: skip


class Device:
    """A GPU, the only one."""

    id = 0
    mem_info = (60 * 2**30, 80 * 2**30)

    def __enter__(self) -> Device:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Device)

    def __hash__(self) -> int:
        return 0

    def __repr__(self) -> str:
        return "<CUDA Device 0 of the model>"


def plain(x: Any) -> Any:
    """Return what NumPy takes for an argument; a NumPy array is refused, as CuPy refuses it."""
    if isinstance(x, Array):
        return x._data
    if isinstance(x, np.ndarray):
        msg = f"Unsupported type {type(x)}: CuPy takes no NumPy arrays, nor the model"
        raise TypeError(msg)
    if type(x) in (list, tuple):
        return type(x)(plain(item) for item in x)
    return x


def arrays_in(x: Any) -> Iterator[np.ndarray]:
    """Go through the model arrays in an argument."""
    if isinstance(x, Array):
        yield x._data
    elif isinstance(x, (list, tuple)):
        for item in x:
            yield from arrays_in(item)


def wrapped(x: Any, inputs: list[np.ndarray]) -> Any:
    """Return a result with model arrays for NumPy's arrays and scalars, and count their memory."""
    if isinstance(x, (np.ndarray, np.generic)):
        data = np.asarray(x)
        if not any(np.may_share_memory(data, i) for i in inputs):
            recorder.note_allocation(data)
        return Array(data)
    if isinstance(x, (list, tuple)):
        parts = [wrapped(item, inputs) for item in x]
        return type(x)(*parts) if hasattr(x, "_fields") else type(x)(parts)
    return x


def run(name: str, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any] | None = None) -> Any:
    """Call a NumPy function on model arrays and record what it would be on a GPU."""
    kwargs = kwargs or {}
    inputs = [*arrays_in(args), *arrays_in(list(kwargs.values()))]
    bare, named = plain(args), {k: plain(v) for k, v in kwargs.items()}
    with np.errstate(all="ignore"):
        result = function(*bare, **named)
    found = wrapped(result, inputs)
    outputs = list(arrays_in(found))
    note(name, cost(name, inputs, outputs, bare, named), inputs, outputs)
    if any(isinstance(x, np.generic) for x in (*bare, *named.values())):
        _note_promotion(name, inputs, outputs)
    return found


def note(name: str, spent: Cost, inputs: list[np.ndarray], outputs: list[np.ndarray]) -> None:
    """Record a call and what it hides."""
    shapes = tuple(a.shape for a in (*inputs, *outputs))
    if outputs:
        recorder.note_call(name, spent.launches, spent.bytes_in, spent.bytes_out, shapes)
    for size in spent.uploads:
        recorder.note_event("uploads", name, size)
    for _ in range(spent.syncs):
        recorder.note_event("syncs", name)


def _note_promotion(name: str, inputs: list[np.ndarray], outputs: list[np.ndarray]) -> None:
    widest = max((a.dtype.itemsize for a in inputs if a.dtype.kind in "fc"), default=math.inf)
    for out in outputs:
        if out.dtype.kind in "fc" and out.dtype.itemsize > widest * (1 + (out.dtype.kind == "c")):
            recorder.note_event("promotions", name, out.nbytes)


def upload(x: Any, **options: Any) -> Array:
    """Copy numbers from the host to the device."""
    data = np.array(x, **options, copy=True)
    recorder.note_event("uploads", "asarray", data.nbytes)
    recorder.note_allocation(data)
    return Array(data)


class Array:
    """An array of the model; made by `upload` or by the functions of the namespace."""

    __slots__ = ("__weakref__", "_data")
    __hash__ = None  # type: ignore[assignment]
    __array_priority__ = 100

    def __init__(self, data: np.ndarray) -> None:
        self._data = data

    def __array_namespace__(self, *, api_version: str | None = None) -> Any:
        from .namespace import xp

        return xp

    # --- what costs nothing -------------------------------------------------------------------------------------------

    shape = property(lambda self: self._data.shape)
    dtype = property(lambda self: self._data.dtype)
    ndim = property(lambda self: self._data.ndim)
    size = property(lambda self: self._data.size)
    nbytes = property(lambda self: self._data.nbytes)
    itemsize = property(lambda self: self._data.itemsize)
    strides = property(lambda self: self._data.strides)
    flags = property(lambda self: self._data.flags)
    device = property(lambda _self: Device())
    T = property(lambda self: Array(self._data.T))
    mT = property(lambda self: Array(self._data.mT))  # noqa: N815
    real = property(lambda self: run("real", np.real, (self,)))
    imag = property(lambda self: run("imag", np.imag, (self,)))

    def __len__(self) -> int:
        return len(self._data)

    def __iter__(self) -> Iterator[Array]:
        if not self.ndim:
            msg = "iteration over a 0-d array"
            raise TypeError(msg)
        recorder.note_event("loops", "iter")
        return (self[i] for i in range(len(self)))

    def to_device(self, device: Any, /, *, stream: Any = None) -> Array:  # noqa: ARG002
        if device != Device():
            msg = f"not a device of the model: {device!r}"
            raise ValueError(msg)
        return self

    # --- what makes the host wait -------------------------------------------------------------------------------------

    def get(self) -> np.ndarray:
        recorder.note_event("syncs", "get", self.nbytes)
        return self._data.copy()

    def item(self) -> Any:
        recorder.note_event("syncs", "item", self.itemsize)
        return self._data.item()

    def tolist(self) -> Any:
        recorder.note_event("syncs", "tolist", self.nbytes)
        return self._data.tolist()

    def __float__(self) -> float:
        recorder.note_event("syncs", "__float__", self.itemsize)
        return float(self._data)

    def __int__(self) -> int:
        recorder.note_event("syncs", "__int__", self.itemsize)
        return int(self._data)

    def __complex__(self) -> complex:
        recorder.note_event("syncs", "__complex__", self.itemsize)
        return complex(self._data)

    def __bool__(self) -> bool:
        recorder.note_event("syncs", "__bool__", self.itemsize)
        return bool(self._data)

    def __repr__(self) -> str:
        recorder.note_event("syncs", "__repr__", self.nbytes)
        return f"gpu_model.{self._data!r}"

    def __format__(self, spec: str) -> str:
        recorder.note_event("syncs", "__format__", self.nbytes)
        return format(self._data, spec)

    # --- what is refused ----------------------------------------------------------------------------------------------

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        msg = "Implicit conversion to a NumPy array is not allowed. Use `.get()` to construct a NumPy array explicitly."
        raise TypeError(msg)

    def __dlpack_device__(self) -> tuple[int, int]:
        return (2, 0)

    def __dlpack__(self, **_options: Any) -> Any:
        msg = "NumPy cannot read the memory of a GPU"
        raise BufferError(msg)

    # --- NumPy's functions, which CuPy takes over ---------------------------------------------------------------------

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if method != "__call__":
            return NotImplemented
        return run(ufunc.__name__, ufunc, inputs, kwargs)

    def __array_function__(self, function: Any, _types: Any, args: tuple, kwargs: dict[str, Any]) -> Any:
        from .namespace import xp

        space = xp.fft if function.__module__ == "numpy.fft" else xp
        return getattr(space, function.__name__)(*args, **kwargs)

    # --- items --------------------------------------------------------------------------------------------------------

    def __getitem__(self, key: Any) -> Array:
        parts = [_index(part) for part in (key if isinstance(key, tuple) else (key,))]
        indices = [part._data for part in parts if isinstance(part, Array)]
        if not indices:
            basic = tuple(parts) if Ellipsis in parts else (*parts, Ellipsis)
            return Array(self._data[basic])
        # an array without axes is a gather too, where NumPy would make a view
        out = np.array(self._data[tuple(p._data if isinstance(p, Array) else p for p in parts)])
        recorder.note_allocation(out)
        masked = any(i.dtype == np.bool_ for i in indices)
        spent = gathered(self._data, [np.zeros(i.shape, np.int8) for i in indices] if masked else indices, out)
        if masked:  # a scan counts what is True, and the host asks for the number
            spent = Cost(3, self._data.nbytes + 10 * indices[0].size, out.nbytes + 8 * indices[0].size, 1)
        note("getitem", spent, [self._data, *indices], [out])
        return Array(out)

    def __setitem__(self, key: Any, value: Any) -> None:
        parts = [_index(part) for part in (key if isinstance(key, tuple) else (key,))]
        indices = [part._data for part in parts if isinstance(part, Array)]
        values = plain(value)
        self._data[tuple(p._data if isinstance(p, Array) else p for p in parts)] = values
        masked = any(i.dtype == np.bool_ for i in indices)
        part = self._data[tuple(parts)] if not indices else self._data
        size = np.asarray(part).nbytes
        note("setitem", Cost(3 if masked else 1, size, size, int(masked)), [self._data], [np.asarray(part)])

    # --- methods ------------------------------------------------------------------------------------------------------

    def astype(self, dtype: Any, *, copy: bool = True) -> Array:
        if not copy and self.dtype == dtype:
            return self
        return run("astype", np.ndarray.astype, (self, dtype), {"copy": copy})

    def copy(self) -> Array:
        return run("copy", np.copy, (self,))

    def __getattr__(self, name: str) -> Any:
        from .namespace import xp

        if name not in ARRAY_MEMBERS & _METHODS:
            msg = f"an array of the model has no attribute {name!r}"
            raise AttributeError(msg)
        return functools.partial(getattr(xp, name), self)


def _index(part: Any) -> Any:
    """Return a part of a key: lists and NumPy arrays are uploaded without a word, as by CuPy."""
    if isinstance(part, Array) and part.dtype.kind not in "iub":
        msg = f"arrays used as indices must be of integer or boolean type (actual: {part.dtype})"
        raise IndexError(msg)
    return upload(part) if isinstance(part, (list, np.ndarray)) else part
