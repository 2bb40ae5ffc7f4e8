"""`subreg`: each method against the truth and against its own definition written out."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import scipy.optimize
from astropy.io import fits
from astropy.wcs import WCS
from skies import cut, random_sky

import imreg_xp
from imreg_xp import subreg
from imreg_xp._array import array_namespace
from imreg_xp._engine.gaussian import fit_gaussian
from imreg_xp.FITS_tools import InputError, header_shifts

SHAPE = (72, 80)
MOVES = ((3.3, -2.4), (-5.7, 4.1), (0.5, 0.5), (0.0, 0.0))  # of the images along (y, x)
EXPECTED = -np.array(MOVES)[:, ::-1]
FOURIER, STARS = ("X", "F", "FHP", "HF"), ("C", "O", "G", "R", "M")


def extended(move=(0.0, 0.0), shape=SHAPE):
    """Return emission that fills much of the frame and ends before its border, moved by (y, x)."""
    y, x = np.indices(shape, dtype=float) - np.reshape(move, (2, 1, 1))
    blobs = ((36, 40, 7.0, 1.0), (40, 44, 3.0, 0.8), (30, 33, 2.5, 0.7), (33, 49, 4.0, 0.5), (44, 34, 2.0, 0.6))
    return sum(a * np.exp(-((y - v) ** 2 + (x - u) ** 2) / (2 * s * s)) for v, u, s, a in blobs)


def stars(move=(0.0, 0.0), sky=0.0, companion=0.0, shape=SHAPE):
    """Return stars of 5 pixels width on a sky, the brightest in the middle, moved by (y, x)."""
    y, x = np.indices(shape, dtype=float) - np.reshape(move, (2, 1, 1))
    field = ((36, 40, 1000.0), (8, 70, 300.0), (62, 12, 200.0), (66, 71, 150.0), (36, 52, companion))
    return sky + sum(a * np.exp(-((y - v) ** 2 + (x - u) ** 2) / (2 * 2.12**2)) for v, u, a in field)


def noisy(images, rng, sigma):
    return np.stack(images) + sigma * rng.normal(size=(len(images), *SHAPE))


def measured(backend, ref, imgs, method, **options):
    found = subreg(backend.asarray(ref), backend.asarray(imgs), method=method, **options)
    assert backend.owns(found)
    return backend.to_numpy(found)


# --- against the truth ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["X", "F", "FHP"])
def test_extended_scenes(backend, rng, method):
    ref = extended() + 0.01 * rng.normal(size=SHAPE)
    imgs = noisy([extended(m) for m in MOVES], rng, 0.01)
    np.testing.assert_allclose(measured(backend, ref, imgs, method), EXPECTED, atol=0.1)


@pytest.mark.parametrize("method", ["X", "F"])
def test_periodic_scenes_without_a_border(rng, method):
    sky = random_sky(SHAPE, rng, beam=1.5)
    imgs = noisy([cut(sky, np.negative(m), SHAPE) for m in MOVES], rng, 0.02)
    found = subreg(cut(sky, (0, 0), SHAPE), imgs, method=method)
    np.testing.assert_allclose(found, EXPECTED, atol=0.1)


@pytest.mark.parametrize("method", ["C", "O", "G", "R"])
def test_star_fields(backend, rng, method):
    # the sky is subtracted: the centre of mass needs that
    ref = stars() + 0.1 * rng.normal(size=SHAPE)
    imgs = noisy([stars(m) for m in MOVES], rng, 0.1)
    np.testing.assert_allclose(measured(backend, ref, imgs, method), EXPECTED, atol=0.02)


def test_the_brightest_pixel_is_good_to_a_pixel(backend):
    imgs = np.stack([stars(m) for m in ((3, -2), (3.3, -2.4), (-6, 7))])
    np.testing.assert_array_equal(measured(backend, stars(), imgs, "M"), [[2, -3], [2, -3], [-7, 6]])


def test_the_default_is_f(rng):
    imgs = noisy([extended(m) for m in MOVES], rng, 0.01)
    np.testing.assert_array_equal(subreg(extended(), imgs), subreg(extended(), imgs, method="F", boxsize=40))


# --- against their definitions ----------------------------------------------------------------------------------------


def correlation(ref, img, high_pass=False):
    """Return the periodic correlation with the lag 0 at n // 2."""
    spectrum = np.conj(np.fft.fft2(ref - ref.mean())) * np.fft.fft2(img - img.mean())
    if high_pass:
        k2 = sum(np.meshgrid(*[(np.fft.fftfreq(n) * n) ** 2 for n in ref.shape], indexing="ij"))
        spectrum *= 1 - 1 / (1 + k2 / 4)
    return np.fft.fftshift(np.fft.ifft2(spectrum).real)


