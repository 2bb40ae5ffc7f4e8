"""Rotation and magnification: `register(model=...)`, and `similarity` with its parts."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage
from turned_scenes import places, turned_pair

import imreg_xp
from imreg_xp import SimilarityRegistration, Status

SHAPE = (64, 60)
TRUTH = {"shift": (3.4, -2.1), "angle": 133.0, "magnification": 0.9}
FIELDS = (
    *("shift", "shift_err", "angle", "angle_err", "magnification", "magnification_err", "covariance"),
    *("scale", "background", "chi2", "dof", "overlap", "status"),
)


def scene(*, noise=0.02, seed=1, shape=SHAPE, gain=1.4, background=3.0, **truth):
    """Return reference and moving, both with noise."""
    rng = np.random.default_rng(seed)
    reference, moving = turned_pair(rng, shape, **{**TRUTH, **truth})
    moving = gain * (moving + noise * rng.normal(size=moving.shape)) + background
    return reference + 0.5 * noise * rng.normal(size=shape), moving


@pytest.fixture(scope="module")
def pair():
    return scene()


def off(result, truth):
    """Return the four errors made."""
    angle = (np.asarray(result.angle) - truth["angle"] + 180) % 360 - 180
    return np.array([*(result.shift - truth["shift"]), angle, result.magnification - truth["magnification"]])


def claimed(result):
    return np.array([*result.shift_err, result.angle_err, result.magnification_err])


@pytest.mark.slow
@pytest.mark.parametrize("angle", [0.0, 25.0, -80.0, 179.5])
@pytest.mark.parametrize(("model", "magnification"), [("rigid", 1.0), ("similarity", 0.7), ("similarity", 1.5)])
def test_any_angle_is_found_to_its_error(model, magnification, angle):
    truth = {"shift": (5.2, -3.7), "angle": angle, "magnification": magnification}
    result = imreg_xp.register(*scene(shape=(80, 90), **truth), model=model)
    assert result.status == 0
    error = claimed(result)
    assert np.all(np.abs(off(result, truth)) <= 4.5 * error)
    assert np.all(error[:2] < 0.05)
    assert error[2] < 0.1
    assert -180 < result.angle <= 180
    assert abs(result.scale - 1.4) < 0.02
    assert abs(result.background - 3) < 0.05


def test_without_noise_only_the_border_is_left():
    truth = {"shift": (2.3, -1.2), "angle": 40.0, "magnification": 1.1}
    rng = np.random.default_rng(2)
    result = imreg_xp.register(*turned_pair(rng, (90, 84), beam=1.5, **truth), model="similarity")
    assert result.status == 0
    assert np.all(np.abs(off(result, truth)) < (5e-4, 5e-4, 5e-4, 1e-5))


def test_rigid_keeps_the_magnification(pair):
    result = imreg_xp.register(*scene(magnification=1.0), model="rigid")
    assert result.status == 0
    assert result.magnification == 1
    assert result.magnification_err == 0
    assert np.all(result.covariance[3] == 0)
    assert np.all(result.covariance[:, 3] == 0)
    free = imreg_xp.register(*scene(magnification=1.0), model="similarity")
    np.testing.assert_allclose(result.covariance[:3, :3], free.covariance[:3, :3], rtol=0.3, atol=1e-6)


def test_the_covariance_is_that_of_the_errors(pair):
    result = imreg_xp.register(*pair, model="similarity")
    np.testing.assert_allclose(np.sqrt(np.diag(result.covariance)), claimed(result), rtol=1e-12)
    np.testing.assert_allclose(result.covariance, result.covariance.T, rtol=1e-9)
    assert np.all(np.linalg.eigvalsh(result.covariance) > 0)


def test_the_result_says_what_to_apply_to_moving(pair):
    result = imreg_xp.register(*pair, model="similarity")
    seen = (imreg_xp.apply_transform(pair[1], result) - result.background) / result.scale
    inside = np.isfinite(seen)
    assert inside.mean() > 0.5
    assert np.std((seen - pair[0])[inside]) < 0.06


def test_without_rotation_the_shift_is_that_of_the_model_shift():
    reference, moving = scene(angle=0.0, magnification=1.0, shift=(4.3, -6.6))
    plain = imreg_xp.register(reference, moving)
    turned = imreg_xp.register(reference, moving, model="similarity")
    np.testing.assert_allclose(turned.shift, plain.shift, atol=4 * plain.shift_err.max())
    np.testing.assert_allclose(turned.shift_err, plain.shift_err, rtol=0.25)


def test_images_of_two_sizes_turn_about_the_middle_of_the_reference():
    truth = {"shift": (-3.0, 5.0), "angle": -70.0, "magnification": 1.2}
    reference, moving = scene(shape=(90, 70), moving_shape=(60, 80), **truth)
    result = imreg_xp.register(reference, moving, model="similarity")
    assert result.status == 0
    assert np.all(np.abs(off(result, truth)) < 5 * claimed(result))
    seen = (imreg_xp.apply_transform(moving, result, shape=reference.shape) - result.background) / result.scale
    assert np.nanstd(seen - reference) < 0.06


def test_swapped_images_give_the_inverse(pair):
    there, back = (imreg_xp.register(*images, model="similarity") for images in (pair, pair[::-1]))
    assert abs(there.angle + back.angle) < 3 * there.angle_err
    assert abs(there.magnification * back.magnification - 1) < 3 * there.magnification_err


def test_bright_pixels_that_are_masked_do_not_matter(pair):
    reference, moving = (im.copy() for im in pair)
    valid = [np.ones(SHAPE, dtype=bool) for _ in range(2)]
    for image, mask, corner in ((reference, valid[0], (20, 31)), (moving, valid[1], (36, 12))):
        box = tuple(slice(c, c + 6) for c in corner)
        image[box], mask[box] = 100.0, False
    masked = imreg_xp.register(reference, moving, reference_valid=valid[0], moving_valid=valid[1], model="similarity")
    assert masked.status == 0
    assert np.all(np.abs(off(masked, TRUTH)) < 4 * claimed(masked))
    nan = [np.where(v, im, np.nan) for im, v in zip((reference, moving), valid, strict=True)]
    np.testing.assert_allclose(imreg_xp.register(*nan, model="similarity").shift, masked.shift, atol=1e-6)


def test_noisy_pixels_of_an_error_map_weigh_little():
    rng = np.random.default_rng(4)
    reference, moving = turned_pair(rng, (80, 80), **TRUTH)
    err = np.where(np.arange(80) < 40, 0.02, 1.0) * np.ones((80, 80))
    moving = moving + err * rng.normal(size=err.shape)
    weighed = imreg_xp.register(reference, moving, moving_err=err, model="similarity")
    assert weighed.status == 0
    assert np.all(np.abs(off(weighed, TRUTH)) < 4.5 * claimed(weighed))
    assert np.all(claimed(weighed)[:2] < 0.02)
    assert 0.5 < weighed.chi2 / weighed.dof < 1.5


def test_batches_are_items_one_by_one():
    pairs = [scene(seed=s, angle=a) for s, a in ((1, 20.0), (2, -110.0), (3, 160.0))]
    batch = imreg_xp.register(*(np.stack(images) for images in zip(*pairs, strict=True)), model="similarity")
    assert {k: v.shape for k, v in batch._asdict().items()} == {
        k: (3, *{"shift": (2,), "shift_err": (2,), "covariance": (4, 4)}.get(k, ())) for k in FIELDS
    }
    for i, images in enumerate(pairs):
        one = imreg_xp.register(*images, model="similarity")
        for name, a, b in zip(FIELDS, batch, one, strict=True):
            np.testing.assert_allclose(a[i], b, rtol=1e-6, atol=1e-9, err_msg=name)


def test_large_batches_go_in_chunks(pair):
    copies = 6
    many = imreg_xp.register(pair[0], np.stack([np.tile(pair[1], (1, 1))] * copies)[:, None], model="rigid")
    assert many.shift.shape == (copies, 1, 2)
    np.testing.assert_allclose(many.shift, np.broadcast_to(many.shift[0], many.shift.shape), atol=1e-9)


OPTIONS = {
    "nothing": {},
    "all": {"reference_err": 0.01, "moving_err": np.full(SHAPE, 0.03), "moving_valid": np.ones(SHAPE, dtype=bool)},
}


@pytest.mark.parametrize("name", OPTIONS)
def test_every_library_gives_the_same_numbers(backend, name, pair):
    options = OPTIONS[name]
    expected = imreg_xp.register(*pair, model="similarity", **options)
    given = {k: backend.asarray(v) if isinstance(v, np.ndarray) else v for k, v in options.items()}
    images = [backend.asarray(im) for im in pair]
    result = imreg_xp.register(*images, model="similarity", **given)
    assert type(result) is SimilarityRegistration
    assert SimilarityRegistration._fields == FIELDS
    for field, value, right in zip(FIELDS, result, expected, strict=True):
        found = backend.to_numpy(value)
        assert found.dtype == ("int32" if field == "status" else backend.to_numpy(images[0]).dtype)
        np.testing.assert_allclose(found, right, rtol=1e-6 if backend.has_float64 else 5e-3, atol=2e-4, err_msg=field)
    for image, before in zip(images, pair, strict=True):
        np.testing.assert_array_equal(backend.to_numpy(image), backend.to_numpy(backend.asarray(before)))


def test_single_precision_is_enough(pair):
    single = imreg_xp.register(*(im.astype("float32") for im in pair), model="similarity")
    double = imreg_xp.register(*pair, model="similarity")
    for name, a, b in zip(FIELDS, single, double, strict=True):
        assert a.dtype == ("int32" if name == "status" else "float32")
        np.testing.assert_allclose(a, b, rtol=5e-3, atol=2e-4, err_msg=name)


def test_nothing_waits_for_the_device(backend, pair, no_sync):
    if backend.library != "strict":
        pytest.skip("the counter watches array-api-strict")
    images = [backend.asarray(im) for im in pair]
    with no_sync(reads=3, moves=3):  # each looks for NaN once
        imreg_xp.register(*images, model="similarity")
        imreg_xp.similarity(*images)
        imreg_xp.translation(*images)


def test_failing_items_say_why_and_leave_the_others_alone(pair):
    reference, moving = pair
    nan, flat = np.full(SHAPE, np.nan), np.full(SHAPE, 2.0)
    noise = np.random.default_rng(0).normal(size=SHAPE)
    items = [
        (reference, moving, Status.OK),
        (reference, flat, Status.FLAT_IMAGE),
        (flat, moving, Status.FLAT_IMAGE),
        (reference, nan, Status.TOO_FEW_VALID),
        (reference, noise, None),
        (reference, moving, Status.OK),
    ]
    result = imreg_xp.register(np.stack([i[0] for i in items]), np.stack([i[1] for i in items]), model="similarity")
    for i, (*_, flag) in enumerate(items):
        status = Status(int(result.status[i]))
        assert status == flag if flag is not None else status != Status.OK, (i, status)
        for name in FIELDS[:-1]:
            assert np.isnan(getattr(result, name)[i]).all() == (status != Status.OK), (i, name)
    alone = imreg_xp.register(reference, moving, model="similarity")
    for name, batch, one in zip(FIELDS, result, alone, strict=True):
        # the whole batch takes the route of items with masks: the same numbers to rounding
        np.testing.assert_allclose(batch[0], one, rtol=1e-5, atol=1e-6, err_msg=name)


def test_a_shift_beyond_the_limit_is_told():
    reference, moving = scene(shift=(9.0, 0.0), angle=30.0)
    assert imreg_xp.register(reference, moving, model="similarity", max_shift=12).status == 0
    assert imreg_xp.register(reference, moving, model="similarity", max_shift=4).status != 0


REFUSED = {
    "model": ({"model": "affine"}, "model"),
    "wrap": ({"model": "rigid", "boundary": "wrap"}, "boundary"),
    "one axis": ({"model": "similarity", "ndim": 1}, "ndim"),
    "three axes": ({"model": "rigid", "ndim": 3}, "ndim"),
    "noise": ({"model": "rigid", "noise": "pink"}, "noise"),
    "boundary": ({"model": "rigid", "boundary": "mirror"}, "boundary"),
    "no error": ({"model": "similarity", "moving_err": 0.0}, "moving_err"),
    "limit": ({"model": "similarity", "max_shift": -1}, "max_shift"),
}


@pytest.mark.parametrize("row", REFUSED)
def test_what_register_refuses(backend, row):
    options, name = REFUSED[row]
    image = backend.asarray(np.random.default_rng(0).normal(size=(4, 16, 18)))
    with pytest.raises(ValueError, match=f"`{name}`"):
        imreg_xp.register(image, image, **options)


def test_the_model_shift_is_what_it_was(pair):
    plain, named = imreg_xp.register(*pair), imreg_xp.register(*pair, model="shift")
    assert type(named) is imreg_xp.Registration
    for a, b in zip(plain, named, strict=True):
        np.testing.assert_array_equal(a, b)


# --- the routine of that name ----------------------------------------------------------------------------------------


def test_similarity_undoes_what_ndimage_does():
    """The documented meaning: zoom by 1 / scale, `rotate` by angle, shift by (t0, t1)."""
    im0, _ = turned_pair(np.random.default_rng(3), (121, 101), beam=2.5)
    im1 = scipy.ndimage.rotate(im0, -30.0, reshape=False, order=5, mode="mirror")
    im2, scale, angle, (t0, t1) = imreg_xp.similarity(im0, im1)
    np.testing.assert_allclose((scale, angle, t0, t1), (1, 30, 0, 0), atol=0.02)
    middle = np.s_[40:-40, 35:-35]
    assert np.std((im2 - im0)[middle]) < 0.01


@pytest.mark.parametrize("refine", [True, False])
def test_similarity_finds_scale_angle_and_shift(backend, refine):
    im0, im1 = turned_pair(np.random.default_rng(5), (96, 72), shift=(6.3, -4.2), angle=133.0, magnification=0.8)
    given = [backend.asarray(im) for im in (im0, im1)]
    im2, *numbers = imreg_xp.similarity(*given, refine=refine)
    scale, angle, t0, t1 = (backend.to_numpy(x) for x in (*numbers[:2], *numbers[2]))
    assert im2.shape == im0.shape
    assert backend.owns(im2)
    close = (0.001, 0.01, 0.01) if refine else (0.02, 0.6, 1.0)
    assert abs(scale - 1.25) < close[0]
    assert abs(angle + 133) < close[1]
    np.testing.assert_allclose((t0, t1), (6.3, -4.2), atol=close[2])
    assert np.nanstd(backend.to_numpy(im2) - im0) < (0.005 if refine else 0.2)


def test_its_matrix_takes_places_of_one_image_to_the_other():
    truth = {"shift": (6.3, -4.2), "angle": 33.0, "magnification": 0.8}
    im0, im1 = turned_pair(np.random.default_rng(5), (96, 72), **truth)
    _, scale, angle, t = imreg_xp.similarity(im0, im1)
    matrix = imreg_xp.similarity_matrix(1 / scale, angle, t)
    y, x = places((3, 3), (0, 0), truth["shift"], truth["angle"], truth["magnification"])
    for i, j in ((0, 1), (2, 0), (2, 2)):
        np.testing.assert_allclose(matrix @ (i, j, 1), (y[i, j], x[i, j], 1), atol=0.01)


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        ({"angle": -40.0}, (1.25, -40.0)),
        ({"scale": 1.25}, (1.25, -40.0)),
        ({"angle": -40.0, "scale": 1.25}, (1.25, -40.0)),
        ({"angle": (-30.0, 20.0), "scale": (1.2, 0.1)}, (1.25, -40.0)),
    ],
)
def test_what_is_known_is_kept_or_preferred(known, expected):
    im0, im1 = turned_pair(np.random.default_rng(6), (72, 72), shift=(2.3, -1.2), angle=40.0, magnification=0.8)
    _, scale, angle, (t0, t1) = imreg_xp.similarity(im0, im1, **known)
    np.testing.assert_allclose((scale, angle), expected, atol=0.01)
    np.testing.assert_allclose((t0, t1), (2.3, -1.2), atol=0.02)
    if np.ndim(known.get("angle", ())) == 0:
        assert angle == known["angle"]


def test_a_soft_range_chooses_between_two_answers():
    """A scene that looks the same turned by half a turn, but for a little noise."""
    rng = np.random.default_rng(8)
    im0, _ = turned_pair(rng, (65, 65), beam=1.5)
    im0 = im0 + im0[::-1, ::-1]
    im1 = im0 + 0.05 * rng.normal(size=im0.shape)
    for centre in (0.0, 180.0):
        angle = imreg_xp.similarity(im0, im1, angle=(centre + 5.0, 30.0))[2]
        assert abs((angle - centre + 180) % 360 - 180) < 0.5


def test_translation_is_what_to_roll_by(backend):
    im0, _ = turned_pair(np.random.default_rng(9), (40, 51))
    for shift in ((5, -7), (-2.3, 4.6)):
        im1 = backend.asarray(imreg_xp.fourier_shift(im0, -np.array(shift, dtype=float)))
        found = [backend.to_numpy(t) for t in imreg_xp.translation(backend.asarray(im0), im1)]
        np.testing.assert_allclose(found, shift, atol=1e-6 if backend.has_float64 else 0.05)
    assert all(np.isnan(backend.to_numpy(t)) for t in imreg_xp.translation(im1, 0 * im1))


def test_the_matrix_scales_then_turns_then_shifts(backend):
    angle = backend.asarray(np.array([0.0, 90.0]))
    found = backend.to_numpy(imreg_xp.similarity_matrix(2, angle, (1, -3)))
    expected = [[[2, 0, 1], [0, 2, -3], [0, 0, 1]], [[0, -2, 1], [2, 0, -3], [0, 0, 1]]]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert imreg_xp.similarity_matrix(1, 0, (0, 0)).tolist() == np.eye(3).tolist()


BAD = {
    "shapes": (ValueError, "im1", lambda a: imreg_xp.similarity(a, a[:, 1:])),
    "shapes, translation": (ValueError, "im1", lambda a: imreg_xp.translation(a, a[1:, :])),
    "list": (TypeError, "im0", lambda a: imreg_xp.similarity([[1.0, 2.0]], a)),
    "list, translation": (TypeError, "im1", lambda a: imreg_xp.translation(a, [[1.0, 2.0]])),
    "boolean": (TypeError, "im1", lambda a: imreg_xp.similarity(a, a > 0)),
    "one row": (ValueError, "im0", lambda a: imreg_xp.similarity(a[:1, :], a)),
    "angle": (ValueError, "angle", lambda a: imreg_xp.similarity(a, a, angle="north")),
    "angle of three": (ValueError, "angle", lambda a: imreg_xp.similarity(a, a, angle=(1, 2, 3))),
    "softness": (ValueError, "scale", lambda a: imreg_xp.similarity(a, a, scale=(1.0, -1))),
    "scale": (ValueError, "scale", lambda a: imreg_xp.similarity(a, a, scale=3)),
    "vector": (ValueError, "vector", lambda _: imreg_xp.similarity_matrix(1, 0, (1, 2, 3))),
    "word": (TypeError, "angle", lambda _: imreg_xp.similarity_matrix(1, "north", (1, 2))),
}


@pytest.mark.parametrize("row", BAD)
def test_what_they_refuse(backend, row):
    kind, name, call = BAD[row]
    with pytest.raises(kind, match=f"`{name}`"):
        call(backend.asarray(np.random.default_rng(0).normal(size=(16, 18))))
