"""Elementwise steps of the estimators against their formulas."""

from __future__ import annotations

import functools
import itertools
import math
import operator

import numpy as np
import pytest

from imreg_xp._array import array_namespace
from imreg_xp._engine.extend import BORDER, box_of, footprint, make_field
from imreg_xp._engine.frozen import _sums_with_model
from imreg_xp._engine.noise import REACH, products_of, slope_products
from imreg_xp._engine.periodic_errors import _scattered
from imreg_xp._engine.problem import Options, Side
from imreg_xp._engine.score import _all_sums, _last_maps, _level_and_matrices, _with_model, cleaned
from imreg_xp._engine.weights import _in_pieces, _windowed
from imreg_xp._providers import inverse_transform
from imreg_xp.fft_tools._dft import fourier_translate, shift_waves, translated


def on(backend, *arrays):
    here = [backend.asarray(a) for a in arrays]
    return here, array_namespace(a=here[0])


SHAPES = [(12,), (6, 7), (4, 5, 6)]


@pytest.mark.parametrize("shape", SHAPES)
def test_what_may_be_written_over_is_another_array(backend, shape, rng):
    (x, d), xp = on(backend, rng.normal(size=(2, *shape)), rng.normal(size=(2, len(shape))))
    spectrum = xp.fft.rfftn(x, s=shape, axes=tuple(range(1, x.ndim)))
    moved, spare = translated(spectrum, d, shape, xp=xp)
    want = backend.to_numpy(fourier_translate(spectrum, d, shape, xp=xp))
    if spare is not None:
        close(backend, spare, want)
        inverse_transform(spare, shape, keep=False, xp=xp)
    close(backend, moved if not isinstance(moved, tuple) else functools.reduce(operator.mul, moved), want)


def close(backend, got, want):
    np.testing.assert_allclose(backend.to_numpy(got), want, rtol=1e-4, atol=1e-4)


def options(*, fit_scale=True, fit_background=True):
    return Options(False, fit_scale, fit_background, True, (9.0,), 0.3)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("fitted", [(False, False), (False, True), (True, False), (True, True)])
def test_shares_of_gain_and_background_are_taken_off(backend, shape, fitted, rng):
    weight, value, slopes = (rng.normal(size=(*n, 2, *shape)) for n in ((), (), (3,)))
    shares = rng.normal(size=(3, 2, sum(fitted)))
    (w, v, q, a), xp = on(backend, weight, value, slopes, shares)
    parts = ([x[k, ...] for k in range(3)] for x in (q, a))
    found = cleaned(w, v, *parts, options(fit_scale=fitted[0], fit_background=fitted[1]), xp=xp)
    nuisance = [x for x, is_fitted in zip((value, np.ones_like(value)), fitted, strict=True) if is_fitted]
    for k, got in enumerate(found):
        share = sum(shares[k, :, j].reshape(2, *(1,) * len(shape)) * x for j, x in enumerate(nuisance))
        close(backend, got, weight * (slopes[k] - share))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("fit_scale", [False, True])
def test_sums_of_the_last_evaluation(backend, shape, fit_scale, rng):
    weight, value, moving, *slopes = rng.normal(size=(5, 3, *shape))
    (w, v, m, *q), xp = on(backend, weight, value, moving, *slopes)
    one, two = slopes
    want = [np.ones_like(value), moving, value, value**2, *([value * moving] if fit_scale else [])]
    want += [one * x for x in (value, 1, one, two)] + [two * x for x in (value, 1, two)]
    found = _all_sums(w, v, m, tuple(q), (w, v) if fit_scale else None, fit_scale=fit_scale, xp=xp)
    assert len(found) == len(want)
    for got, terms in zip(found, want, strict=True):
        close(backend, got, np.sum(weight * terms, axis=tuple(range(1, 1 + len(shape)))))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("fitted", [(), (0,), (1,), (0, 1)])
def test_maps_of_the_last_evaluation(backend, shape, keep, fitted, rng):
    weight, value, moving, *slopes = rng.normal(size=(5, 3, *shape))
    level = rng.normal(size=(2, 3, *(1,) * len(shape)))
    shares = rng.normal(size=(2 * len(fitted), *level.shape[1:]))
    (w, v, m, *q), xp = on(backend, weight, value, moving, *slopes)
    numbers, parts = (tuple(backend.asarray(x) for x in some) for some in (level, shares))
    parts = parts[: len(fitted)], parts[len(fitted) :]
    given = w, v, m, tuple(q), (w, v) if keep else None, numbers, parts
    square, along, (left, *clean), residual = _last_maps(*given, chosen=fitted, keep=keep, xp=xp)
    axes = tuple(range(1, 1 + len(shape)))
    rho = moving - level[0] * value - level[1]
    close(backend, left, weight * rho)
    close(backend, square, np.sum(weight * rho**2, axis=axes))
    for k, slope in enumerate(slopes):
        close(backend, along[k], np.sum(slope * weight * rho, axis=axes))
        taken = sum(shares[k * len(fitted) + j] * (1, value)[which == 0] for j, which in enumerate(fitted))
        close(backend, clean[k], weight * (slope - taken))
    assert (residual is None) is not keep
    if keep:
        close(backend, residual, rho)


