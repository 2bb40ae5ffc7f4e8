"""Rotation and magnification with masks and error maps: errors that are true."""

from __future__ import annotations

import numpy as np
import pytest
from turned_scenes import turned_pair

import imreg_xp

pytestmark = pytest.mark.slow

REALISATIONS = 200
SHAPE = (72, 68)


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