def gaussian_fit(values):
    """Return the centre (y, x) of the best Gaussian on a constant."""
    y, x = np.indices(values.shape)
    j, i = np.unravel_index(values.argmax(), values.shape)
    low, high = values.min(), values.max()

    def residual(t):
        g = np.exp(-((y - t[0]) ** 2) / (2 * t[2] ** 2) - (x - t[1]) ** 2 / (2 * t[3] ** 2))
        return (t[4] + t[5] * g - (values - low) / (high - low)).ravel()

    return scipy.optimize.least_squares(residual, [j, i, 3, 3, 0, 1], method="lm", ftol=1e-14, xtol=1e-14).x[:2]


@pytest.mark.parametrize("method", ["F", "FHP"])
@pytest.mark.parametrize("boxsize", [5, 12])
def test_a_gaussian_through_the_correlation(backend, rng, method, boxsize):
    sky = random_sky(SHAPE, rng, beam=1.2)
    ref, img = cut(sky, (0, 0), SHAPE), cut(sky, (-3.3, 2.4), SHAPE) + 0.1 * rng.normal(size=SHAPE)
    values = correlation(ref, img, high_pass=method == "FHP")
    peak = np.array(np.unravel_index(values.argmax(), SHAPE))
    box = values[tuple(slice(p - boxsize, p + boxsize + 1) for p in peak)]
    expected = np.array(SHAPE) // 2 - (peak - boxsize + gaussian_fit(box))
    found = measured(backend, ref, img, method, boxsize=boxsize)
    np.testing.assert_allclose(found, expected[::-1], atol=1e-4 if backend.has_float64 else 1e-3)


@pytest.mark.parametrize("seed", [0, 1])
def test_single_precision_does_not_stop_the_fit_early(seed):
    rng = np.random.default_rng(seed)
    for _ in range(20):
        sky = random_sky(SHAPE, rng, beam=1.2)
        ref, img = cut(sky, (0, 0), SHAPE), cut(sky, (-3.3, 2.4), SHAPE) + 0.1 * rng.normal(size=SHAPE)
        values = correlation(ref, img, high_pass=False)
        peak = np.unravel_index(values.argmax(), SHAPE)
        box = values[tuple(slice(p - 12, p + 13) for p in peak)]
        single = box.astype(np.float32)[None]
        xp = array_namespace(box=single)
        found = fit_gaussian(single, [np.ones((1, 25), np.float32)] * 2, xp=xp).centre[0]
        np.testing.assert_allclose(found, gaussian_fit(box) - 12, atol=5e-4)


def test_the_centre_of_mass_of_the_correlation(backend, rng):
    sky = random_sky(SHAPE, rng, beam=1.2)
    ref, img = cut(sky, (0, 0), SHAPE), cut(sky, (-3.3, 2.4), SHAPE) + 0.1 * rng.normal(size=SHAPE)
    found = -measured(backend, ref, img, "X", boxsize=8)[::-1]
    # around the answer the samples have no first moment
    cross = np.conj(np.fft.fft2(ref - ref.mean())) * np.fft.fft2(img - img.mean())
    lag = np.arange(-4, 5)
    waves = [np.exp(2j * np.pi * np.outer(f + lag, np.fft.fftfreq(n))) for f, n in zip(found, SHAPE, strict=True)]
    values = (waves[0] @ cross @ waves[1].T).real
    values -= values.min()
    moments = [np.sum(values * lag[:, None]), np.sum(values * lag)]
    np.testing.assert_allclose(moments / values.sum(), 0, atol=1e-4 if backend.has_float64 else 2e-3)
    assert not np.allclose(found, -subreg(ref, img, method="F", boxsize=8)[::-1], atol=1e-3)


