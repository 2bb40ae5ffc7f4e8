"""Registering a stack on a GPU: measured where there is one, else what a model says that one would be asked to do."""

from __future__ import annotations

import functools
import importlib.util
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import imreg_xp

from .clock import median
from .scenes import borrowed, periodic_pair

__all__ = ["Device", "budget", "devices", "from_host", "measured", "on_host", "rows"]

Row = dict[str, Any]

PATHS = (("wrap", "white"), ("wrap", "correlated"), ("overlap", "correlated"))


@dataclass(frozen=True)
class Device:
    """A GPU as an array library sees it."""

    name: str
    upload: Callable[[np.ndarray], Any]
    copy: Callable[[Any], Any]
    ffts: Callable[[Any], Any]
    wait: Callable[[], Any]


def rows(quick: bool) -> list[Row]:
    """Return all rows of this part: the model first, for its bytes are what bandwidth is reckoned from."""
    size, frames, repeats = (64, 4, 2) if quick else (256, 8, 5)
    found = [budget(*path, size, 2 * frames) for path in PATHS]
    here = devices()
    for path, row in zip(PATHS, list(found), strict=True) if here else ():
        host = on_host(*path, size, 4 * frames, max(1, repeats // 3))
        counts = (frames, 32 * frames, 512 * frames)
        for device in here:
            found += [measured(device, *path, size, k, repeats, row["bytes_per_pixel"], host) for k in counts]
            found.append(from_host(device, *path, size, counts[-1], repeats, host))
    return found


def budget(boundary: str, noise: str, size: int, frames: int) -> Row:
    """Return what a chunk of float32 frames asks of a GPU, as the model of CuPy in the tests counts it."""
    model = borrowed("gpu_model")
    reference, stack = (model.asarray(a) for a in _stack(size, frames))
    with model.recording() as log:
        imreg_xp.register_stack(reference, stack, boundary=boundary, noise=noise, chunk=frames)
    return {
        **_case("model of CuPy", boundary, noise, size, frames),
        "model": True,
        "launches": log.launches,
        "syncs": len(log.syncs),
        "bytes_per_pixel": log.bytes / (frames * size**2),
        "note": "a model, not a measurement: per chunk; bytes per pixel and frame",
    }


def _case(what: str, boundary: str, noise: str, size: int, frames: int) -> Row:
    numbers = ("launches", "syncs", "bytes_per_pixel", "ms_per_frame", "over_ffts", "bandwidth", "speed_up")
    case = {"what": what, "model": False, "boundary": boundary, "noise": noise, "size": size, "frames": frames}
    return {**case, **dict.fromkeys(numbers), "note": ""}


def _stack(size: int, frames: int) -> tuple[np.ndarray, np.ndarray]:
    reference, moving = periodic_pair(size, "float32")
    return reference, np.stack([np.roll(moving, (k % 5, -(k % 3)), axis=(0, 1)) for k in range(frames)])


def devices() -> list[Device]:
    """Return the GPUs that CuPy and torch see."""
    found = []
    if importlib.util.find_spec("cupy") is not None:
        import cupy  # noqa: PLC0415  (an extra)

        if cupy.cuda.is_available():
            name = cupy.cuda.runtime.getDeviceProperties(0)["name"].decode()
            ffts = functools.partial(_ffts, cupy.fft)
            found.append(
                Device(
                    f"CuPy {cupy.__version__} on {name}", cupy.asarray, cupy.copy, ffts, cupy.cuda.Device().synchronize
                )
            )
    if importlib.util.find_spec("torch") is not None:
        import torch  # noqa: PLC0415  (an extra)

        if torch.cuda.is_available():
            name, upload = torch.cuda.get_device_name(0), functools.partial(torch.as_tensor, device="cuda")
            ffts = functools.partial(_ffts, torch.fft)
            found.append(
                Device(f"torch {torch.__version__} on {name}", upload, torch.clone, ffts, torch.cuda.synchronize)
            )
    return found


def _ffts(fft: Any, images: Any) -> Any:
    return fft.irfft2(fft.rfft2(images))


def on_host(boundary: str, noise: str, size: int, frames: int, repeats: int) -> float:
    """Return the seconds per frame of NumPy on this machine."""
    images = _stack(size, frames)
    return _timed(_registering(images, boundary, noise), lambda: None, repeats) / frames


def _registering(images: tuple[Any, Any], boundary: str, noise: str) -> Callable[[], Any]:
    return lambda: imreg_xp.register_stack(*images, boundary=boundary, noise=noise)


def measured(
    device: Device,
    boundary: str,
    noise: str,
    size: int,
    frames: int,
    repeats: int,
    bytes_per_pixel: float,
    host: float,
) -> Row:
    """Return time per frame, as a multiple of the bare FFTs, bandwidth as one of a copy's, and speed-up over NumPy.

    The bandwidth is that of the bytes which the model counts: what the kernels ask for, be it from a cache. `host` is
    what a frame takes there, in seconds.
    """
    reference, stack = (device.upload(a) for a in _stack(size, frames))
    seconds = _timed(_registering((reference, stack), boundary, noise), device.wait, repeats)
    bare = _timed(lambda: device.ffts(stack), device.wait, repeats)
    block = device.upload(np.zeros(2**26, dtype=np.float32) if frames > 8 else np.zeros(2**20, dtype=np.float32))
    copied = 2 * 4 * np.prod(block.shape) / _timed(lambda: device.copy(block), device.wait, repeats)
    moved = bytes_per_pixel * frames * size**2 / seconds
    return {
        **_case(device.name, boundary, noise, size, frames),
        "bytes_per_pixel": bytes_per_pixel,
        "ms_per_frame": 1e3 * seconds / frames,
        "over_ffts": seconds / bare,
        "bandwidth": float(moved / copied),
        "speed_up": host * frames / seconds,
        "note": f"copy on the device: {copied / 1e9:.0f} GB/s",
    }


def from_host(device: Device, boundary: str, noise: str, size: int, frames: int, repeats: int, host: float) -> Row:
    """Return time per frame and speed-up for whole numbers of 16 bits in the memory of the host, upload included."""
    low, high = 100, 60000
    levels = [np.clip(1000 * a + 20000, low, high).astype(np.uint16) for a in _stack(size, frames)]
    images = device.upload(levels[0].astype(np.int32)), levels[1]
    seconds = _timed(_registering(images, boundary, noise), device.wait, repeats)
    return {
        **_case(f"{device.name}, uint16 on the host", boundary, noise, size, frames),
        "ms_per_frame": 1e3 * seconds / frames,
        "speed_up": host * frames / seconds,
        "note": f"uploaded at {levels[1].nbytes / seconds / 1e9:.1f} GB/s on the whole",
    }


def _timed(call: Callable[[], Any], wait: Callable[[], Any], repeats: int) -> float:
    taken = []
    for turn in range(repeats + 1):
        wait()
        start = time.perf_counter()
        call()
        wait()
        if turn:
            taken.append(time.perf_counter() - start)
    return median(taken) or 0.0
