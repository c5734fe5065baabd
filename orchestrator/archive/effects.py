"""What a node has done outside, by a key of its author's: its next attempt finds it, and does it no more."""

from __future__ import annotations

import json
import logging
from hashlib import sha256
from typing import TYPE_CHECKING

from orchestrator.archive.reading import as_written, put_aside
from orchestrator.artifacts.errors import AlteredArtifact
from orchestrator.runs.keys import RunId

if TYPE_CHECKING:
    from orchestrator.artifacts import ArtifactStore

log = logging.getLogger("orchestrator.archive")


def read_effect(store: ArtifactStore, run: RunId, node: str, key: str) -> str | None:
    """What came of it, if it was done.

    A record that cannot be read is put aside, and the author's `act` is called again: nobody knows any more
    what came of the first time.
    """
    place = _key(run, node, key)
    data = store.read(place)
    if data is None:
        return None
    try:
        with as_written(store, place, hint="What was done outside may be done a second time."):
            result: object = json.loads(data)["result"]
            if not isinstance(result, str):
                raise TypeError("no text")
            return result
    except AlteredArtifact as error:
        aside = put_aside(store, place, data)
        log.warning(
            "%s. It is now %r, and %r is done again",
            error,
            aside,
            key,
            extra={"action": "record altered", "run": run, "node": node},
        )
        return None


def keep_effect(store: ArtifactStore, run: RunId, node: str, key: str, result: str) -> str:
    """Keep what came of it, and return what is kept: of two that did it at once, the first counts."""
    text = json.dumps({"key": key, "result": result})
    # On the disk before the stage goes on: nothing else knows what was done outside.
    if store.create(_key(run, node, key), text.encode(), flush=True):
        return result
    return read_effect(store, run, node, key) or result


def _key(run: RunId, node: str, key: str) -> str:
    return f"runs/{run}/effects/{node}/{sha256(key.encode()).hexdigest()[:32]}.json"
