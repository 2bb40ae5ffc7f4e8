"""Symmetries that any right estimator keeps, whatever it is made of."""

from __future__ import annotations

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
from skies import cut, random_sky, smoothed_noise

import imreg_xp
from imreg_xp import Status

BOUNDARIES = ("overlap", "wrap")
SEEDS = st.integers(0, 99)
WHOLE = st.integers(-9, 9)
PIXELS = st.floats(-9, 9)


def periodic(shape, offset, *, noise=0.02, seed=0, beam=1.2):
    rng = np.random.default_rng(seed)
    sky = random_sky(shape, rng, beam=beam)
    return cut(sky, np.zeros(len(shape)), shape), cut(sky, -np.array(offset), shape) + noise * smoothed_noise(
        shape, rng
    )


def pointings(shape, offset, *, noise=0.02, seed=0, beam=1.2):
    rng = np.random.default_rng(seed)
    sky = random_sky(tuple(2 * n + 30 for n in shape), rng, beam=beam)
    origin = np.array(shape) / 2
    return cut(sky, origin, shape), cut(sky, origin - np.array(offset), shape) + noise * smoothed_noise(shape, rng)


def scene(boundary, *args, **kwargs):
    return (periodic if boundary == "wrap" else pointings)(*args, **kwargs)


SAME = {
    "alone": {},
    "white": {"noise": "white"},
    "error": {"moving_err": 0.1},
    "nothing fitted": {"fit_scale": False, "fit_background": False},
}


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("name", SAME)
@pytest.mark.parametrize("shape", [(200,), (61,), (45, 47), (40, 64), (17, 18, 20)], ids=str)
def test_an_image_does_not_lie_away_from_itself(boundary, name, shape):
    for seed in range(3):
        image = periodic(shape, np.zeros(len(shape)), seed=seed, beam=1.0 + 0.5 * seed)[0]
        result = imreg_xp.register(image, image, boundary=boundary, ndim=len(shape), **SAME[name])
        assert result.status == 0
        assert np.max(np.abs(result.shift)) < 1e-10
        assert result.scale == pytest.approx(1, abs=1e-6)
        assert result.background == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_nor_does_a_noisy_one_with_holes_or_in_single_precision(boundary, rng):
    image = periodic((46, 51), (0, 0), seed=4)[0] + rng.normal(size=(46, 51))
    holes = image.copy()
    holes[10:14, 20:25] = np.nan
    for im, tol in ((image, 1e-10), (holes, 1e-10), (image.astype(np.float32), 1e-6)):
        result = imreg_xp.register(im, im, boundary=boundary)
        assert result.status == 0
        assert np.max(np.abs(result.shift)) < tol


@hypothesis.settings(max_examples=40)
@hypothesis.given(st.sampled_from([(33, 40), (41, 36), (90,), (14, 15, 16)]), PIXELS, PIXELS, PIXELS, SEEDS)
def test_swapping_periodic_images_turns_the_shift(shape, dz, dy, dx, seed):
    k = len(shape)
    offset = np.clip((dz, dy, dx)[-k:], -4, 4)
    images = periodic(shape, offset, noise=0.1, seed=seed, beam=1.0)
    forth = imreg_xp.register(*images, boundary="wrap", ndim=k)
    back = imreg_xp.register(*images[::-1], boundary="wrap", ndim=k)
    assert forth.status == back.status == 0
    np.testing.assert_allclose(forth.shift, -back.shift, atol=1e-6)
    np.testing.assert_allclose(forth.shift_err, back.shift_err, rtol=0.05)


@hypothesis.settings(max_examples=15)
@hypothesis.given(PIXELS, PIXELS, SEEDS)
def test_swapping_two_pointings_turns_the_shift_within_a_part_of_its_error(dy, dx, seed):
    images = pointings((60, 70), (dy, dx), noise=0.05, seed=seed)
    forth, back = (imreg_xp.register(*p) for p in (images, images[::-1]))
    assert forth.status == back.status == 0
    # the border left out is another one, a sixth of the pixels: not the same numbers, but nothing that matters
    assert np.all(np.abs(forth.shift + back.shift) < 2 * forth.shift_err)
    np.testing.assert_allclose(forth.shift_err, back.shift_err, rtol=0.4)


