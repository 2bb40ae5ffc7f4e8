"""Arrays in nested tuples and dicts: taken out, and put back."""

from __future__ import annotations

from typing import Any, NamedTuple

__all__ = ["filled", "flattened"]


class _Place(NamedTuple):
    """Where an array stood."""

    at: int


class _Other(NamedTuple):
    """What is no array: equal numbers of different types are different things."""

    kind: type
    value: Any


class _Nest(NamedTuple):
    """What held arrays: the type of a tuple, or dict with its keys."""

    kind: Any
    keys: tuple[Any, ...]
    parts: tuple[Any, ...]


def flattened(tree: Any, kinds: tuple[type, ...], arrays: list[Any]) -> Any:
    """Return what is left of a nest of things of some kinds without them; they are added to the list."""
    if isinstance(tree, kinds):
        arrays.append(tree)
        return _Place(len(arrays) - 1)
    if isinstance(tree, dict):
        return _Nest(dict, tuple(tree), tuple([flattened(part, kinds, arrays) for part in tree.values()]))
    if isinstance(tree, (tuple, list)):
        return _Nest(type(tree), (), tuple([flattened(part, kinds, arrays) for part in tree]))
    return _Other(type(tree), tree)


def filled(skeleton: Any, arrays: list[Any]) -> Any:
    """Return the nest that `flattened` made a skeleton of, with other things in their places."""
    if isinstance(skeleton, _Place):
        return arrays[skeleton.at]
    if isinstance(skeleton, _Other):
        return skeleton.value
    parts = [filled(part, arrays) for part in skeleton.parts]
    if skeleton.kind is dict:
        return dict(zip(skeleton.keys, parts, strict=True))
    return skeleton.kind(*parts) if hasattr(skeleton.kind, "_fields") else skeleton.kind(parts)
