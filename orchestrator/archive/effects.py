"""What a node has done outside, by a key of its author's: its next attempt finds it, and does it no more."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import TYPE_CHECKING

from orchestrator.runs.keys import RunId

if TYPE_CHECKING:
    from orchestrator.artifacts import ArtifactStore


def read_effect(store: ArtifactStore, run: RunId, node: str, key: str) -> str | None:
    """What came of it, if it was done."""
    data = store.read(_key(run, node, key))
    return None if data is None else str(json.loads(data)["result"])


def keep_effect(store: ArtifactStore, run: RunId, node: str, key: str, result: str) -> str:
    """Keep what came of it, and return what is kept: of two that did it at once, the first counts."""
    text = json.dumps({"key": key, "result": result})
    if store.create(_key(run, node, key), text.encode()):
        return result
    return read_effect(store, run, node, key) or result


def _key(run: RunId, node: str, key: str) -> str:
    return f"runs/{run}/effects/{node}/{sha256(key.encode()).hexdigest()[:32]}.json"