@hypothesis.settings(max_examples=40)
@hypothesis.given(st.sampled_from([(80,), (81,), (16, 17, 18), (32, 20)]), PIXELS, PIXELS, PIXELS, st.booleans(), SEEDS)
def test_periodic_images_without_noise_are_exact(shape, dz, dy, dx, weighted, seed):
    k = len(shape)
    offset = np.array((dz, dy, dx)[-k:])
    images = periodic(shape, offset, noise=0, seed=seed, beam=0.8)
    valid = np.ones(shape, dtype=bool) if weighted else None
    result = imreg_xp.register(*images, boundary="wrap", ndim=k, moving_valid=valid)
    half = np.array(shape) / 2
    error = (-result.shift - offset + half) % (2 * half) - half
    np.testing.assert_allclose(error, 0, atol=1e-6)


@hypothesis.settings(max_examples=30)
@hypothesis.given(WHOLE, WHOLE, WHOLE, WHOLE, SEEDS)
def test_rolling_the_images_rolls_the_shift(a, b, c, d, seed):
    shape = np.array((38, 45))
    reference, moving = periodic(tuple(shape), (1.3, -0.4), noise=0.2, seed=seed)
    base = imreg_xp.register(reference, moving, boundary="wrap")
    rolled = imreg_xp.register(
        np.roll(reference, (a, b), (0, 1)), np.roll(moving, (a + c, b + d), (0, 1)), boundary="wrap"
    )
    np.testing.assert_allclose(rolled.shift, base.shift - (c, d), atol=1e-8)
    np.testing.assert_allclose(rolled.shift_err, base.shift_err, rtol=1e-6)


@pytest.mark.parametrize("fixed", [False, True])
@pytest.mark.parametrize("boundary", BOUNDARIES)
@hypothesis.settings(max_examples=15)
@hypothesis.given(
    exponent=st.floats(-20, 20), level=st.floats(-50, 50), first=st.floats(-50, 50), err=st.sampled_from([None, 0.02])
)
def test_units_of_the_images_do_not_matter(boundary, fixed, exponent, level, first, err):
    """Each image in units and above a level of its own: gain and background take it all."""
    reference, moving = scene(boundary, (40, 44), (1.7, -2.4))
    unit = 10**exponent
    base = imreg_xp.register(reference, moving, boundary=boundary, moving_err=err)
    if fixed:
        # one unit for both is all that is free where nothing is fitted
        options = {"boundary": boundary, "fit_scale": False, "fit_background": False}
        base = imreg_xp.register(reference, moving, moving_err=err, **options)
        other = imreg_xp.register(unit * reference, unit * moving, moving_err=err and unit * err, **options)
    else:
        other = imreg_xp.register(
            (reference + first) / unit, unit * (moving + level), boundary=boundary, moving_err=err and unit * err
        )
        assert other.scale == pytest.approx(base.scale * unit * unit, rel=1e-9)
        expected = unit * (base.background + level - base.scale * first)
        assert other.background == pytest.approx(expected, rel=1e-6, abs=1e-9 * unit)
    np.testing.assert_allclose(other.shift, base.shift, atol=1e-9)
    np.testing.assert_allclose(other.shift_err, base.shift_err, rtol=1e-6)
    np.testing.assert_allclose(other.chi2, base.chi2, rtol=1e-6)


@pytest.mark.parametrize(("first", "level"), [(-1, 2), (3, -3), (10, -0.1)])
def test_images_may_have_means_of_opposite_sign(first, level):
    reference, moving = periodic((40, 44), (1.7, -2.4))
    base = imreg_xp.register(reference, moving, boundary="wrap")
    other = imreg_xp.register(reference + first, moving + level, boundary="wrap")
    np.testing.assert_allclose(other.shift, base.shift, atol=1e-9)


