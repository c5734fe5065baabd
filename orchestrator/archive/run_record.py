"""An ended run's record, so that it can be shown long after Redis forgot it, and whether it is concluded.

A run that is carried on ends once more in each round, and each round has a record of its own: whoever comes
late with that of an earlier one replaces nothing. A record that MLflow may not know yet has a mark: Redis may
be gone before MLflow answers, and whoever works on this store next concludes the run.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from orchestrator.archive.integrity import as_written
from orchestrator.run_id import RunId
from orchestrator.runs.record import RunRecord, stamp

if TYPE_CHECKING:
    from orchestrator.artifacts import ArtifactStore

#: The folder of the marks, one file for each end: all of them are found by one listing.
UNCONCLUDED = "unconcluded"


def write_final(
    store: ArtifactStore, record: RunRecord, tracebacks: Mapping[str, str], *, concluded: bool = False
) -> None:
    """Keep the record of an ended run, with the tracebacks of failed attempts by `node#number`.

    Unless it is `concluded`, that is marked first: no record is without its mark until MLflow has the run.
    """
    if not concluded:
        store.create(_mark(record.id, record.round), b"", flush=True)
    text = {
        **record.to_json(),
        "round": record.round,
        "submitted": stamp(record.submitted),
        "why": {node.name: node.why for node in record.nodes if node.why},
        "tracebacks": dict(tracebacks),
    }
    # On the disk: once Redis has it that the run was written down, nobody does it again.
    key = _key(record.id, record.round)
    store.write(key, json.dumps(text, separators=(",", ":")).encode(), flush=True)
    if concluded:
        remove_marks(store, record.id, record.round)


def read_final(store: ArtifactStore, run: RunId) -> tuple[RunRecord, Mapping[str, str]] | None:
    """The record of a run as it ended last, and its tracebacks, if it was kept."""
    names = (key.rpartition("/")[2].removesuffix(".json") for key in store.keys(f"runs/{run}/records"))
    key = _key(run, max((int(name) for name in names if name.isdecimal()), default=0))
    data = store.read(key)
    if data is None:
        return None
    with as_written(store, key, hint="What is done of the run can still be told from its manifests."):
        plain = json.loads(data)
        record, why = RunRecord.from_json(plain), plain.get("why", {})
        nodes = tuple(replace(node, why=why.get(node.name, "")) for node in record.nodes)
        return replace(record, nodes=nodes), plain["tracebacks"]


def unconcluded_runs(store: ArtifactStore) -> frozenset[RunId]:
    """The runs of which an end is written down here, and perhaps not in MLflow."""
    return frozenset(run for run, _ in _marks(store))


def remove_marks(store: ArtifactStore, run: RunId, upto: int) -> None:
    """The end of this round is concluded, and with it those of earlier ones."""
    for marked, round in _marks(store):
        if marked == run and round <= upto:
            store.remove(_mark(run, round))


def ended_runs(store: ArtifactStore) -> list[RunId]:
    """The runs that the store knows, newest first."""
    names = {key.split("/")[1] for key in store.keys("runs") if key.endswith("/specification.json")}
    return sorted((RunId(name) for name in names), key=lambda run: run.split("-")[-3:], reverse=True)


def _key(run: RunId, round: int) -> str:
    return f"runs/{run}/records/{round}.json" if round else f"runs/{run}/record.json"


def _mark(run: RunId, round: int) -> str:
    return f"{UNCONCLUDED}/{run}@{round}"


def _marks(store: ArtifactStore) -> Iterator[tuple[RunId, int]]:
    for key in store.keys(UNCONCLUDED):
        run, _, round = key.removeprefix(f"{UNCONCLUDED}/").rpartition("@")
        if run and round.isdecimal():
            yield RunId(run), int(round)
