"""What a run is made of, kept in the artifact store: enough to carry it on without Redis."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, cast

from orchestrator.archive.integrity import ANEW, as_written
from orchestrator.authoring.graph import JSON, Graph
from orchestrator.run_id import RunId
from orchestrator.runs.errors import UnknownRun
from orchestrator.runs.record import moment, stamp

if TYPE_CHECKING:
    from orchestrator.artifacts import ArtifactStore


@dataclass(frozen=True, kw_only=True)
class Specification:
    """A run as it was submitted."""

    run: RunId
    graph: Graph
    parameters: Mapping[str, JSON]
    submitted: datetime
    code: Mapping[str, str] = field(default_factory=dict)  #: all that its stages reach, as it was when sent
    files: Mapping[str, str] = field(default_factory=dict)  #: digests of those that parameters name
    sent_from: str = ""  #: the machine with that code, and those files
    commit: str = ""  #: that the pipeline's repository was at, if git knew
    dirty: bool = False  #: whether that had changes that were not committed
    cache: bool = True  #: whether results of earlier runs may be taken

    def write(self, store: ArtifactStore) -> bool:
        """Keep it; False if there is a run of this id."""
        return store.create(_key(self.run), self._text(), flush=True)

    def withdraw(self, store: ArtifactStore) -> None:
        """Remove it: the run was not accepted, and whatever has heard of it cannot run it."""
        store.remove(_key(self.run))

    def rewrite(self, store: ArtifactStore) -> None:
        """Keep it in the place of what was kept: the same run, carried on with other code."""
        store.write(_key(self.run), self._text(), flush=True)

    def _text(self) -> bytes:
        text = {
            "run": self.run,
            "submitted": stamp(self.submitted),
            "parameters": dict(self.parameters),
            "definitions": dict(self.code),
            "files": dict(self.files),
            "sent_from": self.sent_from,
            "commit": self.commit,
            "dirty": self.dirty,
            "cache": self.cache,
            "graph": self.graph.to_json(),
        }
        return json.dumps(text, separators=(",", ":")).encode()

    @classmethod
    def read(cls, store: ArtifactStore, run: RunId) -> Specification:
        """The run's specification; raises UnknownRun."""
        data = store.read(_key(run))
        if data is None:
            raise UnknownRun(f"there is no run '{run}'. `orchestrator runs` lists the latest.")
        with as_written(store, _key(run), hint=ANEW):
            plain = json.loads(data)
            return cls(
                run=RunId(plain["run"]),
                graph=Graph.from_json(plain["graph"]),
                parameters=plain["parameters"],
                submitted=cast("datetime", moment(plain["submitted"])),
                code=plain.get("definitions", {}),
                files=plain.get("files", {}),
                sent_from=plain.get("sent_from", ""),
                commit=plain.get("commit", ""),
                dirty=plain.get("dirty", False),
                cache=plain["cache"],
            )


def _key(run: RunId) -> str:
    return f"runs/{run}/specification.json"
