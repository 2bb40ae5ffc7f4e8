"""Tables that depend on shapes alone: made on the host, kept beside the arrays that they are used with."""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Iterable
from typing import Any

import numpy as np

from ._array import Array, Namespace, device_of, may_be_kept

__all__ = ["Keep", "keeping", "numbers", "table"]

Keep = Callable[[Hashable, Callable[[], Any]], Any]


class _Place:
    """A device, compared by its name: not every library's devices can be hashed. A name is one itself."""

    def __init__(self, device: Any) -> None:
        self.device, self._name = device, str(device)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Place) and self._name == other._name

    def __hash__(self) -> int:
        return hash(self._name)


def _made(
    make: Callable[..., np.ndarray], args: tuple[Hashable, ...], dtype: Any, place: _Place, *, xp: Namespace
) -> Array:
    return xp.asarray(make(*args), dtype=dtype, device=place.device)


def _made_on_host(make: Callable[..., np.ndarray], args: tuple[Hashable, ...], dtype: Any) -> np.ndarray:
    made = np.asarray(make(*args), dtype=dtype).view()
    made.flags.writeable = False
    return made


_on_host = functools.lru_cache(maxsize=1024)(_made_on_host)
_large_on_host = functools.lru_cache(maxsize=64)(_made_on_host)
_small = functools.lru_cache(maxsize=1024)(_made)
_large = functools.lru_cache(maxsize=64)(_made)


def table(
    make: Callable[..., np.ndarray],
    *args: Hashable,
    dtype: Any,
    like: Array,
    large: bool = False,
    xp: Namespace,
) -> Array:
    """Return the array ``make(*args)``, made by a function of the host, beside `like`; it must not be written to.

    It is made once, uploaded once, and kept; of `large` ones, as large as images, only a few.
    """
    if isinstance(like, np.ndarray):
        return (_large_on_host if large else _on_host)(make, args, dtype)
    place = _Place(device_of(like))
    if not may_be_kept(like):
        return _made(make, args, dtype, place, xp=xp)
    return (_large if large else _small)(make, args, dtype, place, xp=xp)


def keeping(made: dict[Any, Any] | None) -> Keep:
    """Return what makes things at most once, and keeps them with their names; None keeps nothing."""

    def keep(name: Hashable, make: Callable[[], Any]) -> Any:
        if made is None:
            return make()
        if name not in made:
            made[name] = make()
        return made[name]

    return keep


def numbers(values: Iterable[float], *, dtype: Any, like: Array, xp: Namespace) -> Array:
    """Return a few numbers that depend on shapes alone as an array beside `like`; it must not be written to."""
    return table(np.asarray, tuple(values), dtype=dtype, like=like, xp=xp)
