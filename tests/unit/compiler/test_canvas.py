"""A plan becomes stock Celery signatures whose size does not grow with the graph."""

from __future__ import annotations

import json

from celery import Celery
from celery.canvas import Signature

from orchestrator import pipeline, stage
from orchestrator.authoring.graph import Graph, NodeName
from orchestrator.compiler.arrange import arrange
from orchestrator.compiler.canvas import SPAN, Canvas, SteadyChord
from orchestrator.compiler.draw import as_json, mermaid, tree
from orchestrator.messaging.priorities import headers_of
from orchestrator.run_id import RunId

app = Celery("test", set_as_current=False)


@stage
def number(of: int = 0) -> int:
    return of


@stage
def numbers(count: int) -> list[int]:
    return list(range(count))


@stage(queue="training", time_limit=30, priority=3)
def add(values: list[int]) -> int:
    return sum(values)


@pipeline
def diamond() -> None:
    start = number(1)
    add([number(start), number(start)])


@pipeline
def side_by_side() -> None:
    add([number(1), number(2)])


@pipeline
def long(count: int) -> None:
    value = number(0)
    for _ in range(count - 1):
        value = number(value)


@pipeline
def mapped() -> None:
    number(add(number.map(of=[1, 2, 3])))


@pipeline
def tolerant() -> None:
    add(number.options(tolerate=0.5).map(of=[1, 2, 3]))


@pipeline
def empty() -> None:
    add(number.map(of=[]))


@pipeline
def unknown_length() -> None:
    number(add(number.map(of=numbers(3))))


@pipeline
def following() -> None:
    add(number.map(of=number.map(of=[1, 2, 3])))


def canvas(graph: Graph, round: int = 0) -> Canvas:
    return Canvas(app, arrange(graph), RunId("some-run"), round)


def nodes_in(signature: Signature | None) -> list[str]:
    """The nodes that a message names, in no order."""
    text = json.dumps(signature)
    found: list[str] = []
    at = 0
    while (at := text.find('"node": "', at)) >= 0:
        at += len('"node": "')
        found.append(text[at : text.index('"', at)])
    return found


def test_a_message_names_a_run_and_a_node_and_no_data() -> None:
    signature = canvas(diamond.graph()).start()
    first = signature.tasks[0]
    assert first.task == f"{__name__}.number"
    assert first.kwargs == {"run": "some-run", "node": "number"}
    assert first.immutable


def test_policies_become_options_of_the_message() -> None:
    signature = canvas(diamond.graph()).start()
    body = signature.tasks[1].body if hasattr(signature.tasks[1], "body") else signature.tasks[-1]
    assert body.options["queue"] == "training"
    assert body.options["headers"] == headers_of(3)
    assert body.options["soft_time_limit"] == 30
    assert body.options["time_limit"] > 30


def test_a_fan_in_is_the_body_of_a_chord() -> None:
    signature = canvas(diamond.graph()).start()
    assert json.dumps(signature).count('"subtask_type": "steady_chord"') == 1


def test_the_same_message_has_the_same_id_each_time() -> None:
    first, second = canvas(long.graph(3)).start(), canvas(long.graph(3)).start()
    assert [task.options["task_id"] for task in first.tasks] == [
        task.options["task_id"] for task in second.tasks
    ]
    other_round = canvas(long.graph(3), round=1).start()
    assert first.tasks[0].options["task_id"] != other_round.tasks[0].options["task_id"]


def test_a_chord_that_is_sent_twice_counts_as_one() -> None:
    def ids() -> tuple[str, str, list[str]]:
        signature = canvas(side_by_side.graph()).start()
        signature.freeze()
        return signature.tasks.id, signature.body.id, [task.id for task in signature.tasks.tasks]

    assert ids() == ids()


@pipeline
def within() -> None:
    """A chord that is a part of another one."""
    inner = add([number(of=1), number(of=2)])
    add([inner, number(of=3)])


def test_a_chord_within_a_chord_is_counted_under_the_same_id_too() -> None:
    def ids() -> list[str]:
        signature = Signature.from_dict(json.loads(json.dumps(canvas(within.graph()).start())), app=app)
        signature.freeze()
        found = [part for part in signature.tasks.tasks if isinstance(part, SteadyChord)]
        assert found
        return [signature.tasks.id, *(part.tasks.id for part in found)]

    assert ids() == ids()


def test_a_long_chain_is_cut_and_goes_on_from_the_last_node() -> None:
    whole = canvas(long.graph(100))
    start = whole.start()
    assert len(nodes_in(start)) == SPAN
    onward = whole.onward(NodeName(start.tasks[-1].kwargs["node"]))
    assert onward is not None
    assert onward.tasks[0].kwargs["node"] == f"number-{SPAN + 1}"


def test_a_messages_size_does_not_grow_with_the_graph() -> None:
    sizes = [len(json.dumps(canvas(long.graph(count)).start())) for count in (50, 1000)]
    assert sizes[1] < sizes[0] * 1.1


def test_a_short_map_is_written_out_as_a_chord() -> None:
    assert sorted(nodes_in(canvas(mapped.graph()).start())) == ["add", "number[0]", "number[1]", "number[2]"]


def test_a_map_that_tolerates_failures_expands_on_a_worker_since_no_chord_would_count_them() -> None:
    assert nodes_in(canvas(tolerant.graph()).start()) == ["number"]


def test_an_empty_map_is_passed_on_by_a_worker_and_shown() -> None:
    graph = empty.graph()
    assert nodes_in(canvas(graph).start()) == ["number"]
    assert "number  (data; map without items)" in tree(arrange(graph))
    assert "number ×0" in mermaid(graph)


def test_a_map_of_unknown_length_expands_on_a_worker() -> None:
    whole = canvas(unknown_length.graph())
    assert nodes_in(whole.start()) == ["numbers", "number"]
    assert nodes_in(whole.onward(NodeName("number"))) == ["add", "number-2"]
    batches = [whole.batch(NodeName("number"), number) for number in (0, 1)]
    assert [batch.kwargs["batch"] for batch in batches] == [0, 1]
    assert len({batch.options["task_id"] for batch in batches}) == 2
    assert all(batch.options["headers"] == headers_of(None, batch=True) for batch in batches)


def test_maps_that_go_on_item_by_item_expand_on_a_worker_and_are_shown_as_that() -> None:
    graph = following.graph()
    assert nodes_in(canvas(graph).start()) == ["number"]
    assert "; item by item behind number)" in tree(arrange(graph))
    assert '"node": "number-2"' in json.dumps(as_json(arrange(graph)))
    assert '"follows": ["number"]' in json.dumps(as_json(arrange(graph)))


def test_the_graph_and_its_canvas_are_shown_as_json() -> None:
    shown = as_json(arrange(diamond.graph()))
    assert json.loads(json.dumps(shown)) == shown
    assert "chord" in json.dumps(shown["canvas"])


def test_the_graph_is_shown_as_mermaid() -> None:
    text = mermaid(mapped.graph())
    assert text.startswith("flowchart TD")
    assert "number ×3" in text