@pytest.mark.parametrize("fitted", [(True, True), (True, False), (False, True), (False, False)])
def test_the_normal_matrix_is_that_of_the_slopes_less_gain_and_background(backend, fitted, rng):
    value, *slopes = rng.normal(size=(3, 2, 40))
    moving, weight = rng.normal(size=(2, 40)), rng.uniform(0.5, 1, size=(2, 40))
    (w, v, m, *q), xp = on(backend, weight, value, moving, *slopes)
    sums = _all_sums(w, v, m, tuple(q), None, fit_scale=fitted[0], xp=xp)
    chosen = (0,) * fitted[0] + (1,) * fitted[1]
    one = backend.asarray(np.ones(2))
    level, shares, normal = _level_and_matrices(sums, one, fitted=fitted, chosen=chosen, ndim=2, xp=xp)
    q, w = np.stack(slopes, axis=-1), weight[..., None]
    nuisance = np.stack([x for x, is_fitted in zip((value, np.ones_like(value)), fitted, strict=True) if is_fitted] or
                        [np.zeros_like(value)], axis=-1)  # fmt: skip
    explained = np.linalg.pinv(nuisance.mT @ (w * nuisance)) @ (nuisance.mT @ (w * q))
    rest = q - nuisance @ explained
    close(backend, normal, rest.mT @ (w * rest))
    for k, share in enumerate(shares):
        close(backend, share, explained[..., k])
    fixed = moving - (0 if fitted[0] else value)
    best = np.linalg.pinv(nuisance.mT @ (w * nuisance)) @ (nuisance.mT @ (w * fixed[..., None]))
    wanted = dict(zip(chosen, best[..., 0].T, strict=False))
    close(backend, level.scale, wanted.get(0, np.ones(2)))
    close(backend, level.background, wanted.get(1, np.zeros(2)))


def lags_of(grid):
    """Return the lags of a patch, (lags..., ndim)."""
    return np.stack(np.meshgrid(*[np.arange(-REACH, REACH + 1)] * len(grid), indexing="ij"), axis=-1)


def patch(a, b):
    """Return sum_x a(x) b(x + l) of periodic maps (batch, ...) at the lags of a patch, by rolling."""
    axes = tuple(range(1, a.ndim))
    lags = lags_of(a.shape[1:])
    found = [np.sum(a * np.roll(b, -lag, axis=axes), axis=axes) for lag in lags.reshape(-1, lags.shape[-1])]
    return np.moveaxis(np.reshape(found, (*lags.shape[:-1], -1)), -1, 0)


@pytest.mark.parametrize("shape", [(30,), (26, 30), (5, 28, 26)])
@pytest.mark.parametrize("moves", [False, True])
@pytest.mark.parametrize("rows", [False, True])
def test_correlations_of_residuals_and_slopes(backend, shape, moves, rows, rng):
    residual, *slopes = rng.normal(size=(3, 2, *shape)) / math.sqrt(math.prod(shape))
    step = rng.normal(size=(2, 2))
    axes = tuple(range(1, 1 + len(shape)))
    (r, g, h, d), xp = on(backend, *(np.fft.rfftn(x, axes=axes) for x in (residual, *slopes)), step)
    found = products_of(r, [g, h], shape, d if moves else None, rows=rows, xp=xp)
    if moves:
        residual = residual + np.einsum("bk,kb...->b...", step, slopes)
    half = (..., slice(REACH, None))
    close(backend, found.residual, patch(residual, residual)[half])
    for got, slope in zip(found.crosses, slopes, strict=True):
        close(backend, got, patch(slope, residual))
    (a, b), even = slopes, (patch(slopes[0], slopes[1]) + patch(slopes[1], slopes[0])) / 2
    wanted = [[patch(a, a), even], [patch(b, b)]] if rows else []
    assert [len(row) for row in found.slopes] == [len(row) for row in wanted]
    alone = slope_products([g, h], shape, xp=xp)
    for given in (found.slopes, alone) if rows else ():
        for got, want in zip(itertools.chain(*given), itertools.chain(*wanted), strict=True):
            close(backend, got, want[half])


@pytest.mark.parametrize("filtered", [False, True])
def test_residuals_and_slopes_times_the_model(backend, filtered, rng):
    model, rest, *slopes = rng.normal(size=(4, 2, 6, 4)) + 1j * rng.normal(size=(4, 2, 6, 4))
    gains = rng.uniform(size=(2, 6, 4))
    (m, r, *q, g), xp = on(backend, model, rest, *slopes, gains)
    found = _with_model(m, g if filtered else None, r, *q, xp=xp)
    close(backend, found[0], rest * (model * (gains if filtered else 1)).conj())
    for got, slope in zip(found[1:], slopes, strict=True):
        close(backend, got, slope * model.conj())


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("factors", [0, 2])
@pytest.mark.parametrize("count", [1, 2])
def test_what_filters_are_made_from(backend, shape, factors, count, rng):
    value, image, weight = rng.normal(size=(3, 2, *shape))
    scale, background = rng.normal(size=(2, 2, *(1,) * len(shape)))
    ones = [1] * len(shape)
    window = [rng.uniform(size=(2, *ones[:k], n, *ones[k + 1 :])) for k, n in enumerate(shape)][:factors]
    weights = [weight, *window] if factors else [weight]
    (s, b, *maps), xp = on(backend, scale, background, value, image, *weights, *window)
    pieces = [piece for a in maps for piece in _in_pieces(a, count)]
    found = _windowed(s, b, *pieces, count=count, weights=len(weights), xp=xp)
    weight = math.prod(weights)
    taper = math.prod(window)
    for got, whole in zip(found, (value, weight * (image - scale * value - background)), strict=True):
        close(backend, got, sum(np.split(taper * whole, count, axis=1)))


