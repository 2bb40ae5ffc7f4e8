"""What sampling folds into the band, against the power law that it is made from; rings that were not looked at."""

from __future__ import annotations

import numpy as np
import pytest

import imreg_xp._array as border
from imreg_xp._engine.ml_weights import folded_power, ml_weights
from imreg_xp._engine.rings import Rings


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_the_folded_power_of_a_power_law_is_that_of_the_mirrored_frequency(ndim):
    nu = np.sqrt(ndim) / 2 * np.arange(1, 101) / 100
    signal = np.concatenate([[0.0], nu**-3])[None]
    xp = border.array_namespace(signal=signal)
    found = folded_power(signal, np.ones_like(signal), ndim, xp=xp)
    np.testing.assert_allclose(found[0, 1:], np.maximum(1 - nu, 0.05) ** -3, rtol=1e-9)


def test_a_ring_of_which_no_mode_is_looked_at_says_nothing():
    """It has no power: with the trust of one it would make the noise of all others vanish."""
    nu = np.linspace(0, 0.7, 200)[None]
    xp = border.array_namespace(nu=nu)
    signal, modes = np.exp(-((nu / 0.05) ** 2)) * 1e6, 200.0 + 0 * nu
    noisy = Rings(signal + 1000, signal + 1000, signal, modes)
    empty = Rings(*(np.where(np.arange(200) < 197, a, 0.0) for a in noisy))
    full, less = (ml_weights(rings, np.ones(1), 2, xp=xp) for rings in (noisy, empty))
    np.testing.assert_allclose(less[:, :190], full[:, :190], rtol=0.02)
    assert np.max(full[nu > 0.3]) < 0.01
