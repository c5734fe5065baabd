"""Runs pipelines from this process, on workers that are there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.artifacts import ArtifactStore
from orchestrator.authoring.pipeline import Pipeline
from orchestrator.lifecycle.discovery import load_catalogue
from orchestrator.lifecycle.submission import Prepared, prepare, submit
from orchestrator.run_id import RunId
from orchestrator.runs.reader import RunReader
from orchestrator.runs.record import NodeRecord, RunRecord
from orchestrator.runs.store import RunStore
from orchestrator.settings import settings

from .waiting import wait_until


@dataclass(frozen=True)
class Runner:
    """Submits pipelines of some modules, which this process can import."""

    modules: Sequence[str]
    store: ArtifactStore
    runs: RunStore
    reader: RunReader

    def pipeline(self, name: str) -> Pipeline[..., Any]:
        return load_catalogue(self.modules).find(name)

    def prepare(self, name: str, **parameters: object) -> Prepared:
        return prepare(self.pipeline(name), parameters, queues=settings().queues)

    def submit(self, name: str, **parameters: object) -> RunId:
        return submit(self.prepare(name, **parameters), store=self.store, runs=self.runs)

    def run(self, name: str, **parameters: object) -> RunRecord:
        """Run a pipeline to its end, and until all about it is written down."""
        prepared = self.prepare(name, **parameters)
        run = submit(prepared, store=self.store, runs=self.runs)
        wait_until(lambda: self.reader.concluded(run), f"{name} is concluded", 40)
        return self.reader.read(run, prepared.graph)


def nodes_of(record: RunRecord) -> dict[str, NodeRecord]:
    return {node.name: node for node in record.nodes}


def states_of(record: RunRecord) -> dict[str, str]:
    return {node.name: node.state.value for node in record.nodes}
