"""`register`: the contract on every array library, and identities that any right estimator keeps."""

from __future__ import annotations

import functools

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
import scipy.optimize
from skies import cut, random_sky, smoothed_noise

import imreg_xp
from imreg_xp import Status
from imreg_xp._engine.score import score
from imreg_xp.fft_tools._dft import irfft

BOUNDARIES = ("overlap", "wrap")


def pair(shape, offset, *, periodic=False, noise=0.02, gain=1.4, background=3.0, seed=1, beam=1.2):
    """Return reference and moving; moving lies `offset` from reference."""
    rng = np.random.default_rng(seed)
    sky = random_sky(shape if periodic else tuple(2 * n + 30 for n in shape), rng, beam=beam)
    origin = np.zeros(len(shape)) if periodic else np.array(shape) / 2
    reference = cut(sky, origin, shape)
    moving = gain * cut(sky, origin - np.array(offset), shape) + background + noise * smoothed_noise(shape, rng)
    return reference, moving


CASES = {
    "odd": ((45, 47), (2.3, -1.7)),
    "even": ((48, 44), (-3.4, 0.6)),
    "one axis": ((120,), (4.3,)),
    "three axes": ((20, 22, 24), (0.7, -1.2, 1.6)),
}


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", CASES)
def test_every_library_gives_the_same_numbers(backend, boundary, dtype, case):
    shape, offset = CASES[case]
    images = pair(shape, offset, periodic=boundary == "wrap")
    expected = imreg_xp.register(*images, boundary=boundary, ndim=len(shape))
    arrays = [backend.asarray(im.astype(dtype)) for im in images]
    result = imreg_xp.register(*arrays, boundary=boundary, ndim=len(shape))
    tol = 1e-6 if dtype == np.float64 and backend.has_float64 else 1e-3
    np.testing.assert_allclose(backend.to_numpy(result.shift), expected.shift, atol=tol)
    np.testing.assert_allclose(backend.to_numpy(result.shift_err), expected.shift_err, rtol=1e3 * tol * 0.02)
    np.testing.assert_allclose(-expected.shift, offset, atol=5 * np.max(expected.shift_err))
    k = len(shape)
    shapes = {"shift": (k,), "shift_err": (k,), "covariance": (k, k)}
    for name, field in result._asdict().items():
        assert backend.owns(field), name
        assert tuple(field.shape) == shapes.get(name, ()), name
        if name != "status":
            assert field.dtype == arrays[0].dtype, name
    assert backend.to_numpy(result.status).dtype == np.int32
    for array, image in zip(arrays, images, strict=True):
        values = backend.to_numpy(array)
        np.testing.assert_array_equal(values, image.astype(dtype).astype(values.dtype))


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_a_batch_is_its_items_one_by_one(backend, boundary):
    pairs = [pair((40, 43), d, periodic=boundary == "wrap", seed=i) for i, d in enumerate([(1.2, 0.3), (-2.2, 3.1)])]
    reference, moving = (np.stack(side) for side in zip(*pairs, strict=True))
    reference[1, 4, 5] = np.nan
    batch = imreg_xp.register(backend.asarray(reference), backend.asarray(moving), boundary=boundary)
    assert batch.shift.shape == (2, 2)
    tol = 1e-9 if backend.has_float64 else 1e-4
    for i in range(2):
        one = imreg_xp.register(backend.asarray(reference[i]), backend.asarray(moving[i]), boundary=boundary)
        for whole, single in zip(batch, one, strict=True):
            np.testing.assert_allclose(backend.to_numpy(whole)[i], backend.to_numpy(single), rtol=tol, atol=tol)