@pytest.mark.parametrize("level", [1e3, 1e5, 1e8])
def test_a_large_pedestal_does_not_matter(level):
    images = periodic((40, 44), (1.7, -2.4))
    base = imreg_xp.register(*images, boundary="wrap")
    other = imreg_xp.register(*[im + level for im in images], boundary="wrap")
    np.testing.assert_allclose(other.shift, base.shift, atol=1e-6)
    np.testing.assert_allclose(other.shift_err, base.shift_err, rtol=1e-3)


@pytest.mark.parametrize("scale", [1e-30, 1e-20, 1e30])
@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_units_do_not_matter_in_single_precision(boundary, scale):
    images = [im.astype(np.float32) for im in scene(boundary, (40, 44), (1.7, -2.4))]
    base = imreg_xp.register(*images, boundary=boundary, moving_err=0.02)
    other = imreg_xp.register(*[np.float32(scale) * im for im in images], boundary=boundary, moving_err=0.02 * scale)
    assert other.shift.dtype == np.float32
    np.testing.assert_allclose(other.shift, base.shift, atol=1e-5)
    np.testing.assert_allclose(other.shift_err, base.shift_err, rtol=2e-3)
    np.testing.assert_allclose(other.scale, base.scale, rtol=1e-4)
    np.testing.assert_allclose(other.chi2, base.chi2, rtol=1e-3)


@pytest.mark.parametrize("order", [(0, 2, 1), (2, 1, 0), (1, 2, 0)], ids=str)
@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_permuting_the_axes_permutes_the_shift(boundary, order):
    images = scene(boundary, (22, 24, 26), (1.2, -0.7, 2.4))
    base = imreg_xp.register(*images, boundary=boundary, ndim=3)
    turned = imreg_xp.register(*[im.transpose(order) for im in images], boundary=boundary, ndim=3)
    assert base.status == 0
    np.testing.assert_allclose(turned.shift, base.shift[list(order)], atol=2e-3 * base.shift_err.max())
    np.testing.assert_allclose(turned.shift_err, base.shift_err[list(order)], rtol=0.02)


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_mirroring_an_axis_mirrors_the_shift(boundary):
    images = scene(boundary, (51, 54), (2.2, -3.7))
    base = imreg_xp.register(*images, boundary=boundary)
    turned = imreg_xp.register(*[im[:, ::-1] for im in images], boundary=boundary)
    np.testing.assert_allclose(turned.shift, base.shift * (1, -1), atol=2e-3 * base.shift_err.max())
    np.testing.assert_allclose(turned.covariance[0, 1], -base.covariance[0, 1], atol=0.02 * base.covariance[0, 0])


@pytest.mark.parametrize("offset", [(3, -5), (3.4, -5.3)], ids=str)
@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_applying_the_shift_to_moving_gives_the_reference(boundary, offset):
    """As in scikit-image: the shift that registers the moving image with the reference image."""
    reference, moving = scene(boundary, (60, 57), offset, noise=0)
    shift = imreg_xp.register(reference, moving, boundary=boundary).shift
    np.testing.assert_allclose(shift, -np.array(offset), atol=1e-3)
    apply = imreg_xp.fourier_shift if boundary == "wrap" else imreg_xp.apply_shift
    inner = (slice(10, -10),) * 2
    np.testing.assert_allclose(apply(moving, shift)[inner], reference[inner], atol=5e-3)
    assert np.max(np.abs(apply(moving, -shift)[inner] - reference[inner])) > 0.1


