"""The one exception for input that cannot be used."""

from __future__ import annotations

__all__ = ["InputError"]


class InputError(ValueError):
    """A file or an argument cannot be used; the message is one line and names it."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))
