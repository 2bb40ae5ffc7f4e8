"""Blocks of frames and what they are registered on, as the engine takes them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ._array import Array, Namespace, array_namespace, is_array, is_traced, is_traced_or_remote, to_host
from ._engine.problem import Options, Side
from ._inputs import Seen
from ._sums import image_means, seen_in
from .frames import Block, Frames
from .registration import arrays_in, checked

__all__ = ["Pairs"]

_Sides = tuple[Side, Side]


class Pairs:
    """Gives the sides of a block of frames, and what was chosen; of frames without masks these are checked once."""

    def __init__(self, reference: Array | Callable[[Block], Array], stack: Frames, options: dict[str, Any]) -> None:
        self._reference, self._ndim = reference, len(stack.source.shape) - 1
        self._look = None if callable(reference) else _look_at(reference, stack, options, xp=stack.xp)
        self._first: tuple[_Sides, Options] | None = None

    def of(self, block: Block, options: dict[str, Any]) -> tuple[_Sides, Options]:
        """Return both, with the options for this block."""
        seen = self._look(block) if self._look else None
        mean = seen.means[1] if seen else None
        if seen and mean is not None and self._first:
            (reference, moving), chosen = self._first
            return (reference, moving.with_image(block.images, mean=mean, ends=seen.ends[1])), chosen
        image = self._reference
        if callable(image):
            # what others have in common has holes where none of them has a pixel
            image, options = image(block), {**options, "check_finite": True}
        xp = array_namespace(reference=image, moving=block.images, optional=arrays_in(options))
        sides, chosen, _ = checked(image, block.images, options, ndim=self._ndim, seen=seen, xp=xp)
        if mean is not None:
            self._first = sides, chosen
        return sides, chosen


def _look_at(
    reference: Array, stack: Frames, options: dict[str, Any], *, xp: Namespace
) -> Callable[[Block], Seen | None] | None:
    """Return what tells what is known of blocks; None where it is not worth it, or nobody can know.

    With masks all go to the general estimator. Where it tells means, images are of one dtype, which they keep.
    """
    masks = [options[f"{side}_valid"] for side in ("reference", "moving")]
    maps = [err for side in ("reference", "moving") if getattr(err := options[f"{side}_err"], "ndim", 0)]
    if maps or any(mask is not None for mask in masks) or not options["check_finite"]:
        return None
    if isinstance(reference, np.ndarray):
        suits = reference.dtype in (np.float32, np.float64) and reference.ndim == len(stack.source.shape) - 1
        return _LookOnHost(reference) if suits else None
    return None if not is_traced_or_remote(reference) or is_traced(reference) else _Look(reference, stack, xp=xp)


class _Look:
    """What is known of the pixels of the reference and of each block, from one look at an accelerator.

    Frames that are not on the accelerator yet are looked at on their way. None says "not known": each registration
    looks for itself.
    """

    def __init__(self, reference: Array, stack: Frames, *, xp: Namespace) -> None:
        self._stack = stack
        # of the reference, and of the frames: which are finite (on the host), their means, and their ends
        self._seen: list[tuple[np.ndarray, Any, Any]] = []
        images = [reference[None, ...]]
        if is_array(stack.source) and not isinstance(stack.source, np.ndarray):
            images.append(stack.source)
        seen = [_means_and_ends(x, xp=xp) for x in images]
        told = iter(to_host(*(mean for mean, _ in seen if mean is not None)))
        finite = [
            np.ones(x.shape[0], dtype=bool) if mean is None else np.isfinite(next(told))
            for x, (mean, _) in zip(images, seen, strict=True)
        ]
        # images of two dtypes, or of half precision, will be of another one when they are registered, and their means
        kept = xp.isdtype(images[0].dtype, (xp.float32, xp.float64)) and all(x.dtype == images[0].dtype for x in images)
        self._seen = [(good, *(pair if kept else (None, None))) for good, pair in zip(finite, seen, strict=True)]

    def __call__(self, block: Block) -> Seen | None:
        if not self._seen:
            return None
        (reference, *of_one), *frames = self._seen
        finite: bool | None = block.finite
        of_all: tuple[Array | None, ...] = (None, None)
        if frames:
            finite = bool(np.all(frames[0][0][block.start : block.stop]))
            of_all = frames[0][1:]
        if finite is None:
            return None
        if not (finite and reference[0]):
            return Seen(finite=False)
        first = [None if x is None else x[0, ...] for x in of_one]
        rows = [None if x is None else self._stack.rows(x, block.start, block.stop) for x in of_all]
        return Seen(True, (first[0], rows[0]), (first[1], rows[1]))


class _LookOnHost:
    """The same of images on the host: of the reference once, of each block as it is read."""

    def __init__(self, reference: np.ndarray) -> None:
        self._ndim = reference.ndim
        self._mean = self._mean_of(reference)

    def __call__(self, block: Block) -> Seen | None:
        if block.images.dtype != self._mean.dtype:
            return None
        mean = self._mean_of(block.images)
        finite = math.isfinite(self._mean) and all(map(math.isfinite, mean.tolist()))
        return Seen(True, (self._mean, mean)) if finite else Seen(finite=False)

    def _mean_of(self, images: np.ndarray) -> np.ndarray:
        with np.errstate(all="ignore"):
            return image_means(images, self._ndim, xp=np)


def _means_and_ends(images: Array, *, xp: Namespace) -> tuple[Array | None, Array | None]:
    """Return what `seen_in` does; None of whole numbers, and no ends of one image: they cost as much where needed."""
    if not xp.isdtype(images.dtype, "real floating"):
        return None, None
    ndim = images.ndim - 1
    return seen_in(images, ndim, xp=xp) if images.shape[0] > 1 else (image_means(images, ndim, xp=xp), None)
