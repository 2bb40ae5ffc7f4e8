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


def smooth_scene(name):
    """Return a real image seen with a beam of 1.5 pixels, so that it has a value at every position."""
    if name.endswith(".fits"):
        with fits.open(DATA / name) as hdus:
            image = next(h.data for h in hdus if h.data is not None).astype(float)
        image = np.where(np.isfinite(image), image, np.nanmedian(image))
    else:
        image = getattr(pytest.importorskip("skimage.data"), name)().astype(float)
    return scipy.ndimage.gaussian_filter(image - image.mean(), 1.5)


@pytest.mark.parametrize(
    ("name", "limit"), [("aia_171.fits", 128), ("eit_195.fits", 128), ("camera", 307), ("moon", 307)]
)
def test_real_images(name, limit):
    """Any angle, magnifications 0.6 to 1.6, a quarter of the area missing, noise of 5 % of the rms in both images.

    In images of 128 pixels the errors that are claimed are up to 0.01 degrees and 2e-4: the rms counts there.
    """
    image, rng = smooth_scene(name), np.random.default_rng(7)
    first = (np.array(image.shape) - limit) // 2
    reference = image[first[0] : first[0] + limit, first[1] : first[1] + limit]
    noise, made = 0.05 * reference.std(), []
    for magnification in (0.6, 0.75, 0.9, 1.0, 1.2, 1.4, 1.6, 1.0):
        angle, shift = rng.uniform(-180, 180), 0.134 * limit * rng.choice([-1, 1], 2)
        y, x = places((limit, limit), ((limit - 1) / 2,) * 2, shift, angle, magnification)
        moving = scipy.ndimage.map_coordinates(image, [y + first[0], x + first[1]], order=5, cval=np.nan)
        noisy = [im + noise * rng.normal(size=im.shape) for im in (reference, moving)]
        result = imreg_xp.register(*noisy, model="similarity")
        assert result.status == 0
        assert np.all(np.abs(result.shift - shift) < 0.05)
        made.append([(result.angle - angle + 180) % 360 - 180, result.magnification - magnification])
    worst = np.max(np.abs(made), axis=0) if limit > 128 else np.sqrt(np.mean(np.square(made), axis=0))
    assert np.all(worst < (0.02, 2e-4))


def skies(count, seed, *, magnified=True):
    """Return pairs without noise, and the truth of each: k^-3 skies with a beam, summed directly at all positions."""
    rng = np.random.default_rng(seed)
    truth = np.column_stack([rng.uniform(-7, 7, (count, 2)), rng.uniform(-180, 180, count), np.ones(count)])
    truth[:, 3] = np.exp(rng.uniform(-0.35, 0.35, count)) if magnified else 1.0
    pairs = [turned_pair(rng, SHAPE, shift=t[:2], angle=t[2], magnification=t[3]) for t in truth]
    return truth, *(np.stack(images) for images in zip(*pairs, strict=True))


@pytest.fixture(scope="module")
def many():
    return skies(REALISATIONS, 11)


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


@pytest.mark.parametrize(
    ("noise", "given", "options"),
    [
        pytest.param((0.0, 0.05), (False, False), {}, id="in moving, estimated"),
        pytest.param((0.0, 0.2), (False, True), {"noise": "white"}, id="in moving, given, white"),
        pytest.param((0.1, 0.1), (False, False), {}, id="in both, estimated"),
        pytest.param((0.2, 0.2), (True, True), {"noise": "white"}, id="in both, given, white"),
    ],
)
def test_pulls(many, noise, given, options):
    truth, reference, moving = many
    rng = np.random.default_rng(1)
    errors = {"reference_err": noise[0], "moving_err": 1.7 * noise[1]}
    errors = {name: err for (name, err), known in zip(errors.items(), given, strict=True) if known}
    result = imreg_xp.register(
        reference + noise[0] * rng.normal(size=reference.shape),
        1.7 * (moving + noise[1] * rng.normal(size=moving.shape)) - 4,
        model="similarity",
        **errors,
        **options,
    )
    np.testing.assert_allclose(pulls(truth, result), 1, atol=0.15)


def test_pulls_with_masks_and_error_maps(many):
    """The noise of moving grows by a factor of 6 from one side to the other; each sky is seen twice."""
    truth, reference, moving = (np.concatenate([a, a]) for a in many)
    rng = np.random.default_rng(2)
    err = 0.1 * np.geomspace(0.4, 2.5, SHAPE[1]) * np.ones(SHAPE)
    seen = blocks(rng), blocks(rng)
    reference = np.where(seen[0], reference + 0.1 * rng.normal(size=reference.shape), 50.0)
    moving = np.where(seen[1], 1.7 * (moving + err * rng.normal(size=moving.shape)) - 4, np.nan)
    result = imreg_xp.register(
        reference, moving, reference_err=0.1, moving_err=1.7 * err, reference_valid=seen[0], model="similarity"
    )
    np.testing.assert_allclose(pulls(truth, result), 1, atol=0.15)


def test_pulls_of_the_rigid_model():
    truth, reference, moving = skies(REALISATIONS // 2, 12, magnified=False)
    rng = np.random.default_rng(3)
    noisy = [im + 0.1 * rng.normal(size=im.shape) for im in (reference, moving)]
    found = pulls(truth, imreg_xp.register(*noisy, model="rigid"))
    assert found.shape == (3,)
    np.testing.assert_allclose(found, 1, atol=0.15)
