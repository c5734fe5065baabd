"""Records of external effects and their results, so that later attempts do not repeat them.

Nodes record effects under keys chosen by their author; tracking records the ids of MLflow runs under its own.
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
from orchestrator.authoring.masking import mask_text
from orchestrator.run_id import RunId

if TYPE_CHECKING:
    from orchestrator.artifacts import ArtifactStore

log = logging.getLogger("orchestrator.archive")


@dataclass(frozen=True)
class Effects:
    """The external effects of all attempts of one node."""

    store: ArtifactStore
    run: RunId
    node: str
    check: Callable[[], None]  #: raises if another worker has taken the node over

    def once(self, key: str, act: Callable[[], str]) -> str:
        """Return an earlier attempt's result for this key; otherwise call `act` and store its result."""
        found = read_effect(self.store, self.run, self.node, key)
        if found is not None:
            return found
        self.check()
        return keep_effect(self.store, self.run, self.node, key, act())


def read_effect(store: ArtifactStore, run: RunId, node: str, key: str) -> str | None:
    """Return the stored result of an effect; None if there is none.

    An unreadable record is moved aside, and `act` is called again, since the first result is lost.
    """
    return _read(store, run, _effect(run, node, key), key)


def keep_effect(store: ArtifactStore, run: RunId, node: str, key: str, result: str) -> str:
    """Store the result of an effect and return the stored one: of two concurrent writers, the first wins."""
    # Flushed before the stage continues: there is no other record of the effect.
    return _keep(store, run, _effect(run, node, key), key, result, flush=True)


def read_mlflow_id(store: ArtifactStore, run: RunId, key: str) -> str | None:
    """Return the id of the MLflow run or model created for a key; None if there is none."""
    return _read(store, run, _mlflow_id(run, key), key)


def keep_mlflow_id(store: ArtifactStore, run: RunId, key: str, made: str) -> str:
    """Store the id and return the stored one: the first writer wins, even if Redis has lost the run.

    It is not flushed: after a power cut, MLflow is searched by the run's tags.
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
            mask_text(key),
            extra={"action": "record altered", "run": run},
        )
        return None


def _keep(store: ArtifactStore, run: RunId, place: str, key: str, result: str, *, flush: bool) -> str:
    text = json.dumps({"key": mask_text(key), "result": result})
    if store.create(place, text.encode(), flush=flush):
        return result
    return _read(store, run, place, key) or result


def _effect(run: RunId, node: str, key: str) -> str:
    return f"runs/{run}/effects/{node}/{_hashed(key)}.json"


def _mlflow_id(run: RunId, key: str) -> str:
    return f"runs/{run}/mlflow/{_hashed(key)}.json"


def _hashed(key: str) -> str:
    return sha256(key.encode()).hexdigest()[:32]