@pytest.mark.parametrize(
    ("origin", "small"), [((20.0, 31.0), (50, 45)), ((3.3, 8.6), (64, 40)), ((35.2, 11.7), (33, 60))], ids=str
)
def test_a_small_image_is_found_in_a_large_one(origin, small):
    rng = np.random.default_rng(6)
    sky = random_sky((200, 200), rng)
    large = cut(sky, (40, 40), (90, 100)) + 0.01 * rng.normal(size=(90, 100))
    image = cut(sky, np.array(origin) + 40, small) + 0.01 * rng.normal(size=small)
    forth, back = imreg_xp.register(large, image), imreg_xp.register(image, large)
    assert forth.status == back.status == 0
    np.testing.assert_allclose(forth.shift, origin, atol=5 * forth.shift_err.max())
    np.testing.assert_allclose(back.shift, -np.array(origin), atol=5 * back.shift_err.max())
    assert 0.7 < forth.overlap <= 1
    assert 0.5 < back.overlap <= 1


def _blob(centre, sigma, shape=(60, 62)):
    y, x = np.indices(shape)
    return np.exp(-((y - centre[0]) ** 2 + (x - centre[1]) ** 2) / (2 * sigma**2))


@pytest.mark.parametrize("noise", [0.0, 0.01])
def test_one_source_on_an_empty_sky(noise, rng):
    reference, moving = _blob((28, 30), 1.5), _blob((33, 26), 1.5) + noise * rng.normal(size=(60, 62))
    result = imreg_xp.register(reference, moving)
    assert Status(int(result.status)) is Status.OK
    np.testing.assert_allclose(result.shift, (-5, 4), atol=1e-6 + 5 * result.shift_err.max())


@pytest.mark.parametrize(("boundary", "masked"), [("overlap", False), ("overlap", True), ("wrap", True)])
def test_structure_of_one_pixel_is_not_the_border_of_the_search(boundary, masked):
    found = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        reference = rng.normal(size=(36, 38))
        moving = np.roll(reference, 2, 0) + 0.1 * rng.normal(size=(36, 38))
        valid = np.ones((36, 38), dtype=bool) if masked else None
        result = imreg_xp.register(reference, moving, boundary=boundary, moving_valid=valid)
        found.append(Status(int(result.status)))
    assert set(found) == {Status.OK}


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("which", ["reference", "moving"])
@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_a_pixel_that_is_no_number_is_a_masked_pixel(boundary, which, bad):
    images = dict(zip(("reference", "moving"), scene(boundary, (44, 40), (1.7, -2.4)), strict=True))
    valid = np.ones((44, 40), dtype=bool)
    valid[12:16, 20:23] = False
    valid[30, 7] = False
    masked = imreg_xp.register(**images, **{f"{which}_valid": valid}, boundary=boundary)
    spoiled = imreg_xp.register(**{**images, which: np.where(valid, images[which], bad)}, boundary=boundary)
    hidden = {**images, which: np.where(valid, images[which], -1e4)}
    garbage = imreg_xp.register(**hidden, **{f"{which}_valid": valid}, boundary=boundary)
    for other in (spoiled, garbage):
        for a, b in zip(other, masked, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-10)
    everything = imreg_xp.register(**images, boundary=boundary)
    assert masked.dof < everything.dof
    assert masked.overlap < everything.overlap


