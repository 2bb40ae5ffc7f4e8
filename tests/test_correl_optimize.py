"""`correl_optimize` and its parts: against sums written out, over images really binned and really magnified."""

from __future__ import annotations

import numpy as np
import pytest
from skies import cut, random_sky

import imreg_xp
from imreg_xp import correl_images, correl_optimize, corrmat_analyze

SHAPE = (40, 52)


def nebula(origin=(0.0, 0.0), shape=SHAPE, *, rng=None, noise=0.01):
    """Return extended emission that ends before the border, seen from `origin` (y, x)."""
    y, x = np.indices(shape, dtype=float) + np.reshape(origin, (2, 1, 1))
    blobs = ((18, 26, 5.0, 1.0), (23, 31, 2.5, 0.8), (15, 21, 2.0, 0.6), (20, 35, 3.0, -0.3))
    image = 2 + sum(a * np.exp(-((y - v) ** 2 + (x - u) ** 2) / (2 * s * s)) for v, u, s, a in blobs)
    return image if rng is None else image + noise * rng.normal(size=shape)


def coefficient(a, b, dy, dx):
    """Return the correlation over the overlap of b at (dy, dx) in a, and its number of pixels."""
    a, b = a - np.nanmean(a), b - np.nanmean(b)
    rows = slice(max(dy, 0), max(min(a.shape[0], b.shape[0] + dy), 0))
    columns = slice(max(dx, 0), max(min(a.shape[1], b.shape[1] + dx), 0))
    a = a[rows, columns]
    b = b[max(-dy, 0) :, max(-dx, 0) :][: a.shape[0], : a.shape[1]]
    if min(a.shape) < 2:
        return 0.0, 0
    both = np.isfinite(a) & np.isfinite(b)
    power = np.sum(a[both] ** 2) * np.sum(b[both] ** 2)
    return (np.sum(a[both] * b[both]) / np.sqrt(power) if power > 0 else 0.0), both.sum()


def written_out(a, b, reach, start=(0, 0)):
    maps = [
        [coefficient(a, b, start[0] + j, start[1] + i) for i in range(-reach[1], reach[1] + 1)]
        for j in range(-reach[0], reach[0] + 1)
    ]
    return np.moveaxis(np.array(maps), -1, 0)


