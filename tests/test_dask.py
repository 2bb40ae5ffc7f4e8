"""Frames in a Dask array: the same numbers, lazily, block by block."""

from __future__ import annotations

import numpy as np
import pytest
from skies import cut, random_sky

import imreg_xp

da = pytest.importorskip("dask.array")
dask = pytest.importorskip("dask")

SHAPE = (30, 28)


def stack(count=11, *, periodic=True, dtype=float):
    rng = np.random.default_rng(5)
    sky = random_sky(SHAPE if periodic else (60, 56), rng, beam=1.2)
    origin = np.zeros(2) if periodic else np.array([15, 14])
    shifts = rng.uniform(-2, 2, (count, 2))
    frames = np.stack([cut(sky, origin + d, SHAPE) for d in shifts]) + 0.02 * rng.normal(size=(count, *SHAPE))
    return cut(sky, origin, SHAPE).astype(dtype), frames.astype(dtype)


def assert_same(found, expected, **tolerance):
    for name, a, b in zip(expected._fields, found, expected, strict=True):
        assert a.dtype == b.dtype, name
        np.testing.assert_allclose(a, b, err_msg=name, **{"rtol": 1e-9, "atol": 1e-9, **tolerance})


@pytest.mark.parametrize("boundary", ["overlap", "wrap"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("chunks", [(4, 30, 28), (4, 15, 28), (11, 30, 28)])
def test_dask_gives_the_numbers_of_numpy(boundary, dtype, chunks):
    reference, frames = stack(periodic=boundary == "wrap", dtype=dtype)
    expected = imreg_xp.register_stack(reference, frames, boundary=boundary)
    lazy = imreg_xp.register_stack(reference, da.from_array(frames, chunks=chunks), boundary=boundary)
    assert all(isinstance(field, da.Array) for field in lazy)
    assert [field.shape for field in lazy] == [field.shape for field in expected]
    assert lazy.shift.chunks[0] == da.from_array(frames, chunks=chunks).chunks[0]
    tolerance = {"rtol": 1e-9, "atol": 1e-9} if dtype == np.float64 else {"rtol": 1e-4, "atol": 1e-4}
    assert_same(imreg_xp.Registration(*dask.compute(*lazy)), expected, **tolerance)


def test_nothing_is_read_before_it_is_asked_for():
    def fail(block):
        msg = "a frame was read"
        raise AssertionError(msg)

    reference, frames = stack()
    never = da.from_array(frames, chunks=(4, 30, 28)).map_blocks(fail, dtype=float, meta=np.zeros((0, 0, 0)))
    lazy = imreg_xp.register_stack(reference, never, boundary="wrap")
    with pytest.raises(AssertionError, match="a frame was read"):
        lazy.shift.compute()


def test_options_of_one_image_and_of_all_frames():
    reference, frames = stack()
    rng = np.random.default_rng(1)
    err, valid = rng.uniform(0.01, 0.03, frames.shape), rng.uniform(size=SHAPE) > 0.1
    expected = imreg_xp.register_stack(reference, frames, boundary="wrap", moving_err=err, moving_valid=valid)
    given = da.from_array(frames, chunks=(3, 30, 28))
    for kind in (np.asarray, da.from_array):
        lazy = imreg_xp.register_stack(
            reference, given, boundary="wrap", moving_err=kind(err), moving_valid=kind(valid)
        )
        assert_same(imreg_xp.Registration(*dask.compute(*lazy)), expected)
    single = imreg_xp.register_stack(reference, given, boundary="wrap", moving_err=0.02, max_shift=5)
    assert_same(
        imreg_xp.Registration(*dask.compute(*single)),
        imreg_xp.register_stack(reference, frames, boundary="wrap", moving_err=0.02, max_shift=5),
    )


def test_the_first_frame_as_the_reference():
    _, frames = stack()
    expected = imreg_xp.register_stack("first", frames, boundary="wrap")
    lazy = imreg_xp.register_stack("first", da.from_array(frames, chunks=(4, 30, 28)), boundary="wrap")
    assert_same(imreg_xp.Registration(*dask.compute(*lazy)), expected)


@pytest.mark.parametrize("blocks", [5, 50])
def test_the_graph_grows_with_the_chunks_alone(blocks):
    reference, frames = stack()
    many = da.from_array(np.repeat(frames[:1], 2 * blocks, axis=0), chunks=(2, 30, 28))
    tasks = len(imreg_xp.register_stack(reference, many, boundary="wrap").shift.__dask_graph__())
    assert tasks < 6 * blocks + 10


def test_no_task_holds_more_than_a_chunk(monkeypatch):
    from imreg_xp import stacks

    sizes = []
    on_image = stacks.on_image
    monkeypatch.setattr(stacks, "on_image", lambda *args: sizes.append(args[1].count) or on_image(*args))
    reference, frames = stack()
    lazy = imreg_xp.register_stack(reference, da.from_array(frames, chunks=(4, 30, 28)), boundary="wrap")
    lazy.shift.compute(scheduler="synchronous")
    assert sorted(sizes) == [3, 4, 4]


@pytest.mark.parametrize("boundary", ["overlap", "wrap"])
def test_aligned_frames_and_their_mean(boundary):
    reference, frames = stack(periodic=boundary == "wrap")
    frames[2] = np.nan
    given = da.from_array(frames, chunks=(3, 30, 28))
    done = imreg_xp.register_stack(reference, frames, boundary=boundary)
    lazy = imreg_xp.register_stack(reference, given, boundary=boundary)
    aligned = imreg_xp.align_stack(frames, done, boundary=boundary)
    weights = np.linspace(1, 2, len(frames))
    mean = imreg_xp.coadd(frames, done, weights, boundary=boundary)
    for registration in (done, lazy):
        found = imreg_xp.align_stack(given, registration, boundary=boundary)
        assert isinstance(found, da.Array)
        np.testing.assert_allclose(found.compute(), aligned, atol=1e-9)
        added = imreg_xp.coadd(given, registration, weights, boundary=boundary)
        assert all(isinstance(field, da.Array) and field.shape == SHAPE for field in added)
        for a, b in zip(dask.compute(*added), mean, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-9)


@pytest.mark.parametrize("blocks", [1, 2, 5])
def test_a_mean_of_any_number_of_blocks(blocks):
    reference, frames = stack(10)
    done = imreg_xp.register_stack(reference, frames, boundary="wrap")
    given = da.from_array(frames, chunks=(10 // blocks, 30, 28))
    for a, b in zip(imreg_xp.coadd(given, done), imreg_xp.coadd(frames, done), strict=True):
        np.testing.assert_allclose(a.compute(), b, atol=1e-9)


def test_what_cannot_be_lazy_gets_a_clear_error():
    reference, frames = stack()
    given = da.from_array(frames, chunks=(4, 30, 28))
    with pytest.raises(ValueError, match="`reference` must be an array or 'first' for frames in a dask array"):
        imreg_xp.register_stack("joint", given)
    with pytest.raises(ValueError, match="`reference` must have the image shape"):
        imreg_xp.register_stack(reference[1:], given)
    with pytest.raises(ValueError, match="`frames` must have shape"):
        imreg_xp.register_stack(reference, given[0, 0])
    done = imreg_xp.register_stack(reference, frames[1:], boundary="wrap")
    for function in (imreg_xp.align_stack, imreg_xp.coadd):
        with pytest.raises(ValueError, match="`registration` must hold shifts"):
            function(given, done)
    with pytest.raises(ValueError, match="`weights` must have shape"):
        imreg_xp.coadd(given, imreg_xp.register_stack(reference, given), np.ones(3))


@pytest.mark.slow
def test_two_workers_give_the_numbers_of_one():
    distributed = pytest.importorskip("distributed")
    reference, frames = stack(40)
    expected = imreg_xp.register_stack(reference, frames, boundary="wrap")
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster),
    ):
        lazy = imreg_xp.register_stack(reference, da.from_array(frames, chunks=(5, 30, 28)), boundary="wrap")
        found = imreg_xp.Registration(*dask.compute(*lazy))
        mean = dask.compute(*imreg_xp.coadd(da.from_array(frames, chunks=(5, 30, 28)), lazy, boundary="wrap"))
    assert_same(found, expected)
    for a, b in zip(mean, imreg_xp.coadd(frames, expected, boundary="wrap"), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-9)
