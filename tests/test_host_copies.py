"""Numbers of the host reach a device with the first call: on a GPU each copy in a later one would be waited for."""

from __future__ import annotations

import math

import numpy as np
import pytest
from skies import cut, random_sky

import imreg_xp
from imreg_xp._bounds import at_least, at_most, bounded

BOUNDARIES = ("overlap", "wrap")


@pytest.fixture
def copies(monkeypatch):
    """Return the list of what torch is given to make a tensor of, from now on; arrays of its own are no copies."""
    torch, given = pytest.importorskip("torch"), []

    def recorded(name, function):
        def made(data, *args, **kwargs):
            if not isinstance(data, torch.Tensor):
                given.append(f"{name}({data!r})")
            return function(data, *args, **kwargs)

        return made

    for name in ("as_tensor", "asarray", "from_numpy", "scalar_tensor", "tensor"):
        monkeypatch.setattr(torch, name, recorded(name, getattr(torch, name)))
    return given


def scene(shape, count):
    """Return an image and frames of it as tensors."""
    torch, rng = pytest.importorskip("torch"), np.random.default_rng(0)
    sky = random_sky(shape, rng, beam=1.5)
    offsets = [0.3 * np.arange(1, 1 + len(shape)) * k for k in range(count + 1)]
    images = [cut(sky, d, shape) + 0.02 * rng.normal(size=shape) for d in offsets]
    return torch.from_numpy(images[0]), torch.from_numpy(np.stack(images[1:]))


def made_by_a_second(call, copies):
    call()
    copies.clear()
    call()
    return copies


def test_copies_are_seen(copies):
    torch = pytest.importorskip("torch")
    xp = pytest.importorskip("array_api_compat.torch")
    xp.maximum(torch.ones(3), 2.0)
    torch.tensor([1.0])
    assert len(copies) == 2


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("noise", ["white", "correlated"])
@pytest.mark.parametrize("kind", ["plain", "whole numbers", "holes", "masks", "errors", "levels", "limits"])
def test_stacks(copies, boundary, noise, kind):
    torch = pytest.importorskip("torch")
    reference, frames = scene((64, 64), 3)
    good = torch.ones((64, 64), dtype=torch.bool)
    good[3:9, 7:30] = False
    options = {
        "masks": {"reference_valid": good, "moving_valid": good},
        "errors": {"reference_err": 0.02 + 0 * reference, "moving_err": 0.02 + 0 * reference},
        "levels": {"reference_err": 0.02, "moving_err": 0.02},
        "limits": {"max_shift": (6, 5), "fit_scale": False},
    }.get(kind, {})
    if kind == "whole numbers":
        reference, frames = ((1000 * x + 20000).to(torch.int32) for x in (reference, frames))
    if kind == "holes":
        frames = torch.where(good, frames, math.nan)
    stack = reference, frames
    assert not made_by_a_second(
        lambda: imreg_xp.register_stack(*stack, boundary=boundary, noise=noise, **options), copies
    )


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("shape", [(150,), (280, 260), (14, 15, 16)])
def test_other_sizes(copies, boundary, shape):
    reference, frames = scene(shape, 1)
    call = lambda: imreg_xp.register(reference, frames[0, ...], boundary=boundary, ndim=len(shape))  # noqa: E731
    assert not made_by_a_second(call, copies)


@pytest.mark.parametrize("model", ["rigid", "similarity"])
@pytest.mark.parametrize("noise", ["white", "correlated"])
def test_rotation(copies, model, noise):
    reference, frames = scene((64, 64), 1)
    assert not made_by_a_second(lambda: imreg_xp.register(reference, frames[0, ...], model=model, noise=noise), copies)


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_what_follows(copies, boundary):
    reference, frames = scene((64, 64), 3)
    found = imreg_xp.register_stack(reference, frames, boundary=boundary)
    for function in (imreg_xp.align_stack, imreg_xp.coadd):
        assert not made_by_a_second(lambda f=function: f(frames, found, boundary=boundary), copies)


def test_chi2_and_the_classic_correlation(copies):
    reference, frames = scene((64, 64), 1)
    for function in (imreg_xp.chi2_shift, imreg_xp.cross_correlation_shifts):
        assert not made_by_a_second(lambda f=function: f(reference, frames[0, ...]), copies)


def test_bounds_keep_nan(backend):
    values = np.array([math.nan, -math.inf, -1.0, 0.25, 2.0, math.inf])
    x, xp = backend.asarray(values), backend.xp
    np.testing.assert_array_equal(backend.to_numpy(at_least(x, 0.0, xp=xp)), np.maximum(values, 0.0))
    np.testing.assert_array_equal(backend.to_numpy(at_most(x, 0.5, xp=xp)), np.minimum(values, 0.5))
    np.testing.assert_array_equal(backend.to_numpy(bounded(x, -0.5, 0.5, xp=xp)), np.clip(values, -0.5, 0.5))
    whole = backend.asarray(np.arange(5))
    assert backend.to_numpy(bounded(whole, 0, 3, xp=xp)).tolist() == [0, 1, 2, 3, 3]