def test_leading_axes_broadcast():
    reference, moving = pair((32, 30), (1.5, -0.5))
    frames = np.stack([moving, np.roll(moving, 2, 1)])[:, None]
    result = imreg_xp.register(np.stack([reference, 2 * reference, reference + 1]), frames)
    assert result.shift.shape == (2, 3, 2)
    assert result.covariance.shape == (2, 3, 2, 2)
    np.testing.assert_allclose(result.shift[0], np.broadcast_to(result.shift[0, 0], (3, 2)), atol=1e-8)
    np.testing.assert_allclose(result.scale[0] * np.array([1, 2, 1]), np.full(3, result.scale[0, 0]), rtol=1e-6)


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_nothing_waits_for_the_device(backend, boundary, no_sync):
    if backend.library != "strict":
        pytest.skip("the counter watches array-api-strict")
    images = [backend.asarray(im) for im in pair((30, 28), (1.3, 0.4), periodic=boundary == "wrap")]
    err = backend.asarray(np.full((30, 28), 0.1))
    # images without masks wait once each: whether a pixel is NaN decides between two ways
    with no_sync(reads=2, moves=2):
        imreg_xp.register(*images, boundary=boundary)
        imreg_xp.register(*images, boundary=boundary, noise="white", reference_err=0.1, moving_err=0.1)
    with no_sync():
        imreg_xp.register(*images, boundary=boundary, check_finite=False)
        imreg_xp.register(*images, boundary=boundary, moving_err=err)
        imreg_xp.register(*images, boundary=boundary, moving_valid=err > 0)
        imreg_xp.apply_shift(images[0], (0.3, 0.4))
        imreg_xp.fourier_shift(images[0], (0.3, 0.4))


def test_jax_can_trace_it():
    jax = pytest.importorskip("jax")
    images = pair((30, 28), (1.3, 0.4))
    for boundary in BOUNDARIES:
        traced = jax.jit(lambda a, b, boundary=boundary: imreg_xp.register(a, b, boundary=boundary))
        result = traced(*map(jax.numpy.asarray, images))
        plain = imreg_xp.register(*images, boundary=boundary)
        np.testing.assert_allclose(result.shift, plain.shift, atol=1e-3 * np.min(plain.shift_err))
        # without values nobody knows whether all pixels are valid
        if boundary == "overlap":
            plain = imreg_xp.register(*images, boundary=boundary, moving_valid=np.ones((30, 28), dtype=bool))
        np.testing.assert_allclose(result.shift, plain.shift, atol=1e-6)


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("shape", [(33, 41), (64, 64), (24, 60)])
def test_identical_images(boundary, shape, rng):
    image = cut(random_sky(shape, rng), np.zeros(2), shape)
    assert np.max(np.abs(imreg_xp.register(image, image, boundary=boundary).shift)) < 1e-10


@pytest.mark.parametrize(("noise", "err"), [(0.3, None), (0.3, 0.3), (1e-4, None)])
def test_pointings_that_are_binned_for_the_search_converge(noise, err):
    """From what half the resolution tells the fit gets to the root, with much noise in both images or hardly any."""
    rng, pulls = np.random.default_rng(5), []
    for _ in range(8):
        sky, offset, origin = random_sky((512, 512), rng), rng.uniform(-80, 80, 2), rng.uniform(90, 150, 2)
        reference, moving = (
            cut(sky, o, (256, 256)) + noise * rng.normal(size=(256, 256)) for o in (origin, origin - offset)
        )
        found = imreg_xp.register(reference, moving, reference_err=err, moving_err=err)
        assert found.status == 0
        # noise in the reference neither lowers the gain nor counts by a lowered one
        assert found.scale == pytest.approx(1, abs=0.1)
        assert err is None or found.chi2 / found.dof == pytest.approx(1, abs=0.1)
        pulls.append((found.shift + offset) / found.shift_err)
    # 16 numbers with an rms of 1
    assert 0.5 < np.sqrt(np.mean(np.square(pulls))) < 1.5


def test_swapping_the_images_turns_the_shift():
    a, b = pair((50, 47), (3.3, -2.6), periodic=True, noise=0.3)
    forth, back = (imreg_xp.register(*p, boundary="wrap") for p in ((a, b), (b, a)))
    np.testing.assert_allclose(forth.shift, -back.shift, atol=1e-6)


