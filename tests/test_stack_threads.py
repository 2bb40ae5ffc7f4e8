"""Stacks on the host in several threads: the same numbers, read by one thread, no further ahead than need be."""

from __future__ import annotations

import contextlib
import threading

import numpy as np
import pytest
import scipy.fft
from skies import cut, random_sky
from threadpoolctl import threadpool_info

import imreg_xp
from imreg_xp import _memory
from imreg_xp.frames import open_frames

SHAPE = (32, 30)
SHIFTS = np.random.default_rng(5).uniform(-2, 2, size=(23, 2))


def stack():
    rng = np.random.default_rng(8)
    sky = random_sky((64, 60), rng, beam=1.2)
    frames = [cut(sky, (16 - y, 15 - x), SHAPE) + 0.05 * rng.standard_normal(SHAPE) for y, x in SHIFTS]
    frames[7][3, 4] = np.nan
    frames[11][...] = np.nan
    return cut(sky, (16, 15), SHAPE), np.stack(frames)


class Watched:
    """Frames that tell who reads them, and when."""

    def __init__(self, frames):
        self.frames, self.shape = frames, frames.shape
        self.threads, self.read = set(), []

    def __getitem__(self, key):
        self.threads.add(threading.get_ident())
        self.read.append(key[0].start)
        return self.frames[key]


@pytest.mark.parametrize("boundary", ["overlap", "wrap"])
@pytest.mark.parametrize("reference", ["image", "first", "mean", "previous", "all-pairs", "joint"])
def test_threads_change_no_bit(boundary, reference):
    image, frames = stack()
    found = []
    for workers in (1, 3):
        with scipy.fft.set_workers(workers):
            given = image if reference == "image" else reference
            found.append(imreg_xp.register_stack(given, frames, boundary=boundary, chunk=2))
    assert np.any(found[0].status == 0)
    for name, alone, together in zip(found[0]._fields, *found, strict=True):
        np.testing.assert_array_equal(alone, together, err_msg=name)


def test_threads_change_no_bit_of_aligned_frames_and_their_mean():
    image, frames = stack()
    registration = imreg_xp.register_stack(image, frames)
    found = []
    for workers in (1, 3):
        with scipy.fft.set_workers(workers):
            aligned = imreg_xp.align_stack(frames, registration, chunk=2)
            found.append((aligned, *imreg_xp.coadd(frames, registration, chunk=2)))
    for alone, together in zip(*found, strict=True):
        np.testing.assert_array_equal(alone, together)


def test_frames_are_read_by_the_caller_alone():
    image, frames = stack()
    watched = Watched(frames)
    with scipy.fft.set_workers(2):
        imreg_xp.register_stack(image, watched, chunk=2)
        imreg_xp.register_stack("all-pairs", watched, chunk=2)
    assert watched.threads == {threading.get_ident()}


def blocks_of(count):
    watched = Watched(np.zeros((count, 4, 4)))
    return watched, open_frames(watched, 1)


def test_as_many_blocks_at_a_time_as_there_are_workers():
    _, opened = blocks_of(6)
    met = threading.Barrier(2)

    def work(block):
        met.wait(30)  # for another thread that works as well
        return block.start, scipy.fft.get_workers()

    with scipy.fft.set_workers(2):
        assert list(opened.done(work, opened)) == [(k, 1) for k in range(6)]


def test_no_more_blocks_wait_than_a_few_for_each_worker():
    watched, opened = blocks_of(40)
    with scipy.fft.set_workers(2):
        results = opened.done(lambda block: block.start, opened)
        assert next(results) == 0
        # the first frame was looked at when the stack was opened
        assert len(watched.read) - 1 <= 6
        results.close()


def test_an_error_in_a_thread_is_raised_and_ends_the_work():
    watched, opened = blocks_of(40)

    def work(block):
        if block.start == 3:
            msg = "spoilt"
            raise OSError(msg)
        return block.start

    with scipy.fft.set_workers(2), pytest.raises(OSError, match="spoilt"):
        list(opened.done(work, opened))
    assert len(watched.read) < 20


