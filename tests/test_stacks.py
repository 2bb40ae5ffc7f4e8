"""Stacks: the same numbers as one by one, from any source, in any chunks, whatever the other frames hold."""

from __future__ import annotations

import math
import subprocess
import sys
import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest
from skies import cut, random_sky, smoothed_noise

import imreg_xp
from imreg_xp import Status, _memory
from imreg_xp import frames as frames_module

SHAPE = (41, 37)  # odd: a Nyquist mode that was shifted once cannot be shifted back
SHIFTS = np.array([[0.0, 0.0], [1.3, -2.2], [-3.6, 0.4], [0.25, 4.5], [2.8, 2.1], [-1.7, -0.6], [3.3, -3.1]])


def stack(*, periodic=True, noise=0.02, seed=3, gain=True):
    rng = np.random.default_rng(seed)
    sky = random_sky(SHAPE if periodic else tuple(2 * n for n in SHAPE), rng, beam=1.2)
    origin = np.zeros(2) if periodic else np.array(SHAPE) / 2
    gains = np.linspace(1, 1.4, len(SHIFTS)) if gain else np.ones(len(SHIFTS))
    frames = [
        g * cut(sky, origin - d, SHAPE) + (3 if gain else 0) + noise * smoothed_noise(SHAPE, rng)
        for g, d in zip(gains, SHIFTS, strict=True)
    ]
    return cut(sky, origin, SHAPE), np.stack(frames)


@pytest.mark.parametrize("boundary", ["overlap", "wrap"])
def test_frames_of_half_precision(backend, boundary):
    """They are registered in single precision; nobody may take their means, or ends, for those of these."""
    if backend.library == "strict":
        pytest.skip("the array API has no half precision")
    reference, frames = stack(periodic=boundary == "wrap")
    here = [backend.asarray(a.astype(np.float16)) for a in (reference, frames)]
    found = imreg_xp.register_stack(*here, boundary=boundary)
    np.testing.assert_array_equal(backend.to_numpy(found.status), 0)
    assert np.max(abs(backend.to_numpy(found.shift) + SHIFTS)) < 0.05


@pytest.mark.parametrize("boundary", ["overlap", "wrap"])
@pytest.mark.parametrize("chunk", [None, 1, 3])
def test_a_stack_gives_the_numbers_of_its_frames(backend, boundary, chunk):
    reference, frames = stack(periodic=boundary == "wrap")
    one_by_one = [imreg_xp.register(reference, f, boundary=boundary) for f in frames]
    given = backend.asarray(reference), backend.asarray(frames)
    found = imreg_xp.register_stack(*given, boundary=boundary, chunk=chunk)
    tolerance = 1e-6 if backend.has_float64 else 1e-3
    for k, name in enumerate(found._fields):
        expected = np.stack([result[k] for result in one_by_one])
        np.testing.assert_allclose(
            backend.to_numpy(found[k]), expected, rtol=tolerance * 1e3, atol=tolerance, err_msg=name
        )
    np.testing.assert_array_equal(backend.to_numpy(given[1]), backend.to_numpy(backend.asarray(frames)))


@pytest.mark.parametrize("boundary", ["overlap", "wrap"])
@pytest.mark.parametrize("policy", ["first", "mean"])
def test_policies_find_the_drift_of_the_first_frame(backend, boundary, policy):
    _, frames = stack(periodic=boundary == "wrap")
    found = imreg_xp.register_stack(policy, backend.asarray(frames), boundary=boundary, chunk=4)
    error = backend.to_numpy(found.shift) + SHIFTS
    assert np.all(backend.to_numpy(found.status) == 0)
    assert np.max(abs(error)) < 0.1


def test_the_mean_beats_the_first_frame_where_noise_is_high():
    errors = {"first": [], "mean": []}
    for seed in range(8):
        _, frames = stack(noise=0.5, seed=seed, gain=False)
        for policy, taken in errors.items():
            found = imreg_xp.register_stack(policy, frames, boundary="wrap")
            relative = found.shift - found.shift[0] + SHIFTS
            taken.append(np.sqrt(np.mean(relative[1:] ** 2)))
    assert np.mean(errors["mean"]) < 0.95 * np.mean(errors["first"])


