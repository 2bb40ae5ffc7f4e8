"""Images at coordinates of choice: splines against direct Fourier sums, and what `apply_transform` makes of them."""

from __future__ import annotations

import array_api_strict
import numpy as np
import pytest
from skies import cut, random_sky
from turned_scenes import sampled, turned_pair

import imreg_xp
from imreg_xp._array import array_namespace
from imreg_xp.fft_tools.splines import coefficients, orders_of, spline_at

# rms errors of values, first and second derivatives, in units of their own rms: for a beam of 1 pixel, and for a scene
# that is white up to a quarter of a cycle per pixel
TOLERANCES = {"sky": (5e-6, 8e-5, 1e-3), "white": (1e-5, 1e-4, 1e-3)}


def transform(shift=(0.0, 0.0), angle=0.0, magnification=1.0, *, convert=np.asarray):
    """Return a result of `register` that says this."""
    fields = dict.fromkeys(imreg_xp.SimilarityRegistration._fields)
    fields |= {"shift": shift, "angle": angle, "magnification": magnification}
    return imreg_xp.SimilarityRegistration(**{k: convert(0.0 if v is None else v) for k, v in fields.items()})


def waves(n, x, order):
    nu = np.fft.fftfreq(n)
    return (2j * np.pi * nu) ** order * np.exp(2j * np.pi * nu * x[:, None])


@pytest.mark.parametrize("kind", TOLERANCES)
@pytest.mark.parametrize("shape", [(40, 45), (41, 44)])
def test_splines_and_their_derivatives_are_those_of_fourier_sums(kind, shape, rng):
    spectrum = random_sky(shape, rng, beam=1.0)
    if kind == "white":
        nu = np.hypot(np.fft.fftfreq(shape[0])[:, None], np.fft.fftfreq(shape[1]))
        spectrum = np.where(nu < 0.25, np.fft.fft2(rng.normal(size=shape)), 0)
    image = np.fft.ifft2(spectrum).real
    xp = array_namespace(image=image)
    coefs = coefficients(np.fft.rfft2(image)[None] / image.size, shape, xp=xp)
    points = [rng.uniform(-60, 90, (1, 4, 100)) for _ in shape]
    found = spline_at(coefs, points, orders=3, xp=xp)
    for order, value in zip(orders_of(2, 3), found, strict=True):
        left, right = (waves(n, x.ravel(), k) for n, x, k in zip(shape, points, order, strict=True))
        exact = np.sum((left @ spectrum) * right, axis=1).real / image.size
        error = np.sqrt(np.mean((value.ravel() - exact) ** 2) / np.mean(exact**2))
        assert error < TOLERANCES[kind][sum(order)], order


def test_splines_go_through_every_half_pixel(rng):
    shape = (12, 15)
    image = rng.normal(size=shape)
    xp = array_namespace(image=image)
    coefs = coefficients(np.fft.rfft2(image)[None] / image.size, shape, xp=xp)
    whole = [np.broadcast_to(i.astype(float), (1, *shape)) for i in np.indices(shape)]
    np.testing.assert_allclose(spline_at(coefs, whole, xp=xp)[0][0], image, atol=1e-12)
    half = spline_at(coefs, [whole[0], whole[1] + 0.5], xp=xp)[0][0]
    np.testing.assert_allclose(half, imreg_xp.fourier_shift(image, (0, -0.5)), atol=1e-12)


def test_derivatives_are_those_of_the_spline_itself(rng):
    image = rng.normal(size=(1, 10, 11))
    xp = array_namespace(image=image)
    coefs = coefficients(np.fft.rfft2(image) / image.size, (10, 11), xp=xp)
    points, step = [rng.uniform(0, 9, (1, 3, 20)) for _ in range(2)], 1e-5
    tables = dict(zip(orders_of(2, 3), spline_at(coefs, points, orders=3, xp=xp), strict=True))
    for axis, slope, bend in ((0, (1, 0), (2, 0)), (1, (0, 1), (0, 2))):
        ends = [[x + sign * step * (a == axis) for a, x in enumerate(points)] for sign in (1, -1)]
        high, low = (dict(zip(orders_of(2, 2), spline_at(coefs, e, orders=2, xp=xp), strict=True)) for e in ends)
        np.testing.assert_allclose((high[0, 0] - low[0, 0]) / (2 * step), tables[slope], atol=1e-7)
        np.testing.assert_allclose((high[slope] - low[slope]) / (2 * step), tables[bend], atol=1e-5)
    # the mixed one, from the slope along the other axis
    np.testing.assert_allclose((high[1, 0] - low[1, 0]) / (2 * step), tables[1, 1], atol=1e-5)


