"""A run as a notebook shows it."""

from __future__ import annotations

from orchestrator.authoring.graph import Gather, Graph, Node, NodeName, Not, Output, StageName
from orchestrator.authoring.policies import Policy
from orchestrator.client.page import run_as_html
from orchestrator.client.results import headline_results
from orchestrator.client.run_lookup import KnownRun
from orchestrator.run_id import RunId
from orchestrator.runs.record import NodeRecord, RunRecord
from orchestrator.runs.states import NodeState, RunState


def known(*values, result=None, state=NodeState.SUCCEEDED, parameters=None):
    names = [f"n{number}" for number in range(len(values))]
    nodes = tuple(
        Node(
            name=NodeName(name),
            stage=StageName(f"stages.{name}"),
            policy=Policy(),
            inputs={"x": Output(NodeName(names[at - 1]))} if at else {},
        )
        for at, name in enumerate(names)
    )
    records = tuple(
        NodeRecord(name=name, stage=f"stages.{name}", queue="data", state=state, value=value)
        for name, value in zip(names, values, strict=True)
    )
    record = RunRecord(
        id=RunId("p-20261124-031502-9f3a"),
        pipeline="p",
        state=RunState.SUCCEEDED,
        parameters=parameters or {},
        nodes=records,
    )
    return KnownRun(record=record, graph=Graph("p", nodes, result=result))


def test_what_users_wrote_is_shown_as_text():
    page = run_as_html(known("<script>alert(1)</script>", parameters={"x": "<b>"}), notes=["<i>"])
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert "<b>" not in page.replace("<b>p</b>", "")
    assert "&lt;i&gt;" in page


def test_large_graphs_are_listed_but_not_drawn():
    assert "<svg" in run_as_html(known(*range(60)))
    large = run_as_html(known(*range(120)))
    assert "<svg" not in large
    assert large.count("<tr>") == 100


def test_a_run_of_which_nothing_is_known_is_shown():
    assert "p-20261124" in run_as_html(known())


def test_results_are_told_by_their_values_or_by_who_gives_them():
    result = Gather((Output(NodeName("n0")), Not(Output(NodeName("n1"))), Output(NodeName("n0"), ("a",))))
    assert (
        dict(
            headline_results(
                known({"a": 1}, True, result=result).record, known({"a": 1}, True, result=result).graph
            )
        )["result"]
        == "[a 1, not yes, 1]"
    )
    large = known(None, result=Output(NodeName("n0")))
    assert list(headline_results(large.record, large.graph)) == [("result", "(what n0 gives)")]
    waiting = known(None, result=Output(NodeName("n0")), state=NodeState.WAITING)
    assert list(headline_results(waiting.record, waiting.graph)) == [("result", "(waiting)")]
