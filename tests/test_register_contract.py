"""What every public array function owes its caller, with every option, on every array library."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from skies import cut, random_sky, smoothed_noise

import imreg_xp
from imreg_xp import Registration, Status

BOUNDARIES = ("overlap", "wrap")
SHAPE, OFFSET = (48, 44), (-3.4, 0.6)
FIELDS = ("shift", "shift_err", "covariance", "scale", "background", "chi2", "dof", "overlap", "status")


def scene(shape=SHAPE, offset=OFFSET, *, periodic=True, noise=0.02, seed=1, beam=1.2):
    """Return reference and moving; moving lies `offset` from reference, gain 1.4 and background 3."""
    rng = np.random.default_rng(seed)
    sky = random_sky(shape if periodic else tuple(2 * n + 30 for n in shape), rng, beam=beam)
    origin = np.zeros(len(shape)) if periodic else np.array(shape) / 2
    moving = 1.4 * cut(sky, origin - np.array(offset), shape) + 3 + noise * smoothed_noise(shape, rng)
    return cut(sky, origin, shape) + 0.5 * noise * smoothed_noise(shape, rng), moving


def hole(shape, low, high):
    valid = np.ones(shape, dtype=bool)
    valid[tuple(slice(low, high) for _ in shape)] = False
    return valid


RAMP = 0.02 * np.linspace(1, 3, SHAPE[0])[:, None] * np.ones(SHAPE)
OPTIONS = {
    "numbers": {"reference_err": 0.01, "moving_err": 0.02},
    "numbers, white": {"reference_err": 0.01, "moving_err": 0.02, "noise": "white"},
    "maps": {"reference_err": RAMP / 2, "moving_err": RAMP[::-1]},
    "number and map, white": {"reference_err": 0.01, "moving_err": RAMP, "noise": "white"},
    "masks": {"reference_valid": hole(SHAPE, 8, 13), "moving_valid": hole(SHAPE, 25, 29)},
    "mask and number": {"moving_valid": hole(SHAPE, 25, 29), "moving_err": 0.02, "noise": "white"},
    "nothing fitted": {"fit_scale": False, "fit_background": False, "noise": "white"},
    "limits": {"max_shift": (4.5, 3), "min_overlap": 0.5},
}
NOT_FINITE = {"nan": np.nan, "inf": np.inf, "-inf": -np.inf}


def moved_to(backend, value):
    return backend.asarray(value) if isinstance(value, np.ndarray) else value


def images_for(options, boundary):
    reference, moving = scene(periodic=boundary == "wrap")
    return (reference, (moving - 3) / 1.4) if "fit_scale" in options else (reference, moving)


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("name", OPTIONS)
def test_every_option_gives_the_same_numbers_and_spares_its_inputs(backend, boundary, name):
    options = OPTIONS[name]
    images = images_for(options, boundary)
    expected = imreg_xp.register(*images, boundary=boundary, **options)
    given = {k: moved_to(backend, v) for k, v in {"reference": images[0], "moving": images[1], **options}.items()}
    before = {k: backend.to_numpy(v) for k, v in given.items() if hasattr(v, "shape")}
    result = imreg_xp.register(**given, boundary=boundary)
    np.testing.assert_allclose(-expected.shift, OFFSET, atol=5 * expected.shift_err.max())
    tol = 1e-6 if backend.has_float64 else 1e-3
    np.testing.assert_allclose(backend.to_numpy(result.shift), expected.shift, atol=tol)
    for field, value in zip(FIELDS[1:], result[1:], strict=True):
        rtol = 1e-5 if backend.has_float64 else 0.02
        atol = (
            (1e-3 if backend.has_float64 else 0.02) * expected.shift_err.max() ** 2 if field == "covariance" else 1e-4
        )
        np.testing.assert_allclose(
            backend.to_numpy(value), getattr(expected, field), rtol=rtol, atol=atol, err_msg=field
        )
    for key, value in before.items():
        np.testing.assert_array_equal(backend.to_numpy(given[key]), value, err_msg=key)


def test_the_result_is_a_tuple_of_named_fields():
    images = scene()
    result = imreg_xp.register(*images)
    assert type(result) is Registration
    assert isinstance(result, tuple)
    assert Registration._fields == FIELDS
    assert result.shift is result[0]


def test_flags_add_up_and_zero_is_success():
    assert Status(0) is Status.OK
    names = {"OK", "NOT_CONVERGED", "SEARCH_BORDER", "TOO_FEW_VALID", "FLAT_IMAGE"}
    assert set(Status.__members__) == names
    assert len({int(v) for v in Status.__members__.values()}) == len(names)
    assert int(Status.FLAT_IMAGE | Status.SEARCH_BORDER) == int(Status.FLAT_IMAGE) + int(Status.SEARCH_BORDER)


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_leading_axes_broadcast_as_arrays_do(backend, boundary):
    shape = (24, 40)
    pairs = [scene(shape, (1.3, -2.1), periodic=boundary == "wrap", seed=s) for s in range(2)]
    reference = np.stack([r for r, _ in pairs])[:, None]
    moving = np.stack([pairs[0][1], 2 * pairs[0][1], pairs[0][1] + 1])
    moving_err = np.array([0.02, 0.04, 0.02])[:, None, None] * np.ones(shape)
    valid = hole(shape, 5, 9)
    result = imreg_xp.register(
        *map(backend.asarray, (reference, moving)),
        moving_err=backend.asarray(moving_err),
        reference_valid=backend.asarray(valid),
        boundary=boundary,
    )
    tails = {"shift": (2,), "shift_err": (2,), "covariance": (2, 2)}
    assert {k: tuple(v.shape) for k, v in result._asdict().items()} == {k: (2, 3, *tails.get(k, ())) for k in FIELDS}
    assert all(backend.owns(v) for v in result)
    shift, scale = backend.to_numpy(result.shift), backend.to_numpy(result.scale)
    tol = 1e-7 if backend.has_float64 else 1e-3
    np.testing.assert_allclose(shift[0, 1:], np.broadcast_to(shift[0, 0], (2, 2)), atol=tol)
    np.testing.assert_allclose(scale[0] / scale[0, 0], [1, 2, 1], rtol=tol * 10)
    one = imreg_xp.register(pairs[0][0], moving[1], moving_err=moving_err[1], reference_valid=valid, boundary=boundary)
    np.testing.assert_allclose(shift[0, 1], one.shift, atol=1e-6 if backend.has_float64 else 1e-3)


@pytest.mark.parametrize(
    ("reference", "moving", "err", "expected"),
    [
        ("float32", "float64", None, "float64"),
        ("float32", "int32", None, "float32"),
        ("uint8", "float64", None, "float64"),
        ("float32", "float32", "float64", "float32"),
        ("float64", "float64", "float32", "float64"),
        ("float32", "float32", "int32", "float32"),
    ],
)
def test_the_images_decide_the_dtype(backend, reference, moving, err, expected):
    if not backend.has_float64 and "float64" in {reference, moving, err}:
        pytest.skip("no float64 here")
    images = [40 * im + 120 for im in scene(offset=(2.0, -3.0))]
    arrays = [backend.asarray(im.astype(d)) for im, d in zip(images, (reference, moving), strict=True)]
    moving_err = None if err is None else backend.asarray(np.ones(SHAPE, dtype=err))
    result = imreg_xp.register(*arrays, moving_err=moving_err, boundary="wrap")
    for name, value in result._asdict().items():
        assert backend.to_numpy(value).dtype == ("int32" if name == "status" else expected), name
    np.testing.assert_allclose(-backend.to_numpy(result.shift), (2, -3), atol=0.05)


def test_memory_layout_does_not_matter(backend):
    if backend.library == "jax":
        pytest.skip("JAX arrays have no strides")
    images = [backend.asarray(np.repeat(im.T[::-1], 2, axis=1)) for im in scene()]
    # a step of two, a flipped axis and a transposition: views on all libraries that have them
    views = [backend.xp.matrix_transpose(backend.xp.flip(im[:, ::2], axis=0)) for im in images]
    expected = imreg_xp.register(*scene())
    tol = 1e-6 if backend.has_float64 else 1e-3
    np.testing.assert_allclose(backend.to_numpy(imreg_xp.register(*views).shift), expected.shift, atol=tol)


def spoiled(reference, moving):
    """Return items of which only the first and the last can be aligned, and the flags of the others."""
    nan, flat = np.full_like(moving, np.nan), np.full_like(moving, 3.0)
    few = np.where(np.arange(moving.size).reshape(moving.shape) % 400 == 0, moving, np.nan)
    far = np.roll(moving, (15, 15), (0, 1))
    items = [
        (reference, moving, Status.OK),
        (reference, flat, Status.FLAT_IMAGE),
        (flat, moving, Status.FLAT_IMAGE),
        (reference, nan, Status.TOO_FEW_VALID),
        (nan, moving, Status.TOO_FEW_VALID),
        (nan, flat, Status.TOO_FEW_VALID),
        (reference, few, Status.TOO_FEW_VALID),
        (reference, far, Status.SEARCH_BORDER),
        (reference, moving, Status.OK),
    ]
    return np.stack([i[0] for i in items]), np.stack([i[1] for i in items]), [i[2] for i in items]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_failing_items_say_why_and_leave_the_others_alone(boundary, dtype):
    references, movings, flags = spoiled(*scene(periodic=boundary == "wrap"))
    options = {"boundary": boundary, "max_shift": 6}
    batch = imreg_xp.register(references.astype(dtype), movings.astype(dtype), **options)
    for i, flag in enumerate(flags):
        found = Status(int(batch.status[i]))
        # a peak on the border need not be a good fit as well
        assert flag in found if flag is Status.SEARCH_BORDER else found == flag, (i, found)
        alone = imreg_xp.register(references[i].astype(dtype), movings[i].astype(dtype), **options)
        assert alone.status == batch.status[i]
        for name in FIELDS[:-1]:
            value = getattr(batch, name)[i]
            assert np.isnan(value).all() == (flag is not Status.OK), (name, i)
    # the whole batch takes the route of its worst item: the same route with good items only
    good = [0, len(flags) - 1]
    references[1:-1], movings[1:-1] = references[0], movings[0]
    movings[1, 0, 0] = np.nan
    same_route = imreg_xp.register(references.astype(dtype), movings.astype(dtype), **options)
    for mixed, clean in zip(batch, same_route, strict=True):
        tol = 1e-12 if dtype == np.float64 else 1e-5
        np.testing.assert_allclose(mixed[good], clean[good], rtol=tol, atol=tol)


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_failing_items_fail_alike_on_every_library(backend, boundary):
    references, movings, flags = spoiled(*scene(periodic=boundary == "wrap"))
    result = imreg_xp.register(*map(backend.asarray, (references, movings)), boundary=boundary, max_shift=6)
    status = backend.to_numpy(result.status)
    assert status.dtype == np.int32
    found = [Status(int(s)) for s in status]
    assert all(f in s if f is Status.SEARCH_BORDER else f == s for f, s in zip(flags, found, strict=True)), found
    failed = np.array([f is not Status.OK for f in flags])
    for name in FIELDS[:-1]:
        value = backend.to_numpy(getattr(result, name)).reshape(len(flags), -1)
        np.testing.assert_array_equal(np.isnan(value).all(axis=1), failed, err_msg=name)
        np.testing.assert_array_equal(np.isnan(value).any(axis=1), failed, err_msg=name)


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("noise", ["white", "correlated"])
@pytest.mark.parametrize("shape", [(64, 60), (260, 256)])
@pytest.mark.filterwarnings("ignore:invalid value")
def test_what_is_taken_to_be_finite_and_is_not_is_flagged(backend, boundary, noise, shape):
    """Nobody looks: the item is lost, the others are what they are."""
    reference, moving = scene(shape, (1.3, 0.4), periodic=boundary == "wrap")
    register = functools.partial(imreg_xp.register, boundary=boundary, noise=noise)
    expected = register(*map(backend.asarray, (reference, np.stack([moving] * 5))))
    stack = np.stack([moving] * 5)
    for k, bad in enumerate(NOT_FINITE.values(), 1):
        stack[k, 5, 7] = bad
    found = register(backend.asarray(reference), backend.asarray(stack), check_finite=False)
    status = backend.to_numpy(found.status)
    np.testing.assert_array_equal(status == 0, [True, False, False, False, True])
    for one, other in zip(found, expected, strict=True):
        one, other = (backend.to_numpy(x) for x in (one, other))
        np.testing.assert_array_equal(one[[0, 4]], other[[0, 4]])
        assert np.all(np.isnan(one[1:4])) or one.dtype.kind == "i"
    lost = reference.copy()
    lost[3, 3] = np.nan
    found = register(*map(backend.asarray, (lost, moving)), check_finite=False)
    assert backend.to_numpy(found.status) != 0


@pytest.mark.parametrize("level", [0.0, 1e5])
def test_pointings_that_are_binned_are_those_of_numpy(backend, level):
    """They may be brought to scale where they are binned and padded, level and tiny flux included."""
    images = [1e-6 * (a + level) for a in scene((260, 256), (1.3, 0.4), periodic=False)]
    expected = imreg_xp.register(*images)
    found = imreg_xp.register(*map(backend.asarray, images))
    for name in ("shift", "shift_err", "scale", "status"):
        one, other = backend.to_numpy(getattr(found, name)), getattr(expected, name)
        digits = 1e-6 if backend.has_float64 else 0.05
        np.testing.assert_allclose(one, other, rtol=digits, atol=digits * np.max(expected.shift_err))


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_holes_that_are_given_are_left_out_without_a_look(backend, boundary):
    reference, moving = scene(periodic=boundary == "wrap")
    spoilt, valid = moving.copy(), np.ones(moving.shape, dtype=bool)
    spoilt[25:29, 25:29] = np.nan
    valid[2, 2] = False
    given = {"boundary": boundary, "moving_valid": backend.asarray(valid)}
    images = list(map(backend.asarray, (reference, spoilt)))
    found, expected = (imreg_xp.register(*images, check_finite=c, **given) for c in (False, True))
    assert backend.to_numpy(found.status) == 0
    np.testing.assert_array_equal(backend.to_numpy(found.shift), backend.to_numpy(expected.shift))


@pytest.mark.parametrize("model", ["rigid", "similarity"])
def test_with_rotation_holes_are_looked_for_at_any_rate(model):
    reference, moving = scene()
    moving = np.where(hole(SHAPE, 25, 29), moving, np.nan)
    found, expected = (imreg_xp.register(reference, moving, model=model, check_finite=c) for c in (False, True))
    np.testing.assert_array_equal(found.shift, expected.shift)


def strict_only(backend):
    if backend.library != "strict":
        pytest.skip("the counter watches array-api-strict")


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("name", OPTIONS)
def test_no_option_waits_for_the_device(backend, boundary, name, no_sync):
    strict_only(backend)
    given = {k: moved_to(backend, v) for k, v in OPTIONS[name].items()}
    images = list(map(backend.asarray, images_for(OPTIONS[name], boundary)))
    images.append(backend.asarray(np.where(hole(SHAPE, 3, 5), 1.0, np.nan)))
    # without masks whether a pixel is NaN decides between two ways, and nothing else is looked at
    waits = 0 if any(getattr(v, "ndim", 0) for v in given.values()) else 2
    with no_sync(reads=waits, moves=waits):
        imreg_xp.register(images[0], images[1], boundary=boundary, **given)
        imreg_xp.register(images[0], images[2], boundary=boundary, **given)
    with no_sync():
        imreg_xp.register(images[0], images[1], boundary=boundary, check_finite=False, **given)


@pytest.mark.parametrize("ndim", [1, 3])
@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_other_dimensions_do_not_wait_for_the_device(backend, boundary, ndim, no_sync):
    strict_only(backend)
    images = list(map(backend.asarray, scene((16, 15, 14), (0.4, -1.1, 0.8), periodic=True)))
    with no_sync(reads=1, moves=1):  # for NaN
        imreg_xp.register(*images, boundary=boundary, ndim=ndim)
        imreg_xp.register(*images, boundary=boundary, ndim=ndim, check_finite=False)
        imreg_xp.apply_shift(images[0], (0.3,) * ndim, ndim=ndim)
        imreg_xp.fourier_shift(images[0], (0.3,) * ndim, ndim=ndim)


def test_shifting_does_not_wait_for_the_device(backend, no_sync):
    strict_only(backend)
    images = backend.asarray(np.stack(scene()))
    shifts = backend.asarray(np.array([[0.3, 0.4], [-1.2, 5.0]]))
    valid = backend.asarray(hole(SHAPE, 4, 9))
    with no_sync():
        imreg_xp.apply_shift(images, shifts, fill=0.0)
        imreg_xp.apply_shift(images, shifts, valid=valid)
        imreg_xp.fourier_shift(images, shifts)


@pytest.mark.parametrize("options", [{}, {"boundary": "constant"}, {"err": 0.1, "return_chi2array": True}], ids=str)
def test_the_documented_function_makes_one_transfer(backend, options, no_sync):
    strict_only(backend)
    images = list(map(backend.asarray, scene()))
    # and looks for NaN once
    with no_sync(reads=2, moves=2):
        imreg_xp.chi2_shift(*images, upsample_factor=10, **options)