@hypothesis.settings(max_examples=25)
@hypothesis.given(
    st.sampled_from([(31, 31), (32, 32), (32, 45), (51, 28)]), st.floats(-12, 12), st.floats(-12, 12), st.integers(0, 9)
)
def test_periodic_images_without_noise_are_exact(shape, dy, dx, seed):
    images = pair(shape, (dy, dx), periodic=True, noise=0, seed=seed)
    np.testing.assert_allclose(imreg_xp.register(*images, boundary="wrap").shift, [-dy, -dx], atol=1e-6)


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_gain_and_background_do_not_matter(boundary):
    reference, moving = pair((40, 44), (1.7, -2.4), periodic=boundary == "wrap")
    base = imreg_xp.register(reference, moving, boundary=boundary)
    other = imreg_xp.register(reference, 5 * moving - 20, boundary=boundary)
    np.testing.assert_allclose(other.shift, base.shift, atol=1e-9)
    np.testing.assert_allclose(other.shift_err, base.shift_err, rtol=1e-6)
    assert other.scale == pytest.approx(5 * base.scale)
    assert other.background == pytest.approx(5 * base.background - 20)
    assert base.scale == pytest.approx(1.4, abs=0.02)
    assert base.background == pytest.approx(3, abs=0.02)


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_faint_fluxes_in_single_precision(boundary):
    images = pair((40, 44), (1.7, -2.4), periodic=boundary == "wrap")
    base = imreg_xp.register(*images, boundary=boundary)
    faint = imreg_xp.register(*[(1e-20 * im).astype(np.float32) for im in images], boundary=boundary)
    np.testing.assert_allclose(faint.shift, base.shift, atol=1e-4)
    np.testing.assert_allclose(faint.shift_err, base.shift_err, rtol=1e-2)


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_transposing_the_images_transposes_the_shift(boundary):
    reference, moving = pair((40, 44), (1.7, -2.4), periodic=boundary == "wrap")
    base = imreg_xp.register(reference, moving, boundary=boundary)
    turned = imreg_xp.register(reference.T, moving.T, boundary=boundary)
    np.testing.assert_allclose(turned.shift, base.shift[::-1], atol=1e-3 * base.shift_err.max())
    np.testing.assert_allclose(turned.covariance, base.covariance[::-1, ::-1], rtol=0.02)


def test_the_shift_is_what_to_apply_to_moving():
    reference, moving = pair((40, 44), (3.0, -5.0), periodic=True, gain=1, background=0, noise=0)
    result = imreg_xp.register(reference, moving, boundary="wrap")
    np.testing.assert_allclose(imreg_xp.fourier_shift(moving, result.shift), reference, atol=1e-9)
    np.testing.assert_allclose(result.shift, [-3, 5], atol=1e-9)


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_a_common_roll_changes_nothing_periodic(boundary):
    reference, moving = pair((40, 44), (1.7, -2.4), periodic=True)
    base = imreg_xp.register(reference, moving, boundary="wrap")
    rolled = imreg_xp.register(np.roll(reference, (7, -9), (0, 1)), np.roll(moving, (7, -9), (0, 1)), boundary="wrap")
    np.testing.assert_allclose(rolled.shift, base.shift, atol=1e-9)


def test_images_of_different_size():
    rng = np.random.default_rng(4)
    sky = random_sky((160, 160), rng)
    reference = cut(sky, (20, 20), (90, 100))
    moving = cut(sky, (41.3, 30.8), (64, 70)) + 0.01 * rng.normal(size=(64, 70))
    result = imreg_xp.register(reference, moving)
    np.testing.assert_allclose(result.shift, [21.3, 10.8], atol=5 * result.shift_err.max())
    assert 0.9 < result.overlap <= 1


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_nan_pixels_are_masked_pixels(boundary, rng):
    reference, moving = pair((44, 40), (1.7, -2.4), periodic=boundary == "wrap")
    valid = rng.uniform(size=reference.shape) > 0.1
    as_nan = imreg_xp.register(np.where(valid, reference, np.nan), np.where(valid, moving, np.inf), boundary=boundary)
    # garbage under a mask must not count
    masked = imreg_xp.register(
        np.where(valid, reference, 1e6),
        np.where(valid, moving, -1e6),
        reference_valid=valid,
        moving_valid=valid,
        boundary=boundary,
    )
    np.testing.assert_allclose(masked.shift, as_nan.shift, atol=1e-9)
    np.testing.assert_allclose(-as_nan.shift, (1.7, -2.4), atol=5 * as_nan.shift_err.max())


