"""What each call costs on a GPU: kernels started, bytes read and bytes written, hidden waits and uploads.

Read in the sources of CuPy 14 and array-api-compat 1.16. It is a model: what one kernel more or less decides has to be
measured. The rules:

- A result that shares memory with an argument is a view and costs nothing. An element of a strided view costs its
  stride, up to the 32 bytes that a GPU reads at a time; a broadcast axis costs nothing.
- Anything not named here is one kernel that reads its arguments and writes its result once.
- A reduction is one kernel, over all axes two.
- A transform of k axes is k kernels, each reads and writes all of the array: the first of `rfftn` reads reals, the last
  of `irfftn` writes reals. `irfftn` copies its input first; so does each transform whose input is not contiguous, is
  cropped or has to change its dtype. Zero-padding is two kernels per axis. Dividing by N is a kernel: on the inverse,
  unless ``norm="forward"``.
- `matmul` is one kernel; batched it copies what is not C-contiguous or of another dtype, and makes three arrays of
  pointers where the batch axes are broadcast.
- `vecdot` of array-api-compat copies its first argument to conjugate it, real or not, copies the second where it is
  broadcast, and multiplies them as batches of one row by one column.
- `concat` and `stack` are a kernel per array; beyond 8 small ones, one kernel and an upload of their addresses.
- `cumulative_sum` and `cumulative_prod` copy, bring the axis to the end (a copy, unless it is there), scan blocks of
  512 and add what is before each block.
- `take_along_axis` makes an index for every other axis.
- `clip` of array-api-compat assigns through masks: ten kernels, two waits and an upload for one bound, nineteen kernels
  for two. Its `sign` waits once.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

__all__ = ["SYNCING", "Cost", "cost", "touched"]

_SECTOR = 32  # bytes
_SCAN_BLOCK = 512  # elements
_SMALL_CONCAT = 2 * 2**20  # bytes per array

# their result has a shape, or a value is checked, that only the device knows
SYNCING = frozenset(
    ("argwhere", "bincount", "compress", "extract", "flatnonzero", "histogram", "nanargmax", "nanargmin", "nanmax",
     "nanmin", "nonzero", "unique", "unique_all", "unique_counts", "unique_inverse", "unique_values", "unravel_index")
)  # fmt: skip
_REDUCTIONS = frozenset(("all", "any", "argmax", "argmin", "count_nonzero", "max", "mean", "min", "prod", "sum"))
_NOTHING_READ = frozenset(("full_like", "ones_like", "zeros_like"))
_FIXED = {"eye": 2, "linspace": 2, "var": 2, "std": 3, "sort": 2, "argsort": 3}
_FORWARD, _INVERSE = ("fft", "fftn", "fft2", "rfft", "rfftn", "rfft2"), ("ifft", "ifftn", "ifft2", "irfft", "irfftn")


class Cost(NamedTuple):
    """Kernels, bytes, waits for the device, and the sizes of uploads."""

    launches: int
    bytes_in: int
    bytes_out: int
    syncs: int = 0
    uploads: tuple[int, ...] = ()


def touched(a: np.ndarray) -> int:
    """Return how many bytes a kernel reads that uses each element of `a` once."""
    steps = [(n, abs(s)) for n, s in zip(a.shape, a.strides, strict=True) if n > 1 and s]
    if not a.size:
        return 0
    step = min((s for _, s in steps), default=a.itemsize)
    return math.prod(n for n, _ in steps) * min(max(step, a.itemsize), max(_SECTOR, a.itemsize))


def cost(name: str, inputs: list[np.ndarray], outputs: list[np.ndarray], args: tuple, kwargs: dict[str, Any]) -> Cost:
    """Return what a call costs; `name` is "fft.rfftn", "sum" or "getitem"."""
    if name in ("empty", "empty_like"):
        return Cost(0, 0, 0)
    if not outputs or all(any(np.may_share_memory(o, i) for i in inputs) for o in outputs):
        return Cost(0, 0, 0)
    read = 0 if name in _NOTHING_READ else sum(touched(a) for a in {id(a): a for a in inputs}.values())
    plain = Cost(_FIXED.get(name, 1), read, sum(o.nbytes for o in outputs))
    if name.startswith("fft."):
        return _fft(name[4:], inputs, outputs[0], kwargs, plain)
    if name in _REDUCTIONS:
        whole = outputs[0].size == 1 and inputs[0].size > 1
        return plain._replace(launches=2 if whole else 1)
    special = _SPECIAL.get(name)
    found = special(inputs, outputs[0], args, kwargs, plain) if special else plain
    return found._replace(syncs=found.syncs + (name in SYNCING))


def _fft(name: str, inputs: list[np.ndarray], out: np.ndarray, kwargs: dict[str, Any], plain: Cost) -> Cost:
    if name in ("fftfreq", "rfftfreq"):
        cast = out.dtype != np.float64
        return plain._replace(launches=(5 if name == "fftfreq" else 2) + cast, bytes_out=plain.bytes_out * 4)
    if name in ("fftshift", "ifftshift"):
        axes = kwargs.get("axes")
        count = inputs[0].ndim if axes is None else len(np.atleast_1d(axes))
        return plain._replace(launches=2**count)
    if name not in (*_FORWARD, *_INVERSE):
        return plain
    return _transform(name, inputs[0], out, kwargs)


def _transform(name: str, a: np.ndarray, out: np.ndarray, kwargs: dict[str, Any]) -> Cost:
    axes = kwargs.get("axes", range(a.ndim)) if name[-1] in "n2" else (kwargs.get("axis", -1),)
    axes = range(a.ndim) if axes is None else axes
    prepared, launches, read, written = _prepared(name, a, out, axes)
    if "irfft" in name:  # cuFFT may overwrite it
        launches, read, written = launches + 1, read + prepared, written + prepared
    passes = len(tuple(axes))
    between = max(prepared, out.nbytes) if name.startswith(("rfft", "irfft")) else out.nbytes
    between = out.nbytes if name.startswith("rfft") else prepared if name.startswith("irfft") else between
    launches += passes
    read += prepared + (passes - 1) * between
    written += out.nbytes + (passes - 1) * between
    norm = kwargs.get("norm") or "backward"
    if norm == "ortho" or (norm == "backward") == (name in _INVERSE):
        launches, read, written = launches + 1, read + out.nbytes, written + out.nbytes
    return Cost(launches, read, written)


def _prepared(name: str, a: np.ndarray, out: np.ndarray, axes: Any) -> tuple[int, int, int, int]:
    """Return bytes of the input as cuFFT takes it, and kernels, bytes read and written to make it."""
    real_in = name.startswith("rfft")
    dtype = out.dtype if not real_in and out.dtype.kind == "c" else np.dtype(f"{'f' if real_in else 'c'}{_width(a)}")
    shape = list(a.shape)
    launches = read = written = 0
    for axis in axes:
        n = out.shape[axis]
        if (real_in or "irfft" in name) and axis in (-1, a.ndim - 1):
            n = shape[axis] if real_in and n == shape[axis] // 2 + 1 else 2 * (n - 1) if real_in else n // 2 + 1
        if n > shape[axis]:
            before, shape[axis] = math.prod(shape), n
            launches, read = launches + 2, read + before * dtype.itemsize
            written += (before + math.prod(shape)) * dtype.itemsize
        shape[axis] = min(n, shape[axis])
    size = math.prod(shape) * dtype.itemsize
    cropped = not launches and size < a.size * dtype.itemsize
    if a.dtype != dtype or not a.flags.c_contiguous or cropped:
        launches, read, written = launches + 1, read + touched(a), written + size
    return size, launches, read, written


def _width(a: np.ndarray) -> int:
    """Return the bytes of the dtype of a transform: reals if real, complex if complex."""
    if a.dtype.kind == "c":
        return a.itemsize
    return 4 if a.dtype == np.float32 else 8


def _clip(inputs: list[np.ndarray], out: np.ndarray, args: tuple, kwargs: dict[str, Any], plain: Cost) -> Cost:
    bounds = [b for b in (*args[1:3], kwargs.get("min"), kwargs.get("max")) if b is not None]
    n = len(bounds)
    scalars = tuple(out.itemsize for b in bounds if not isinstance(b, np.ndarray))
    # per bound and element: compare (item → 1), isnan (→ 1), or (2 → 1), twice a scan (1 → 4, 4 → 4) and a use (5)
    read = plain.bytes_in + n * out.size * (out.itemsize + 2 + 2 * (5 + 5))
    written = out.nbytes + n * out.size * (3 + 2 * 8)
    return Cost(1 + 9 * n, read, written, 2 * n, scalars)


def _sign(inputs: list[np.ndarray], out: np.ndarray, _args: tuple, _kwargs: dict[str, Any], plain: Cost) -> Cost:
    if out.dtype.kind != "f":
        return plain
    return Cost(5, plain.bytes_in + out.size * (out.itemsize + 10), out.nbytes + out.size * 9, 1, (out.itemsize,))


def _joined(inputs: list[np.ndarray], out: np.ndarray, _args: tuple, _kwargs: dict[str, Any], plain: Cost) -> Cost:
    n = len(inputs)
    if n <= 8 or out.nbytes >= n * _SMALL_CONCAT:
        return plain._replace(launches=n)
    return plain._replace(uploads=(8 * n,))


def _matmul(inputs: list[np.ndarray], out: np.ndarray, _args: tuple, _kwargs: dict[str, Any], plain: Cost) -> Cost:
    a, b = inputs if len(inputs) == 2 else inputs * 2
    batched = max(a.ndim, b.ndim) > 2
    launches, extra = 1, 0
    for x in (a, b):
        laid = x.flags.c_contiguous or (not batched and x.flags.f_contiguous)
        if not laid or x.dtype != out.dtype:
            launches, extra = launches + 1, extra + x.size * out.itemsize
    if batched:
        lead = [(1,) * (out.ndim - x.ndim) + x.shape[:-2] for x in (a, b) if x.ndim > 1]
        launches += 3 * (len(set(lead)) > 1)
    return plain._replace(launches=launches, bytes_in=plain.bytes_in + extra, bytes_out=plain.bytes_out + extra)


def _vecdot(inputs: list[np.ndarray], out: np.ndarray, _args: tuple, kwargs: dict[str, Any], _plain: Cost) -> Cost:
    a, b = inputs if len(inputs) == 2 else inputs * 2
    whole = out.size * a.shape[kwargs.get("axis", -1)]
    conjugate, copied = whole * a.itemsize, whole * b.itemsize
    copies = b.size != whole or not b.flags.c_contiguous or b.dtype != out.dtype
    read = touched(a) + conjugate + copied + copies * touched(b)
    return Cost(2 + copies, read, conjugate + copies * copied + out.nbytes)


def _cumulative(inputs: list[np.ndarray], out: np.ndarray, _args: tuple, kwargs: dict[str, Any], plain: Cost) -> Cost:
    a = inputs[0]
    axis = (kwargs.get("axis") or 0) % a.ndim
    moved = axis != a.ndim - 1
    levels = max(math.ceil(math.log(max(a.shape[axis], 2), _SCAN_BLOCK) - 1e-9), 1)
    passes = moved + min(levels, 2)
    once = a.size * out.itemsize
    extra = 2 * out.nbytes if kwargs.get("include_initial") else 0
    launches = moved + 2 * levels + 3 * bool(extra)
    moved_bytes = passes * once + extra // 2
    return plain._replace(launches=launches, bytes_in=plain.bytes_in + moved_bytes, bytes_out=once + moved_bytes)


def _along_axis(inputs: list[np.ndarray], out: np.ndarray, _args: tuple, _kwargs: dict[str, Any], plain: Cost) -> Cost:
    ranges = [n * 8 for n in inputs[0].shape]
    made = gathered(inputs[0], [inputs[1]] * inputs[0].ndim, out)
    return Cost(made.launches + len(ranges) - 1, made.bytes_in, made.bytes_out + sum(ranges))


def gathered(a: np.ndarray, indices: list[np.ndarray], out: np.ndarray) -> Cost:
    """Return the cost of ``a[indices]``: with several index arrays they are first made into one."""
    picked = min(out.nbytes, touched(a))
    many = len(indices)
    if many == 1:
        return Cost(1, picked + touched(indices[0]), out.nbytes)
    flat = 8 * math.prod(np.broadcast_shapes(*(i.shape for i in indices)))
    read = picked + flat + sum(touched(i) + flat for i in indices)
    return Cost(many + 2, read, out.nbytes + (many + 1) * flat)


def _take(inputs: list[np.ndarray], out: np.ndarray, _args: tuple, _kwargs: dict[str, Any], _plain: Cost) -> Cost:
    return gathered(inputs[0], inputs[1:2] or [np.zeros(())], out)


def _roll(inputs: list[np.ndarray], out: np.ndarray, args: tuple, kwargs: dict[str, Any], plain: Cost) -> Cost:
    axis = kwargs.get("axis", args[2] if len(args) > 2 else None)
    return plain._replace(launches=2 ** len(np.atleast_1d(0 if axis is None else axis)))


def _several(inputs: list[np.ndarray], _out: np.ndarray, _args: tuple, _kwargs: dict[str, Any], plain: Cost) -> Cost:
    """`einsum` and `tensordot` lay each argument out anew, then multiply."""
    moved = sum(a.nbytes for a in inputs)
    return Cost(1 + len(inputs), plain.bytes_in + moved, plain.bytes_out + moved)


_SPECIAL = {
    "clip": _clip,
    "sign": _sign,
    "concat": _joined,
    "concatenate": _joined,
    "stack": _joined,
    "matmul": _matmul,
    "linalg.matmul": _matmul,
    "vecdot": _vecdot,
    "linalg.vecdot": _vecdot,
    "cumulative_sum": _cumulative,
    "cumulative_prod": _cumulative,
    "take_along_axis": _along_axis,
    "take": _take,
    "roll": _roll,
    "einsum": _several,
    "tensordot": _several,
}
