"""`on_failure` and `fail_fast`: what a pipeline says of its failures."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator import Failure, Stage, pipeline, stage
from orchestrator.authoring.errors import InvalidPipeline
from orchestrator.authoring.graph import FailureOfRun, Graph
from orchestrator.compiler.arrange import arrange
from orchestrator.compiler.draw import mermaid, tree

told: list[Failure] = []


@stage
def crash(value: int) -> int:
    raise RuntimeError(f"no good: {value}")


@stage(queue="deployment")
def tell(failure: Failure, channel: str = "ml") -> None:
    del channel
    told.append(failure)


@pipeline(on_failure=tell, fail_fast=True)
def fragile(value: int = 1) -> None:
    crash(crash(value))


def test_handlers_are_no_nodes_but_belong_to_the_graph() -> None:
    graph = fragile.graph()
    assert [node.name for node in graph] == ["crash", "crash-2"]
    assert [node.name for node in graph.handlers] == ["tell"]
    assert graph["tell"].inputs == {"failure": FailureOfRun()}
    assert graph.queues == {"data", "deployment"}
    assert graph.fail_fast
    assert not graph.without(frozenset({graph["crash"].name})).descendants(graph["tell"].name)


def test_a_graph_with_handlers_survives_its_json() -> None:
    graph = fragile.graph()
    assert Graph.from_json(graph.to_json()) == graph


def test_handlers_are_drawn() -> None:
    graph = fragile.graph()
    assert tree(arrange(graph)).splitlines()[-1] == "on failure: tell  (deployment)"
    assert '(["on failure: tell"]):::deployment' in mermaid(graph)


def test_a_local_run_tells_its_handlers_and_raises_the_error() -> None:
    told.clear()
    with pytest.raises(RuntimeError, match="no good: 5"):
        fragile.run_locally(value=5)
    (failure,) = told
    assert failure.pipeline == "fragile"
    assert failure.error == "crash: RuntimeError: no good: 5"
    assert [(node.name, node.attempts) for node in failure.nodes] == [("crash", 1)]
    assert "def crash" not in failure.nodes[0].traceback
    assert "RuntimeError: no good: 5" in failure.nodes[0].traceback


@pytest.mark.parametrize("parameters", ["two", "none", "other"])
def test_a_handler_takes_one_argument_the_failure(parameters: str) -> None:
    @stage
    def two(failure: Failure, other: int) -> None: ...

    @stage
    def none() -> None: ...

    @stage
    def other(number: int) -> None: ...

    handlers: dict[str, Stage[..., Any]] = {"two": two, "none": none, "other": other}

    @pipeline(on_failure=[handlers[parameters]])
    def wrong() -> None:
        crash(1)

    with pytest.raises(InvalidPipeline, match=r"on_failure=\w+: it has to take one argument, the Failure"):
        wrong.graph()