@pytest.mark.parametrize("which", ["reference", "moving"])
@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_a_pixel_with_an_impossible_error_is_a_masked_pixel(boundary, which):
    images = dict(zip(("reference", "moving"), scene(boundary, (44, 40), (1.7, -2.4)), strict=True))
    err = np.full((44, 40), 0.02)
    valid = np.ones((44, 40), dtype=bool)
    spoiled = err.copy()
    for row, value in zip((8, 14, 20, 26, 32), (np.nan, np.inf, -np.inf, 0.0, -1.0), strict=True):
        spoiled[row, 10:14] = value
        valid[row, 10:14] = False
    masked = imreg_xp.register(**images, **{f"{which}_valid": valid, f"{which}_err": err}, boundary=boundary)
    noticed = imreg_xp.register(**images, **{f"{which}_err": spoiled}, boundary=boundary)
    for a, b in zip(noticed, masked, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_a_mask_of_valid_pixels_and_a_flat_map_change_nothing(boundary):
    images = scene(boundary, (60, 64), (1.7, -2.4))
    everything = np.ones((60, 64), dtype=bool)
    plain = imreg_xp.register(*images, moving_err=0.02, boundary=boundary, noise="white")
    for options in (
        {"moving_err": np.full((60, 64), 0.02)},
        {"moving_err": 0.02, "moving_valid": everything},
        {"moving_err": 0.02, "reference_valid": everything},
    ):
        other = imreg_xp.register(*images, boundary=boundary, noise="white", **options)
        np.testing.assert_allclose(other.shift, plain.shift, atol=0.02 * plain.shift_err.min())
        np.testing.assert_allclose(other.shift_err, plain.shift_err, rtol=0.02)
        np.testing.assert_allclose(other.chi2, plain.chi2, rtol=0.01)
        np.testing.assert_allclose(other.scale, plain.scale, rtol=1e-4)


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_errors_grow_with_the_noise_given(boundary):
    images = scene(boundary, (50, 54), (1.7, -2.4))
    one, two = (imreg_xp.register(*images, moving_err=e, boundary=boundary) for e in (0.02, 0.04))
    np.testing.assert_allclose(two.shift, one.shift, atol=1e-9)
    np.testing.assert_allclose(two.shift_err, 2 * one.shift_err, rtol=1e-9)
    np.testing.assert_allclose(two.chi2, one.chi2 / 4, rtol=1e-9)
    assert 0.7 < one.chi2 / one.dof < 1.4


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_the_fields_belong_together(boundary):
    images = scene(boundary, (50, 54), (1.7, -2.4))
    for options in ({}, {"moving_err": 0.02}, {"reference_err": 0.01, "moving_err": 0.02}, {"noise": "white"}):
        result = imreg_xp.register(*images, boundary=boundary, **options)
        np.testing.assert_allclose(result.covariance, result.covariance.T, rtol=1e-9, atol=1e-15)
        np.testing.assert_allclose(np.sqrt(np.diag(result.covariance)), result.shift_err, rtol=1e-9)
        assert np.all(np.linalg.eigvalsh(result.covariance) > 0)
        if boundary == "wrap":
            assert result.overlap == 1
            assert result.dof == 50 * 54 - 4
        fixed = imreg_xp.register(*images, boundary=boundary, fit_scale=False, fit_background=False, **options)
        assert fixed.dof == result.dof + 2
        assert (fixed.scale, fixed.background) == (1, 0)


@pytest.mark.parametrize("limit", [3, 5.5, (5.5, 4)], ids=str)
@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_no_shift_beyond_the_limit_is_given(boundary, limit):
    limits = np.broadcast_to(limit, 2)
    for offset in ((2.4, 1.3), (6.2, 0.0), (0.0, -6.4), (5.2, 3.7)):
        images = scene(boundary, (48, 56), offset, noise=0)
        result = imreg_xp.register(*images, boundary=boundary, max_shift=limit)
        if np.all(np.abs(offset) <= limits):
            np.testing.assert_allclose(-result.shift, offset, atol=2e-3)
        else:
            assert Status.SEARCH_BORDER in Status(int(result.status))
            assert np.isnan(result.shift).all()


@pytest.mark.parametrize("boundary", ["overlap", "wrap"])
@pytest.mark.parametrize("masked", [False, True])
def test_noise_in_the_reference_does_not_stop_the_fit_where_only_the_other_error_is_given(rng, boundary, masked):
    # its slopes are then steeper by their noise, and steps that go by them too short to arrive
    shape, origin, offset = (96, 100), np.array([20, 20]), np.array([3.3, -2.4])
    sky = random_sky((160, 170) if boundary == "overlap" else shape, rng, beam=1.0)
    first, second = (cut(sky, o, shape) + 0.1 * rng.normal(size=shape) for o in (origin, origin - offset))
    err = np.full(shape, 0.1) if masked else 0.1
    result = imreg_xp.register(first, second, moving_err=err, boundary=boundary)
    assert Status(int(result.status)) is Status.OK
    np.testing.assert_allclose(result.shift, -offset, atol=0.1)
