"""Codecs that users add for their own classes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol


class UserCodec(Protocol):
    """Saves a value as files in an empty folder, and loads it from there; never with pickle."""

    # Any, since a codec names its own class here, which a protocol for all of them cannot.
    def save(self, value: Any, folder: Path) -> None: ...

    def load(self, folder: Path) -> Any: ...


_codecs: dict[type, UserCodec] = {}
_listeners: list[Callable[[], None]] = []


def register_codec(cls: type, codec: UserCodec) -> None:
    """Store values of `cls` (and of annotations that are its subclasses) with `codec`.

    Call it where `cls` is defined, so that every process that imports the pipeline knows the codec. It takes
    precedence over a codec of this project for the same class.
    """
    _codecs[cls] = codec
    _notify()


def forget_codec(cls: type) -> None:
    """Undo `register_codec`, for tests."""
    _codecs.pop(cls, None)
    _notify()


def registered(cls: type) -> UserCodec | None:
    """The user's codec for this class, or for the nearest of its bases."""
    return next((_codecs[base] for base in cls.__mro__ if base in _codecs), None)


def on_change(listener: Callable[[], None]) -> None:
    """Call `listener` after each registration."""
    _listeners.append(listener)


def _notify() -> None:
    for listener in _listeners:
        listener()
