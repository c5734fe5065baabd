"""Runs as they are in a store, made without running anything."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from orchestrator.archive.cached_results import result_key
from orchestrator.archive.logs import Line, write_log
from orchestrator.archive.manifest import Manifest, write_items
from orchestrator.archive.outbox import Outbox
from orchestrator.archive.rounds import Round
from orchestrator.archive.run_record import write_final
from orchestrator.archive.specification import Specification
from orchestrator.artifacts import ArtifactStore, Digest
from orchestrator.artifacts.tree import Tree
from orchestrator.authoring.graph import JSON, Constant, Graph, Node, NodeName, StageName
from orchestrator.authoring.policies import Policy
from orchestrator.run_id import RunId
from orchestrator.runs.record import RunRecord
from orchestrator.runs.states import RunState
from orchestrator.runs.values import FencingNumber

WHEN = datetime(2026, 1, 1, tzinfo=UTC)
NODE = Node(
    name=NodeName("fit"),
    stage=StageName("stages.fit"),
    policy=Policy(queue="data"),
    inputs={"x": Constant(1)},
)


def run_id(number: int, pipeline: str = "churn") -> RunId:
    """The id of a run that was submitted so many seconds after midnight."""
    minutes, seconds = divmod(number, 60)
    return RunId(f"{pipeline}-20260101-{minutes // 60:02}{minutes % 60:02}{seconds:02}-{number:04x}")


def tree(digest: Digest) -> Tree:
    return {"codec": "bytes", "digest": digest}


def begin(store: ArtifactStore, run: RunId, **outputs: str) -> RunId:
    """A run that has been submitted, with these texts as outputs of its nodes."""
    graph = Graph(run.rpartition("-2026")[0], (NODE,))
    Specification(run=run, graph=graph, parameters={}, submitted=WHEN).write(store)
    for node, text in outputs.items():
        Manifest(node=node, attempt=1, output=tree(store.put(text.encode()))).write(store, run)
    return run


def end(store: ArtifactStore, run: RunId, *, round: int = 0, concluded: bool = True) -> None:
    """Write down that the run has succeeded."""
    record = RunRecord(
        id=run, pipeline="churn", state=RunState.SUCCEEDED, submitted=WHEN, ended=WHEN, round=round
    )
    write_final(store, record, {}, concluded=concluded)


def complete(store: ArtifactStore, run: RunId, **outputs: str) -> RunId:
    """A run that is over, with all kinds of files."""
    begin(store, run, **outputs)
    item = tree(store.put(f"an item of {run}".encode()))
    write_items(store, run, "score", FencingNumber(round=0, attempt=1), "token", {0: item})
    write_log(store, run, "fit", 1, [Line(WHEN, "stdout", "a line")])
    end(store, run)
    return run


def log_model(store: ArtifactStore, run: RunId, text: str) -> Outbox:
    """A model that MLflow does not have yet."""
    model: dict[str, JSON] = {
        "kind": "model",
        "name": "model",
        "number": 0,
        "digest": store.put(text.encode()),
    }
    outbox = Outbox(run=run, node="fit", attempt=1, subject={}, entries=[model])
    outbox.write(store)
    return outbox


def keep_result(store: ArtifactStore, run: RunId, text: str, **used: str) -> str:
    """A cached result of the run; returns its key."""
    key = result_key("f" * 32 + text.replace(" ", "-"))
    entry = {"run": run, "node": "fit", "output": tree(store.put(text.encode())), **used}
    store.write(key, json.dumps(entry).encode())
    return key


def resume(store: ArtifactStore, run: RunId, number: int = 1) -> None:
    """What a resumption does first."""
    assert Round(number).write(store, run)


def texts(store: ArtifactStore) -> set[str]:
    """What is in the blobs of a store."""
    return {store.get(blob.digest).decode() for blob in store.blobs()}


def files_of(store: ArtifactStore, run: RunId) -> Iterator[str]:
    return store.keys(f"runs/{run}")


def sizes(store: ArtifactStore) -> Mapping[str, int]:
    """How large everything is, by key or digest."""
    plain = {each.key: each.size for each in store.objects()}
    return {**plain, **{blob.digest: blob.size for blob in store.blobs()}}
