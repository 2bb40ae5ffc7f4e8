"""What sampling folds into the band, against the power law that it is made from."""

from __future__ import annotations

import numpy as np
import pytest

import imreg_xp._array as border
from imreg_xp._engine.spectrum import folded_power


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_the_folded_power_of_a_power_law_is_that_of_the_mirrored_frequency(ndim):
    nu = np.sqrt(ndim) / 2 * np.arange(1, 101) / 100
    signal = np.concatenate([[0.0], nu**-3])[None]
    xp = border.array_namespace(signal=signal)
    found = folded_power(signal, np.ones_like(signal), ndim, xp=xp)
    np.testing.assert_allclose(found[0, 1:], np.maximum(1 - nu, 0.05) ** -3, rtol=1e-9)
