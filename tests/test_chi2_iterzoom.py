"""`chi2_shift_iterzoom`: the answers of `chi2_shift`, a chi² array of the shape asked for."""

from __future__ import annotations

import numpy as np
import pytest
from skies import cut, random_sky

import imreg_xp
from imreg_xp import chi2_shift, chi2_shift_iterzoom

SHAPE, OFFSET = (40, 43), np.array([3.3, -2.7])


@pytest.fixture
def images(rng):
    sky = random_sky((64, 66), rng, beam=1.2)
    return cut(sky, (10, 10), SHAPE), cut(sky, np.array([10, 10]) - OFFSET, SHAPE) + 0.1 * rng.normal(size=SHAPE)


@pytest.mark.parametrize("boundary", ["wrap", "overlap", "reflect"])
@pytest.mark.parametrize("err", [None, 0.1, "map"])
def test_agrees_with_chi2_shift_and_register(backend, images, rng, boundary, err):
    err = 0.05 + 0.1 * rng.uniform(size=SHAPE) if err == "map" else err
    given = [backend.asarray(a) if isinstance(a, np.ndarray) else a for a in (*images, err)]
    zoomed = chi2_shift_iterzoom(*given, boundary=boundary)
    plain = chi2_shift(*given, boundary=boundary)
    np.testing.assert_allclose(zoomed[:2], plain[:2], atol=1e-3 * min(plain[2:]))
    np.testing.assert_allclose(zoomed[2:], plain[2:], rtol=1e-3)
    native = imreg_xp.register(
        *given[:2],
        moving_err=given[2],
        boundary="wrap" if boundary == "wrap" else "overlap",
        fit_scale=False,
        fit_background=False,
    )
    np.testing.assert_allclose(zoomed[:2], -backend.to_numpy(native.shift)[::-1], atol=1e-3 * min(plain[2:]))


def test_the_array_has_the_shape_asked_for_and_holds_the_minimum(images):
    dx, dy, ex, ey, (x, y, chi2) = chi2_shift_iterzoom(
        *images, 0.1, boundary="overlap", return_chi2array=True, rezoom_shape=(60, 80)
    )
    assert chi2.shape == x.shape == y.shape == (60, 80)
    i, j = np.unravel_index(chi2.argmin(), chi2.shape)
    assert abs(x[i, j] - dx) < 0.2 * ex
    assert abs(y[i, j] - dy) < 0.2 * ey


@pytest.mark.parametrize("mindiff", [0.5, 4.0])
def test_the_zoom_ends_where_chi2_varies_by_mindiff(rng, mindiff):
    first = cut(random_sky((96, 96), rng, beam=0.6), (0, 0), (96, 96))
    second = imreg_xp.fourier_shift(first, (0.4, -1.2)) + 0.05 * rng.normal(size=first.shape)
    options = {"mindiff": mindiff, "zoom_shape": (10, 10), "rezoom_shape": (31, 31), "rezoom_factor": 3}
    chi2 = chi2_shift_iterzoom(first, second, 0.05, return_chi2array=True, **options)[-1][2]
    # 31 samples of a third of the step reach to the corners of the zoom
    corners = max(chi2[0, 0], chi2[0, -1], chi2[-1, 0], chi2[-1, -1]) - chi2.min()
    assert corners == pytest.approx(mindiff, rel=0.3)


def test_a_number_sets_the_step(images):
    x, y, _ = chi2_shift_iterzoom(*images, 0.1, upsample_factor=20, return_error=False, return_chi2array=True)[-1]
    np.testing.assert_allclose(np.diff(x, axis=1), 1 / 20, rtol=1e-9)
    np.testing.assert_allclose(np.diff(y, axis=0), 1 / 20, rtol=1e-9)


def test_nfitted_may_be_given(images):
    one, two = (np.array(chi2_shift_iterzoom(*images, 0.1, nfitted=n)[2:]) for n in (1, 2))
    np.testing.assert_allclose(two / one, 1.5152, rtol=1e-3)


def test_no_shift_has_an_array_all_the_same():
    flat = np.ones((20, 22))
    dx, dy, ex, ey, (x, _, chi2) = chi2_shift_iterzoom(flat, flat, return_chi2array=True)
    assert np.all(np.isnan((dx, dy, ex, ey)))
    assert x.shape == chi2.shape == (100, 100)


@pytest.mark.parametrize(
    ("kind", "name", "options"),
    [
        (TypeError, "nfit", {"nfit": 2}),
        (ValueError, "nfitted", {"nfitted": 0}),
        (ValueError, "zoom_shape", {"zoom_shape": (10,)}),
        (ValueError, "rezoom_shape", {"rezoom_shape": (0, 10)}),
        (ValueError, "rezoom_factor", {"rezoom_factor": 0}),
        (ValueError, "mindiff", {"mindiff": -1}),
        (ValueError, "upsample_factor", {"upsample_factor": "best"}),
    ],
)
def test_bad_input_is_named(images, kind, name, options):
    with pytest.raises(kind, match=f"`{name}`"):
        chi2_shift_iterzoom(*images, **options)