def centre_of_box(image, half):
    peak = np.unravel_index(image.argmax(), image.shape)
    box = image[tuple(slice(p - half, p + half + 1) for p in peak)]
    at = np.arange(-half, half + 1)
    return np.array(peak) + np.array([np.sum(box * at[:, None]), np.sum(box * at)]) / box.sum()


def test_the_centre_of_mass_of_a_box_with_its_sky(backend, rng):
    ref, img = stars(sky=20.0), stars((3.3, -2.4), sky=20.0) + 0.1 * rng.normal(size=SHAPE)
    expected = centre_of_box(ref, 9) - centre_of_box(img, 9)
    found = measured(backend, ref, img, "C", boxsize=9)
    np.testing.assert_allclose(found, expected[::-1], atol=1e-6 if backend.has_float64 else 1e-3)
    # which draws it to the middle of the box, and r not
    assert np.max(np.abs(found - (2.4, -3.3))) > 0.05
    np.testing.assert_allclose(measured(backend, ref, img, "R"), (2.4, -3.3), atol=0.02)


def test_a_gaussian_through_the_star(backend, rng):
    ref, img = stars(sky=20.0), stars((3.3, -2.4), sky=20.0, companion=40) + 0.5 * rng.normal(size=SHAPE)
    peaks = [np.array(np.unravel_index(im.argmax(), SHAPE)) for im in (ref, img)]
    fits_of = [
        p - 8 + gaussian_fit(im[tuple(slice(q - 8, q + 9) for q in p)]) for im, p in zip((ref, img), peaks, strict=True)
    ]
    found = measured(backend, ref, img, "G", boxsize=8)
    # it shifts and fits again, which changes what noise and neighbours do
    np.testing.assert_allclose(found, (fits_of[0] - fits_of[1])[::-1], atol=0.01)


def test_slopes_know_nothing_of_a_neighbour(backend):
    # 12 pixels from the star, in the boxes of the others
    ref, img = stars(), stars((0.3, -0.4), companion=200.0)
    np.testing.assert_allclose(measured(backend, ref, img, "O"), (0.4, -0.3), atol=0.01)
    for method in ("C", "F"):
        assert np.max(np.abs(subreg(ref, img, method=method) - (0.4, -0.3))) > 0.02, method
    # too near the border there is no box
    assert np.all(np.isnan(subreg(stars((-34, 0)), stars((-34, 0)), method="O")))


def test_no_two_methods_are_the_same(rng):
    ref = stars(sky=20.0) + rng.normal(size=SHAPE)
    img = stars((3.3, -2.4), sky=21.0, companion=150.0) + rng.normal(size=SHAPE)
    found = {m: subreg(ref, img, method=m) for m in imreg_xp.methods.perrin.METHODS if "H" not in m or m == "FHP"}
    for a, b in itertools.combinations(found, 2):
        assert np.max(np.abs(found[a] - found[b])) > 1e-3, (a, b)
        assert a == "N" or b == "N" or np.max(np.abs(found[a] - found[b])) < 2, (a, b)


def test_n_is_no_shift(backend, rng):
    found = measured(backend, stars(), np.stack([stars((3, 4)), np.full(SHAPE, np.nan)]), "N")
    np.testing.assert_array_equal(found, np.zeros((2, 2)))


