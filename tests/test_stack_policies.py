"""Stacks without a reference: chains, all pairs, the joint estimate. What adds up and what averages out."""

from __future__ import annotations

import numpy as np
import pytest
from skies import cut, random_sky

import imreg_xp
from imreg_xp import Status
from imreg_xp.stacks import POLICIES

SHAPE = (41, 37)
CHAINS = ("previous", "all-pairs")
RELATIVE = (*CHAINS, "joint")


def drift(count, rng, *, noise=0.02, step=0.5, walk=True, shape=SHAPE, beam=1.2, periodic=True):
    """Return frames of one sky, and the shifts that bring them to the first."""
    sky = random_sky(shape if periodic else tuple(2 * n for n in shape), rng, beam=beam)
    origin = np.zeros(2) if periodic else np.array(shape) / 2
    steps = rng.normal(size=(count, 2)) * step if walk else rng.uniform(-3, 3, (count, 2))
    shifts = np.cumsum(steps, axis=0) if walk else steps
    shifts = shifts - shifts[0]
    frames = np.stack([cut(sky, origin + d, shape) for d in shifts])
    return frames + noise * rng.normal(size=frames.shape), shifts, cut(sky, origin, shape)


@pytest.mark.parametrize("boundary", ["overlap", "wrap"])
@pytest.mark.parametrize("policy", POLICIES)
def test_frames_that_are_not_looked_at_are_aligned_alike(backend, rng, boundary, policy):
    """What the others have in common has holes at its border, whatever is known of the frames."""
    frames, _, _ = drift(5, rng, periodic=boundary == "wrap", walk=False)
    given = backend.asarray(frames)
    found, expected = (imreg_xp.register_stack(policy, given, boundary=boundary, check_finite=c) for c in (False, True))
    np.testing.assert_array_equal(backend.to_numpy(found.status), 0)
    moved = backend.to_numpy(found.shift) - backend.to_numpy(expected.shift)
    assert np.max(abs(moved)[1:] / backend.to_numpy(expected.shift_err)[1:]) < 0.05


@pytest.mark.parametrize("boundary", ["overlap", "wrap"])
@pytest.mark.parametrize("policy", RELATIVE)
def test_frames_are_aligned_to_the_first(backend, rng, boundary, policy):
    frames, shifts, _ = drift(7, rng, periodic=boundary == "wrap")
    given = backend.asarray(frames)
    found = imreg_xp.register_stack(policy, given, boundary=boundary, chunk=3)
    np.testing.assert_array_equal(backend.to_numpy(found.status), 0)
    shift, error = backend.to_numpy(found.shift), backend.to_numpy(found.shift_err)
    np.testing.assert_array_equal(shift[0], 0)
    np.testing.assert_array_equal(error[0], 0)
    assert np.max(abs(shift - shifts)) < 0.05
    assert np.all((error[1:] > 0) & (error[1:] < 0.05))
    assert found.shift.dtype == given.dtype
    np.testing.assert_array_equal(backend.to_numpy(given), backend.to_numpy(backend.asarray(frames)))


@pytest.mark.parametrize("policy", RELATIVE)
def test_gains_and_levels_are_relative_to_the_first_frame(rng, policy):
    frames, _, _ = drift(6, rng, noise=0.01)
    gains, levels = np.linspace(1, 2, 6), np.linspace(3, -3, 6)
    found = imreg_xp.register_stack(policy, gains[:, None, None] * frames + levels[:, None, None], boundary="wrap")
    np.testing.assert_allclose(found.scale, gains, rtol=0.01)
    np.testing.assert_allclose(found.background, levels - 3 * gains, atol=0.02)