@pytest.mark.parametrize("fit_scale", [True, False])
@pytest.mark.parametrize("boundary", ["overlap", "wrap"])
def test_what_is_kept_of_the_reference_suits_every_frame(boundary, fit_scale):
    """Without a gain its scale is that of both images: that of the first frame is not that of the next."""
    reference, frames = stack(periodic=boundary == "wrap", gain=False)
    frames[0, 5, 6] += 1000
    frames[2, 3, 4] = np.nan
    options = {"boundary": boundary, "fit_scale": fit_scale}
    alone = [imreg_xp.register(reference, f, **options) for f in frames]
    found = imreg_xp.register_stack(reference, frames, chunk=1, **options)
    for k, name in enumerate(found._fields):
        np.testing.assert_array_equal(found[k], np.stack([one[k] for one in alone]), err_msg=name)


def test_a_frame_with_holes_that_comes_first_leaves_the_others_as_they_are():
    reference, frames = stack(periodic=False)
    spoilt = np.concatenate([np.where(frames[:1] < frames[0].min() + 1e-9, np.nan, frames[:1]), frames[1:]])
    assert np.isnan(spoilt[0]).any()
    for before, after in zip(*(imreg_xp.register_stack(reference, f, chunk=1) for f in (frames, spoilt)), strict=True):
        np.testing.assert_array_equal(before[1:], after[1:])


