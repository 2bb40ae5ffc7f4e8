"""What registering a stack asks of a GPU stays within its budget, as the model of CuPy counts it."""

from __future__ import annotations

import functools

import gpu_model
import numpy as np
import pytest
from gpu_model import recording

import imreg_xp
from imreg_xp._array import to_host

# kernels per chunk of frames, whatever their number
LAUNCHES = {("wrap", "white"): 60, ("wrap", "correlated"): 90}
# bytes moved per pixel and frame in float32
BYTES = {("wrap", "white"): 80, ("wrap", "correlated"): 140, ("overlap", "correlated"): 600}
PATHS = tuple(BYTES)


@functools.cache
def stack(count, size):
    """Return a reference and frames of it, moved by whole pixels, with noise."""
    rng = np.random.default_rng(20260117)
    k = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size))
    k[0, 0] = 1
    spectrum = np.fft.rfft2(rng.standard_normal((size, size))) * k**-1.5 * np.exp(-2 * (np.pi * k) ** 2)
    reference = np.fft.irfft2(spectrum, s=(size, size))
    reference /= np.std(reference)
    moved = [np.roll(reference, (i % 5, -(i % 3)), axis=(0, 1)) for i in range(count)]
    frames = np.stack(moved) + 0.05 * rng.standard_normal((count, size, size))
    return reference.astype(np.float32), frames.astype(np.float32)


@functools.cache
def measured(boundary, noise, count, size):
    """Return the log of registering a stack in one chunk, and the result."""
    reference, frames = (gpu_model.asarray(a) for a in stack(count, size))
    with recording() as log:
        found = imreg_xp.register_stack(reference, frames, boundary=boundary, noise=noise, chunk=count)
    return log, found


@pytest.mark.parametrize(("boundary", "noise"), PATHS)
def test_stacks_are_registered_on_the_model(boundary, noise):
    found = measured(boundary, noise, 2, 64)[1]
    np.testing.assert_array_equal(found.status.get(), 0)
    if boundary == "wrap":
        np.testing.assert_allclose(found.shift.get(), [[0, 0], [-1, 1]], atol=0.05)


@pytest.mark.parametrize(
    ("boundary", "noise", "count"),
    [(*path, count) for path in LAUNCHES for count in (2, 64)],
)
@pytest.mark.parametrize("size", [64, 256])
def test_number_of_kernels(boundary, noise, count, size):
    assert measured(boundary, noise, count, size)[0].launches <= LAUNCHES[boundary, noise]


@pytest.mark.parametrize(("boundary", "noise"), PATHS)
def test_number_of_kernels_does_not_grow_with_the_batch(boundary, noise):
    few, many = (measured(boundary, noise, count, 64)[0].launches for count in (2, 64))
    assert few == many


@pytest.mark.parametrize(("boundary", "noise"), PATHS)
def test_bytes_moved(boundary, noise):
    log, _ = measured(boundary, noise, 16, 256)
    assert log.bytes / (16 * 256**2) <= BYTES[boundary, noise]


@pytest.mark.parametrize(("boundary", "noise"), PATHS)
def test_the_host_waits_once_at_most(boundary, noise):
    """Whether a pixel is NaN decides between two ways: one look for the whole stack."""
    assert len(measured(boundary, noise, 2, 64)[0].syncs) == 1


@pytest.mark.parametrize(("boundary", "noise"), PATHS)
@pytest.mark.parametrize("count", [2, 32])
def test_what_is_known_to_be_finite_waits_for_the_results_alone(boundary, noise, count):
    reference, frames = (gpu_model.asarray(a) for a in stack(count, 64))
    options = {"boundary": boundary, "noise": noise, "chunk": 16}
    expected = imreg_xp.register_stack(reference, frames, **options)
    with recording() as log:
        found = imreg_xp.register_stack(reference, frames, check_finite=False, **options)
    assert log.syncs == []
    with recording() as log:
        here = to_host(*found)
    assert len(log.syncs) == 1
    for one, other in zip(here, to_host(*expected), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("boundary", "noise"), LAUNCHES)
def test_what_is_not_looked_at_takes_no_more_kernels(boundary, noise):
    images = map(gpu_model.asarray, stack(16, 256))
    with recording() as log:
        imreg_xp.register_stack(*images, boundary=boundary, noise=noise, check_finite=False)
    assert log.launches <= LAUNCHES[boundary, noise]


def test_the_kernels_that_pointings_take_are_kept():
    """Many are small: they are of rings, and of numbers per frame."""
    assert measured("overlap", "correlated", 16, 256)[0].launches <= 520


def test_more_chunks_do_not_wait_more():
    reference, frames = (gpu_model.asarray(a) for a in stack(64, 64))
    with recording() as log:
        imreg_xp.register_stack(reference, frames, boundary="wrap", chunk=16)
    assert len(log.syncs) == 1


