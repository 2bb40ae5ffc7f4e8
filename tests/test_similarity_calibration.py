"""Rotation and magnification on real images, and errors that are true."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.ndimage
from astropy.io import fits
from turned_scenes import places, turned_pair

import imreg_xp

pytestmark = pytest.mark.slow

REALISATIONS = 200
SHAPE = (72, 68)
DATA = Path(imreg_xp.__file__).parent / "data"


def smooth_scene(name, beam=1.5):
    """Return a real image seen with a beam, so that it has a value at every position."""
    if name.endswith(".fits"):
        with fits.open(DATA / name) as hdus:
            image = next(h.data for h in hdus if h.data is not None).astype(float)
        image = np.where(np.isfinite(image), image, np.nanmedian(image))
    else:
        image = getattr(pytest.importorskip("skimage.data"), name)().astype(float)
    return scipy.ndimage.gaussian_filter(image - image.mean(), beam)


def turns_of(image, size, *, noise_in_both):
    """Return errors made and claimed (turns, 4) of angle, magnification and shift of a size x size piece of an image.

    Any angle, magnifications 0.6 to 1.6, a quarter of the area missing, noise of 5 % of the rms.
    """
    rng = np.random.default_rng(7)
    first = (np.array(image.shape) - size) // 2
    reference = image[first[0] : first[0] + size, first[1] : first[1] + size]
    noise = 0.05 * reference.std()
    made, claimed = [], []
    for magnification in (0.6, 0.75, 0.9, 1.0, 1.2, 1.4, 1.6, 1.0):
        angle, shift = rng.uniform(-180, 180), 0.134 * size * rng.choice([-1, 1], 2)
        y, x = places((size, size), ((size - 1) / 2,) * 2, shift, angle, magnification)
        moving = scipy.ndimage.map_coordinates(image, [y + first[0], x + first[1]], order=5, cval=np.nan)
        known = reference + noise * rng.normal(size=reference.shape) if noise_in_both else reference
        r = imreg_xp.register(known, moving + noise * rng.normal(size=moving.shape), model="similarity")
        assert r.status == 0
        turn = (r.angle - angle + 180) % 360 - 180
        made.append(np.abs([turn, r.magnification - magnification, *(r.shift - shift)]))
        claimed.append([r.angle_err, r.magnification_err, *r.shift_err])
    return np.array(made), np.array(claimed)


LIMITS = np.array([0.02, 2e-4, 0.05, 0.05])


@pytest.mark.parametrize(
    ("name", "size", "beam", "noise_in_both"),
    [
        ("camera", 307, 1.5, True),
        ("moon", 307, 1.5, True),
        ("aia_171.fits", 128, 1.0, False),
        ("eit_195.fits", 128, 1.0, False),
    ],
)
def test_real_images(name, size, beam, noise_in_both):
    made, _ = turns_of(smooth_scene(name, beam), size, noise_in_both=noise_in_both)
    assert np.all(made < LIMITS)


@pytest.mark.parametrize("name", ["aia_171.fits", "eit_195.fits"])
def test_small_real_images_with_noise_in_both(name):
    """Of 100 pixels magnified 1.6 times the noise alone leaves more: all turns together, and each by its error."""
    made, claimed = turns_of(smooth_scene(name), 100, noise_in_both=True)
    assert np.all(np.sqrt(np.mean(np.square(made), axis=0)) < LIMITS)
    assert np.all(made < np.minimum(4 * claimed, 2.5 * LIMITS))


@pytest.fixture(scope="module")
def skies():
    """Pairs without noise, and the truth of each: k^-3 skies with a beam, summed directly at all positions."""
    rng = np.random.default_rng(11)
    truths = [
        (*rng.uniform(-7, 7, 2), rng.uniform(-180, 180), np.exp(rng.uniform(-0.35, 0.35))) for _ in range(REALISATIONS)
    ]
    pairs = [turned_pair(rng, SHAPE, shift=t[:2], angle=t[2], magnification=t[3]) for t in truths]
    return np.array(truths), np.stack([p[0] for p in pairs]), np.stack([p[1] for p in pairs])


def pulls(truth, result):
    """Return the rms of error made over error claimed of shift, angle and magnification; all must be near the truth."""
    found = result.status == 0
    assert found.mean() >= 0.97
    angle = (result.angle - truth[:, 2] + 180) % 360 - 180
    made = np.column_stack([result.shift - truth[:, :2], angle, result.magnification - truth[:, 3]])
    claimed = np.column_stack([result.shift_err, result.angle_err, result.magnification_err])
    # what cannot be found says so
    assert np.all(np.abs(made[found]) < (1, 1, 2, 0.05))
    fitted = claimed[found].min(axis=0) > 0
    return np.sqrt(np.mean((made[found][:, fitted] / claimed[found][:, fitted]) ** 2, axis=0))


def blocks(rng):
    """Return masks of random blocks that cover a tenth of each image."""
    bad = np.zeros((2 * REALISATIONS, *SHAPE), dtype=bool)
    for mask in bad:
        while mask.mean() < 0.1:
            i, j = (rng.integers(0, n) for n in SHAPE)
            mask[i : i + rng.integers(3, 12), j : j + rng.integers(3, 12)] = True
    return ~bad


CASES = {
    "moving, error estimated": (0.0, 0.05, {}),
    "moving, error given": (0.0, 0.2, {"moving_err": True}),
    "moving, white": (0.0, 0.05, {"noise": "white"}),
    "both, error estimated": (0.1, 0.1, {}),
    "both, errors given": (0.2, 0.2, {"moving_err": True, "reference_err": True}),
    "both, white": (0.1, 0.1, {"moving_err": True, "reference_err": True, "noise": "white"}),
    "rigid": (0.1, 0.1, {"model": "rigid"}),
}


@pytest.mark.parametrize("case", CASES)
def test_pulls(skies, case):
    truths, references, movings = skies
    noise_r, noise_m, how = CASES[case]
    rng, gain = np.random.default_rng(sum(map(ord, case))), 1.7
    options = {k: v for k, v in how.items() if k in ("noise", "model")} | {}
    if how.get("model") == "rigid":
        still = truths[:60].copy()
        still[:, 3] = 1.0
        pairs = [turned_pair(rng, SHAPE, shift=t[:2], angle=t[2]) for t in np.repeat(still, 4, axis=0)[:REALISATIONS]]
        truths = np.repeat(still, 4, axis=0)[:REALISATIONS]
        references, movings = (np.stack(images) for images in zip(*pairs, strict=True))
    reference = references + noise_r * rng.normal(size=references.shape)
    moving = gain * (movings + noise_m * rng.normal(size=movings.shape)) - 4
    if how.get("moving_err"):
        options["moving_err"] = gain * noise_m
    if how.get("reference_err"):
        options["reference_err"] = noise_r
    result = imreg_xp.register(reference, moving, **{"model": "similarity", **options})
    found = pulls(truths, result)
    assert len(found) == (3 if how.get("model") == "rigid" else 4)
    np.testing.assert_allclose(found, 1, atol=0.15)


def test_pulls_with_masks_and_error_maps(skies):
    """The noise of moving grows by a factor of 6 from one side to the other; each sky is seen twice."""
    truth, reference, moving = (np.concatenate([a, a]) for a in skies)
    rng = np.random.default_rng(2)
    err = 0.1 * np.geomspace(0.4, 2.5, SHAPE[1]) * np.ones(SHAPE)
    seen = blocks(rng), blocks(rng)
    reference = np.where(seen[0], reference + 0.1 * rng.normal(size=reference.shape), 50.0)
    moving = np.where(seen[1], 1.7 * (moving + err * rng.normal(size=moving.shape)) - 4, np.nan)
    result = imreg_xp.register(
        reference, moving, reference_err=0.1, moving_err=1.7 * err, reference_valid=seen[0], model="similarity"
    )
    np.testing.assert_allclose(pulls(truth, result), 1, atol=0.15)
