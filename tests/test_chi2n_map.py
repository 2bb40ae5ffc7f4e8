"""`chi2n_map` against sums over shifted images written out, and `chi2map_to_errors` on maps of known shape."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage
import scipy.stats

import imreg_xp
from imreg_xp import chi2n_map
from imreg_xp.chi2_shifts import chi2map_to_errors

MODES = {"wrap": "wrap", "reflect": "symmetric", "nearest": "edge", "constant": "constant", "fill": "constant"}
SHAPES = [(7, 10), (8, 9), (6, 6), (1 + 6, 5)]


def images(shape, rng, *, holes):
    first, second = rng.normal(size=(2, *shape)) + 3
    if holes:
        first[2, 3] = np.nan
        second[0, 1], second[4, 4] = np.nan, np.inf
    return first, second


def brute_force(first, second, err, boundary):
    """Return chi², its terms and the number of pixels for each whole-pixel shift, one sum at a time."""
    shape = first.shape
    err = np.broadcast_to(1.0 if err is None else err, shape)
    results = np.empty((5, *shape))
    pad = max(shape)
    if boundary == "overlap":
        wide = np.pad(first, pad, constant_values=np.nan)
    else:
        wide = np.pad(first, pad, mode=MODES[boundary])
    for i, j in np.ndindex(*shape):
        dy, dx = (shape[0] - 1) // 2 - i, (shape[1] - 1) // 2 - j
        moved = wide[pad - dy : pad - dy + shape[0], pad - dx : pad - dx + shape[1]]
        with np.errstate(invalid="ignore"):
            use = np.isfinite(moved) & np.isfinite(second) & np.isfinite(err) & (err > 0)
        m, r, w = second[use], moved[use], err[use] ** -2.0
        results[:, i, j] = (
            np.sum(w * (m - r) ** 2),
            np.sum(w * m * m),
            -2 * np.sum(w * m * r),
            np.sum(w * r * r),
            m.size,
        )
    return results


@pytest.mark.parametrize("holes", [False, True])
@pytest.mark.parametrize("kind", ["none", "number", "map"])
@pytest.mark.parametrize("boundary", [*MODES, "overlap"])
def test_every_shift_is_the_sum_over_the_pixels_compared(backend, rng, boundary, kind, holes):
    tol = 1e-9 if backend.has_float64 else 1e-4
    for shape in SHAPES if backend.library == "numpy" else SHAPES[:1]:
        first, second = images(shape, rng, holes=holes)
        err = {"none": None, "number": 0.3, "map": 0.1 + rng.uniform(size=shape)}[kind]
        if kind == "map":
            err[1, 1], err[3, 2] = 0, np.nan
        expected = brute_force(first, second, err, boundary)
        given = [backend.asarray(a) if isinstance(a, np.ndarray) else a for a in (first, second, err)]
        chi2, *terms = chi2n_map(*given, boundary=boundary, return_all=True)
        chi2 = backend.to_numpy(chi2)
        assert chi2.shape == shape
        np.testing.assert_allclose(chi2, expected[0], rtol=tol)
        for term, true in zip(terms, expected[1:], strict=False):
            host = backend.to_numpy(term)
            assert host.shape in {(), shape}
            np.testing.assert_allclose(np.broadcast_to(host, shape), true, rtol=tol)
        np.testing.assert_allclose(sum(map(backend.to_numpy, terms)), chi2, rtol=10 * tol)
        reduced = backend.to_numpy(chi2n_map(*given, boundary=boundary, reduced=True))
        np.testing.assert_allclose(reduced, expected[0] / (expected[4] - 2), rtol=tol)


def test_reduced_terms_add_up_too(rng):
    first, second = images((9, 8), rng, holes=True)
    reduced, *terms = chi2n_map(first, second, 0.2, return_all=True, reduced=True)
    np.testing.assert_allclose(sum(terms), reduced, rtol=1e-9)


def test_terms_that_do_not_depend_on_the_shift_are_numbers(rng):
    first, second = images((9, 8), rng, holes=False)
    shapes = [np.shape(t) for t in chi2n_map(first, second, 0.2, return_all=True)]
    assert shapes == [(9, 8), (), (9, 8), ()]
    shapes = [np.shape(t) for t in chi2n_map(first, second, np.full((9, 8), 0.2), return_all=True)]
    assert shapes == [(9, 8), (), (9, 8), (9, 8)]


@pytest.mark.parametrize("shape", [(40, 33), (33, 40)])
def test_the_minimum_is_where_the_docstring_says(rng, shape):
    first = rng.normal(size=shape)
    second = np.roll(first, (3, -5), (0, 1)) + 0.01 * rng.normal(size=shape)
    i, j = np.unravel_index(chi2n_map(first, second).argmin(), shape)
    assert ((shape[0] - 1) // 2 - i, (shape[1] - 1) // 2 - j) == (3, -5)


def test_a_pedestal_costs_no_digits(rng):
    first, second = images((16, 17), rng, holes=False)
    np.testing.assert_allclose(chi2n_map(first + 1e6, second + 1e6), chi2n_map(first, second), rtol=1e-8)


def test_zeromean_takes_the_means_of_the_valid_pixels_off(rng):
    first, second = images((8, 9), rng, holes=True)
    second[~np.isfinite(second)] = np.nan
    lowered = [im - np.nanmean(im) for im in (first, second)]
    np.testing.assert_allclose(chi2n_map(first + 5, second, zeromean=True), chi2n_map(*lowered), rtol=1e-9)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dtype_is_kept_and_inputs_too(backend, rng, dtype):
    if dtype == "float64" and not backend.has_float64:
        pytest.skip("no float64")
    given = [backend.asarray(im.astype(dtype)) for im in images((8, 9), rng, holes=False)]
    before = [backend.to_numpy(g).copy() for g in given]
    for term in chi2n_map(*given, return_all=True):
        assert str(term.dtype).endswith(dtype)
    for g, b in zip(given, before, strict=True):
        np.testing.assert_array_equal(backend.to_numpy(g), b)


def test_too_few_pixels_have_no_reduced_chi2(rng):
    first, second = rng.normal(size=(2, 5, 5))
    second[1:] = np.nan
    second[0, :3] = np.nan
    assert np.all(np.isnan(chi2n_map(first, second, reduced=True)))
    assert np.all(np.isfinite(chi2n_map(first, second)))


@pytest.mark.parametrize("nfitted", [1, 2, 3])
@pytest.mark.parametrize("nsigma", [1, 3])
@pytest.mark.parametrize("zoom", [1.0, 7.5])
def test_errors_of_a_paraboloid_are_its_extents(backend, nfitted, nsigma, zoom):
    a = np.array([[3.0, 1.2], [1.2, 2.0]])  # inverse covariance per sample squared, x first
    y, x = np.indices((41, 37)) - np.array([19.7, 18.4])[:, None, None]
    chi2 = 12 + a[0, 0] * x**2 + 2 * a[0, 1] * x * y + a[1, 1] * y**2
    q = scipy.stats.chi2.ppf(scipy.stats.chi2.cdf(nsigma**2, 1), nfitted)
    ex, ey = np.sqrt(q * np.diag(np.linalg.inv(a))) / zoom
    found = chi2map_to_errors(backend.asarray(chi2), zoomfactor=zoom, nsigma=nsigma, nfitted=nfitted)
    np.testing.assert_allclose(found, (ex, ex, ey, ey), rtol=1e-9 if backend.has_float64 else 1e-3)


def test_errors_of_a_sampled_map_are_those_of_the_fit(rng):
    first = scipy.ndimage.gaussian_filter(rng.normal(size=(48, 50)), 1.5, mode="wrap")
    second = imreg_xp.fourier_shift(first, (1.3, 2.6)) + 0.02 * rng.normal(size=first.shape)
    *_, errx, erry, (_, _, chi2) = imreg_xp.chi2_shift(first, second, 0.02, upsample_factor=1000, return_chi2array=True)
    ex, _, ey, _ = chi2map_to_errors(chi2, zoomfactor=1000)
    # the fit measures how noise is correlated, the map takes it for white
    np.testing.assert_allclose((ex, ey), (errx, erry), rtol=0.2)


@pytest.mark.parametrize("chi2", [np.full((5, 5), np.nan), -np.ones((5, 5)), np.arange(25.0).reshape(5, 5)])
def test_a_map_without_a_minimum_inside_has_no_errors(chi2):
    assert np.all(np.isnan(chi2map_to_errors(chi2)))


@pytest.mark.parametrize(
    ("chi2", "options", "name"),
    [
        (np.ones((2, 9)), {}, "chi2map"),
        (np.ones(9), {}, "chi2map"),
        (np.ones((5, 5)), {"zoomfactor": 0}, "zoomfactor"),
        (np.ones((5, 5)), {"nsigma": -1}, "nsigma"),
        (np.ones((5, 5)), {"nfitted": 0}, "nfitted"),
    ],
)
def test_bad_input_is_named(chi2, options, name):
    with pytest.raises(ValueError, match=f"`{name}`"):
        chi2map_to_errors(chi2, **options)


def test_boundaries_are_checked(rng):
    with pytest.raises(ValueError, match="`boundary`"):
        chi2n_map(*rng.normal(size=(2, 5, 5)), boundary="mirror")
    with pytest.raises(TypeError, match="`im1`"):
        chi2n_map([[1.0]], np.ones((5, 5)))