@pytest.mark.parametrize(("beam", "tolerance"), [(1.0, 2e-4), (1.5, 4e-5)])
def test_a_turned_image_is_what_a_larger_sky_shows(beam, tolerance, rng):
    """4 pixels inside the border, of beams on the pixels of `moving`; errors as those of `apply_shift`."""
    shape, errors = (60, 66), []
    for angle, magnification in ((37.0, 1.3), (-120.0, 0.8)):
        reference, moving = turned_pair(
            rng, shape, shift=(4.3, -2.1), angle=angle, magnification=magnification, beam=beam * magnification
        )
        how = transform((4.3, -2.1), angle, magnification)
        seen = imreg_xp.apply_transform(moving, how)
        inner = np.zeros(shape, dtype=bool)
        inner[4:-4, 4:-4] = True
        far_in = np.isfinite(imreg_xp.apply_transform(moving, how, valid=inner))
        assert far_in.mean() > 0.3
        errors.append((seen - reference)[far_in])
    assert np.sqrt(np.mean(np.concatenate(errors) ** 2)) < tolerance


def test_without_rotation_it_is_apply_shift(backend, rng):
    image = cut(random_sky((64, 64), rng), (0, 0), (40, 44))
    image[10:13, 20:25] = np.nan
    shift = np.array([2.3, -1.6])
    expected = imreg_xp.apply_shift(image, shift)
    given = backend.asarray(image)
    plain = imreg_xp.Registration(*[backend.asarray(shift)] * 9)
    for how in (plain, transform(shift, convert=backend.asarray)):
        moved = backend.to_numpy(imreg_xp.apply_transform(given, how))
        np.testing.assert_array_equal(np.isnan(moved), np.isnan(expected))
        np.testing.assert_allclose(moved, expected, atol=1e-4)
    np.testing.assert_array_equal(backend.to_numpy(given), backend.to_numpy(backend.asarray(image)))


def test_matrices_and_results_say_the_same(backend, rng):
    image = cut(random_sky((64, 64), rng), (0, 0), (30, 36))
    out, angle, magnification, shift = (34, 28), 25.0, 1.2, (3.0, -2.0)
    c, s = magnification * np.cos(np.deg2rad(angle)), magnification * np.sin(np.deg2rad(angle))
    centre = (np.array(out) - 1) / 2
    linear = np.array([[c, s], [-s, c]])
    matrix = np.eye(3)
    matrix[:2, :2], matrix[:2, 2] = linear, centre + shift - linear @ centre
    images = backend.asarray(image), backend.asarray(matrix)
    expected = imreg_xp.apply_transform(image, transform(shift, angle, magnification), shape=out)
    found = backend.to_numpy(imreg_xp.apply_transform(*images, shape=out, fill=-7.0))
    assert found.shape == out
    np.testing.assert_array_equal(found == -7.0, np.isnan(expected))
    np.testing.assert_allclose(found, np.nan_to_num(expected, nan=-7.0), atol=1e-5)
    assert np.isnan(expected).any()


def test_quarter_turns_move_whole_pixels(rng):
    image = rng.normal(size=(9, 9))
    # from +x towards +y: what lies right of the middle comes below it, as np.rot90 does clockwise
    np.testing.assert_allclose(imreg_xp.apply_transform(image, transform(angle=90.0)), np.rot90(image, -1), atol=1e-9)
    np.testing.assert_allclose(imreg_xp.apply_transform(image, transform(angle=180.0)), image[::-1, ::-1], atol=1e-9)


def test_invalid_pixels_leave_a_footprint(rng):
    image = np.ones((20, 24))
    valid = np.ones(image.shape, dtype=bool)
    valid[5, 6] = False
    seen = imreg_xp.apply_transform(image, transform(angle=90.0), valid=valid, fill=0.0)
    expected = imreg_xp.apply_transform(np.where(valid, image, np.nan), transform(angle=90.0), fill=0.0)
    np.testing.assert_array_equal(seen, expected)
    whole = imreg_xp.apply_transform(image, transform(angle=90.0), fill=0.0)
    assert (whole == 0).sum() + 1 == (seen == 0).sum()