def test_pixels_with_impossible_errors_are_masked_pixels(rng):
    reference, moving = pair((44, 40), (1.7, -2.4))
    err = np.full(moving.shape, 0.02)
    bad = rng.uniform(size=moving.shape) < 0.05
    kinds = np.resize([np.nan, np.inf, 0.0, -1.0], bad.sum())
    spoiled = err.copy()
    spoiled[bad] = kinds
    a = imreg_xp.register(reference, np.where(bad, 99.0, moving), moving_err=spoiled)
    b = imreg_xp.register(reference, moving, moving_err=err, moving_valid=~bad)
    np.testing.assert_allclose(a.shift, b.shift, atol=1e-9)


def test_a_number_is_a_flat_error_map():
    reference, moving = pair((44, 40), (1.7, -2.4))
    number = imreg_xp.register(reference, moving, moving_err=0.02)
    flat = imreg_xp.register(reference, moving, moving_err=np.full(moving.shape, 0.02))
    np.testing.assert_allclose(number.shift, flat.shift, atol=1e-9)
    np.testing.assert_allclose(number.shift_err, flat.shift_err, rtol=1e-6)
    np.testing.assert_allclose(number.chi2, flat.chi2, rtol=1e-6)
    assert number.chi2 / number.dof == pytest.approx(1, abs=0.15)


def test_masked_periodic_images_minimise_chi2(rng):
    """Against brute force: chi² over exactly shifted references, gain and background solved for at each offset."""
    shape, offset = (26, 24), (1.3, -2.2)
    reference, moving = pair(shape, offset, periodic=True, noise=0.003)
    valid = np.ones(shape, dtype=bool)
    valid[5:9, 7:12] = False
    err = 0.003 * np.exp(rng.uniform(0, 1, shape))
    spectrum = np.fft.fftn(reference)

    def chi2(d):
        columns = np.stack([cut(spectrum, -d, shape)[valid], np.ones(valid.sum())]) / err[valid]
        data = moving[valid] / err[valid]
        return np.sum((data - np.linalg.lstsq(columns.T, data, rcond=None)[0] @ columns) ** 2)

    best = scipy.optimize.minimize(chi2, offset, method="Nelder-Mead", options={"xatol": 1e-6, "fatol": 1e-9})
    result = imreg_xp.register(reference, moving, moving_valid=valid, moving_err=err, boundary="wrap")
    np.testing.assert_allclose(-result.shift, best.x, atol=0.1 * result.shift_err.min())
    assert result.chi2 == pytest.approx(best.fun, rel=1e-3)
    assert result.dof == valid.sum() - 4


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_items_that_fail_leave_the_others_alone(backend, boundary):
    reference, moving = pair((40, 44), (1.7, -2.4), periodic=boundary == "wrap")
    frames = np.stack([moving, np.full_like(moving, 3.0), np.full_like(moving, np.nan), moving])
    result = imreg_xp.register(backend.asarray(reference), backend.asarray(frames), boundary=boundary)
    status = backend.to_numpy(result.status)
    assert [Status(int(s)) for s in status] == [Status.OK, Status.FLAT_IMAGE, Status.TOO_FEW_VALID, Status.OK]
    shift = backend.to_numpy(result.shift)
    assert np.isnan(shift[1:3]).all()
    alone = imreg_xp.register(backend.asarray(reference), backend.asarray(moving), boundary=boundary)
    for i in (0, 3):
        tol = 1e-9 if backend.has_float64 else 1e-4
        np.testing.assert_allclose(shift[i], backend.to_numpy(alone.shift), atol=tol)