@pytest.mark.parametrize("policy", RELATIVE)
@pytest.mark.parametrize("chunk", [1, 4, None])
def test_chunks_do_not_matter(rng, policy, chunk):
    frames, _, _ = drift(9, rng)
    whole = imreg_xp.register_stack(policy, frames, boundary="wrap", chunk=9)
    found = imreg_xp.register_stack(policy, frames, boundary="wrap", chunk=chunk)
    for a, b in zip(found, whole, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("boundary", ["overlap", "wrap"])
@pytest.mark.parametrize("policy", ["first", "mean", "joint"])
@pytest.mark.parametrize("kind", ["number", "per frame"])
def test_the_error_of_frames_is_that_of_what_they_are_registered_on(policy, boundary, kind):
    """A frame, and the mean of others, has noise too: taken for free of it, frames as faint as this were lost."""
    errors, pulls = {"given": [], "not": []}, []
    for seed in range(6):
        frames, shifts, _ = drift(
            12, np.random.default_rng(seed), noise=0.7, walk=False, periodic=boundary == "wrap", shape=(64, 60)
        )
        err = 0.7 if kind == "number" else np.full(frames.shape, 0.7)
        for name, given in (("given", err), ("not", None)):
            found = imreg_xp.register_stack(policy, frames, moving_err=given, boundary=boundary)
            np.testing.assert_array_equal(found.status, 0)
            errors[name].append(found.shift - found.shift[0] - shifts)
            if name == "given" and policy != "mean":
                pulls.append(errors[name][-1][1:] / found.shift_err[1:])
    rms = {name: np.sqrt(np.mean(np.square(found))) for name, found in errors.items()}
    assert rms["given"] < 1.1 * rms["not"]
    if pulls:
        assert 0.6 < np.sqrt(np.mean(np.square(pulls))) < 1.4


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("count", [1, 2, 3])
def test_few_frames_are_a_stack_too(rng, policy, count):
    frames, shifts, _ = drift(count, rng)
    found = imreg_xp.register_stack(policy, frames, boundary="wrap")
    assert found.shift.shape == (count, 2)
    np.testing.assert_array_equal(found.status, 0)
    np.testing.assert_allclose(found.shift - found.shift[0], shifts, atol=0.1)


@pytest.mark.parametrize("boundary", ["overlap", "wrap"])
@pytest.mark.parametrize("policy", POLICIES[1:])
@pytest.mark.parametrize("bad", [(0,), (3,), (0, 1), (4, 5), (8,)], ids=str)
def test_bad_frames_are_flagged_and_bridged(rng, policy, boundary, bad):
    frames, shifts, _ = drift(9, rng, periodic=boundary == "wrap")
    for k, index in enumerate(bad):
        frames[index] = np.nan if k else 7.0
    found = imreg_xp.register_stack(policy, frames, boundary=boundary)
    good = np.isin(np.arange(9), bad, invert=True)
    np.testing.assert_array_equal(found.status == 0, good)
    assert np.all(np.isnan(found.shift[~good]))
    assert np.all((found.status[~good] & int(Status.FLAT_IMAGE | Status.TOO_FEW_VALID)) > 0)
    first = np.flatnonzero(good)[0]
    offset = found.shift[first] if policy == "mean" else np.zeros(2)
    np.testing.assert_allclose(found.shift[good] - offset, (shifts - shifts[first])[good], atol=0.05)


@pytest.mark.parametrize("policy", CHAINS)
def test_a_gap_longer_than_the_window_is_bridged(rng, policy):
    frames, shifts, _ = drift(12, rng)
    frames[3:9] = 0.0
    found = imreg_xp.register_stack(policy, frames, boundary="wrap", window=2)
    np.testing.assert_array_equal(found.status == 0, np.isin(np.arange(12), np.arange(3, 9), invert=True))
    np.testing.assert_allclose(found.shift[9:], shifts[9:], atol=0.05)


@pytest.mark.parametrize("policy", POLICIES)
def test_a_stack_without_a_usable_frame_has_no_shifts(policy):
    found = imreg_xp.register_stack(policy, np.ones((4, *SHAPE)), boundary="wrap")
    assert np.all(found.status != 0)
    for field in found[:-1]:
        assert np.all(np.isnan(field))


def test_a_wrong_pair_does_not_spoil_the_others(rng):
    """A frame with a bright ghost elsewhere matches its neighbours wrongly or not at all; loops tell."""
    frames, shifts, _ = drift(10, rng, step=0.3)
    frames[4] = 0.2 * frames[4] + np.roll(frames[3], (17, 15), axis=(0, 1))
    found = imreg_xp.register_stack("all-pairs", frames, boundary="wrap")
    others = np.arange(10) != 4
    np.testing.assert_allclose(found.shift[others], shifts[others], atol=0.1)


@pytest.mark.parametrize(
    ("policy", "options", "error", "message"),
    [
        ("all-pairs", {"window": 1}, ValueError, "`window` must be at least 2"),
        ("all-pairs", {"window": 2.5}, TypeError, "`window` must be an integer"),
        ("joint", {"reference_err": 0.1}, ValueError, "`reference_err` must be None with reference='joint'"),
        ("mean", {"reference_valid": np.ones(SHAPE, bool)}, ValueError, "`reference_valid` must be None"),
    ],
)
def test_options_that_a_policy_has_no_use_for(rng, policy, options, error, message):
    frames, _, _ = drift(3, rng)
    with pytest.raises(error, match=message):
        imreg_xp.register_stack(policy, frames, boundary="wrap", **options)


def slopes_squared(image):
    """Return the sums of squares of the derivatives of a periodic image, and of white noise of unit variance."""
    power = abs(np.fft.fft2(image)) ** 2 / image.size
    omegas = [2 * np.pi * np.fft.fftfreq(n) for n in image.shape]
    squares = [omegas[0][:, None] ** 2 * np.ones(image.shape), omegas[1] ** 2 * np.ones(image.shape)]
    return np.array([np.sum(w * power) for w in squares]), np.array([np.sum(w) for w in squares])


@pytest.mark.slow
@pytest.mark.parametrize("noise_model", ["white", "correlated"])
def test_the_joint_estimate_of_many_faint_frames_reaches_the_bound(noise_model):
    """50 frames at S/N 1 per pixel: as good as with the scene known, but for the noise of the mean."""
    count, pulls, squares, bounds = 50, [], [], []
    for seed in range(40):
        frames, shifts, scene = drift(count, np.random.default_rng(seed), noise=1.0, walk=False, shape=(65, 65))
        found = imreg_xp.register_stack("joint", frames, boundary="wrap", noise=noise_model)
        np.testing.assert_array_equal(found.status, 0)
        error = found.shift - shifts
        others = (error.sum(axis=0) - error) / (count - 1)
        squares.append(np.mean((error - others) ** 2, axis=0))
        bounds.append(1 / slopes_squared(scene)[0] * count / (count - 1))
        pulls.append(np.mean((error[1:] / found.shift_err[1:]) ** 2))
    assert np.sqrt(np.mean(squares) / np.mean(bounds)) < 1.1
    assert np.sqrt(np.mean(pulls)) == pytest.approx(1, abs=0.1)


@pytest.mark.slow
def test_all_pairs_beat_the_chain_by_what_theory_says():
    """What a pair has of its own, noise times noise, adds up along a chain and averages out over its loops.

    With A = sum (2 pi nu)^2 |S|^2 and B = sum (2 pi nu)^2 over the modes, and noise of variance P each, a frame has
    v = P / A and a pair of its own q = P^2 B / A^2. Frame k of a chain has the variance 2 v + q k; links to the frames
    1 ... w before it are as many resistors, and make it 2 v + q k / (1 + 4 + ... + w^2).
    """
    count, noise, window = 100, 0.3, 4
    found = {policy: [] for policy in CHAINS}
    pulls = {policy: [] for policy in CHAINS}
    theory = {policy: [] for policy in CHAINS}
    for seed in range(60):
        frames, shifts, scene = drift(count, np.random.default_rng(seed), noise=noise)
        signal, white = slopes_squared(scene)
        frame, pair = noise**2 / signal, noise**4 * white / signal**2
        for policy, share in zip(CHAINS, (1, sum(lag**2 for lag in range(1, window + 1))), strict=True):
            result = imreg_xp.register_stack(policy, frames, boundary="wrap", noise="white", window=window)
            error = (result.shift - shifts)[1:]
            found[policy].append(np.mean(error**2))
            pulls[policy].append(np.mean((error / result.shift_err[1:]) ** 2))
            theory[policy].append(np.mean(2 * frame + pair * count / 2 / share))
    ratio, expected = (np.sqrt(np.mean(x["previous"]) / np.mean(x["all-pairs"])) for x in (found, theory))
    assert ratio == pytest.approx(expected, rel=0.2)
    assert expected > 3
    for policy in CHAINS:
        assert np.sqrt(np.mean(pulls[policy])) == pytest.approx(1, abs=0.15)


def test_errors_of_single_frames_go_with_the_frame_on_either_side():
    rng = np.random.default_rng(4)
    scene = cut(random_sky((48, 44), rng, beam=1.2), np.zeros(2), (48, 44))
    errors = np.stack([0.02 * (1 + rng.random((48, 44))), 0.3 * (1 + rng.random((48, 44)))])
    frames = scene + errors * rng.standard_normal(errors.shape)
    found = imreg_xp.register_stack("previous", frames, moving_err=errors)
    pair = imreg_xp.register(*frames, reference_err=errors[0], moving_err=errors[1])
    np.testing.assert_allclose(found.shift[1], pair.shift, atol=1e-9)
    swapped = imreg_xp.register(*frames, reference_err=errors[1], moving_err=errors[0])
    assert np.max(abs(swapped.shift - pair.shift)) > 1e-4
