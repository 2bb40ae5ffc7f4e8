"""The pair of transforms: which library does them, with how many threads, in which precision."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.fft

from imreg_xp.fft_tools import get_ffts, shift2d, shiftnd, upsample_image
from imreg_xp.fft_tools.scale import fourier_interp1d, fourier_interp2d
from imreg_xp.fft_tools.zoom import zoom1d, zoomnd


@pytest.mark.parametrize("use_numpy_fft", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128", "int32"])
def test_precision_library_and_device_are_kept(backend, rng, dtype, use_numpy_fft):
    if dtype in {"float64", "complex128"} and not backend.has_float64:
        pytest.skip("no float64")
    data = (10 * rng.normal(size=(3, 4, 5))).astype(dtype)
    array = backend.asarray(data)
    for transform, literal in zip(get_ffts(use_numpy_fft=use_numpy_fft), (np.fft.fftn, np.fft.ifftn), strict=True):
        found = backend.to_numpy(transform(array))
        if dtype != "int32":
            assert found.dtype.name == ("complex64" if dtype in {"float32", "complex64"} else "complex128")
        np.testing.assert_allclose(found, literal(data), atol=1e-10 if found.dtype == np.complex128 else 1e-3)
    np.testing.assert_array_equal(backend.to_numpy(array), data)


@pytest.mark.parametrize("use_numpy_fft", [True, False])
@pytest.mark.parametrize("options", [{"s": (8,)}, {"s": (2, 8)}, {"axes": (0,)}, {"norm": "ortho"}, {"axes": (-1, 0)}])
def test_options_are_those_of_numpy(backend, rng, options, use_numpy_fft):
    data = rng.normal(size=(3, 4, 5))
    count = len(options.get("s", ()))
    axes = {"axes": tuple(range(-count, 0))} if count else {}
    for transform, literal in zip(get_ffts(use_numpy_fft=use_numpy_fft), (np.fft.fftn, np.fft.ifftn), strict=True):
        found = backend.to_numpy(transform(backend.asarray(data), **options))
        np.testing.assert_allclose(found, literal(data, **options, **axes), atol=1e-10 if backend.has_float64 else 1e-4)


class _Seen:
    """A backend of `scipy.fft` that notes what it is asked for."""

    __ua_domain__ = "numpy.scipy.fft"
    calls: tuple[tuple[str, int], ...] = ()

    @classmethod
    def __ua_function__(cls, method, args, kwargs):
        cls.calls = (*cls.calls, (method.__name__, scipy.fft.get_workers()))
        with scipy.fft.skip_backend(cls):
            return method(*args, **kwargs)


@pytest.mark.parametrize(("use_numpy_fft", "seen"), [(True, ()), (False, (("fftn", 2), ("ifftn", 2)))])
def test_scipy_is_asked_with_the_threads_given_and_numpy_where_asked_for(rng, monkeypatch, use_numpy_fft, seen):
    monkeypatch.setattr(_Seen, "calls", ())
    before = scipy.fft.get_workers()
    with scipy.fft.set_backend(_Seen):
        for transform in get_ffts(nthreads=2, use_numpy_fft=use_numpy_fft):
            transform(rng.normal(size=(4, 4)))
    assert _Seen.calls == seen
    assert scipy.fft.get_workers() == before


TOOLS = {
    "shiftnd": lambda x, **how: shiftnd(x, (0.3, 1.2), **how),
    "complex shiftnd": lambda x, **how: shiftnd(x, (0.3, 1.2), return_real=False, **how),
    "shift2d": lambda x, **how: shift2d(x, 0.3, 1.2, **how),
}


@pytest.mark.parametrize("name", TOOLS)
def test_the_tools_pass_both_options_on(rng, monkeypatch, name):
    monkeypatch.setattr(_Seen, "calls", ())
    with scipy.fft.set_backend(_Seen):
        TOOLS[name](rng.normal(size=(4, 5)), use_numpy_fft=True, nthreads=2)
        assert not _Seen.calls
        TOOLS[name](rng.normal(size=(4, 5)), nthreads=2)
    assert {workers for _, workers in _Seen.calls} == {2}


WITHOUT_TRANSFORMS = {
    "upsample_image": lambda x, **how: upsample_image(x, 2, **how),
    "zoomnd": lambda x, **how: zoomnd(x, usfac=2, **how),
    "zoom1d": lambda x, **how: zoom1d(x, 2, **how),
    "fourier_interp1d": lambda x, **how: fourier_interp1d(x, x[0], **how),
    "fourier_interp2d": lambda x, **how: fourier_interp2d(x, (x[0], x[1]), **how),
}


@pytest.mark.parametrize("name", WITHOUT_TRANSFORMS)
def test_interpolation_takes_both_options_and_transforms_nothing(rng, monkeypatch, name):
    image = rng.normal(size=(4, 5))
    plain = WITHOUT_TRANSFORMS[name](image)
    monkeypatch.setattr(_Seen, "calls", ())
    with scipy.fft.set_backend(_Seen):
        for options in ({"use_numpy_fft": True}, {"nthreads": 2}):
            np.testing.assert_array_equal(WITHOUT_TRANSFORMS[name](image, **options), plain)
    assert not _Seen.calls


def test_nothing_is_read_back(backend, rng, no_sync):
    image = backend.asarray(rng.normal(size=(4, 5)))
    with no_sync():
        for transform in get_ffts():
            transform(image)


@pytest.mark.parametrize("bad", [[1.0, 2.0], np.ones(3) > 0, 1.0])
def test_what_is_no_array_of_numbers_is_named(bad):
    for transform in get_ffts():
        with pytest.raises(TypeError, match="`x`"):
            transform(bad)