@pytest.mark.parametrize("shape", SHAPES)
def test_a_box_is_the_footprint_by_its_factors(backend, shape, rng):
    (x, d), xp = on(
        backend, rng.normal(size=(2, *shape)), np.array([[1.2, -0.4, 0.7], [-1.6, 1.1, 0]])[:, : len(shape)]
    )
    grid = tuple(n + 3 for n in shape)
    field = make_field(x, None, shape, wrap=False, xp=xp)
    factors = [backend.to_numpy(a) for a in box_of(field, d, shape, grid, x.dtype, xp=xp)]
    number = backend.asarray(np.ones((1,) * (1 + len(shape))))
    whole = backend.to_numpy(footprint(number, field, d, shape, grid=grid, xp=xp))
    np.testing.assert_array_equal(math.prod(factors), whole)
    assert 0 < np.sum(whole) < whole.size


def test_factors_of_weights_count_as_their_product(backend, rng):
    value, image = rng.normal(size=(2, 2, 6, 8))
    factors = rng.uniform(size=(2, 6, 1)), rng.uniform(size=(2, 1, 8))
    (v, m, *f), xp = on(backend, value, image, *factors)
    w = math.prod(factors)
    found = _sums_with_model(tuple(f), v, m, fit_scale=True, xp=xp)
    for got, terms in zip(found, (w, w * image, w * value, w * value**2, w * value * image), strict=True):
        close(backend, got, np.sum(terms, axis=(1, 2)))


@pytest.mark.parametrize("weight", ["number", "map"])
@pytest.mark.parametrize("shape", [(30,), (30, 26)])
def test_the_footprint_is_what_both_images_hold_within_the_border(backend, shape, weight, rng):
    image = rng.normal(size=(2, *shape))
    weights = np.full((1,) * (1 + len(shape)), 0.7) if weight == "number" else rng.uniform(1, 2, size=(2, *shape))
    offset = np.array([[3.2, -5.4], [-2.6, 1.1]])[:, : len(shape)]
    (x, w, d), xp = on(backend, image, weights, offset)
    field = make_field(x, None, shape, wrap=False, xp=xp)
    found = backend.to_numpy(footprint(w, field, d, shape, xp=xp))
    i = np.indices(shape)
    for k in range(2):
        place = i - np.rint(offset[k]).reshape(-1, *(1,) * len(shape))
        ends = np.array(shape).reshape(-1, *(1,) * len(shape))
        inside = np.all((place >= BORDER) & (place <= ends - 1 - BORDER), axis=0)
        assert 0 < np.sum(inside) < inside.size
        np.testing.assert_allclose(found[k], np.where(inside, weights[k % len(weights)], 0), rtol=1e-6)


@pytest.mark.parametrize("shape", [(12,), (6, 8), (4, 5, 6)])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_scatter_is_the_imaginary_part_at_the_offset(backend, shape, weighted, rng):
    cross, weights = np.fft.rfftn(rng.normal(size=(2, *shape)), axes=range(1, len(shape) + 1)), None
    offset = rng.normal(size=(2, len(shape)))
    (x, d), xp = on(backend, cross, offset)
    if weighted:
        weights = rng.uniform(size=(1, *cross.shape[1:]))
    waves = shift_waves(shape, -d, x.dtype, xp=xp)
    found = _scattered(x, None if weights is None else backend.asarray(weights), *waves, xp=xp)
    moved = backend.to_numpy(fourier_translate(x, -d, shape, xp=xp))
    want = (np.imag(moved) * (1 if weights is None else weights)) ** 2
    np.testing.assert_allclose(backend.to_numpy(found), want, rtol=1e-3, atol=1e-3)


def test_another_image_has_nothing_of_what_was_known_of_the_first(rng):
    first, second, valid = rng.normal(size=(2, 4, 5)), rng.normal(size=(2, 4, 5)), np.ones((2, 4, 5), dtype=bool)
    side = Side(first, None, 0.5, masked=True, mean=first[:, 0, 0], ends=first[:, 0, :2], unit=(1, 2))
    other = side.with_image(second, valid=valid)
    assert (other.mean, other.ends, other.unit, other.err, other.masked) == (None, None, None, 0.5, True)
    assert other.image is second
    assert other.valid is valid