# --- large shifts -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["X", "F"])
def test_the_brightest_pixel_stays_in_the_frame(backend, method):
    # from one end of the frame to the other, by more than half of its size
    ref, img = stars((-30, 0)), stars((30, 0))
    np.testing.assert_allclose(measured(backend, ref, img, method), (0, -60), atol=0.1)
    np.testing.assert_allclose(subreg(ref, img, method="FHP"), (0, 12), atol=0.1)


# --- headers ----------------------------------------------------------------------------------------------------------


def header(x, y, ra=0.0):
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval = [150.0 + ra, 20.0]
    wcs.wcs.cdelt = [-1e-4, 1e-4]
    wcs.wcs.crpix = [40 + x, 36 + y]
    return wcs.to_header()


def test_h_is_what_the_headers_say(backend):
    headers = [header(0, 0), header(3.5, -2), header(-60, 10)]
    imgs = np.zeros((3, *SHAPE))
    np.testing.assert_allclose(
        measured(backend, imgs[0], imgs, "H", headers=headers), [[0, 0], [-3.5, 2], [60, -10]], atol=1e-5
    )
    found = measured(backend, imgs[0], imgs, "H", headers=headers, whichref=1)
    np.testing.assert_allclose(found, [[3.5, -2], [0, 0], [63.5, -12]], atol=1e-5)


def test_h_takes_shifts_and_sky_coordinates(backend):
    said = np.array([[1.5, -2.0], [3.0, 4.0]])
    found = measured(backend, np.zeros(SHAPE), np.zeros((2, *SHAPE)), "H", headers=backend.asarray(said))
    np.testing.assert_array_equal(found, said)
    # 4 pixels west on the sky, with nothing else changed
    found = header_shifts([header(0, 0), header(0, 0, ra=-4e-4 / np.cos(np.radians(20)))], SHAPE)
    np.testing.assert_allclose(found, [[0, 0], [4, 0]], atol=1e-3)


def test_hf_believes_the_header_where_f_is_far_from_it(backend, rng):
    ref = extended() + 0.01 * rng.normal(size=SHAPE)
    imgs = noisy([extended(), extended((3.3, -2.4)), extended((3.3, -2.4))], rng, 0.01)
    # 30 and 45 pixels from the truth
    headers = [header(0, 0), header(-2.4 + 30, 3.3), header(-2.4 + 45, 3.3)]
    found = measured(backend, ref, imgs, "HF", headers=headers)
    np.testing.assert_allclose(found, [[0, 0], [2.4, -3.3], [2.4 - 45, -3.3]], atol=0.1)
    np.testing.assert_allclose(found[2], (2.4 - 45, -3.3), atol=1e-3)
    # nor has it a correlation to believe where an image is empty
    imgs[1] = np.nan
    np.testing.assert_allclose(measured(backend, ref, imgs, "HF", headers=headers)[1], (2.4 - 30, -3.3), atol=1e-3)


def test_headers_that_say_nothing_are_named():
    images = np.zeros((2, *SHAPE))
    with pytest.raises(InputError, match=r"headers\[1\]"):
        subreg(images[0], images, method="H", headers=[header(0, 0), fits.Header()])
    galactic = header(0, 0)
    galactic["CTYPE1"], galactic["CTYPE2"] = "LINEAR", "LINEAR"
    with pytest.raises(InputError, match=r"headers\[1\]"):
        subreg(images[0], images, method="H", headers=[header(0, 0), galactic])


# --- bad pixels, batches, bad input -----------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["F", "X", "C", "O", "G", "R"])
def test_bad_pixels_are_repaired(backend, rng, method):
    ref, img = stars(), stars((3.3, -2.4))
    bad = np.zeros(SHAPE, dtype=bool)
    bad[20, 30:34] = bad[37, 43] = bad[60:62, 10:12] = True
    spoiled = np.where(bad, 1e5, ref), np.where(bad, -1e5, img)
    found = measured(backend, spoiled[0], spoiled[1], method, badpix=backend.asarray(bad))
    np.testing.assert_allclose(found, (2.4, -3.3), atol=0.1)
    ref[bad], img[bad] = np.nan, np.inf
    np.testing.assert_allclose(measured(backend, ref, img, method), found, atol=1e-3)