@pytest.mark.parametrize("boundary", ["overlap", "wrap"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_reference_with_holes_has_them_for_every_frame(backend, boundary, dtype):
    if dtype == "float64" and not backend.has_float64:
        pytest.skip("no double precision")
    reference, frames = (a.astype(dtype) for a in stack(periodic=boundary == "wrap"))
    reference[10:13, 20:25] = np.nan
    one_by_one = [imreg_xp.register(reference, f, boundary=boundary) for f in frames]
    found = imreg_xp.register_stack(*map(backend.asarray, (reference, frames)), boundary=boundary, chunk=3)
    assert not np.any(backend.to_numpy(found.status))
    for name, field, expected in zip(found._fields, found, zip(*one_by_one, strict=True), strict=True):
        tolerance = 1e-6 if dtype == "float64" else 1e-3
        np.testing.assert_allclose(backend.to_numpy(field), np.stack(expected), tolerance, tolerance, err_msg=name)


def test_small_noisy_frames_converge():
    """Newton steps that take the border of the overlap for what it is where they begin led one of these astray."""
    _, frames = stack(noise=0.3, seed=4, gain=False, periodic=False)
    found = imreg_xp.register_stack("mean", frames, noise="white")
    np.testing.assert_array_equal(found.status, 0)
    assert np.max(abs(found.shift + SHIFTS) / found.shift_err) < 4


@pytest.mark.slow
@pytest.mark.parametrize("boundary", ["overlap", "wrap"])
def test_errors_on_the_mean_are_those_of_a_frame_against_the_others(boundary):
    pulls = []
    for seed in range(24):
        _, frames = stack(noise=0.3, seed=seed, gain=False, periodic=boundary == "wrap")
        found = imreg_xp.register_stack("mean", frames, boundary=boundary, noise="white")
        assert np.all(found.status == 0)
        error = found.shift + SHIFTS
        others = (error.sum(axis=0) - error) / (len(frames) - 1)
        pulls.append((error - others) / found.shift_err)
    assert np.sqrt(np.mean(np.square(pulls))) == pytest.approx(1, abs=0.15)


def failing():
    storm = np.random.default_rng(0).exponential(size=SHAPE) ** 8
    return {
        "blank": np.zeros(SHAPE),
        "all NaN": np.full(SHAPE, np.nan),
        "infinite": np.full(SHAPE, np.inf),
        "hits": storm,
        "huge": 1e25 * storm,
        "tiny": 1e-25 * storm,
        "some NaN": np.where(np.arange(SHAPE[1]) < 3, np.nan, storm),
    }


@pytest.mark.parametrize("boundary", ["overlap", "wrap"])
@pytest.mark.parametrize("noise", ["white", "correlated"])
@pytest.mark.parametrize("name", failing())
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_bad_frame_leaves_its_neighbours_as_they_are(boundary, noise, name, dtype):
    reference, frames = (a.astype(dtype) for a in stack(periodic=boundary == "wrap"))
    spoilt = frames.copy()
    spoilt[2] = failing()[name]
    expected = imreg_xp.register_stack(reference, frames, boundary=boundary, noise=noise, chunk=4)
    found = imreg_xp.register_stack(reference, spoilt, boundary=boundary, noise=noise, chunk=4)
    others = np.arange(len(frames)) != 2
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a[others], b[others])
    if name in {"blank", "all NaN", "infinite"}:
        assert found.status[2] & (Status.FLAT_IMAGE | Status.TOO_FEW_VALID)
        assert np.all(np.isnan(found.shift[2]))


@pytest.mark.parametrize("noise", ["white", "correlated"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_many_frames_are_those_of_few(noise, dtype):
    """Their numbers are concluded some hundreds at a time, whatever chunks they come in and wherever bad ones are."""
    rng = np.random.default_rng(8)
    sky = random_sky((16, 18), rng, beam=1.2)
    reference = cut(sky, (0, 0), (16, 18)).astype(dtype)
    moved = np.stack([np.roll(reference, (k % 5 - 2, k % 3), axis=(0, 1)) for k in range(601)])
    frames = (moved + 0.05 * rng.standard_normal(moved.shape)).astype(dtype)
    options = {"boundary": "wrap", "noise": noise}
    whole = imreg_xp.register_stack(reference, frames, chunk=7, **options)
    np.testing.assert_array_equal(whole.status, 0)
    np.testing.assert_allclose(whole.shift[:, 0], [2 - k % 5 for k in range(601)], atol=0.2)
    bad = [0, 6, 90, 300, 301, 600]
    spoilt = frames.copy()
    spoilt[bad] = np.nan
    found = imreg_xp.register_stack(reference, spoilt, chunk=7, **options)
    others = np.setdiff1d(np.arange(601), bad)
    for name, a, b in zip(whole._fields, found, whole, strict=True):
        assert a.shape == b.shape
        np.testing.assert_array_equal(a[others], b[others], err_msg=name)
    np.testing.assert_array_equal(found.status[bad], Status.TOO_FEW_VALID)
    some = imreg_xp.register(reference, frames[255:258], **options)
    for name, a, b in zip(whole._fields, some, whole, strict=True):
        np.testing.assert_allclose(a, b[255:258], rtol=1e-3, atol=1e-4, err_msg=name)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    "options", [{"noise": "white"}, {"noise": "correlated"}, {"moving_err": 0.1, "reference_err": 0.1}]
)
@pytest.mark.parametrize("shape", [(30, 20), (20, 30), (50,), (9, 8, 7)], ids=str)
def test_a_frame_that_is_left_alone_stays_as_it_is(dtype, options, shape):
    """Sums of one item and of several are made alike."""
    rng = np.random.default_rng(1)
    reference = rng.normal(size=shape).astype(dtype)
    frames = (reference + 0.1 * rng.normal(size=(12, *shape))).astype(dtype)
    spoilt = frames.copy()
    spoilt[[1, 2, 3, 5, 6, 7]] = np.nan
    whole, found = (
        imreg_xp.register_stack(reference, f, boundary="wrap", chunk=4, **options) for f in (frames, spoilt)
    )
    for name, a, b in zip(whole._fields, found, whole, strict=True):
        np.testing.assert_array_equal(a[[0, 4, 8, 9]], b[[0, 4, 8, 9]], err_msg=name)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("level", [0.0, 1.9, 30.0])
def test_frames_may_lie_in_memory_in_any_order(dtype, level):
    """Sums along an axis that is not the last in memory lose digits in single precision: chi² was half, or 0."""
    rng = np.random.default_rng(3)
    shape = (256, 320)
    sky = cut(random_sky(shape, rng, beam=3.0), (0, 0), shape)
    sky /= np.std(sky)
    reference, frames = (a.astype(dtype) for a in (sky + level, sky + level + 0.01 * rng.normal(size=(3, *shape))))
    turned = [np.moveaxis(np.ascontiguousarray(np.moveaxis(frames, 0, -1)), -1, 0)]
    turned.append(np.asfortranarray(frames))
    whole = imreg_xp.register_stack(reference, frames, boundary="wrap", noise="white", moving_err=0.01)
    np.testing.assert_allclose(whole.chi2 / whole.dof, 1, atol=0.03)
    for other in turned:
        found = imreg_xp.register_stack(reference, other, boundary="wrap", noise="white", moving_err=0.01)
        np.testing.assert_allclose(found.chi2, whole.chi2, rtol=1e-2)
        np.testing.assert_allclose(found.shift, whole.shift, atol=1e-5)


class Stored:
    """What h5py and zarr give: rows on request, no arithmetic."""

    def __init__(self, data):
        self.data, self.shape, self.dtype, self.read = data, data.shape, data.dtype, []

    def __getitem__(self, key):
        rows = key[0] if isinstance(key, tuple) else key
        self.read.append(rows.stop - rows.start if rows.start is not None else rows.stop)
        return self.data[key]


def test_a_stored_stack_is_read_a_chunk_at_a_time():
    reference, frames = stack()
    source = Stored(frames)
    found = imreg_xp.register_stack(reference, source, boundary="wrap", chunk=2)
    np.testing.assert_array_equal(found.shift, imreg_xp.register_stack(reference, frames, boundary="wrap", chunk=2)[0])
    assert max(source.read) == 2
    assert sum(source.read) <= len(frames) + 1


def test_integers_keep_their_dtype_up_to_the_device(backend):
    reference, frames = stack(noise=0)
    counts = np.rint(1000 * frames + 2e4).astype(np.uint16)
    found = imreg_xp.register_stack(backend.asarray(reference), backend.asarray(counts), boundary="wrap")
    assert np.max(abs(backend.to_numpy(found.shift) + SHIFTS)) < 2e-3


@pytest.mark.parametrize("option", ["moving_err", "moving_valid"])
def test_options_of_single_frames_go_with_them(option):
    reference, frames = stack(periodic=False)
    rng = np.random.default_rng(5)
    value = 0.02 * rng.uniform(1, 2, frames.shape) if option == "moving_err" else rng.uniform(size=frames.shape) > 0.05
    found = imreg_xp.register_stack(reference, frames, chunk=3, **{option: value})
    for k, frame in enumerate(frames):
        alone = imreg_xp.register(reference, frame, **{option: value[k]})
        np.testing.assert_allclose(found.shift[k], alone.shift, atol=1e-8)
        np.testing.assert_allclose(found.shift_err[k], alone.shift_err, rtol=1e-6)


@pytest.mark.parametrize("boundary", ["overlap", "wrap"])
def test_aligned_frames_are_the_shifted_ones(backend, boundary):
    reference, frames = stack(periodic=boundary == "wrap", noise=0)
    given = backend.asarray(frames)
    found = imreg_xp.register_stack(backend.asarray(reference), given, boundary=boundary, chunk=3)
    aligned = backend.to_numpy(imreg_xp.align_stack(given, found, boundary=boundary, chunk=3))
    one_by_one = np.stack([imreg_xp.apply_shift(f, -d) for f, d in zip(frames, SHIFTS, strict=True)])
    if boundary == "overlap":
        inside = np.isfinite(one_by_one) & np.isfinite(aligned)
        assert np.mean(inside) > 0.7
        np.testing.assert_allclose(aligned[inside], one_by_one[inside], atol=2e-2)
        return
    gains = np.linspace(1, 1.4, len(SHIFTS))[:, None, None]
    np.testing.assert_allclose(aligned, gains * reference + 3, atol=1e-6 if backend.has_float64 else 2e-3)


def test_the_mean_its_variance_and_coverage_are_those_of_the_aligned_frames(backend):
    reference, frames = stack(periodic=False)
    frames[3] = np.nan
    weights = np.linspace(1, 3, len(frames))
    given = backend.asarray(frames)
    found = imreg_xp.register_stack(backend.asarray(reference), given, chunk=3)
    mean, variance, coverage = imreg_xp.coadd(given, found, backend.asarray(weights), chunk=3)
    x = backend.to_numpy(imreg_xp.align_stack(given, found)).astype(float)
    background, scale = (backend.to_numpy(a)[:, None, None] for a in (found.background, found.scale))
    x = (x - background) / scale
    count = np.sum(np.isfinite(x), axis=0)
    w = np.where(np.isfinite(x), weights[:, None, None], 0)
    expected = np.nansum(w * x, axis=0) / np.where(count, w.sum(axis=0), np.nan)
    tolerance = {"atol": 1e-9 if backend.has_float64 else 1e-4, "rtol": 1e-9 if backend.has_float64 else 2e-2}
    np.testing.assert_array_equal(backend.to_numpy(coverage), count)
    np.testing.assert_allclose(backend.to_numpy(mean), expected, **tolerance)
    scatter = np.nansum(w * (x - expected) ** 2, axis=0) / np.where(count > 1, (count - 1) * w.sum(axis=0), np.nan)
    np.testing.assert_allclose(backend.to_numpy(variance), scatter, **tolerance)
    assert np.isnan(backend.to_numpy(mean)[count == 0]).all()


def test_a_variance_is_that_of_the_mean():
    reference, frames = stack(noise=0.1, gain=False)
    found = imreg_xp.register_stack(reference, frames, boundary="wrap")
    mean, variance, _ = imreg_xp.coadd(frames, found, boundary="wrap")
    assert np.mean((mean - reference) ** 2) == pytest.approx(np.mean(variance), rel=0.2)
    assert np.mean(variance) == pytest.approx(0.01 / len(frames), rel=0.2)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"reference": "best"}, ValueError, "`reference` must be"),
        ({"reference": np.zeros((40, 37)), "boundary": "wrap"}, ValueError, "`moving` must have the image shape"),
        ({"reference": np.zeros(37), "boundary": "wrap"}, ValueError, "`reference` must be one image"),
        ({"reference": np.zeros((1, 41, 37))}, ValueError, "`reference` must be one image"),
        ({"reference": np.ma.zeros((41, 37))}, TypeError, "`reference` is a masked array"),
        ({"frames": [[1, 2]]}, TypeError, "`frames` must be an array"),
        ({"frames": np.ma.zeros((3, 41, 37))}, TypeError, "`frames` is a masked array"),
        ({"frames": np.zeros(5)}, ValueError, "`frames` must have shape"),
        ({"frames": np.zeros((0, 9, 9))}, ValueError, "at least one frame"),
        ({"chunk": 0}, ValueError, "`chunk` must be at least 1"),
        ({"chunk": 2.5}, TypeError, "`chunk` must be an integer"),
        ({"boundary": "mirror"}, ValueError, "`boundary` must be"),
    ],
)
def test_bad_stacks_get_a_clear_error(change, error, message):
    reference, frames = stack()
    given = {"reference": reference, "frames": frames, **change}
    with pytest.raises(error, match=message):
        imreg_xp.register_stack(given.pop("reference"), given.pop("frames"), **given)


