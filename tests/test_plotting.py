from __future__ import annotations

import numpy as np
import pytest
from sky_scenes import seen

from imreg_xp import apply_shift, register
from imreg_xp.plotting import registration_figure


@pytest.fixture(scope="module")
def pair():
    reference = seen((60, 70), lambda x, y: (x, y), noise=2.0, seed=1)
    moving = seen((60, 70), lambda x, y: (x + 2.4, y - 1.3), noise=2.0, seed=2, gain=2.0, background=30.0)
    result = register(reference, moving)
    return reference, moving, apply_shift(moving, result.shift), result


def panels(figure):
    return {axes.get_title(): axes for axes in figure.axes if axes.get_title()}


def test_the_four_images_and_the_region_are_drawn(pair, tmp_path):
    figure = registration_figure(*pair, names=("a.fits", "b.fits"), lines=["shift x    +2.4"], truth=(2.4, -1.3))
    titles = list(panels(figure))
    assert [t.split(":")[0] for t in titles] == [
        "reference",
        "moving",
        "χ² around its minimum",
        "difference before",
        "difference after",
    ]
    assert "a.fits" in titles[0]
    assert any("shift x    +2.4" in text.get_text() for axes in figure.axes for text in axes.texts)
    figure.savefig(tmp_path / "p.png")
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")


def test_the_difference_is_scaled_by_gain_and_background_and_shrinks(pair):
    reference, moving, after, result = pair
    drawn = panels(registration_figure(*pair))
    images = {key.split(":")[0]: axes.images[0].get_array() for key, axes in drawn.items() if axes.images}
    want = (after - float(result.background)) / float(result.scale) - reference
    np.testing.assert_allclose(np.ma.filled(images["difference after"], np.nan), want)
    assert np.nanstd(images["difference before"]) > 4 * np.nanstd(images["difference after"])
    np.testing.assert_array_equal(moving, pair[1])


def test_the_contours_are_the_levels_of_chi2(pair):
    *_, result = pair
    axes = panels(registration_figure(*pair))["χ² around its minimum"]
    curves = {line.get_label(): line.get_xydata() for line in axes.lines if "Δχ²" in line.get_label()}
    assert len(curves) == 3
    inverse = np.linalg.inv(result.covariance)
    for level, (label, xy) in enumerate(curves.items(), start=1):
        assert f"Δχ² = {level**2} " in label
        offset = xy[:, ::-1] - result.shift
        np.testing.assert_allclose(np.einsum("ki,ij,kj->k", offset, inverse, offset), level**2, rtol=1e-6)


def test_no_global_state_of_matplotlib_is_used(pair):
    import matplotlib as mpl
    from matplotlib import _pylab_helpers

    before = dict(mpl.rcParams)
    registration_figure(*pair)
    assert dict(mpl.rcParams) == before
    assert not _pylab_helpers.Gcf.figs


def test_the_true_shift_is_always_in_view(pair):
    axes = panels(registration_figure(*pair, truth=(9.0, -1.3)))["χ² around its minimum"]
    assert axes.get_xlim()[1] > 9.0
