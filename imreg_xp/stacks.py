"""Stacks of frames: register all of them."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from numbers import Integral
from typing import Any, Literal, get_args

from ._array import Array, is_dask
from ._engine.result import Registration
from .frames import open_frames
from .lazy import register_blocks
from .links import on_neighbours
from .rounds import jointly, on_frame, on_image, on_mean

__all__ = ["POLICIES", "register_stack"]

_Policy = Literal["first", "mean", "previous", "all-pairs", "joint"]
POLICIES: tuple[str, ...] = get_args(_Policy)


def register_stack(
    reference: Array | _Policy,
    frames: Any,
    *,
    reference_err: Any = None,
    moving_err: Any = None,
    reference_valid: Array | None = None,
    moving_valid: Array | None = None,
    boundary: Literal["overlap", "wrap"] = "overlap",
    fit_scale: bool = True,
    fit_background: bool = True,
    noise: Literal["correlated", "white"] = "correlated",
    max_shift: float | Sequence[float] | None = None,
    min_overlap: float = 0.3,
    check_finite: bool = True,
    window: int = 4,
    chunk: int | None = None,
    progress: bool = False,
) -> Registration:
    r"""Register each frame of a stack, on an image or on each other.

    Frames are read and registered `chunk` at a time: the memory needed does not grow with their number. Of NumPy arrays
    as many chunks are worked on at a time as `scipy.fft.set_workers` says, 1 by default.

    Parameters
    ----------
    reference : array (image axes) or policy
        An image to align to, or how frames are aligned to each other. Shifts are then those to the grid of the first
        frame that can be used, which has the shift 0 (with "mean": near 0).

        "first"
            each frame on the first, whatever that is.
        "mean"
            each frame on the mean of all others, in three rounds, begun from "first". The errors are relative to the
            mean of the others.
        "previous"
            each frame on the one before, shifts added up: for scenes that change slowly. Needs neighbours to be alike,
            and is told by frames two apart how its errors add up.
        "all-pairs"
            each frame on up to `window` before it, combined by weighted least squares; pairs that do not fit the others
            are left out. For scenes that change slowly, or frames so noisy that single pairs may go wrong.
        "joint"
            maximum likelihood of the unknown scene and all shifts: each frame on the mean of all others, weighted by
            what the noise of that mean leaves significant, until nothing moves. Best for many noisy frames of a scene
            that does not change.
    frames : array (n, image axes)
        An array of any library, a memory map, or what is read like an array (h5py, zarr). Frames on the host go to the
        device of the reference, if that is on another, in the dtype they have. A dask array gives a lazy result, dask
        arrays with the frames' chunks, each registered where it is; with an image or "first" as the reference, and bad
        values of options are reported when it is computed.
    reference_err, reference_valid
        As in `register`, of the reference image or the first frame (whose error is else that of the frames); not with
        the policies that have no such image.
    moving_err, moving_valid
        As in `register`; for all frames, or with the shape of `frames`.
    boundary, fit_scale, fit_background, noise, max_shift, min_overlap, check_finite
        As in `register`. `max_shift` is that of one registration: between the frames of a pair, or to the mean. Without
        `check_finite` the mean of frames is still looked at: it has holes where none of them has a pixel.
    window : int
        How many frames back "all-pairs" looks.
    chunk : int, optional
        Frames at a time; what fits the cache of a CPU or keeps an accelerator busy, within a quarter of the host's
        memory or the free memory of the device, if not given. The last chunk is filled up with copies.
    progress : bool
        Show a progress bar (on a terminal).

    Returns
    -------
    Registration
        As of `register`, with a leading frame axis. A frame that cannot be aligned has NaN and its status, and changes
        nothing for the others. With "previous" and "all-pairs" `chi2`, `dof` and `overlap` are means over the pairs of
        the frame.

    Raises
    ------
    TypeError
        As in `register`; `frames` cannot be read like an array.
    ValueError
        As in `register`; `frames` has no leading axis or is empty; `reference` has other than its image axes; `chunk`
        is less than 1 or `window` less than 2; an unknown policy; an option of the reference with a policy that has
        none.

    Notes
    -----
    The errors of a chain are not the sum of those of its links: most of the error of a link is the noise of its two
    frames, which the next link takes back. See `imreg_xp.adjustment` for what adds up.

    The joint estimate registers each frame on the mean of the n - 1 others and takes the Newton step
    :math:`\frac{n - 1}{n}` of what it finds, which is exact for frames that are alike; the covariance of a shift
    relative to the first frame is :math:`\frac{n - 1}{n} (C_i + C_0)` of those relative to the others.

    References
    ----------
    Gratadour, Mugnier & Rouan 2005, doi:10.1051/0004-6361:20042188 (joint estimate).
    """
    options = {
        "reference_err": reference_err,
        "moving_err": moving_err,
        "reference_valid": reference_valid,
        "moving_valid": moving_valid,
        "boundary": boundary,
        "fit_scale": fit_scale,
        "fit_background": fit_background,
        "noise": noise,
        "max_shift": max_shift,
        "min_overlap": min_overlap,
        "check_finite": check_finite,
    }
    if isinstance(reference, str):
        _check_policy(reference, options, window)
    if is_dask(frames):
        return _lazily(reference, frames, options, chunk)
    if not isinstance(reference, str):
        stack = open_frames(frames, chunk, like=reference)
        ndim = len(stack.source.shape) - 1
        if reference.ndim != ndim:
            msg = f"`reference` must be one image, with {ndim} axes, got shape {tuple(reference.shape)}"
            raise ValueError(msg)
        with _bar(stack.count, progress) as bar:
            return on_image(reference, stack, options, bar.update)
    stack = open_frames(frames, chunk)
    if reference in ("previous", "all-pairs") and stack.count > 1:
        back = min(2 if reference == "previous" else window, stack.count - 1)
        with _bar(sum(stack.count - lag for lag in range(1, back + 1)), progress) as bar:
            return on_neighbours(stack, back, options, chain=reference == "previous", advance=bar.update)
    rounds = {"mean": on_mean, "joint": jointly} if stack.count > 1 else {}
    with _bar(None if rounds else stack.count, progress) as bar:
        if reference in rounds:
            return rounds[reference](stack, options, bar.update, xp=stack.xp)
        return on_frame(0, stack, options, bar.update)


def _lazily(reference: Any, frames: Array, options: dict[str, Any], chunk: int | None) -> Registration:
    if isinstance(reference, str) and reference != "first":
        msg = f"`reference` must be an array or 'first' for frames in a dask array, got {reference!r}"
        raise ValueError(msg)
    return register_blocks(functools.partial(register_stack, chunk=chunk), reference, frames, options)


def _check_policy(policy: str, options: dict[str, Any], window: Any) -> None:
    if policy not in POLICIES:
        msg = f"`reference` must be an array or one of {POLICIES}, got {policy!r}"
        raise ValueError(msg)
    if isinstance(window, bool) or not isinstance(window, Integral):
        msg = f"`window` must be an integer, got {window!r}"
        raise TypeError(msg)
    if window < 2:
        msg = f"`window` must be at least 2 (pairs tell how good they are by loops), got {window!r}"
        raise ValueError(msg)
    for name in ("reference_err", "reference_valid"):
        if policy != "first" and options[name] is not None:
            msg = f"`{name}` must be None with reference={policy!r}, which has no such image"
            raise ValueError(msg)


def _bar(total: int | None, progress: bool) -> Any:
    from tqdm import tqdm  # noqa: PLC0415  (needed here alone, and slow to import)

    return tqdm(total=total, unit="registration", disable=None if progress else True)
