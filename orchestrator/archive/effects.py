"""What was done outside, and what came of it: whoever comes next finds that, and does it no more.

By a key of its author's, what a node has done; by keys of the tracking's own, the ids of MLflow runs.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from orchestrator.archive.integrity import as_written, put_aside
from orchestrator.artifacts.errors import AlteredArtifact
from orchestrator.run_id import RunId

if TYPE_CHECKING:
    from orchestrator.artifacts import ArtifactStore

log = logging.getLogger("orchestrator.archive")


@dataclass(frozen=True)
class Effects:
    """What the attempts of one node have done outside."""

    store: ArtifactStore
    run: RunId
    node: str
    check: Callable[[], None]  #: raises if another worker has taken the node over

    def once(self, key: str, act: Callable[[], str]) -> str:
        """What an earlier attempt got for this key; else what `act` returns, which is kept."""
        found = read_effect(self.store, self.run, self.node, key)
        if found is not None:
            return found
        self.check()
        return keep_effect(self.store, self.run, self.node, key, act())


def read_effect(store: ArtifactStore, run: RunId, node: str, key: str) -> str | None:
    """What came of it, if it was done.

    A record that cannot be read is put aside, and the author's `act` is called again: nobody knows any more
    what came of the first time.
    """
    return _read(store, run, _effect(run, node, key), key)


def keep_effect(store: ArtifactStore, run: RunId, node: str, key: str, result: str) -> str:
    """Keep what came of it, and return what is kept: of two that did it at once, the first counts."""
    # On the disk before the stage goes on: nothing else knows what was done outside.
    return _keep(store, run, _effect(run, node, key), key, result, flush=True)


def read_mlflow_id(store: ArtifactStore, run: RunId, key: str) -> str | None:
    """The id of the MLflow run or model that was made for a key."""
    return _read(store, run, _mlflow_id(run, key), key)


def keep_mlflow_id(store: ArtifactStore, run: RunId, key: str, made: str) -> str:
    """Keep it, and return the one that is kept: the first counts, whichever Redis has the run by then.

    It need not be on the disk: after a power cut, MLflow is searched for what bears the run's tags.
    """
    return _keep(store, run, _mlflow_id(run, key), key, made, flush=False)


def _read(store: ArtifactStore, run: RunId, place: str, key: str) -> str | None:
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
            extra={"action": "record altered", "run": run},
        )
        return None


def _keep(store: ArtifactStore, run: RunId, place: str, key: str, result: str, *, flush: bool) -> str:
    text = json.dumps({"key": key, "result": result})
    if store.create(place, text.encode(), flush=flush):
        return result
    return _read(store, run, place, key) or result


def _effect(run: RunId, node: str, key: str) -> str:
    return f"runs/{run}/effects/{node}/{_hashed(key)}.json"


def _mlflow_id(run: RunId, key: str) -> str:
    return f"runs/{run}/mlflow/{_hashed(key)}.json"


def _hashed(key: str) -> str:
    return sha256(key.encode()).hexdigest()[:32]
