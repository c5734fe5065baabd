"""Detect records that were truncated by a disk or altered by somebody."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from orchestrator.artifacts.errors import AlteredArtifact

if TYPE_CHECKING:
    from orchestrator.artifacts import ArtifactStore

#: Hint if a node's outputs cannot be read.
AGAIN = "Its stage must run again: `orchestrator resume RUN` sees to it."
#: Hint if a run cannot be read without the record.
ANEW = "Nothing can be made of the run without it: start a new one, or restore the store from a backup."


@contextmanager
def as_written(store: ArtifactStore, key: str, *, hint: str) -> Iterator[None]:
    """Raise AlteredArtifact, with a one-line message, if the block cannot parse a record."""
    try:
        yield
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise AlteredArtifact(
            f"{key!r} in the artifact store {store.url} is not what was written there: altered, or cut short",
            hint=hint,
        ) from error


def put_aside(store: ArtifactStore, key: str, data: bytes) -> str:
    """Move an unreadable record aside for inspection; return its new key."""
    aside = f"{key}.unreadable"
    store.write(aside, data)
    store.remove(key)
    return aside
