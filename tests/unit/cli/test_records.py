"""What can be told of a run from the artifact store alone."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from orchestrator.archive.manifest import Manifest, write_items
from orchestrator.archive.specification import Specification
from orchestrator.artifacts import ArtifactStore, encode
from orchestrator.authoring.graph import Constant, Graph, Node, NodeName, StageName
from orchestrator.authoring.policies import Policy
from orchestrator.client.run_lookup import Records
from orchestrator.run_id import RunId
from orchestrator.runs.values import FencingNumber

RUN = RunId("pairs-20260101-000000-0000")


def node(name: str, **varying: Constant) -> Node:
    policy = Policy(queue="data")
    return Node(name=NodeName(name), stage=StageName(name), policy=policy, inputs={}, varying=varying)


def test_items_that_were_committed_together_are_shown_without_redis(tmp_path: Path) -> None:
    store = ArtifactStore(str(tmp_path))
    graph = Graph("pairs", (node("load"), node("fit", value=Constant([1, 2, 3]))))
    now = datetime(2026, 1, 1, tzinfo=UTC)
    Specification(run=RUN, graph=graph, parameters={}, submitted=now).write(store)
    Manifest(node="load", attempt=1, output=encode(1, int, store)).write(store, RUN)
    outputs = {index: encode(10 * index, int, store) for index in (0, 2)}
    write_items(store, RUN, "fit", FencingNumber(round=0, attempt=1), "token", outputs)
    shown = {node.name: node.value for node in Records(store, readers=()).get(RUN).record.nodes}
    assert shown == {"load": 1, "fit[0]": 0, "fit[2]": 20}
