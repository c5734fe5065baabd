"""Reads records with care: a disk may have lost part of one, or somebody may have touched it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from orchestrator.artifacts.errors import AlteredArtifact

if TYPE_CHECKING:
    from orchestrator.artifacts import ArtifactStore

#: What to do where a node's outputs cannot be read.
AGAIN = "Its stage must run again: `orchestrator resume RUN` sees to it."
#: What to do where nothing can be known of a run without the record.
ANEW = "Nothing can be made of the run without it: start a new one, or restore the store from a backup."


@contextmanager
def as_written(store: ArtifactStore, key: str, *, hint: str) -> Iterator[None]:
    """Make sense of a record inside the block; one that makes none is an error in one line."""
    try:
        yield
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise AlteredArtifact(
            f"{key!r} in the artifact store {store.url} is not what was written there: altered, or cut short",
            hint=hint,
        ) from error


def put_aside(store: ArtifactStore, key: str, data: bytes) -> str:
    """Move a record that cannot be read out of the way, for whoever wants to look into it; its new key."""
    aside = f"{key}.unreadable"
    store.write(aside, data)
    store.remove(key)
    return aside
