"""What a worker process remembers of runs."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from orchestrator.archive.manifest import write_items
from orchestrator.archive.specification import Specification
from orchestrator.artifacts.tree import Tree
from orchestrator.authoring.graph import Constant, Graph, Node, NodeName, StageName
from orchestrator.authoring.policies import Policy
from orchestrator.messaging.app import app
from orchestrator.run_id import RunId
from orchestrator.runs.connection import connect
from orchestrator.runs.store import RunStore
from orchestrator.runs.values import FencingNumber
from orchestrator.settings import Settings
from workers.runtime.resources import OUTPUTS, WorkerResources
from workers.runtime.run_context import RunContext

RUN = RunId("run-20260101-000000-0000")


def test_a_map_of_more_items_than_are_remembered_can_be_read(tmp_path: Path) -> None:
    nowhere = RunStore(connect("redis://127.0.0.1:1"))
    resources = WorkerResources(Settings(store=str(tmp_path)), nowhere)
    fit = Node(
        name=NodeName("fit"),
        stage=StageName("stage"),
        policy=Policy(queue="data"),
        inputs={},
        varying={"value": Constant([0] * (OUTPUTS + 1))},
    )
    specification = Specification(
        run=RUN, graph=Graph("p", (fit,)), parameters={}, submitted=datetime(2026, 1, 1, tzinfo=UTC)
    )
    context = RunContext(specification, app)
    outputs: dict[int, Tree] = {index: {"codec": "json", "value": index} for index in range(OUTPUTS + 1)}
    write_items(resources.store, RUN, "fit", FencingNumber(0, 1), "token", outputs)
    assert resources.output(context, context.node_ref(f"fit[{OUTPUTS}]")) == outputs[OUTPUTS]