@pytest.mark.parametrize("method", ["F", "X", "C", "G"])
def test_chunks_change_nothing(monkeypatch, method):
    from imreg_xp._engine import chunks

    imgs = np.stack([stars(m) for m in (*MOVES, (1, 1))])
    bad = np.zeros(imgs.shape, dtype=bool)
    bad[3, 5:9, 5:9] = True
    at_once = subreg(stars(), imgs, method=method, badpix=bad)
    monkeypatch.setattr(chunks, "pixels_per_chunk", lambda *_, **__: 2 * imgs[0].size)
    np.testing.assert_allclose(subreg(stars(), imgs, method=method, badpix=bad), at_once, atol=1e-9)


def test_lists_of_good_images(backend):
    imgs = np.stack([stars((3, 4))] * 3)
    found = measured(backend, stars(), imgs, "C", goodlist=[1, 0, 1])
    np.testing.assert_allclose(found, [[-4, -3], [0, 0], [-4, -3]], atol=0.01)


@pytest.mark.parametrize("method", [*FOURIER[:3], *STARS])
def test_items_that_cannot_be_measured_are_nan(backend, method):
    imgs = np.stack([stars((3, 4)), np.full(SHAPE, 3.0), np.full(SHAPE, np.nan), stars((-2, 1))]).reshape(2, 2, *SHAPE)
    found = measured(backend, stars(), imgs, method)
    assert found.shape == (2, 2, 2)
    assert np.isnan(found).all(-1).tolist() == [[False, True], [True, False]]
    np.testing.assert_allclose(found[0, 0], (-4, -3), atol=0.05)
    np.testing.assert_allclose(found[1, 1], (-1, 2), atol=0.05)
    assert np.isnan(subreg(np.ones(SHAPE), imgs[0, 0], method=method)).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int16])
def test_dtype_stays(dtype):
    ref, img = (np.round(stars(m)).astype(dtype) for m in ((0, 0), (3, 4)))
    for method in (*FOURIER[:3], *STARS, "N"):
        found = subreg(ref, img, method=method)
        assert found.dtype == (np.float64 if dtype == np.int16 else dtype)
        assert found.shape == (2,)


@pytest.mark.parametrize(
    ("kind", "name", "options"),
    [
        (ValueError, "method", {"method": "Q"}),
        (ValueError, "boxsize", {"boxsize": 0}),
        (TypeError, "badpix", {"badpix": np.zeros(SHAPE)}),
        (ValueError, "badpix", {"badpix": np.zeros((3, 3), dtype=bool)}),
        (ValueError, "goodlist", {"goodlist": [1, 1, 1]}),
        (ValueError, "headers", {"method": "H"}),
        (ValueError, "headers", {"method": "H", "headers": [header(0, 0)]}),
        (ValueError, "headers", {"method": "H", "headers": np.zeros((3, 2))}),
        (ValueError, "whichref", {"method": "H", "headers": [header(0, 0)] * 2, "whichref": 2}),
        (ValueError, "imgs", {"imgs": np.zeros((2, 10, 10))}),
        (TypeError, "imgs", {"imgs": [1, 2]}),
        (TypeError, "ref", {"ref": np.zeros(SHAPE, dtype=complex)}),
        (ValueError, "ref", {"ref": np.zeros((2, *SHAPE))}),
    ],
)
def test_bad_input_is_named(kind, name, options):
    arguments = {"ref": stars(), "imgs": np.stack([stars(), stars()]), **options}
    with pytest.raises(kind, match=f"`{name}`"):
        subreg(**arguments)


def test_the_example_in_the_docstring_is_right():
    import doctest

    from imreg_xp.methods import perrin

    results = doctest.testmod(perrin)
    assert results.failed == 0
    assert results.attempted > 0
