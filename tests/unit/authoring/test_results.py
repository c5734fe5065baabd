"""What a pipeline returns becomes a part of its graph."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import NamedTuple

import pytest

from orchestrator import pipeline, stage
from orchestrator.authoring.graph import Constant, Fields, Gather, Graph, NodeName, Not, Output


class Pair(NamedTuple):
    left: int
    right: bool


@dataclass(frozen=True)
class Named:
    one: int
    two: str


@stage
def one() -> int:
    return 1


@stage
def pair() -> Pair:
    return Pair(1, True)


@stage
def item(x: int) -> int:
    return x


ONE = Output(NodeName("one"))


def returned(function):
    function.__name__ = f"returns_{function.__name__}_{id(function)}"
    return pipeline(function).graph().result


def one_reference():
    return one()


def a_field():
    return pair().left


def a_negation():
    return ~pair().right


def a_list():
    return [one(), 3]


def a_mapping():
    return {"value": one(), "rows": [one(), one()], "note": "so"}


def a_record():
    return Named(one(), "two")


def a_map():
    return item.map(x=[1, 2])


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (one_reference, ONE),
        (a_field, Output(NodeName("pair"), ("left",))),
        (a_negation, Not(Output(NodeName("pair"), ("right",)))),
        (a_list, Gather((ONE, Constant(3)))),
        (
            a_mapping,
            Fields(
                {
                    "value": ONE,
                    "rows": Gather((Output(NodeName("one-2")), Output(NodeName("one-3")))),
                    "note": Constant("so"),
                }
            ),
        ),
        (a_record, Fields({"one": ONE, "two": Constant("two")})),
        (a_map, Output(NodeName("item"))),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_stages_give_is_the_result(function, expected):
    assert returned(function) == expected


def nothing():
    one()


def no_reference():
    one()
    return {"note": "so", "of": [object()]}


@pytest.mark.parametrize("function", [nothing, no_reference])
def test_what_no_stage_gives_is_no_result(function):
    assert returned(function) is None


def test_a_result_is_written_with_the_graph():
    for function in (one_reference, a_negation, a_mapping, a_record):
        graph = pipeline(_copy(function)).graph()
        assert Graph.from_json(json.loads(json.dumps(graph.to_json()))) == graph
    assert "result" not in pipeline(_copy(nothing)).graph().to_json()


def _copy(function):
    def copied():
        return function()

    copied.__name__ = f"copied_{function.__name__}"
    return copied
