"""What is left of a pruned run: that it was there, and when and why it was removed.

A run is pruned from the moment its tombstone is there, whatever else of it may still be. Before that stands
the intent, while it is checked once more that the run does not go on: who resumes it looks for one.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from orchestrator.archive.integrity import as_written
from orchestrator.artifacts.errors import AlteredArtifact
from orchestrator.run_id import RunId
from orchestrator.runs.errors import UnknownRun
from orchestrator.runs.record import moment, stamp

if TYPE_CHECKING:
    from orchestrator.artifacts import ArtifactStore

#: The folder of tombstones and intents.
PRUNED = "pruned"
_TOMBSTONE, _INTENT = ".json", ".intent"


@dataclass(frozen=True, kw_only=True)
class Tombstone:
    """That a run was pruned."""

    run: RunId
    pipeline: str
    pruned: datetime
    why: str  #: such as "older than 90d"

    def intend(self, store: ArtifactStore) -> None:
        """Say that the run is about to be pruned."""
        store.write(_key(self.run, _INTENT), self._text(), flush=True)

    def write(self, store: ArtifactStore) -> None:
        """Store it: from now on the run is pruned."""
        store.create(_key(self.run, _TOMBSTONE), self._text(), flush=True)

    def _text(self) -> bytes:
        return json.dumps({"pipeline": self.pipeline, "pruned": stamp(self.pruned), "why": self.why}).encode()


def withdraw_intent(store: ArtifactStore, run: RunId) -> None:
    """Remove the intent, since the run goes on, or is pruned."""
    store.remove(_key(run, _INTENT))


def is_being_pruned(store: ArtifactStore, run: RunId) -> bool:
    """Whether somebody is about to prune the run, or was killed when about to."""
    return store.read(_key(run, _INTENT)) is not None


def is_pruned(store: ArtifactStore, run: RunId) -> bool:
    """Whether the run was pruned."""
    return store.read(_key(run, _TOMBSTONE)) is not None


def check_not_pruned(store: ArtifactStore, run: RunId) -> None:
    """Raise UnknownRun, which says when and why, if the run was pruned."""
    key = _key(run, _TOMBSTONE)
    data = store.read(key)
    if data is None:
        return
    told = ""
    try:
        with as_written(store, key, hint=""):
            plain = json.loads(data)
            told = f" on {moment(plain['pruned']):%Y-%m-%d %H:%M} UTC ({plain['why']})"
    except AlteredArtifact:
        pass  # that it is there says enough
    raise UnknownRun(f"run '{run}' was pruned{told}", hint="what MLflow has of it is still there")


def pruned_runs(store: ArtifactStore) -> set[RunId]:
    """Return the runs with a tombstone."""
    return _runs(store, _TOMBSTONE)


def runs_being_pruned(store: ArtifactStore) -> set[RunId]:
    """Return the runs with an intent."""
    return _runs(store, _INTENT)


def _runs(store: ArtifactStore, kind: str) -> set[RunId]:
    names = (key.removeprefix(f"{PRUNED}/") for key in store.keys(PRUNED))
    return {RunId(name.removesuffix(kind)) for name in names if name.endswith(kind)}


def _key(run: RunId, kind: str) -> str:
    return f"{PRUNED}/{run}{kind}"
