"""A stack of frames, wherever it lies, read a few at a time."""

from __future__ import annotations

import contextvars
import functools
import math
import mmap
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from numbers import Integral
from typing import Any, NamedTuple, TypeVar

import numpy as np
import scipy.fft

from ._array import Array, Namespace, array_namespace, as_array, device_of, is_kind, known_finite
from ._memory import chunks_that_fit, pixels_per_chunk

__all__ = ["Block", "Frames", "in_order", "open_frames"]

# What the general estimator holds at a time, at most, with masks and errors: images padded to twice their length along
# each axis, and for small ones tables of noise and rings.
_IMAGES = 16
_MORE = 8  # pixels along each axis
_AHEAD = 2  # blocks read for each worker

_Work = TypeVar("_Work")
_Done = TypeVar("_Done")


class Block(NamedTuple):
    """Some frames (chunk, ...), those from `start` to `stop`; what is beyond repeats the last."""

    images: Array
    start: int
    stop: int
    finite: bool | None = None
    """Whether all pixels are finite, where that was seen on their way to an accelerator."""

    @property
    def size(self) -> int:
        """Number of frames of the stack in it."""
        return self.stop - self.start


@dataclass(frozen=True, eq=False)
class Frames:
    """A stack (n, image axes) and how to read it."""

    source: Any
    chunk: int
    device: Any
    xp: Namespace
    at_a_time: int = 1
    """How many blocks may be worked on together: as many as there are and the memory holds."""

    @property
    def count(self) -> int:
        """Number of frames."""
        return int(self.source.shape[0])

    def __iter__(self) -> Iterator[Block]:
        """Go through the stack in blocks of one size: libraries that compile or plan per shape do so once."""
        for start, stop in self.spans(self.count):
            part = self._read(self.source, start, stop)
            uploaded = isinstance(part, np.ndarray) and self.device != "cpu"
            finite = known_finite(part, xp=self.xp) if uploaded else None
            yield Block(self._on_device(part), start, stop, finite)

    def done(self, work: Callable[[_Work], _Done], parts: Iterable[_Work]) -> Iterator[_Done]:
        """Give what `work` makes of each part (a block, say), in order.

        Parts are read here, one after the other. On the host they are worked on in as many threads as `scipy.fft` has
        workers and the memory holds blocks; if there are fewer, each has several workers.
        """
        if self.device == "cpu":
            yield from in_order(work, parts, self.at_a_time)
        else:
            yield from map(work, parts)

    def spans(self, count: int) -> Iterator[tuple[int, int]]:
        """Go through `count` frames a chunk at a time."""
        for start in range(0, count, self.chunk):
            yield start, min(start + self.chunk, count)

    def rows(self, source: Any, start: int, stop: int) -> Array:
        """Return some rows of a stack on the device, filled up to a whole chunk with copies of the last."""
        return self._on_device(self._read(source, start, stop))

    @staticmethod
    def _read(source: Any, start: int, stop: int) -> Array:
        part = as_array(source[start:stop, ...])
        if isinstance(source, np.memmap):
            part = np.array(part)
            _forget(source)
        return part

    def _on_device(self, part: Array) -> Array:
        if isinstance(part, np.ndarray):
            part = self.xp.asarray(part) if self.device == "cpu" else self.xp.asarray(part, device=self.device)
        missing = self.chunk - part.shape[0]
        if not missing:
            return part
        return self.xp.concat([part, self.xp.broadcast_to(part[-1:, ...], (missing, *part.shape[1:]))], axis=0)

    def per_frame(self, x: Any, block: Block) -> Any:
        """Return the part of an option that belongs to a block, an option for all frames as it is."""
        if getattr(x, "ndim", 0) == len(self.source.shape) and x.shape[0] == self.source.shape[0]:
            return self.rows(x, block.start, block.stop)
        return x


class _OneThread:
    """NumPy's BLAS has one thread as long as anybody wants that: idle ones take a core from others."""

    def __init__(self) -> None:
        self._lock, self._users = threading.Lock(), 0
        self._limit: Any = None

    def __enter__(self) -> None:
        with self._lock:
            if not self._users:
                self._limit = _libraries().limit(limits=1, user_api="blas")
            self._users += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._users -= 1
            if not self._users:
                self._limit.restore_original_limits()


@functools.cache
def _libraries() -> Any:
    """Return what sets the threads of the libraries that are loaded; finding them takes as long as a few frames."""
    from threadpoolctl import ThreadpoolController  # noqa: PLC0415  (needed here alone)

    return ThreadpoolController()