def test_a_registration_of_other_frames_is_refused():
    reference, frames = stack()
    found = imreg_xp.register_stack(reference, frames, boundary="wrap")
    for function in (imreg_xp.align_stack, imreg_xp.coadd):
        with pytest.raises(ValueError, match="`registration` must hold shifts"):
            function(frames[:-1], found)
        with pytest.raises(ValueError, match="`boundary` must be"):
            function(frames, found, boundary="mirror")
    with pytest.raises(ValueError, match="`weights` must have shape"):
        imreg_xp.coadd(frames, found, np.ones(3))


@pytest.fixture
def card(monkeypatch):
    """Return a function that puts arrays on a device of so many free bytes."""

    def with_free(device):
        monkeypatch.setattr(_memory, "device_of", lambda _: device)
        monkeypatch.setattr(_memory, "is_traced_or_remote", lambda _: True)

    return with_free


def test_the_free_memory_of_a_device_bounds_a_chunk(card, monkeypatch):
    card(SimpleNamespace(mem_info=(10**6, 10**9)))
    assert _memory.free_bytes(None, xp=np) == 10**6
    assert _memory.pixels_per_chunk(None, 320, xp=np) == 2343
    card(SimpleNamespace(mem_info=(10**12, 10**12)))
    assert _memory.pixels_per_chunk(None, 320, xp=np) == 2**28
    monkeypatch.undo()
    assert 2**28 < _memory.free_bytes(np.zeros(1), xp=np) < 2**45
    assert frames_module.open_frames(np.zeros((500, 256, 256), np.uint8), None).chunk == 8


