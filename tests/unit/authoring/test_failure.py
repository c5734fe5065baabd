"""`on_failure` and `fail_fast`: what a pipeline says of its failures."""

from __future__ import annotations

import sys
from collections import Counter
from typing import Any

import pytest

from orchestrator import Failure, InvalidData, Retry, Stage, context, pipeline, stage
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


@stage
def calls(value: int, log: str = "calls") -> int:
    count[log] += 1
    return value


count: Counter[str] = Counter()


@stage(retry=Retry(on=(OSError,), times=2))
def flaky(failures: int) -> int:
    count["flaky"] += 1
    if context.attempt <= failures:
        raise OSError(f"not at attempt {context.attempt}")
    return context.attempt


@stage(retry=Retry(times=2))
def unfit() -> int:
    count["unfit"] += 1
    raise InvalidData("no retry helps")


@stage(tolerate=0.5)
def picky(value: int) -> int:
    if value % 2:
        raise RuntimeError(f"odd: {value}")
    return value


@stage
def fail_to_tell(failure: Failure) -> None:
    raise RuntimeError("nobody listens")


def test_a_local_run_tries_again_by_the_stages_policy() -> None:
    @pipeline
    def retried(failures: int) -> None:
        flaky(failures)

    count.clear()
    assert retried.run_locally(failures=2) == {"flaky": 3}
    assert count["flaky"] == 3
    with pytest.raises(OSError, match="not at attempt 3"):
        retried.run_locally(failures=3)


def test_a_local_run_does_not_try_again_what_no_retry_mends() -> None:
    @pipeline
    def hopeless() -> None:
        unfit()

    count.clear()
    with pytest.raises(InvalidData):
        hopeless.run_locally()
    assert count["unfit"] == 1


def test_a_local_run_tolerates_failures_by_the_maps_policy() -> None:
    @pipeline
    def tolerant(values: list[int]) -> None:
        calls.map(value=picky.map(value=values))

    assert tolerant.run_locally(values=[1, 2, 3, 4])["calls"] == [2, 4]
    with pytest.raises(RuntimeError, match="odd: 5"):
        tolerant.run_locally(values=[1, 2, 3, 4, 5])


class Unspeakable(BaseException):
    def __str__(self) -> str:
        raise ValueError("no words")


@stage
def leave(how: str) -> None:
    if how == "exit":
        sys.exit(3)
    raise Unspeakable


@pytest.mark.parametrize(("how", "kind"), [("exit", SystemExit), ("unspeakable", Unspeakable)])
def test_whatever_a_stage_of_a_local_run_raises_is_told(how: str, kind: type[BaseException]) -> None:
    @pipeline(on_failure=tell)
    def leaving() -> None:
        leave(how)
        calls(1, how)

    told.clear()
    with pytest.raises(kind):
        leaving.run_locally()
    assert count[how] == 1
    assert told[0].error.startswith(f"leave: {kind.__name__}: ")


def test_a_local_run_finishes_what_does_not_need_the_failed_node_unless_it_fails_fast() -> None:
    def branches() -> None:
        calls(crash(1))
        crash.map(value=[2, 3])
        calls(4, "beside")

    count.clear()
    told.clear()
    with pytest.raises(RuntimeError, match="no good: 1"):
        pipeline(on_failure=[fail_to_tell, tell])(branches).run_locally()
    assert count == {"beside": 1}
    (failure,) = told
    assert [node.name for node in failure.nodes] == ["crash", "crash-2[0]", "crash-2[1]"]

    with pytest.raises(RuntimeError, match="no good: 1"):
        pipeline(fail_fast=True)(branches).run_locally()
    assert count == {"beside": 1}


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
