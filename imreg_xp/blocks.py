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
        self._looks = not callable(reference) and options["check_finite"] and not _weighted(options)
        remote = self._looks and is_traced_or_remote(reference) and not is_traced(reference)
        self._look = _Look(reference, stack, xp=stack.xp) if remote else None
        self._first: tuple[_Sides, Options] | None = None

    def of(self, block: Block, options: dict[str, Any]) -> tuple[_Sides, Options]:
        """Return both, with the options for this block."""
        seen = self._seen(block)
        if self._first and seen and seen.means[1] is not None:
            (reference, moving), chosen = self._first
            return (reference, moving.with_image(block.images, mean=seen.means[1], ends=seen.ends[1])), chosen
        image = self._reference
        if callable(image):
            # what others have in common has holes where none of them has a pixel
            image, options = image(block), {**options, "check_finite": True}
        xp = array_namespace(reference=image, moving=block.images, optional=arrays_in(options))
        sides, chosen, _ = checked(image, block.images, options, ndim=self._ndim, seen=seen, xp=xp)
        if self._looks and all(side.valid is None and side.mean is not None for side in sides):
            self._first = sides, chosen
        return sides, chosen

    def _seen(self, block: Block) -> Seen | None:
        """Return what is known of a block; on the host of those alone that are like the one that was checked."""
        if self._look or not self._first or not isinstance(block.images, np.ndarray):
            return self._look(block) if self._look else None
        reference = self._first[0][0]
        if block.images.dtype != reference.image.dtype:
            return None
        with np.errstate(all="ignore"):
            mean = image_means(block.images, self._ndim, xp=np)
        finite = all(map(math.isfinite, mean.tolist()))
        return Seen(True, (reference.mean, mean)) if finite else Seen(finite=False)


def _weighted(options: dict[str, Any]) -> bool:
    """Tell whether there are masks or maps of errors: with these all frames go to the general estimator."""
    masks = [options[f"{side}_valid"] for side in ("reference", "moving")]
    maps = [getattr(options[f"{side}_err"], "ndim", 0) for side in ("reference", "moving")]
    return any(mask is not None for mask in masks) or any(maps)


class _Look:
    """What is known of the pixels of the reference and of each block, from one look at an accelerator.

    Frames that are not on the accelerator yet are looked at on their way. None says "not known": each registration
    looks for itself. Where it tells means, images are of one dtype, which they keep.
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


def _means_and_ends(images: Array, *, xp: Namespace) -> tuple[Array | None, Array | None]:
    """Return what `seen_in` does; None of whole numbers, and no ends of one image: they cost as much where needed."""
    if not xp.isdtype(images.dtype, "real floating"):
        return None, None
    ndim = images.ndim - 1
    return seen_in(images, ndim, xp=xp) if images.shape[0] > 1 else (image_means(images, ndim, xp=xp), None)