def binned(image, factor):
    ny, nx = (n // factor for n in image.shape)
    return image[: ny * factor, : nx * factor].reshape(ny, factor, nx, factor).mean((1, 3))


def repeated(image, factor):
    return image.repeat(factor, 0).repeat(factor, 1)


def close(backend, found, expected):
    tol = 1e-9 if backend.has_float64 else 2e-4
    np.testing.assert_allclose(backend.to_numpy(found), expected, atol=tol)


# --- the correlation --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("other", [SHAPE, (31, 60), (47, 20)])
def test_sums_over_the_overlap(backend, rng, other):
    a, b = nebula(rng=rng), nebula((2, -3), other, rng=rng)
    a[3, 4], b[20, 11] = np.nan, np.inf
    found = correl_images(*map(backend.asarray, (a, b)), xshift=5, yshift=60, xoffset_b=2, yoffset_b=-1, numpix=True)
    b[20, 11] = np.nan
    rho, count = written_out(a, b, (60, 5), (-1, 2))
    close(backend, found[0], rho)
    np.testing.assert_array_equal(backend.to_numpy(found[1]), count)
    alone = correl_images(*map(backend.asarray, (a, b)), xshift=5, yshift=60, xoffset_b=2, yoffset_b=-1)
    close(backend, alone, rho)


@pytest.mark.parametrize("factor", [2, 3])
def test_reduction_averages_blocks_and_drops_what_is_left(backend, rng, factor):
    a, b = nebula(rng=rng), nebula((2, -3), (41, 49), rng=rng)
    options = {"xshift": 13, "yshift": 9, "xoffset_b": 8, "yoffset_b": -4, "reduction": factor, "numpix": True}
    rho, count = correl_images(*map(backend.asarray, (a, b)), **options)
    start = np.round(-4 / factor), np.round(8 / factor)
    expected = written_out(binned(a, factor), binned(b, factor), (9 // factor, 13 // factor), map_int(start))
    close(backend, rho, expected[0])
    np.testing.assert_array_equal(backend.to_numpy(count), expected[1])


def map_int(values):
    return tuple(int(v) for v in values)


@pytest.mark.parametrize(("factor", "start"), [(2, (0, 0)), (3, (3, -2)), (4, (-37, 1)), (7, (0, 0))])
def test_magnification_repeats_pixels(backend, rng, factor, start):
    a, b = nebula(rng=rng), nebula((2, -3), (38, 49), rng=rng)
    options = {"xoffset_b": start[1], "yoffset_b": start[0], "magnification": factor, "numpix": True}
    rho, count = correl_images(*map(backend.asarray, (a, b)), **options)
    large = (repeated(a, factor), repeated(b, factor))
    expected = written_out(*large, (factor + 2,) * 2, (start[0] * factor, start[1] * factor))
    close(backend, rho, expected[0])
    np.testing.assert_array_equal(backend.to_numpy(count), expected[1])


def test_no_overlap_and_no_structure_do_not_correlate(backend, rng):
    a, flat = nebula(rng=rng), np.full(SHAPE, 0.1)
    for pair, start in (((a, a), 70), ((a, flat), 0), ((flat, a), 0)):
        found = correl_images(*map(backend.asarray, pair), xoffset_b=start)
        np.testing.assert_array_equal(backend.to_numpy(found), 0)
    best = correl_optimize(*map(backend.asarray, (a, flat)))
    assert np.isnan(backend.to_numpy(best.xoffset))


# --- its maximum ------------------------------------------------------------------------------------------------------


def analyzed(matrix, **options):
    found = corrmat_analyze(np.asarray(matrix, dtype=float), **options)
    return [float(v) for v in found]


def test_the_middle_is_the_initial_offset():
    matrix = np.zeros((7, 9))
    matrix[2, 6] = 0.9
    assert analyzed(matrix) == [2, -1, 0.9, 0, 0]
    assert analyzed(matrix, xoff_init=10, yoff_init=-3) == [12, -4, 0.9, 0, 0]
    assert analyzed(matrix, xoff_init=12, yoff_init=-8, reduction=4) == [20, -12, 0.9, 0, 0]
    assert analyzed(matrix, xoff_init=10, magnification=4) == [10.5, -0.25, 0.9, 0, 0]
    assert analyzed(matrix, xoff_init=10, magnification=4.0) == [10.5, -0.25, 0.9, 0, 0]
    assert [float(v) for v in corrmat_analyze((10 * matrix).astype(int))[:3]] == [2, -1, 9]


@pytest.mark.parametrize("at", [(0, 4), (6, 4), (3, 0), (3, 8)])
def test_a_maximum_at_the_edge_is_flagged(at):
    matrix = np.zeros((7, 9))
    matrix[at] = 0.9
    assert analyzed(matrix)[3] == 1


def test_a_plateau_has_its_middle(backend):
    matrix = np.zeros((9, 9))
    matrix[3:5, 2:6] = 0.8
    matrix[4, 2] = 0.805
    found = corrmat_analyze(backend.asarray(matrix), magnification=4)
    assert [float(v) for v in found] == pytest.approx([-0.125, -0.125, 0.8, 0, 1])
    # a plateau is of no concern without magnification, and neither is one lower than the threshold
    assert analyzed(matrix)[:2] == [-2, 0]
    assert analyzed(matrix, magnification=4, plateau_thresh=0.001)[:2] == [-0.5, 0]
    # two summits are none
    matrix[:] = 0
    matrix[1, 1] = matrix[7, 7] = 0.8
    assert analyzed(matrix, magnification=4)[4] == 0


def test_small_overlaps_count_less(backend):
    matrix, count = np.zeros((5, 5)), np.full((5, 5), 1000.0)
    matrix[1, 1], matrix[3, 3], count[1, 1] = 0.9, 0.8, 200
    found = corrmat_analyze((backend.asarray(matrix), backend.asarray(count)))
    assert [float(v) for v in found[:2]] == [1, 1]
    assert analyzed(matrix)[:2] == [-1, -1]
    count[1, 1] = 700
    found = corrmat_analyze((backend.asarray(matrix), backend.asarray(count)))
    assert float(found.max_corr) == pytest.approx(0.9 * 0.7**0.25)


# --- the search -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("numpix", [False, True])
@pytest.mark.parametrize("offset", [(0, 0), (3, -4), (-5, 6), (7, 2)])
def test_whole_offsets_of_b_relative_to_a(backend, rng, offset, numpix):
    # without the weights a corner of flat sky over another one is the best match there is
    wide = (
        nebula((-20, -20), (80, 92), rng=rng)
        if numpix
        else cut(random_sky((80, 92), rng, beam=2, slope=1), (0, 0), (80, 92))
    )
    a = wide[20:60, 20:72]
    b = wide[20 + offset[0] :, 20 + offset[1] :][:43, :47]
    found = correl_optimize(*map(backend.asarray, (a, b)), numpix=numpix)
    assert (float(found.yoffset), float(found.xoffset)) == offset
    assert not bool(found.edge)
    if numpix:
        assert abs(float(correl_optimize(*map(backend.asarray, (a, b))).xoffset)) > 20
    # B moved by the answer is A
    dy, dx = offset
    moved = np.full((60, 70), np.nan)
    moved[10 + dy : 53 + dy, 10 + dx : 57 + dx] = b
    moved = moved[10:50, 10:62]
    np.testing.assert_array_equal(moved[np.isfinite(moved)], a[np.isfinite(moved)])


@pytest.mark.parametrize("magnification", [2, 4, 10])
def test_the_grid_of_the_magnification(backend, rng, magnification):
    a, b = nebula(rng=rng, noise=0.003), nebula((3.3, -2.4), rng=rng, noise=0.003)
    found = correl_optimize(
        *map(backend.asarray, (a, b)), magnification=magnification, plateau_thresh=0.002, numpix=True
    )
    answer = np.array([float(found.yoffset), float(found.xoffset)])
    # the middle of a plateau may be between two steps
    np.testing.assert_allclose(2 * magnification * answer, np.round(2 * magnification * answer), atol=1e-3)
    np.testing.assert_allclose(answer, (3.3, -2.4), atol=0.5)
    # what it is: the best of images really magnified
    whole = correl_optimize(*map(backend.asarray, (a, b)), numpix=True)
    start = np.array([float(whole.yoffset), float(whole.xoffset)])
    large = written_out(
        repeated(a, magnification), repeated(b, magnification), (magnification + 2,) * 2, map_int(start * magnification)
    )
    weight = (large[1] / large[1].max()) ** 0.25
    options = {"magnification": magnification, "plateau_thresh": 0.002}
    expected = corrmat_analyze(large[0] * weight, xoff_init=start[1], yoff_init=start[0], **options)
    if backend.has_float64:
        np.testing.assert_allclose(answer, (expected.yoffset, expected.xoffset), atol=1e-12)
        assert bool(found.edge) == bool(expected.edge)


def test_a_start_far_from_the_match_is_at_the_edge(rng):
    # images too small for a reduction are searched over half of their size only
    a = nebula((12, 18), (14, 15), rng=rng)
    near = correl_optimize(a, a)
    assert (float(near.xoffset), float(near.yoffset), bool(near.edge)) == (0, 0, False)
    assert bool(correl_optimize(a, a, xoff_init=9, yoff_init=9).edge)


def test_plateaus_come_with_magnification(rng):
    a, b = nebula(rng=rng), nebula((1, 2), rng=rng)
    assert not bool(correl_optimize(a, b).plateau)
    assert bool(correl_optimize(a, b, magnification=8).plateau)


def test_batches_broadcast_and_items_do_not_mix(backend, rng):
    a = np.stack([nebula(rng=rng), nebula((1, 1), rng=rng)])[:, None]
    b = np.stack([nebula((3, 0), rng=rng), nebula((0, -4), rng=rng), np.full(SHAPE, np.nan)])
    found = correl_optimize(*map(backend.asarray, (a, b)), magnification=3, numpix=True)
    assert all(backend.owns(v) and tuple(v.shape) == (2, 3) for v in found)
    for i in range(2):
        for j in range(3):
            alone = correl_optimize(a[i, 0], b[j], magnification=3, numpix=True)
            for many, one in zip(found, alone, strict=True):
                np.testing.assert_allclose(backend.to_numpy(many)[i, j], one, atol=2e-4)
    assert np.isnan(backend.to_numpy(found.xoffset)[:, 2]).all()


def test_chunks_change_nothing(rng, monkeypatch):
    from imreg_xp._engine import chunks

    a, b = nebula(rng=rng), np.stack([nebula((i, -i), rng=rng) for i in range(5)])
    at_once = correl_optimize(a, b, magnification=3, numpix=True)
    monkeypatch.setattr(chunks, "pixels_per_chunk", lambda *_, **__: 5 * a.size)
    in_parts = correl_optimize(a, b, magnification=3, numpix=True, xoff_init=np.zeros(5))
    for many, one in zip(at_once, in_parts, strict=True):
        np.testing.assert_allclose(many, one, rtol=1e-12)
    np.testing.assert_array_equal(at_once.xoffset.round(), -np.arange(5))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtype_stays(rng, dtype):
    a, b = (nebula(o, rng=rng).astype(dtype) for o in ((0, 0), (2, 3)))
    found = correl_optimize(a, b, magnification=2)
    assert {f.dtype for f in found[:3]} == {np.dtype(dtype)}
    assert correl_images(a, b).dtype == dtype
    assert {f.dtype for f in found[3:]} == {np.dtype(bool)}


def test_nothing_is_read_on_the_way(rng, no_sync):
    import backends

    strict = backends.Backend.STRICT_DEVICE1
    pair = [strict.asarray(nebula(o, rng=rng)) for o in ((0, 0), (2, 3))]
    with no_sync():
        correl_optimize(*pair, magnification=2, numpix=True)


@pytest.mark.parametrize(
    ("function", "kind", "name", "options"),
    [
        (correl_images, ValueError, "xshift", {"xshift": -1}),
        (correl_images, ValueError, "yshift", {"yshift": 1.5}),
        (correl_images, ValueError, "reduction", {"reduction": 0}),
        (correl_images, ValueError, "reduction", {"reduction": 30}),
        (correl_images, ValueError, "magnification", {"magnification": 2, "reduction": 2}),
        (correl_images, ValueError, "xoffset_b", {"xoffset_b": np.inf}),
        (correl_images, ValueError, "yoffset_b", {"yoffset_b": np.zeros(3)}),
        (correl_optimize, ValueError, "magnification", {"magnification": "2"}),
        (correl_optimize, ValueError, "plateau_thresh", {"plateau_thresh": -1}),
        (correl_optimize, TypeError, "xoff_init", {"xoff_init": "3"}),
    ],
)
def test_bad_input_is_named(rng, function, kind, name, options):
    with pytest.raises(kind, match=f"`{name}`"):
        function(nebula(rng=rng), nebula(rng=rng), **options)


def test_bad_images_and_maps_are_named(rng):
    a = nebula(rng=rng)
    with pytest.raises(TypeError, match="`image_b`"):
        correl_optimize(a, a > 2)
    with pytest.raises(ValueError, match="`image_a`"):
        correl_optimize(a[0], a)
    with pytest.raises(ValueError, match="`correl_mat`"):
        corrmat_analyze(a[0])
    with pytest.raises(ValueError, match="`correl_mat`"):
        corrmat_analyze((a, a[1:]))
    with pytest.raises(TypeError, match="`correl_mat`"):
        corrmat_analyze([1, 2])


def test_the_example_in_the_docstring_is_right():
    import doctest

    from imreg_xp.methods import varosi_landsman

    assert doctest.testmod(varosi_landsman).failed == 0
    assert imreg_xp.correl_optimize is varosi_landsman.correl_optimize
