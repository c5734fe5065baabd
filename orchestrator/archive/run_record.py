"""Final records of finished runs, for display after their expiry in Redis, and marks of unconcluded ones.

A resumed run ends again in each round, and each round has its own record, so that a late writer of an earlier
round overwrites nothing. A record that may not be in MLflow yet has a mark: if Redis is lost before MLflow
answers, the next stack on this store concludes the run.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from orchestrator.archive.integrity import as_written
from orchestrator.archive.run_index import add_to_index
from orchestrator.archive.tombstone import pruned_runs
from orchestrator.run_id import RunId, submission_time
from orchestrator.runs.record import RunRecord, stamp

if TYPE_CHECKING:
    from orchestrator.artifacts import ArtifactStore

#: The folder of the marks, one file per end of a run, so that one listing finds all.
UNCONCLUDED = "unconcluded"


def write_final(
    store: ArtifactStore, record: RunRecord, tracebacks: Mapping[str, str], *, concluded: bool = False
) -> None:
    """Store the record of a finished run, with the tracebacks of failed attempts by `node#number`.

    Unless it is `concluded`, the mark is written first: a record has its mark until MLflow has the run.
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
    # Flushed: once Redis has the run as concluded, the record is not written again.
    key = _key(record.id, record.round)
    store.write(key, json.dumps(text, separators=(",", ":")).encode(), flush=True)
    if concluded:
        remove_marks(store, record.id, record.round)
    else:
        add_to_index(store, record)  # once for each end: what MLflow calls the run is no part of its line


def read_final(store: ArtifactStore, run: RunId) -> tuple[RunRecord, Mapping[str, str]] | None:
    """Read the record of a run's latest end, and its tracebacks; None if there is none."""
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
    """Return the runs with an end that is recorded in the store but perhaps not in MLflow."""
    return frozenset(run for run, _ in _marks(store))


def remove_marks(store: ArtifactStore, run: RunId, upto: int) -> None:
    """Remove the marks of a concluded run up to and including round `upto`."""
    for marked, round in _marks(store):
        if marked == run and round <= upto:
            store.remove(_mark(run, round))


def stored_runs(store: ArtifactStore) -> list[RunId]:
    """Return all runs with a specification in the store, newest first."""
    names = set(store.folders("runs", holding="specification.json")) - pruned_runs(store)
    return sorted(map(RunId, names), key=lambda run: (submission_time(run), run), reverse=True)


def recorded_round(name: str) -> int | None:
    """Return 0 for `record.json` in a run's folder, 2 for `records/2.json`; None for other files."""
    if name == "record.json":
        return 0
    folder, _, file = name.rpartition("/")
    number = file.removesuffix(".json")
    return int(number) if folder == "records" and number.isdecimal() else None


def _key(run: RunId, round: int) -> str:
    return f"runs/{run}/records/{round}.json" if round else f"runs/{run}/record.json"


def _mark(run: RunId, round: int) -> str:
    return f"{UNCONCLUDED}/{run}@{round}"


def _marks(store: ArtifactStore) -> Iterator[tuple[RunId, int]]:
    for key in store.keys(UNCONCLUDED):
        run, _, round = key.removeprefix(f"{UNCONCLUDED}/").rpartition("@")
        if run and round.isdecimal():
            yield RunId(run), int(round)