@pytest.mark.parametrize("shape", [(30,), (40, 44)])
@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_flat_images_are_flat_wherever_rounding_errors_put_them(monkeypatch, boundary, shape, dtype):
    rng = np.random.default_rng(0)

    def rounded_otherwise(spectrum, grid, *, most_axes, **how):
        """Do what libraries do that transform several images at once: rounding errors of one are in all."""
        x = irfft(spectrum, grid, **how)
        errors = np.finfo(x.dtype).eps * np.max(abs(x)) * rng.normal(size=x.shape)
        return x if x.ndim > most_axes else x + errors.astype(x.dtype)

    reference, moving = pair(shape, (1.7, -2.4)[: len(shape)], periodic=boundary == "wrap")
    levels = 3.0, *rng.uniform(-5, 5, 12)
    few = np.where(np.arange(moving.size).reshape(shape) < 8, moving, np.nan)
    frames = np.stack([*(np.full_like(moving, x) for x in levels), few, np.full_like(moving, np.nan)])
    images = reference.astype(dtype), frames.astype(dtype)
    expected = [Status.FLAT_IMAGE] * len(levels) + [Status.TOO_FEW_VALID] * 2
    for most_axes in (0, len(shape) + 1, len(shape) + 2):  # none, those of sums, those that are low-passed too
        other = functools.partial(rounded_otherwise, most_axes=most_axes)
        monkeypatch.setattr("imreg_xp._engine.coarse.irfft", other)
        result = imreg_xp.register(*images, boundary=boundary, ndim=len(shape))
        assert [Status(int(s)) for s in result.status] == expected


@pytest.mark.parametrize(("dtype", "level"), [(np.float32, 300.0), (np.float64, 1e5)])
@pytest.mark.parametrize("size", [96, 100])
@pytest.mark.parametrize("masked", [False, True])
def test_a_level_without_a_background_does_not_lead_the_search(dtype, level, size, masked):
    """It must be no cliff where the image is continued, nor hide the structure in rounding errors."""
    images = [(im + level).astype(dtype) for im in pair((size, size), (3.0, -5.0), gain=1.0, background=0.0)]
    given = {"moving_valid": np.ones((size, size), dtype=bool)} if masked else {}
    result = imreg_xp.register(*images, fit_background=False, **given)
    assert result.status == 0
    np.testing.assert_allclose(-result.shift, (3.0, -5.0), atol=0.1)


def test_hardly_any_pair_fails_where_there_is_twice_as_much_noise_as_scene():
    """Two steps of Newton instead of four leave 16 of these where they are, and so does a search led by its borders."""
    shape, failed = (100, 100), 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        sky, offset = random_sky((200, 200), rng, beam=0.9), rng.uniform(-15, 15, 2)
        reference, scene = (cut(sky, np.array([50, 50]) - d, shape) for d in (np.zeros(2), offset))
        noise = 2 * np.std(reference) * rng.standard_normal((6, *shape))
        failed += np.sum(imreg_xp.register(reference + noise[5], scene + noise[:5]).status != 0)
    assert failed <= 8


def test_the_misfit_at_the_end_of_the_search_is_no_noise(monkeypatch):
    """The errors are those after the last step: what it takes away must not count, let alone twice."""
    images = pair((256, 260), (1.37, -0.41), noise=1e-3)  # of which the last step is the only one by `score`
    errors = {}
    for misfit in (0.0, 0.01):

        def beside(frozen, offset, options, *, xp, misfit=misfit):
            return score(frozen, offset + misfit, options, xp=xp)

        monkeypatch.setattr("imreg_xp._engine.weighted.score", beside)
        errors[misfit] = imreg_xp.register(*images).shift_err
    np.testing.assert_allclose(errors[0.01], errors[0.0], rtol=0.05)


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_a_shift_beyond_the_limit_is_reported(boundary):
    images = pair((60, 64), (6.3, -1.0), periodic=boundary == "wrap")
    assert imreg_xp.register(*images, boundary=boundary, max_shift=8).status == Status.OK
    result = imreg_xp.register(*images, boundary=boundary, max_shift=(4, 5))
    assert result.status & Status.SEARCH_BORDER
    assert np.isnan(result.shift).all()


@pytest.mark.parametrize("fixed", ["fit_scale", "fit_background"])
@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_fixed_gain_or_background(boundary, fixed):
    gain, background = (1.0, 3.0) if fixed == "fit_scale" else (1.4, 0.0)
    images = pair((60, 64), (6.3, -1.0), periodic=boundary == "wrap", gain=gain, background=background)
    result = imreg_xp.register(*images, boundary=boundary, **{fixed: False})
    np.testing.assert_allclose(-result.shift, (6.3, -1.0), atol=5 * result.shift_err.max())
    assert result.scale == pytest.approx(gain, abs=0.02)
    assert result.background == pytest.approx(background, abs=0.02)


