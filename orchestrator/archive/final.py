"""An ended run's record, so that it can be shown long after Redis forgot it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from orchestrator.archive.reading import as_written
from orchestrator.runs.keys import RunId
from orchestrator.runs.record import RunRecord, stamp

if TYPE_CHECKING:
    from orchestrator.artifacts import ArtifactStore


def write_final(store: ArtifactStore, record: RunRecord, tracebacks: Mapping[str, str]) -> None:
    """Keep the record of an ended run, with the tracebacks of failed attempts by `node#number`."""
    text = {
        **record.to_json(),
        "submitted": stamp(record.submitted),
        "why": {node.name: node.why for node in record.nodes if node.why},
        "tracebacks": dict(tracebacks),
    }
    # On the disk: once Redis has it that the run was written down, nobody does it again.
    store.write(_key(record.id), json.dumps(text, separators=(",", ":")).encode(), flush=True)


def read_final(store: ArtifactStore, run: RunId) -> tuple[RunRecord, Mapping[str, str]] | None:
    """The record of an ended run and its tracebacks, if it was kept."""
    data = store.read(_key(run))
    if data is None:
        return None
    with as_written(store, _key(run), hint="What is done of the run can still be told from its manifests."):
        plain = json.loads(data)
        record, why = RunRecord.from_json(plain), plain.get("why", {})
        nodes = tuple(replace(node, why=why.get(node.name, "")) for node in record.nodes)
        return replace(record, nodes=nodes), plain["tracebacks"]


def ended_runs(store: ArtifactStore) -> list[RunId]:
    """The runs that the store knows, newest first."""
    names = {key.split("/")[1] for key in store.keys("runs") if key.endswith("/specification.json")}
    return sorted((RunId(name) for name in names), key=lambda run: run.split("-")[-3:], reverse=True)


def _key(run: RunId) -> str:
    return f"runs/{run}/record.json"