def test_batches_are_images_one_by_one(backend, rng):
    images = rng.normal(size=(3, 1, 16, 18))
    angles = np.array([10.0, np.nan])
    given = transform(np.zeros((2, 2)), angles, np.ones(2), convert=backend.asarray)
    moved = backend.to_numpy(imreg_xp.apply_transform(backend.asarray(images), given))
    assert moved.shape == (3, 2, 16, 18)
    assert np.isnan(moved[:, 1]).all()
    for i in range(3):
        one = imreg_xp.apply_transform(images[i, 0], transform(angle=10.0))
        np.testing.assert_allclose(moved[i, 0], one, atol=1e-4)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int16"])
def test_images_keep_their_dtype(backend, dtype):
    if dtype == "float64" and not backend.has_float64:
        pytest.skip("no float64 here")
    image = backend.asarray(np.arange(200).reshape(10, 20).astype(dtype))
    moved = imreg_xp.apply_transform(image, transform(angle=5.0, convert=backend.asarray), fill=0.0)
    default = backend.asarray(np.zeros(1)).dtype if backend.library != "torch" else backend.xp.float32
    assert moved.dtype == (default if dtype == "int16" else image.dtype)
    assert backend.owns(moved)


def test_nothing_waits_for_the_device(backend, rng, no_sync):
    if backend.library != "strict":
        pytest.skip("the counter watches array-api-strict")
    image = backend.asarray(rng.normal(size=(2, 16, 18)))
    how = transform(angle=5.0, convert=backend.asarray)
    with no_sync():
        imreg_xp.apply_transform(image, how)


EYE = np.eye(3)
BAD = {
    "image is a list": (TypeError, "image", lambda b: ([[1.0, 2.0], [3.0, 4.0]], b.asarray(EYE), {})),
    "image complex": (TypeError, "image", lambda b: (b.asarray(np.ones((4, 4)) * 1j), b.asarray(EYE), {})),
    "one axis": (ValueError, "image", lambda b: (b.asarray(np.ones(4)), b.asarray(EYE), {})),
    "one row": (ValueError, "image", lambda b: (b.asarray(np.ones((1, 4))), b.asarray(EYE), {})),
    "matrix of 2": (ValueError, "transform", lambda b: (b.asarray(np.ones((4, 4))), b.asarray(np.eye(2)), {})),
    "no transform": (TypeError, "transform", lambda b: (b.asarray(np.ones((4, 4))), None, {})),
    "angle alone": (TypeError, "transform", lambda b: (b.asarray(np.ones((4, 4))), 20.0, {})),
    "3-D shift": (
        ValueError,
        "transform",
        lambda b: (b.asarray(np.ones((4, 4))), imreg_xp.Registration(*[b.asarray(np.ones(3))] * 9), {}),
    ),
    "mask of numbers": (
        TypeError,
        "valid",
        lambda b: (b.asarray(np.ones((4, 4))), b.asarray(EYE), {"valid": b.asarray(np.ones((4, 4)))}),
    ),
    "mask shape": (
        ValueError,
        "valid",
        lambda b: (b.asarray(np.ones((4, 4))), b.asarray(EYE), {"valid": b.asarray(np.ones((4, 5)) > 0)}),
    ),
    "batches": (
        ValueError,
        "transform",
        lambda b: (b.asarray(np.ones((3, 4, 4))), b.asarray(np.stack([EYE] * 2)), {}),
    ),
    "shape of three": (
        ValueError,
        "shape",
        lambda b: (b.asarray(np.ones((4, 4))), b.asarray(EYE), {"shape": (4, 4, 4)}),
    ),
    "half a pixel": (ValueError, "shape", lambda b: (b.asarray(np.ones((4, 4))), b.asarray(EYE), {"shape": (4, 4.5)})),
}


@pytest.mark.parametrize("row", BAD)
def test_what_is_refused(backend, row):
    kind, name, given = BAD[row]
    image, how, options = given(backend)
    with pytest.raises(kind, match=f"`{name}`"):
        imreg_xp.apply_transform(image, how, **options)


def test_libraries_do_not_mix(backend):
    matrix = EYE if backend.library == "strict" else array_api_strict.asarray(EYE)
    with pytest.raises(TypeError, match="`transform`"):
        imreg_xp.apply_transform(backend.asarray(np.ones((4, 4))), matrix)


def test_sampled_is_the_field(rng):
    """The oracle itself: whole pixels, and a shift by Fourier."""
    sky = random_sky((20, 23), rng)
    y, x = np.indices((20, 23), dtype=float)
    np.testing.assert_allclose(sampled(sky, y + 0.3, x - 0.4), cut(sky, (0.3, -0.4), (20, 23)), atol=1e-12)