def test_whole_numbers_need_no_look():
    reference, frames = stack(4, 64)
    levels = [np.rint(1000 * a + 20000).astype(np.uint16) for a in (reference, frames)]
    with recording() as log:
        found = imreg_xp.register_stack(*map(gpu_model.asarray, levels), boundary="wrap")
    assert log.syncs == []
    np.testing.assert_array_equal(found.status.get(), 0)


@pytest.mark.parametrize("name", ["moving_valid", "reference_valid", "moving_err"])
def test_masks_need_no_look(name):
    reference, frames = stack(4, 64)
    values = np.ones((64, 64), dtype=bool) if name.endswith("valid") else np.full((64, 64), 0.05, dtype=np.float32)
    given = {name: gpu_model.asarray(values)}
    with recording() as log:
        imreg_xp.register_stack(*map(gpu_model.asarray, (reference, frames)), boundary="wrap", **given)
    assert log.syncs == []


def test_a_frame_with_holes_leaves_the_other_chunks_to_the_fast_estimator():
    reference, frames = stack(8, 64)
    spoilt = frames.copy()
    spoilt[5, 3, 4] = np.nan
    logs = []
    for given in (frames, spoilt):
        with recording() as log:
            found = imreg_xp.register_stack(*map(gpu_model.asarray, (reference, given)), boundary="wrap", chunk=2)
        np.testing.assert_array_equal(found.status.get(), 0)
        logs.append(log.launches)
    with recording() as general:
        imreg_xp.register_stack(*map(gpu_model.asarray, (reference, spoilt[4:6])), boundary="wrap")
    assert logs[1] < logs[0] + general.launches


@pytest.mark.parametrize("noise", ["white", "correlated"])
def test_the_reference_is_transformed_once(noise):
    reference, frames = (gpu_model.asarray(a) for a in stack(64, 64))
    with recording() as log:
        imreg_xp.register_stack(reference, frames, boundary="wrap", noise=noise, chunk=16)
    transforms = [call.shapes[0] for call in log.calls if call.name == "fft.rfftn"]
    assert transforms == [(1, 64, 64), *[(16, 64, 64)] * 4]


@pytest.mark.parametrize("masked", [False, True])
def test_nothing_is_made_of_the_reference_twice(masked):
    reference, frames = stack(32, 64)
    given = {"reference_valid": gpu_model.asarray(reference < 1)} if masked else {}
    counts = []
    for chunk in (16, 8):
        with recording() as log:
            imreg_xp.register_stack(*map(gpu_model.asarray, (reference, frames)), chunk=chunk, **given)
        counts.append([call.shapes[0][0] for call in log.calls if call.name in ("fft.rfftn", "fft.irfftn")])
    of_reference, of_frames = ([sum(batch == n for batch in found) for found in counts] for n in (1, 8))
    assert of_reference[0] == of_reference[1] > 0
    assert of_frames[1] == 4 * sum(batch == 16 for batch in counts[0]) / 2


@pytest.mark.parametrize(("boundary", "noise"), PATHS)
def test_single_precision_stays(boundary, noise):
    log, found = measured(boundary, noise, 2, 64)
    assert log.promotions == []
    assert {str(field.dtype) for field in found} == {"float32", "int32"}


@pytest.mark.parametrize(("boundary", "noise"), PATHS)
def test_no_loop_over_the_items_of_an_array(boundary, noise):
    assert measured(boundary, noise, 64, 64)[0].loops == []


def test_results_reach_the_host_in_one_transfer():
    found = measured("wrap", "white", 2, 64)[1]
    with recording() as log:
        to_host(*found)
    assert len(log.syncs) == 1


# --- other libraries tell as well -------------------------------------------------------------------------------------


@pytest.mark.parametrize("boundary", ["wrap", "overlap"])
def test_the_engine_is_traced_by_jax(boundary):
    jax = pytest.importorskip("jax")
    register = functools.partial(imreg_xp.register, boundary=boundary)
    image = jax.ShapeDtypeStruct((64, 64), "float32")
    frames = jax.ShapeDtypeStruct((2, 64, 64), "float32")
    traced = jax.make_jaxpr(register)(image, frames)
    assert traced.out_avals[0].shape == (2, 2)


@pytest.mark.slow
@pytest.mark.parametrize("boundary", ["wrap", "overlap"])
def test_the_engine_compiled_by_jax_gives_the_same(boundary):
    jax = pytest.importorskip("jax")
    reference, frames = (jax.numpy.asarray(a) for a in stack(2, 64))
    register = functools.partial(imreg_xp.register, boundary=boundary)
    compiled = jax.jit(register)(reference, frames)
    np.testing.assert_allclose(compiled.shift, register(reference, frames).shift, atol=1e-4)


@pytest.mark.parametrize("boundary", ["wrap", "overlap"])
def test_the_engine_runs_on_shapes_alone(boundary):
    torch = pytest.importorskip("torch")
    reference = torch.empty((2048, 2048), dtype=torch.float32, device="meta")
    frames = torch.empty((1024, 2048, 2048), dtype=torch.float32, device="meta")
    found = imreg_xp.register(reference, frames, boundary=boundary)
    assert found.shift.shape == (1024, 2)
    assert found.shift.device.type == "meta"
