"""What is compared: our estimators and those of other packages, all called alike.

Every method takes a `Pair` and returns an `Answer` in our convention: the shift, in pixels along (y, x), to apply to
`moving` so that it matches `reference`. A package that is not installed is left out by the caller, who asks `load`.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

__all__ = ["METHODS", "Answer", "Method", "Pair", "answer", "backwards", "filled", "forwards", "load",
           "of_two_jointly", "versions"]  # fmt: skip

OURS, TOOLKIT = ("imreg-xp",), ("image-registration",)

# half the extent of the 68.27 % region of two parameters jointly, in marginal 1 sigma
JOINT = 1.5151


class Pair(NamedTuple):
    """Two images; pixels that are NaN are masked."""

    reference: np.ndarray
    moving: np.ndarray
    moving_err: Any = None
    reference_err: Any = None


class Answer(NamedTuple):
    """The shift (y, x) to apply to `moving`, and its marginal 1 sigma where the method reports one."""

    shift: np.ndarray
    error: np.ndarray | None = None


@dataclass(frozen=True)
class Method:
    """An estimator: the package it is in, and how it is called on a pair and, if it can, on a stack."""

    name: str
    packages: tuple[str, ...]
    """Distributions that may provide the module."""
    module: str
    pair: Callable[[Any, Pair], Answer]
    stack: Callable[[Any, np.ndarray, np.ndarray], np.ndarray] | None = None
    """(module, reference, frames) to shifts; without it the frames are looped over."""
    masks: bool = False
    """Takes NaN as a mask; for the others `filled` puts the median there."""
    errors: bool = False

    @property
    def ours(self) -> bool:
        """Whether it is one of this package."""
        return self.module == "imreg_xp"


def _register(**options: Any) -> Callable[[Any, Pair], Answer]:
    def call(package: Any, pair: Pair) -> Answer:
        found = package.register(
            pair.reference, pair.moving, moving_err=pair.moving_err, reference_err=pair.reference_err, **options
        )
        return Answer(found.shift, found.shift_err)

    return call


def _register_stack(**options: Any) -> Callable[[Any, np.ndarray, np.ndarray], np.ndarray]:
    return lambda package, reference, frames: package.register_stack(reference, frames, **options).shift


def forwards(found: Any) -> np.ndarray:
    """Turn two numbers (x, y) into an array (y, x)."""
    return np.array([float(v) for v in found[:2]])[::-1]


def backwards(found: Any) -> np.ndarray:
    """Turn (dx, dy), how far `moving` lies from `reference`, into what to apply along (y, x)."""
    return -forwards(found)


def of_two_jointly(function: str, **options: Any) -> Callable[[Any, Pair], Answer]:
    """Return a call of a documented chi² function, ours or theirs, whose errors are those of two parameters jointly.

    It takes one `err`: that of the difference of the images, where both have noise.
    """

    def call(package: Any, pair: Pair) -> Answer:
        err = pair.moving_err
        if err is not None and pair.reference_err is not None:
            err = np.hypot(err, pair.reference_err)
        found = getattr(package, function)(*pair[:2], err, zeromean=True, **options)
        return Answer(backwards(found), forwards(found[2:4]) / JOINT)

    return call


def _standard(pair: Pair) -> list[np.ndarray]:
    """Return images of mean 0 and rms 1, for methods that allow for neither gain nor background."""
    return [(image - image.mean()) / image.std() for image in pair[:2]]


def _skimage(package: Any, pair: Pair) -> Answer:
    return Answer(package.phase_cross_correlation(*pair[:2], upsample_factor=100)[0])


def _skimage_no_phase(package: Any, pair: Pair) -> Answer:
    return Answer(package.phase_cross_correlation(*_standard(pair), upsample_factor=100, normalization=None)[0])


def _skimage_masked(package: Any, pair: Pair) -> Answer:
    masks = [np.isfinite(image) for image in pair[:2]]
    images = [np.where(mask, image, 0) for mask, image in zip(masks, pair[:2], strict=True)]
    return Answer(package.phase_cross_correlation(*images, reference_mask=masks[0], moving_mask=masks[1])[0])


def _hann(package: Any, pair: Pair) -> Answer:
    kind = package.CV_32F if pair.moving.dtype == np.float32 else package.CV_64F
    window = package.createHanningWindow(pair.moving.shape[::-1], kind)
    return Answer(backwards(package.phaseCorrelate(*pair[:2], window)[0]))


def _stackreg(package: Any, pair: Pair) -> Answer:
    return Answer(backwards(package.StackReg(package.StackReg.TRANSLATION).register(*_standard(pair))[:2, 2]))


def _torch_pair(package: Any, pair: Pair) -> Answer:
    return Answer(_torch_stack(package, pair.reference, pair.moving[None])[0])


def _torch_stack(torch: Any, reference: np.ndarray, frames: np.ndarray) -> np.ndarray:
    """Correlate the phases of a batch at once; the peak of each is that of a parabola through three pixels."""
    shape = reference.shape
    cross = torch.fft.rfft2(torch.as_tensor(reference)) * torch.fft.rfft2(torch.as_tensor(frames)).conj()
    surface = torch.fft.irfft2(cross / cross.abs().clamp(min=torch.finfo(cross.real.dtype).tiny), s=shape)
    peak = surface.flatten(1).argmax(1)
    where = [peak // shape[1], peak % shape[1]]
    item = torch.arange(len(frames))
    shifts = []
    for axis, n in enumerate(shape):
        near = [[(w + (k if a == axis else 0)) % s for a, (w, s) in enumerate(zip(where, shape, strict=True))]
                for k in (-1, 0, 1)]  # fmt: skip
        low, top, high = (surface[item, y, x] for y, x in near)
        found = where[axis] + 0.5 * (low - high) / (low - 2 * top + high)
        shifts.append((found + n / 2) % n - n / 2)
    return torch.stack(shifts, dim=1).numpy()


_OPENCV = ("opencv-contrib-python-headless", "opencv-python-headless", "opencv-contrib-python", "opencv-python")
_CHI2 = of_two_jointly("chi2_shift", upsample_factor="auto")
_WHITE: dict[str, Any] = {"boundary": "wrap", "noise": "white"}
_SKIMAGE = ("scikit-image",)

METHODS: tuple[Method, ...] = (
    Method("imreg_xp, overlap", OURS, "imreg_xp", _register(), _register_stack(), masks=True, errors=True),
    Method(
        "imreg_xp, overlap, white",
        OURS,
        "imreg_xp",
        _register(noise="white"),
        _register_stack(noise="white"),
        True,
        True,
    ),
    Method(
        "imreg_xp, wrap", OURS, "imreg_xp", _register(boundary="wrap"), _register_stack(boundary="wrap"), True, True
    ),
    Method("imreg_xp, wrap, white", OURS, "imreg_xp", _register(**_WHITE), _register_stack(**_WHITE), True, True),
    Method("imreg_xp.chi2_shift", OURS, "imreg_xp", _CHI2, masks=True, errors=True),
    Method("image_registration.chi2_shift", TOOLKIT, "image_registration", _CHI2, errors=True),
    Method(
        "image_registration.register_images",
        TOOLKIT,
        "image_registration",
        lambda p, q: Answer(backwards(p.register_images(*q[:2], usfac=100))),
    ),
    Method(
        "image_registration.cross_correlation_shifts",
        TOOLKIT,
        "image_registration",
        lambda p, q: Answer(backwards(p.cross_correlation_shifts(*q[:2]))),
    ),
    Method("scikit-image", _SKIMAGE, "skimage.registration", _skimage),
    Method("scikit-image, no phase", _SKIMAGE, "skimage.registration", _skimage_no_phase),
    Method("scikit-image, masked", _SKIMAGE, "skimage.registration", _skimage_masked, masks=True),
    Method("OpenCV phaseCorrelate", _OPENCV, "cv2", lambda p, q: Answer(backwards(p.phaseCorrelate(*q[:2])[0]))),
    Method("OpenCV phaseCorrelate, Hann", _OPENCV, "cv2", _hann),
    Method(
        "OpenCV phaseCorrelateIterative",
        _OPENCV,
        "cv2",
        lambda p, q: Answer(backwards(p.phaseCorrelateIterative(*q[:2]))),
    ),
    Method("imreg_dft", ("imreg-dft",), "imreg_dft", lambda p, q: Answer(np.asarray(p.translation(*q[:2])["tvec"]))),
    Method("pystackreg", ("pystackreg",), "pystackreg", _stackreg),
    Method("torch phase correlation", ("torch",), "torch", _torch_pair, _torch_stack),
)


def load(method: Method) -> Any | None:
    """Return the module of a method, None if it is not installed."""
    if importlib.util.find_spec(method.module.partition(".")[0]) is None:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return importlib.import_module(method.module)
        except ImportError:
            return None


def answer(method: Method, package: Any, pair: Pair) -> Answer | str:
    """Return what a method finds, or how it failed; what it warns of is of no interest."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = method.pair(package, pair if method.masks else filled(pair))
    except Exception as error:  # noqa: BLE001  # of another package, on this version of NumPy
        return f"fails: {type(error).__name__}"
    shift = np.asarray(found.shift, dtype=np.float64)
    return Answer(shift, None if found.error is None else np.asarray(found.error, dtype=np.float64))


def filled(pair: Pair) -> Pair:
    """Return a pair with the median in the place of NaN, which is what is left to do without masks."""
    images = [np.where(np.isfinite(image), image, np.nanmedian(image)) for image in pair[:2]]
    return Pair(images[0], images[1], *pair[2:])


def versions() -> dict[str, str]:
    """Return the version of each package that is installed, "not installed" for the others."""
    found = {}
    for method in METHODS:
        versions = [v for v in map(_version, method.packages) if v]
        found[method.packages[0] if method.module != "cv2" else "opencv"] = (versions or ["not installed"])[0]
    return found


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return ""
