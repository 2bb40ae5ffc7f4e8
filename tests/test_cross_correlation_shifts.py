"""`cross_correlation_shifts`: its parabola against one written out, the Gaussian against one built in."""

from __future__ import annotations

import inspect
import warnings

import numpy as np
import pytest
from skies import cut, random_sky

import imreg_xp
from imreg_xp import cross_correlation_shifts

DOCUMENTED = {
    "errim1": None,
    "errim2": None,
    "maxoff": None,
    "verbose": False,
    "gaussfit": False,
    "return_error": False,
    "zeromean": True,
}


def test_signature():
    parameters = dict(list(inspect.signature(cross_correlation_shifts).parameters.items())[2:-1])
    assert {k: p.default for k, p in parameters.items()} == DOCUMENTED


def scene(shape, offset, rng, noise=0.0, beam=1.5):
    sky = random_sky(shape, rng, beam=beam)
    return cut(sky, (0, 0), shape), cut(sky, -np.asarray(offset), shape) + noise * rng.normal(size=shape)


def parabola(first, second):
    """Return the peak of the periodic correlation by sums over rolled images and a parabola, x first."""
    first, second = first - first.mean(), second - second.mean()
    ny, nx = first.shape
    lags = [(dy, dx) for dy in range(-(ny // 2), ny // 2) for dx in range(-(nx // 2), nx // 2)]

    def c(dy, dx):
        return np.sum(np.roll(first, (dy, dx), (0, 1)) * second)

    y, x = max(lags, key=lambda lag: c(*lag))
    g = np.array([c(y, x + 1) - c(y, x - 1), c(y + 1, x) - c(y - 1, x)]) / 2
    xx = c(y, x + 1) - 2 * c(y, x) + c(y, x - 1)
    yy = c(y + 1, x) - 2 * c(y, x) + c(y - 1, x)
    xy = (c(y + 1, x + 1) + c(y - 1, x - 1) - c(y + 1, x - 1) - c(y - 1, x + 1)) / 4
    return np.array([x, y]) - np.linalg.solve([[xx, xy], [xy, yy]], g)


@pytest.mark.parametrize("shape", [(20, 24), (21, 24), (19, 23)])
def test_the_default_is_the_parabola_at_the_largest_sample(backend, rng, shape):
    first, second = scene(shape, (3.3, -2.6), rng, noise=0.05)
    found = cross_correlation_shifts(backend.asarray(first), backend.asarray(second))
    np.testing.assert_allclose(found, parabola(first, second), atol=1e-9 if backend.has_float64 else 1e-4)
    assert all(isinstance(v, float) for v in found)


@pytest.mark.parametrize("gaussfit", [False, True])
@pytest.mark.parametrize("boundary", ["wrap", "overlap"])
def test_near_the_truth_x_first(backend, rng, boundary, gaussfit):
    shape, origin, offset = (48, 52), np.array([30, 30]), np.array([3.3, -2.6])
    sky = random_sky((128, 128) if boundary == "overlap" else shape, rng, beam=1.5)
    first, second = cut(sky, origin, shape), cut(sky, origin - offset, shape)
    found = cross_correlation_shifts(
        backend.asarray(first), backend.asarray(second), gaussfit=gaussfit, boundary=boundary
    )
    np.testing.assert_allclose(found, (-2.6, 3.3), atol=0.35 if gaussfit else 0.1)


def test_a_gaussian_peak_is_found_exactly(backend):
    # the correlation of two Gaussian blobs is one; with a tilt and a sub-pixel offset
    y, x = np.indices((60, 64)) - np.array([30, 32])[:, None, None]

    def blob(dx, dy):
        u, v = x - dx, y - dy
        return np.exp(-0.5 * (u * u / 4 + v * v / 6 + 0.2 * u * v))

    first, second = backend.asarray(blob(0, 0)), backend.asarray(blob(2.37, -4.81))
    tol = 1e-5 if backend.has_float64 else 1e-3
    np.testing.assert_allclose(cross_correlation_shifts(first, second, gaussfit=True), (2.37, -4.81), atol=tol)
    # where the parabola is biased
    assert np.max(np.abs(np.subtract(cross_correlation_shifts(first, second), (2.37, -4.81)))) > 1e-3


def test_errors_are_those_of_register_where_borders_count(rng):
    first, second = scene((40, 44), (3.3, -2.7), rng, noise=0.1)
    *_, ex, ey = cross_correlation_shifts(first, second, return_error=True, boundary="overlap")
    native = imreg_xp.register(first, second)
    np.testing.assert_allclose((ex, ey), native.shift_err[::-1], rtol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("offset", [(3.0, -2.0), (3.3, -2.4)])
@pytest.mark.parametrize("beam", [0.7, 1.5])
def test_errors_are_the_scatter(offset, beam):
    rng = np.random.default_rng(7)
    clean = scene((64, 60), offset, rng, beam=beam)
    found = np.array(
        [
            cross_correlation_shifts(*(im + 0.2 * rng.normal(size=im.shape) for im in clean), return_error=True)
            for _ in range(300)
        ]
    )
    # around the mean: the parabola has a bias, which is not the noise's
    ratio = np.std(found[:, :2], axis=0) / np.sqrt(np.mean(found[:, 2:] ** 2, axis=0))
    np.testing.assert_allclose(ratio, 1, atol=0.15)


def test_invalid_pixels_are_left_out(backend, rng):
    first, second = scene((40, 44), (3, -2), rng)
    err = np.ones(first.shape)
    first[3, 4], second[10:12, 20] = np.nan, np.inf
    second[30, 30], err[30, 30] = 1e6, 0
    found = cross_correlation_shifts(*map(backend.asarray, (first, second)), errim2=backend.asarray(err))
    np.testing.assert_allclose(found, (-2, 3), atol=0.05)


def test_no_further_than_maxoff(rng):
    first, second = scene((40, 44), (12, 0), rng)
    assert np.max(np.abs(cross_correlation_shifts(first, second, maxoff=4))) <= 5
    np.testing.assert_allclose(cross_correlation_shifts(first, second, maxoff=13), (0, 12), atol=0.05)


@pytest.mark.parametrize("boundary", ["constant", "fill", "nearest", "reflect"])
def test_other_boundaries_extend_the_first_image(rng, boundary):
    first, second = scene((32, 30), (2, -1), rng)
    mode = {"constant": "constant", "fill": "constant", "nearest": "edge", "reflect": "symmetric"}[boundary]
    wide = np.pad(first - first.mean(), 16, mode=mode)
    second = second - second.mean()
    c = np.array(
        [[np.sum(wide[16 - j : 48 - j, 16 - i : 46 - i] * second) for i in range(-6, 7)] for j in range(-6, 7)]
    )
    j, i = np.unravel_index(c.argmax(), c.shape)
    found = cross_correlation_shifts(first, second, boundary=boundary)
    np.testing.assert_allclose(found, (i - 6, j - 6), atol=0.75)


def test_zeromean_false_lets_the_level_speak(rng):
    first, second = scene((30, 32), (3, -2), rng)
    levels = (first + 100, second + 100)
    np.testing.assert_allclose(cross_correlation_shifts(*levels), (-2, 3), atol=1e-6)
    padded = cross_correlation_shifts(*levels, zeromean=False, boundary="fill")
    np.testing.assert_allclose(padded, (0, 0), atol=1.0)


def test_verbose_warns_of_a_peak_that_is_no_parabola(rng):
    warned = 0
    for first, second in rng.normal(size=(300, 2, 5, 5)):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            cross_correlation_shifts(first, second, verbose=True)
        warned += bool(caught)
    assert 0 < warned < 300


@pytest.mark.parametrize("gaussfit", [False, True])
def test_no_structure_no_shift(gaussfit):
    flat, empty = np.ones((16, 18)), np.full((16, 18), np.nan)
    for image in (flat, empty):
        assert np.all(np.isnan(cross_correlation_shifts(image, image, gaussfit=gaussfit, return_error=True)))


@pytest.mark.parametrize(
    ("kind", "name", "options"),
    [
        (TypeError, "upsample_factor", {"upsample_factor": 3}),
        (ValueError, "boundary", {"boundary": "mirror"}),
        (ValueError, "maxoff", {"maxoff": -1}),
        (ValueError, "errim1", {"errim1": -1.0}),
        (ValueError, "errim2", {"errim2": np.ones(3)}),
    ],
)
def test_bad_input_is_named(rng, kind, name, options):
    with pytest.raises(kind, match=f"`{name}`"):
        cross_correlation_shifts(*rng.normal(size=(2, 16, 18)), **options)