def test_what_was_read_before_an_error_is_done():
    _, opened = blocks_of(6)

    def read():
        yield from list(opened)[:4]
        msg = "no more"
        raise OSError(msg)

    found = []
    with scipy.fft.set_workers(2), pytest.raises(OSError, match="no more"):
        found.extend(start for start in opened.done(lambda block: found.append(block.start), read()))
    assert sorted(x for x in found if x is not None) == [0, 1, 2, 3]


def test_few_blocks_get_several_workers_each():
    _, opened = blocks_of(2)
    with scipy.fft.set_workers(5):
        assert list(opened.done(lambda _: scipy.fft.get_workers(), opened)) == [2, 2]
    _, opened = blocks_of(1)
    with scipy.fft.set_workers(5):
        assert list(opened.done(lambda _: scipy.fft.get_workers(), opened)) == [5]


def test_no_more_blocks_at_a_time_than_the_memory_holds(monkeypatch):
    size = _memory.free_bytes(np.zeros(1), xp=np)
    for share, most in ((3, 2), (1, 1), (0.5, 1)):
        monkeypatch.setattr("imreg_xp.frames._bytes_per_pixel", lambda *_, share=share, **__: int(size / 16 / share))
        _, opened = blocks_of(9)
        assert opened.at_a_time == most
        with scipy.fft.set_workers(4):
            assert set(opened.done(lambda _: scipy.fft.get_workers(), opened)) == {4 // most}


def test_ctrl_c_does_not_wait_for_what_is_at_work():
    _, opened = blocks_of(4)
    free, finished = threading.Event(), []

    def work(block):
        if block.start == 0:
            raise KeyboardInterrupt
        free.wait(10)
        finished.append(block.start)

    with scipy.fft.set_workers(2), pytest.raises(KeyboardInterrupt):
        list(opened.done(work, opened))
    assert finished == []
    free.set()


def test_what_numpy_does_about_errors_goes_along():
    _, opened = blocks_of(4)
    with scipy.fft.set_workers(2), np.errstate(divide="raise"), pytest.raises(FloatingPointError):
        list(opened.done(lambda block: np.ones(1) / np.zeros(block.size), opened))


def threads_of_blas():
    """Of NumPy: other libraries bring their own, which nothing here uses."""
    pools = [pool for pool in threadpool_info() if pool["user_api"] == "blas" and "numpy" in pool["filepath"]]
    return [pool["num_threads"] for pool in pools]


@pytest.mark.parametrize("workers", [1, 2])
def test_blas_has_one_thread_meanwhile(workers):
    _, opened = blocks_of(4)
    before = threads_of_blas()
    with scipy.fft.set_workers(workers):
        for during in opened.done(lambda _: threads_of_blas(), opened):
            assert set(during) <= {1}
        with contextlib.suppress(ZeroDivisionError):
            list(opened.done(lambda block: 1 / block.start, opened))
    assert threads_of_blas() == before


def test_blas_gets_its_threads_back_from_whoever_is_last():
    _, opened = blocks_of(4)
    before = threads_of_blas()
    first, second = (opened.done(lambda _: None, opened) for _ in range(2))
    for results in (first, second):
        next(results)
    first.close()
    assert set(threads_of_blas()) <= {1}
    second.close()
    assert threads_of_blas() == before


def test_accelerators_get_one_block_at_a_time(backend):
    image, frames = (backend.asarray(a) for a in stack())
    if isinstance(frames, np.ndarray):
        pytest.skip("the host")
    before = threading.active_count()
    opened = open_frames(frames, 4, like=image)
    with scipy.fft.set_workers(3):
        working = list(opened.done(lambda _: threading.get_ident(), opened))
    assert set(working) == {threading.get_ident()}
    assert threading.active_count() == before
