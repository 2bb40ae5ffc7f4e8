"""Stacks that are Dask arrays: the same work block by block, when and where Dask says.

A block holds whole frames, on NumPy or on CuPy; no task holds more than one block, and nothing is gathered.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ._array import Array, Namespace, array_namespace, is_dask
from ._engine.result import Registration
from .coadds import Coadd, Sums, merged, sums
from .frames import open_frames

__all__ = ["align_blocks", "coadd_blocks", "finish_blocks", "merge_blocks", "register_block", "register_blocks"]

_Register = Callable[..., Registration]


def register_blocks(register: _Register, reference: Any, frames: Array, options: dict[str, Any]) -> Registration:
    """Return a lazy Registration, dask arrays with the chunks of the frames.

    Parameters
    ----------
    register
        What registers a block of frames on an image.
    reference
        An image, or "first".
    frames
        A dask array (frames, image axes).
    options
        Of `register`.
    """
    xp = array_namespace(frames=frames)
    frames = _whole_frames(frames)
    reference = frames[0] if isinstance(reference, str) else reference
    images = {"reference": reference, "frames": frames}
    single = {name: value for name, value in options.items() if not hasattr(value, "ndim")}
    for name in options.keys() - single.keys():
        images[name] = options[name]
    laid = [_laid(name, value, frames, xp=xp) for name, value in images.items()]
    packed = xp.map_blocks(
        register_block,
        *laid,
        register=register,
        names=tuple(images),
        single=single,
        chunks=(frames.chunks[0], (_columns(frames.ndim - 1),)),
        drop_axis=list(range(1, frames.ndim)),
        new_axis=1,
        dtype=_floating(reference, frames),
        meta=np.zeros((0, 0), dtype=_floating(reference, frames)),
    )
    return _unpacked(packed, frames.ndim - 1)


def align_blocks(align: Callable[..., Array], frames: Array, registration: Registration) -> Array:
    """Return the aligned frames as a dask array; `align` takes frames and their registration."""
    xp = array_namespace(frames=frames)
    frames = _whole_frames(frames)
    rows = _rows_of(registration, frames, xp=xp)
    dtype = _floating(frames, frames)
    meta = np.zeros((0,) * frames.ndim, dtype)
    return xp.map_blocks(
        _align_block, frames, _beside_images(rows, frames), align=align, chunks=frames.chunks, dtype=dtype, meta=meta
    )


def coadd_blocks(frames: Array, registration: Registration, weights: Any, *, wrap: bool, chunk: int | None) -> Coadd:
    """Return the mean of aligned frames as dask arrays: sums of blocks, merged two by two."""
    xp = array_namespace(frames=frames)
    frames = _whole_frames(frames)
    shape, dtype = frames.shape[1:], _floating(frames, frames)
    packed = _rows_of(registration, frames, xp=xp)
    packed = xp.concatenate([packed, _column(weights, packed, xp=xp)], axis=1).rechunk({1: -1})
    blocks = xp.map_blocks(
        _sum_block,
        frames,
        _beside_images(packed, frames),
        wrap=wrap,
        chunk=chunk,
        chunks=((1,) * frames.numblocks[0], (4,), *((n,) for n in shape)),
        new_axis=1,
        dtype=np.dtype(np.float64),
        meta=np.zeros((0,) * (frames.ndim + 1)),
    )
    parts = [blocks[k] for k in range(frames.numblocks[0])]
    while len(parts) > 1:
        pairs = [
            xp.map_blocks(merge_blocks, a, b, dtype=a.dtype) for a, b in zip(parts[::2], parts[1::2], strict=False)
        ]
        parts = pairs + parts[2 * len(pairs) :]
    done = xp.map_blocks(finish_blocks, parts[0], dtype=dtype, chunks=((3,), *((n,) for n in shape)))
    return Coadd(done[0], done[1], done[2])


def _whole_frames(frames: Array) -> Array:
    if not 2 <= frames.ndim <= 4:
        msg = f"`frames` must have shape (frames, image axes), got {frames.shape}"
        raise ValueError(msg)
    return frames.rechunk(dict.fromkeys(range(1, frames.ndim), -1))


def _floating(*images: Any) -> np.dtype:
    """Return the dtype that results of images have: float32, unless one is of double precision or none is floating."""
    kinds = [np.dtype(str(x.dtype).rpartition(".")[2]) for x in images]
    floats = [k for k in kinds if k.kind == "f"]
    return np.result_type(np.float32, *floats) if floats else np.dtype(np.float64)


def _columns(ndim: int) -> int:
    return 2 * ndim + ndim**2 + 6


def _laid(name: str, value: Any, frames: Array, *, xp: Namespace) -> Array:
    """Return an image, or a stack of them, with chunks that match those of the frames."""
    lazy = value if is_dask(value) else xp.from_array(value, chunks=-1)
    if lazy.ndim == frames.ndim and lazy.shape[0] == frames.shape[0]:
        return _whole_frames(lazy).rechunk({0: frames.chunks[0]})
    if tuple(lazy.shape) != tuple(frames.shape[1:]):
        msg = f"`{name}` must have the image shape {frames.shape[1:]} of `frames`, got {tuple(lazy.shape)}"
        raise ValueError(msg)
    return lazy.rechunk(-1)


def register_block(*arrays: Array, register: _Register, names: tuple[str, ...], single: dict[str, Any]) -> Array:
    """_Register a block and return its results side by side, (frames, columns), where the frames are."""
    given = dict(zip(names, arrays, strict=True))
    frames = given["frames"]
    xp = array_namespace(frames=frames)
    here = {name: _beside(value, frames) for name, value in given.items()}
    found = register(here.pop("reference"), here.pop("frames"), **here, **single)
    dtype = found.shift.dtype
    return xp.concat([xp.astype(xp.reshape(x, (frames.shape[0], -1)), dtype) for x in found], axis=1)


def _beside(x: Array, frames: Array) -> Array:
    """Return what lies on the host where the frames are."""
    if isinstance(frames, np.ndarray) or not isinstance(x, np.ndarray):
        return x
    one = open_frames(x[None, ...], 1, like=frames)
    return one.rows(one.source, 0, 1)[0, ...]


def _unpacked(packed: Array, ndim: int) -> Registration:
    """Return the fields of packed results (frames, columns)."""
    shapes = [(ndim,), (ndim,), (ndim, ndim), *((),) * 6]
    ends = np.cumsum([math.prod(s) for s in shapes])
    fields = []
    for shape, end in zip(shapes, ends, strict=True):
        columns = packed[:, int(end) - math.prod(shape) : int(end)]
        fields.append(columns.reshape((columns.shape[0], *shape)))
    return Registration._make([*fields[:-1], fields[-1].astype(np.int32)])


def _rows_of(registration: Registration, frames: Array, *, xp: Namespace) -> Array:
    """Return a registration packed into one dask array (frames, columns) with the chunks of the frames."""
    fields = [x if is_dask(x) else xp.from_array(x, chunks=-1) for x in registration]
    count = fields[0].shape[0]
    if count != frames.shape[0] or fields[0].shape[1:] != (frames.ndim - 1,):
        got = tuple(fields[0].shape)
        msg = f"`registration` must hold shifts of shape {(frames.shape[0], frames.ndim - 1)}, got {got}"
        raise ValueError(msg)
    dtype = fields[0].dtype
    flat = [x.reshape((count, math.prod(x.shape[1:]))).astype(dtype) for x in fields]
    return xp.concatenate(flat, axis=1).rechunk({0: frames.chunks[0], 1: -1})


def _beside_images(rows: Array, frames: Array) -> Array:
    """Return rows (frames, columns) with as many axes as the frames, so that their blocks meet."""
    return rows.reshape((*rows.shape, *(1,) * (frames.ndim - 2)))


def _column(weights: Any, packed: Array, *, xp: Namespace) -> Array:
    if weights is None:
        return xp.ones_like(packed[:, :1])
    lazy = weights if is_dask(weights) else xp.from_array(weights, chunks=-1)
    if lazy.shape != packed.shape[:1]:
        msg = f"`weights` must have shape {packed.shape[:1]}, one per frame, got {lazy.shape}"
        raise ValueError(msg)
    return lazy.astype(packed.dtype).rechunk({0: packed.chunks[0]})[:, None]


def _align_block(frames: Array, rows: Array, *, align: Callable[..., Array]) -> Array:
    return align(frames, _unpacked(rows.reshape(rows.shape[:2]), frames.ndim - 1))


def _sum_block(frames: Array, packed: Array, *, wrap: bool, chunk: int | None) -> Array:
    """Return the sums over a block, (1, 4, image axes)."""
    rows = packed.reshape(packed.shape[:2])
    registration = _unpacked(rows[:, :-1], frames.ndim - 1)
    stack = open_frames(frames, chunk, like=registration.shift)
    found = sums(stack, registration, rows[:, -1], wrap=wrap, xp=stack.xp)
    return stack.xp.stack(list(found))[None, ...]


def merge_blocks(a: Array, b: Array) -> Array:
    """Return the sums (4, image axes) over both sets of frames."""
    xp = array_namespace(a=a, b=b)
    return xp.stack(list(merged(Sums(*(a[k, ...] for k in range(4))), Sums(*(b[k, ...] for k in range(4))), xp=xp)))


def finish_blocks(whole: Array) -> Array:
    """Return mean, variance and coverage, (3, image axes), from sums."""
    xp = array_namespace(whole=whole)
    return xp.stack(list(Sums(*(whole[k, ...] for k in range(4))).coadd(whole.dtype, xp=xp)))
