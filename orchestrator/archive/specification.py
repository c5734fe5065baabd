"""The specification of a run in the artifact store: enough to resume it without Redis."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, cast

from orchestrator.archive.integrity import ANEW, as_written
from orchestrator.archive.tombstone import check_not_pruned, is_pruned
from orchestrator.authoring.graph import JSON, Graph
from orchestrator.run_id import RunId
from orchestrator.runs.errors import UnknownRun
from orchestrator.runs.record import Labels, moment, stamp

if TYPE_CHECKING:
    from orchestrator.artifacts import ArtifactStore
    from orchestrator.runs.reader import RunReader
    from orchestrator.runs.record import RunRecord


@dataclass(frozen=True, kw_only=True)
class Specification:
    """A run as it was submitted."""

    run: RunId
    graph: Graph
    parameters: Mapping[str, JSON]
    submitted: datetime
    code: Mapping[str, str] = field(default_factory=dict)  #: digests of the code its stages reach
    files: Mapping[str, str] = field(default_factory=dict)  #: digests of the files that parameters name
    sent_from: str = ""  #: host name of the machine with that code and those files
    commit: str = ""  #: git commit of the pipeline's repository, if known
    dirty: bool = False  #: whether the repository had uncommitted changes
    cache: bool = True  #: whether cached results may be reused
    labels: Labels = field(default_factory=Labels)

    def write(self, store: ArtifactStore) -> bool:
        """Store it; False if the id exists already, or did until its run was pruned."""
        return not is_pruned(store, self.run) and store.create(_key(self.run), self._text(), flush=True)

    def withdraw(self, store: ArtifactStore) -> None:
        """Remove it, since the run was refused: without it, no worker can run the run."""
        store.remove(_key(self.run))

    def rewrite(self, store: ArtifactStore) -> None:
        """Replace the stored specification, for a run that is resumed with other code."""
        store.write(_key(self.run), self._text(), flush=True)

    def record(self, reader: RunReader) -> RunRecord:
        """Read the run as it stands in Redis, with what a person has called it; raises as the reader does."""
        return replace(reader.read(self.run, self.graph), labels=self.labels)

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
            **({} if self.labels == Labels() else self.labels.to_json()),
            "graph": self.graph.to_json(),
        }
        return json.dumps(text, separators=(",", ":")).encode()

    @classmethod
    def read(cls, store: ArtifactStore, run: RunId) -> Specification:
        """Read a run's specification; raises UnknownRun."""
        check_not_pruned(store, run)
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
                labels=Labels.from_json(plain),
            )


def pipeline_of(store: ArtifactStore, run: RunId) -> str:
    """Return the name of a run's pipeline; empty if its specification is lost or altered."""
    data = store.read(_key(run))
    try:
        return str(json.loads(data or b"{}")["graph"]["pipeline"])
    except (ValueError, LookupError, TypeError):
        return ""


def is_specification(name: str) -> bool:
    """Whether this file of a run's folder is its specification."""
    return name == "specification.json"


def _key(run: RunId) -> str:
    return f"runs/{run}/specification.json"
