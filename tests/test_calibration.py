"""Errors are true: pulls and efficiencies over many seeded realisations."""

from __future__ import annotations

import numpy as np
import pytest
from calibration import Outcome, draw, two_channel_bound
from skies import cut, random_sky

import imreg_xp

pytestmark = pytest.mark.slow

REALISATIONS = 400


def outcome(shape, seed, *, boundary="overlap", given=True, noise_model="correlated", **scene):
    rng = np.random.default_rng(seed)
    made, claimed, bounds = [], [], []
    for _ in range(REALISATIONS):
        s = draw(rng, shape, periodic=boundary == "wrap", **scene)
        err = None
        if given:
            err = s.moving_err if np.ptp(s.moving_err) else float(s.moving_err[0, 0])
        result = imreg_xp.register(s.reference, s.moving, moving_err=err, boundary=boundary, noise=noise_model)
        made.append(-result.shift - s.offset)
        claimed.append(result.shift_err)
        bounds.append(s.bound)
    return Outcome(made, claimed, bounds)


@pytest.mark.parametrize("noise", [0.01, 0.1, 0.5])
@pytest.mark.parametrize(
    ("given", "scene"),
    [
        pytest.param(True, {}, id="error-given"),
        pytest.param(False, {}, id="error-estimated"),
        pytest.param(True, {"ramp": True}, id="error-ramp"),
        pytest.param(True, {"holes": 0.2}, id="holes"),
    ],
)
def test_two_pointings(noise, given, scene):
    """Cut-outs of a larger sky, shifts to a third of the image, gain, background; the ramp is of a factor 10."""
    o = outcome((128, 128), 1, noise=noise, given=given, **scene)
    assert o.found >= 0.99
    assert o.pull == pytest.approx(1, abs=0.1)
    assert o.efficiency >= 0.9


@pytest.mark.parametrize("boundary", ["overlap", "wrap"])
@pytest.mark.parametrize("beam", [0.0, 1.0, 2.0])
@pytest.mark.parametrize("both", [False, True])
def test_correlated_noise(boundary, beam, both):
    o = outcome(
        (100, 110), 2, noise=0.1, reference_noise=0.1 if both else 0.0, noise_beam=beam, boundary=boundary, given=False
    )
    assert o.found == 1
    assert o.pull == pytest.approx(1, abs=0.15)


@pytest.mark.parametrize(("beam", "least"), [(1.0, 2.0), (2.0, 3.0)])
def test_the_white_formula_is_wrong_for_correlated_noise(beam, least):
    """Guards the test above: its scenes do tell a true error from a white one."""
    o = outcome((100, 110), 2, noise=0.1, noise_beam=beam, boundary="overlap", given=False, noise_model="white")
    assert o.pull > least


@pytest.mark.parametrize("noise", [0.1, 0.3, 1.0])
def test_noise_in_both_images(noise):
    """Known noise in both periodic images: the two-channel bound is reached, and no false peak is chosen."""
    rng = np.random.default_rng(3)
    shape = (96, 117)
    made, claimed, bounds = [], [], []
    for _ in range(REALISATIONS):
        sky = random_sky(shape, rng, beam=1.2)
        offset = rng.uniform(-20, 20, 2)
        reference = cut(sky, (0, 0), shape) + noise * rng.normal(size=shape)
        moving = 1.7 * (cut(sky, -offset, shape) + noise * rng.normal(size=shape)) + 4
        result = imreg_xp.register(
            reference, moving, reference_err=noise, moving_err=1.7 * noise, boundary="wrap", noise="white"
        )
        made.append(-result.shift - offset)
        claimed.append(result.shift_err)
        bounds.append(two_channel_bound(sky, noise, noise))
    o = Outcome(made, claimed, bounds)
    assert o.found == 1
    assert o.pull == pytest.approx(1, abs=0.1)
    assert o.efficiency >= 0.9


def test_what_sampling_folds_into_the_band_weighs_little():
    """Every other pixel of a sky with a beam of 1: the folded modes would bias the shift by twice its error."""
    rng, pulls = np.random.default_rng(12), []
    for _ in range(120):
        sky, offset = random_sky((512, 512), rng, beam=1.0), rng.uniform(-6, 6, 2)
        origin = rng.uniform(100, 120, 2)
        views = [cut(sky, o, (256, 256))[::2, ::2] for o in (origin, origin - 2 * offset)]
        reference, moving = views[0], views[1] + 0.01 * rng.normal(size=(128, 128))
        result = imreg_xp.register(reference, moving)
        assert result.status == 0
        pulls.append((result.shift + offset) / result.shift_err)
    assert np.sqrt(np.mean(np.square(pulls))) < 1.4