@pytest.mark.parametrize("levels", [(3.0, -3.0), (1e8, 1e8)])
def test_the_means_do_not_matter(levels):
    reference, moving = pair((40, 44), (1.7, -2.4), periodic=True)
    base = imreg_xp.register(reference, moving, boundary="wrap")
    raised = imreg_xp.register(reference + levels[0], moving + levels[1], boundary="wrap")
    np.testing.assert_allclose(raised.shift, base.shift, atol=1e-4)


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_a_shift_just_inside_the_limit_is_found(boundary):
    images = pair((60, 64), (2.55, -2.55), periodic=boundary == "wrap")
    result = imreg_xp.register(*images, boundary=boundary, max_shift=2.7)
    assert result.status == Status.OK


def test_structure_of_one_pixel_is_not_the_border_of_the_search():
    """Beside the peak of a white image lie lags that do not correlate; they are in the search all the same."""
    for seed in range(20):
        rng = np.random.default_rng(seed)
        reference = rng.normal(size=(36, 38))
        moving = np.roll(reference, 2, 0) + 0.1 * rng.normal(size=reference.shape)
        result = imreg_xp.register(reference, moving)
        assert result.status == Status.OK
        np.testing.assert_allclose(result.shift, [-2, 0], atol=0.1)


@pytest.mark.parametrize("width", [1.5, 2.0, 4.0])
def test_an_isolated_source_without_noise(width):
    """Its errors are rounding, not a variance below zero that fails the fit."""
    y, x = np.mgrid[:48, :50]
    reference, moving = (np.exp(-((y - a) ** 2 + (x - b) ** 2) / (2 * width**2)) for a, b in ((24, 25), (25.3, 23.8)))
    result = imreg_xp.register(reference, moving)
    assert result.status == Status.OK
    np.testing.assert_allclose(result.shift, [-1.3, 1.2], atol=1e-5)


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_common_pedestal_without_background(boundary, dtype):
    images = pair((60, 64), (2.3, -1.6), periodic=boundary == "wrap", gain=1, background=0)
    options = {"boundary": boundary, "fit_scale": False, "fit_background": False}
    base = imreg_xp.register(*images, **options)
    raised = imreg_xp.register(*[(im + 3000).astype(dtype) for im in images], **options)
    np.testing.assert_allclose(raised.shift, base.shift, atol=0.1 * base.shift_err.max())
    np.testing.assert_allclose(raised.shift_err, base.shift_err, rtol=0.02)


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("side", ["reference", "moving"])
def test_pixels_marked_by_a_huge_error_do_not_count(boundary, side):
    images = dict(zip(("reference", "moving"), pair((64, 72), (2.3, -1.6), periodic=boundary == "wrap"), strict=True))
    errors = {"reference_err": np.full((64, 72), 1e-3), "moving_err": np.full((64, 72), 0.02)}
    images[side] = images[side].copy()
    images[side][20, 30] = 1e6
    errors[f"{side}_err"][20, 30] = 1e10
    result = imreg_xp.register(**images, **errors, boundary=boundary)
    assert np.all(np.abs(-result.shift - (2.3, -1.6)) < 4 * result.shift_err)
    assert result.chi2 / result.dof == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_a_better_match_beyond_the_limit_is_not_looked_at(boundary):
    # white images: the two copies do not correlate with each other
    reference = np.random.default_rng(2).normal(size=(60, 64))
    moving = np.roll(reference, (2, -3), (0, 1)) + 2 * np.roll(reference, (22, 15), (0, 1))
    free = imreg_xp.register(reference, moving, boundary="wrap")
    np.testing.assert_allclose(-free.shift, (22, 15), atol=0.1)
    limited = imreg_xp.register(reference, moving, boundary=boundary, max_shift=8)
    assert limited.status == Status.OK
    np.testing.assert_allclose(-limited.shift, (2, -3), atol=0.2)


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_a_fit_that_ends_beyond_the_limit_is_reported(boundary):
    """The search looks a pixel further than the limit, so that it is the fit that decides."""
    images = pair((60, 64), (4.3, -1.0), periodic=boundary == "wrap")
    assert imreg_xp.register(*images, boundary=boundary, max_shift=4.2).status == Status.SEARCH_BORDER
    assert imreg_xp.register(*images, boundary=boundary, max_shift=4.4).status == Status.OK
