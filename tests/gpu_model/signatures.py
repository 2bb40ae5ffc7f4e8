"""What `array_api_compat.cupy` has, and how its functions may be called."""

from __future__ import annotations

import functools
import inspect
import json
from pathlib import Path
from typing import Any

__all__ = ["ARRAY_MEMBERS", "VERSIONS", "check_call", "member"]

_API = json.loads(Path(__file__).with_name("cupy_api.json").read_text("utf-8"))
VERSIONS: dict[str, str] = _API["versions"]
ARRAY_MEMBERS = frozenset(_API["ndarray"])

_UFUNC_KEYWORDS = {"out", "where", "dtype", "casting"}


def member(space: str, name: str) -> Any:
    """Return what CuPy says of a member of the namespace `space` ("main", "fft" or "linalg").

    Raises
    ------
    AttributeError
        CuPy has no such name.
    """
    if name not in _API[space]:
        dotted = name if space == "main" else f"{space}.{name}"
        msg = f"array_api_compat.cupy has no `{dotted}` (CuPy {VERSIONS['cupy']})"
        raise AttributeError(msg)
    return _API[space][name]


@functools.cache
def _signature(space: str, name: str) -> inspect.Signature:
    kinds = list(inspect._ParameterKind)
    return inspect.Signature(
        [
            inspect.Parameter(p, kinds[kind], default=None if optional else inspect.Parameter.empty)
            for p, kind, optional in _API[space][name]
        ]
    )


def check_call(space: str, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Raise a TypeError where CuPy does not take these arguments."""
    described = member(space, name)
    if isinstance(described, dict):
        unknown = sorted(set(kwargs) - _UFUNC_KEYWORDS)
        count = described["ufunc"]
        if unknown or not count <= len(args) <= count + 2:
            got = f"unknown keywords {unknown}" if unknown else f"{len(args)} arguments for {count}"
            msg = f"CuPy's ufunc `{name}` refuses the call: {got}"
            raise TypeError(msg)
    elif isinstance(described, list):
        try:
            _signature(space, name).bind(*args, **kwargs)
        except TypeError as error:
            msg = f"CuPy's `{name}{_signature(space, name)}` refuses the call: {error}"
            raise TypeError(msg) from None
