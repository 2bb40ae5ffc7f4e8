"""Elementwise steps of the estimators against their formulas."""

from __future__ import annotations

import numpy as np
import pytest

from imreg_xp._array import array_namespace
from imreg_xp._engine.periodic_errors import _scattered
from imreg_xp._engine.score import after_step, without
from imreg_xp.fft_tools._dft import fourier_translate, shift_waves


def on(backend, *arrays):
    here = [backend.asarray(a) for a in arrays]
    return here, array_namespace(a=here[0])


@pytest.mark.parametrize("shape", [(12,), (6, 7), (4, 5, 6)])
@pytest.mark.parametrize("count", [0, 1, 2])
def test_shares_of_other_maps_are_taken_off(backend, shape, count, rng):
    maps, nuisance = rng.normal(size=(3, 2, *shape)), rng.normal(size=(count, 2, *shape))
    shares = rng.normal(size=(3, 2, count))
    (maps_, nuisance_, shares_), xp = on(backend, maps, nuisance, shares)
    parts = [[x[k, ...] for k in range(x.shape[0])] for x in (maps_, nuisance_, shares_)]
    found = without(*parts, xp=xp)
    want = maps - np.einsum("ibk,kb...->ib...", shares, nuisance)
    for got, w in zip(found, want, strict=True):
        np.testing.assert_allclose(backend.to_numpy(got), w, rtol=1e-4, atol=1e-5)


def test_what_a_step_does_to_residuals(backend, rng):
    residual, spectra = (rng.normal(size=(*n, 2, 6, 4)) + 1j * rng.normal(size=(*n, 2, 6, 4)) for n in ((), (2,)))
    scale, step = rng.normal(size=2), rng.normal(size=(2, 2))
    (r, s, a, d), xp = on(backend, residual, spectra, scale, step)
    found = after_step(r, [s[0, ...], s[1, ...]], a, d, xp=xp)
    want = residual + np.einsum("b,bk,kb...->b...", scale, step, spectra)
    np.testing.assert_allclose(backend.to_numpy(found), want, rtol=1e-4, atol=1e-5)


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
