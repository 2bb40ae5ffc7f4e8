"""Write down the names and signatures of `array_api_compat.cupy`, for the model of CuPy that the tests use.

Run it where CuPy is installed; no GPU is needed::

    pip install cupy-cuda12x array-api-compat numpy scipy
    python ci/cupy_names.py tests/gpu_model/cupy_api.json
"""

from __future__ import annotations

import importlib
import inspect
import json
import sys
from pathlib import Path
from typing import Any

# where a wrapper hands `**kwargs` on to a function of CuPy by another name
_ALIASES = {"cumulative_sum": "cumsum", "cumulative_prod": "cumprod"}


def parameters(function: Any) -> list[list[Any]] | None:
    """Return [name, kind, has a default] of each parameter, None where the function does not tell."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return None
    return [[p.name, int(p.kind), p.default is not p.empty] for p in signature.parameters.values()]


def filled(name: str, own: list[list[Any]], below: Any) -> list[list[Any]]:
    """Replace ``**kwargs`` of a wrapper by the parameters of the function of CuPy that gets them."""
    function = getattr(below, _ALIASES.get(name, name), None)
    inner = parameters(function)
    if not own or own[-1][1] != inspect.Parameter.VAR_KEYWORD or inner is None:
        return own
    known = {p[0] for p in own}
    keyword = inspect.Parameter.KEYWORD_ONLY
    extra = [[p[0], keyword.value, True] for p in inner if p[0] not in known and p[2]]
    return [*own[:-1], *extra]


def described(name: str, thing: Any, below: Any) -> Any:
    """Return what is to be known of one member of a namespace."""
    if type(thing).__name__ == "ufunc":
        return {"ufunc": thing.nin}
    if isinstance(thing, type):
        return "type"
    if not callable(thing):
        return "constant"
    own = parameters(thing)
    return "unknown" if own is None else filled(name, own, below)


def members(namespace: Any, below: Any) -> dict[str, Any]:
    """Return the public members of a namespace."""
    names = [n for n in dir(namespace) if not n.startswith("_")]
    return {n: described(n, getattr(namespace, n), below) for n in names}


def main() -> None:
    """Write the file named on the command line."""
    compat = importlib.import_module("array_api_compat")
    xp = importlib.import_module("array_api_compat.cupy")
    cupy = importlib.import_module("cupy")
    found = {
        "versions": {"cupy": cupy.__version__, "array_api_compat": compat.__version__},
        "main": members(xp, cupy),
        "fft": members(xp.fft, cupy.fft),
        "linalg": members(xp.linalg, cupy.linalg),
        "ndarray": [n for n in dir(cupy.ndarray) if not n.startswith("_")],
    }
    # one member a line, so that a new version of CuPy shows as a readable difference
    parts = []
    for key, value in found.items():
        if key in {"main", "fft", "linalg"}:
            lines = ",\n".join(f"    {json.dumps(n)}: {json.dumps(d)}" for n, d in value.items())
            parts.append(f"  {json.dumps(key)}: {{\n{lines}\n  }}")
        else:
            parts.append(f"  {json.dumps(key)}: {json.dumps(value)}")
    Path(sys.argv[1]).write_text("{\n" + ",\n".join(parts) + "\n}\n", "utf-8")


if __name__ == "__main__":
    main()