_one_thread_of_blas = _OneThread()


def in_order(work: Callable[[_Work], _Done], parts: Iterable[_Work], most: int) -> Iterator[_Done]:
    """Give what `work` makes of each part, in order, `most` of them at a time in threads, where BLAS has one too."""
    workers = scipy.fft.get_workers()
    threads = min(workers, most)
    with _one_thread_of_blas:
        yield from map(work, parts) if threads < 2 else _in_threads(work, parts, threads, workers // threads)


def _in_threads(work: Callable[[_Work], _Done], parts: Iterable[_Work], threads: int, workers: int) -> Iterator[_Done]:
    def working(part: _Work) -> _Done:
        with scipy.fft.set_workers(workers):
            return work(part)

    waiting: deque[Future[_Done]] = deque()
    pool, wait = ThreadPoolExecutor(threads), True
    source, failure = iter(parts), None
    try:
        while True:
            try:
                part = next(source)
            except StopIteration:
                break
            except Exception as error:  # noqa: BLE001  # raised when what was read before is done
                failure = error
                break
            # what NumPy does about errors of arithmetic is a matter of the context
            waiting.append(pool.submit(contextvars.copy_context().run, working, part))
            if len(waiting) > _AHEAD * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except KeyboardInterrupt:
        wait = False
        raise
    finally:
        pool.shutdown(wait=wait, cancel_futures=True)
    if failure is not None:
        raise failure


def _forget(source: np.memmap) -> None:
    """Let go of the pages of a memory map that were read: they would count as memory of this process.

    A private map ("c") may hold changes that are nowhere else.
    """
    pages = getattr(source, "_mmap", None)
    if source.mode != "c" and pages is not None and hasattr(mmap, "MADV_DONTNEED"):
        pages.madvise(mmap.MADV_DONTNEED)


def open_frames(frames: Any, chunk: Any, *, like: Array | None = None) -> Frames:
    """Return frames as something to read block by block, in the library and on the device of `like`.

    Raises
    ------
    TypeError
        `frames` is no array and nothing that is read like one, or `chunk` no integer.
    ValueError
        There are no frames, their axes are not 1 + 1, 2 or 3, or `chunk` is less than 1.
    """
    shape = getattr(frames, "shape", None)
    if shape is None or not hasattr(frames, "__getitem__"):
        msg = f"`frames` must be an array or be read like one (h5py, zarr ...), got {type(frames).__name__}"
        raise TypeError(msg)
    if not 2 <= len(shape) <= 4 or not shape[0]:
        msg = f"`frames` must have shape (frames, image axes) with at least one frame, got {tuple(shape)}"
        raise ValueError(msg)
    if chunk is not None and (isinstance(chunk, bool) or not isinstance(chunk, Integral)):
        msg = f"`chunk` must be an integer or None, got {chunk!r}"
        raise TypeError(msg)
    if chunk is not None and chunk < 1:
        msg = f"`chunk` must be at least 1, got {chunk!r}"
        raise ValueError(msg)
    first = as_array(frames[:1, ...])
    on_host = isinstance(first, np.ndarray) and not isinstance(first, np.ma.MaskedArray)
    like = first if like is None else like
    xp = array_namespace(reference=like, frames=like if on_host else first)
    pixels = math.prod(shape[1:])
    size = _bytes_per_pixel(shape[1:], like, first, xp=xp)
    most = chunk or max(1, pixels_per_chunk(like, size, xp=xp) // max(pixels, 1))
    # chunks are filled up: as few as need be, of about one size
    chosen = chunk or math.ceil(shape[0] / math.ceil(shape[0] / most))
    chosen = min(int(chosen), shape[0])
    fit = chunks_that_fit(like, max(1, chosen * pixels * size), xp=xp)
    return Frames(frames, chosen, device_of(like), xp, min(fit, math.ceil(shape[0] / chosen)))


def _bytes_per_pixel(shape: Sequence[int], *images: Array, xp: Namespace) -> int:
    """Return how much memory a pixel of frames of a `shape` takes at most; `images` are like them."""
    bits = [_float_bits(x, xp=np if isinstance(x, np.ndarray) else xp) for x in images]
    size = 4 if 0 < max(bits) <= 32 else 8
    return math.ceil(size * _IMAGES * math.prod(2 * (n + _MORE) / max(n, 1) for n in shape))


def _float_bits(x: Array, *, xp: Namespace) -> int:
    return int(xp.finfo(x.dtype).bits) if is_kind(x.dtype, "real floating", xp=xp) else 0
