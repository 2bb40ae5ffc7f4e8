"""Which Fourier transforms to use."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import scipy.fft

from .._array import Array, array_namespace
from ._arguments import as_numeric
from .sampling import as_complex

__all__ = ["get_ffts"]


def get_ffts(nthreads: int = 1, use_numpy_fft: bool = True) -> tuple[Callable[..., Array], Callable[..., Array]]:
    """Return (fftn, ifftn) for arrays of any library.

    Parameters
    ----------
    nthreads : int
        Threads (NumPy arrays, with `scipy.fft`).
    use_numpy_fft : bool
        For NumPy arrays use `numpy.fft`; otherwise `scipy.fft`, through which backends set by `scipy.fft.set_backend`
        come in. Other arrays are transformed by their own library.

    Returns
    -------
    fftn, ifftn : callable
        Called as ``fftn(x, s=None, axes=None, norm="backward")``; without `axes` over all, or the last as many as `s`.
        They return arrays of the library and device of `x`, complex; integers are promoted to the default float.

    Raises
    ------
    TypeError
        The pair is called with what is not an array, or a boolean one.
    """

    def transform(name: str) -> Callable[..., Array]:
        def call(x: Array, s: Any = None, axes: Any = None, norm: str = "backward") -> Array:
            xp = array_namespace(x=x, use_numpy_fft=use_numpy_fft)
            # the standard transforms complex arrays only
            x = as_complex(as_numeric("x", x, xp=xp), xp=xp)
            if axes is None:
                axes = range(-(x.ndim if s is None else len(s)), 0)
            axes = tuple(axes)
            s = tuple(x.shape[a] for a in axes) if s is None else tuple(s)
            with scipy.fft.set_workers(nthreads):
                return getattr(xp.fft, name)(x, s=s, axes=axes, norm=norm)

        call.__name__ = call.__qualname__ = name
        call.__doc__ = f"Return the `{name}` of an array by its own library."
        return call

    return transform("fftn"), transform("ifftn")