def test_what_a_library_keeps_for_its_next_arrays_is_free(card):
    card(SimpleNamespace(mem_info=(10**6, 10**9)))
    pool = SimpleNamespace(free_bytes=lambda: 5000)
    cupy = SimpleNamespace(get_default_memory_pool=lambda: pool)
    assert _memory.free_bytes(None, xp=cupy) == 10**6 + 5000
    card(SimpleNamespace(type="cuda"))
    cuda = SimpleNamespace(
        mem_get_info=lambda _: (10**6, 10**9), memory_reserved=lambda _: 9000, memory_allocated=lambda _: 2000
    )
    assert _memory.free_bytes(None, xp=SimpleNamespace(cuda=cuda)) == 10**6 + 7000


def test_chunks_are_of_about_one_size():
    """The last is filled up with copies: one frame more than fits must not take twice as long."""
    most = frames_module.open_frames(np.zeros((500, 256, 256), np.uint8), None).chunk
    for count in (1, most, most + 1, 2 * most - 1, 5 * most + 1):
        chunk = frames_module.open_frames(np.zeros((count, 256, 256), np.uint8), None).chunk
        chunks = -(-count // chunk)
        assert chunks == -(-count // most)
        assert chunks * chunk - count < chunks


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("shape", "count"), [((1000,), 32), ((100, 90), 12), ((16, 16), 99), ((30, 30, 30), 4)])
def test_a_chunk_needs_no_more_memory_than_is_free(card, monkeypatch, shape, count, dtype):
    """With masks and errors, which take most; and room for the work areas of FFTs, a seventh of it."""
    free = 8 * 10**9
    card(SimpleNamespace(mem_info=(free, free)))
    rng = np.random.default_rng(0)
    frames = rng.normal(size=(count, *shape)).astype(dtype)
    many = np.broadcast_to(frames[0], (10**7, *shape))
    pixels = frames_module.open_frames(many, None, like=frames[0]).chunk * math.prod(shape)
    monkeypatch.undo()
    err, valid = np.full(frames.shape, dtype(1)), np.ones(frames.shape, dtype=bool)
    valid[:, 3:5] = False

    def register():
        options = {"reference_err": err[0], "moving_err": err, "reference_valid": valid[0], "moving_valid": valid}
        return imreg_xp.register_stack(frames[0], frames, chunk=count, **options)

    register()
    tracemalloc.start()
    register()
    needed = tracemalloc.get_traced_memory()[1] / frames.size
    tracemalloc.stop()
    assert 0.25 * free < needed * pixels * 8 / 7 < free


def test_changes_of_a_private_memory_map_survive(tmp_path):
    reference, frames = stack()
    path = tmp_path / "frames.dat"
    np.full(frames.shape, 7.0).tofile(path)
    private = np.memmap(path, mode="c", dtype=float, shape=frames.shape)
    private[:] = frames
    found = imreg_xp.register_stack(reference, private, boundary="wrap", chunk=2)
    np.testing.assert_array_equal(private, frames)
    np.testing.assert_allclose(found.shift, imreg_xp.register_stack(reference, frames, boundary="wrap").shift)


_LARGE = """
import resource, sys
import numpy as np
import imreg_xp
n, path = int(sys.argv[1]), sys.argv[2]
frames = np.memmap(path, mode="r", dtype=np.uint16, shape=(n, 256, 256))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
found = imreg_xp.register_stack(np.array(frames[0], dtype=np.float32), frames, boundary="wrap", noise="white")
assert np.all(found.status == 0), found.status
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def test_memory_does_not_grow_with_a_memory_mapped_stack(tmp_path):
    rng = np.random.default_rng(0)
    image = cut(random_sky((256, 256), rng, beam=1.5), (0, 0), (256, 256))
    count, path = 1600, tmp_path / "frames.dat"
    frames = np.memmap(path, mode="w+", dtype=np.uint16, shape=(count, 256, 256))
    for k in range(count):
        frames[k] = np.roll(1000 * image + 2e4, k % 7, axis=0)
    frames.flush()
    del frames
    done = subprocess.run(
        [sys.executable, "-c", _LARGE, str(count), str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 150, "MB, of a file of 210 MB"
