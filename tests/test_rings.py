"""Radial means are those of the modes of each ring, whatever library adds them up."""

from __future__ import annotations

import numpy as np
import pytest

from imreg_xp._array import array_namespace
from imreg_xp._engine.rings import radial_mean, radial_means, sampled_spectrum, spread

# of one axis, odd, even, of three axes, and large enough that some modes, or a whole ring, are not looked at
SHAPES = [(300,), (41,), (40, 37), (64, 30), (9, 8, 10), (280, 280), (560, 420), (270, 270), (64, 64, 64)]


def rings_of(shape):
    """Return for each mode of `rfftn` its ring, and how often it counts."""
    frequencies = [np.fft.fftfreq(n) for n in shape[:-1]] + [np.fft.rfftfreq(shape[-1])]
    distance = np.sqrt(sum(f**2 for f in np.meshgrid(*frequencies, indexing="ij")))
    twice = (frequencies[-1] > 0) & (frequencies[-1] < 0.5)
    ring = np.rint(distance * max(shape) / (8 if len(shape) == 1 else 1)).astype(int)
    return ring, np.broadcast_to(np.where(twice, 2.0, 1.0), ring.shape)


def stride_of(shape):
    most = max(shape[0] // 128, 1) if len(shape) > 1 else 1
    return max(k for k in range(1, most + 1) if shape[0] % k == 0)


def expected(values, shape):
    ring, weight = rings_of(shape)
    step = stride_of(shape)
    found = np.zeros((len(values), ring.max() + 1))
    counts = np.zeros(ring.max() + 1)
    for r in range(ring.max() + 1):
        here = (ring == r)[::step]
        counts[r] = np.sum(weight[::step][here])
        if counts[r]:
            found[:, r] = np.sum((values * weight)[:, ::step][:, here], axis=1) / counts[r]
    return found, counts * step


@pytest.mark.parametrize("shape", SHAPES)
def test_means_are_those_of_the_modes_of_each_ring(backend, shape):
    values = np.random.default_rng(1).random((3, *rings_of(shape)[0].shape))
    here = backend.asarray(values)
    got, count = radial_mean(here, shape, xp=array_namespace(a=here))
    mean, modes = expected(values, shape)
    np.testing.assert_allclose(backend.to_numpy(got), mean, rtol=1e-9 if backend.has_float64 else 1e-3)
    np.testing.assert_allclose(backend.to_numpy(count), modes)


def test_some_ring_is_not_looked_at():
    """Or the case of an empty ring, the outermost, is tested nowhere."""
    assert any(expected(np.ones((1, *rings_of(shape)[0].shape)), shape)[1][-1] == 0 for shape in SHAPES)


def test_faint_rings_keep_their_digits(backend):
    """Running sums that begin with the bright rings would lose 12 digits here."""
    shape = (64, 64)
    ring, _ = rings_of(shape)
    values = ((1.0 + ring) ** -8.0)[None].astype(np.float32)
    here = backend.asarray(values)
    got, _ = radial_mean(here, shape, xp=array_namespace(a=here))
    np.testing.assert_allclose(backend.to_numpy(got), expected(values, shape)[0], rtol=1e-5)


def test_several_at_a_time_are_each_alone(backend):
    shape = (40, 37)
    rng = np.random.default_rng(2)
    here = [backend.asarray(rng.random((batch, *rings_of(shape)[0].shape))) for batch in (2, 2, 2)]
    xp = array_namespace(a=here[0])
    together, _ = radial_means(here, shape, xp=xp)
    for values, mean in zip(here, together, strict=True):
        alone = radial_mean(values, shape, xp=xp)[0]
        np.testing.assert_array_equal(backend.to_numpy(mean), backend.to_numpy(alone))


def test_what_is_sampled_is_what_is_looked_at(backend):
    shape = (280, 280)
    image = np.random.default_rng(3).normal(size=(2, 256, 256))
    here = backend.asarray(image)
    xp = array_namespace(a=here)
    some = abs(sampled_spectrum(here, shape, xp=xp)) ** 2
    whole = abs(np.fft.rfftn(image, s=shape, axes=(1, 2))) ** 2
    got = backend.to_numpy(radial_mean(some, shape, xp=xp)[0])
    np.testing.assert_allclose(got, expected(whole, shape)[0], rtol=1e-9 if backend.has_float64 else 1e-3)


def test_rings_are_spread_over_their_modes(backend):
    shape = (12, 10)
    ring, _ = rings_of(shape)
    values = np.random.default_rng(4).random((2, ring.max() + 1))
    here = backend.asarray(values)
    got = spread(here, shape, here.dtype, xp=array_namespace(a=here))
    np.testing.assert_allclose(backend.to_numpy(got), values[:, ring], rtol=1e-6)
