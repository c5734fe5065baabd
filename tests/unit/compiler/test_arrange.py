"""Any graph becomes chains, chords and waits that start each node as soon as its needs are done."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.authoring.graph import Graph, Node, NodeName, StageName
from orchestrator.authoring.policies import Policy
from orchestrator.compiler.arrange import arrange
from orchestrator.compiler.dominance import START, dominance
from orchestrator.compiler.draw import tree
from orchestrator.compiler.plan import Plan, Sequence


def graph_of(count: int, edges: Iterable[tuple[int, int]]) -> Graph:
    """A graph of numbered nodes; an edge (a, b) means that b needs a."""
    needs: dict[int, list[NodeName]] = {}
    for source, target in edges:
        needs.setdefault(target, []).append(NodeName(f"n{source}"))
    nodes = (
        Node(
            name=NodeName(f"n{number}"),
            stage=StageName("some.stage"),
            policy=Policy(),
            after=tuple(needs.get(number, ())),
        )
        for number in range(count)
    )
    return Graph("some", tuple(nodes))


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    count = draw(st.integers(1, 40))
    pairs = [(low, high) for high in range(count) for low in range(high)]
    return graph_of(count, draw(st.sets(st.sampled_from(pairs), max_size=3 * count)) if pairs else ())


def causes(plan: Plan) -> dict[NodeName, frozenset[NodeName]]:
    """For each node that has a place, the nodes whose end sends its message; all it needs if it is woken."""
    found: dict[NodeName, frozenset[NodeName]] = {}
    stack: list[tuple[Sequence, frozenset[NodeName]]] = [(root, frozenset()) for root in plan.roots]
    stack += [(sequence, plan.graph[name].needs) for name, sequence in plan.woken.items()]
    while stack:
        sequence, before = stack.pop()
        for link in sequence:
            if link.heads:
                stack.extend((head, before) for head in link.heads)
                before = frozenset(head.links[-1].node for head in link.heads)
            assert link.node not in found, "each node stands in one place"
            found[link.node] = before
            before = frozenset({link.node})
            stack.extend((side, before) for side in link.sides)
    return found


def ancestors(graph: Graph) -> dict[NodeName, set[NodeName]]:
    found: dict[NodeName, set[NodeName]] = {}
    for name in graph.order:
        needs = graph[name].needs
        found[name] = set(needs).union(*(found[need] for need in needs))
    return found


@given(graphs())
def test_every_node_is_sent_by_all_it_needs(graph: Graph) -> None:
    sent_by = causes(arrange(graph))
    assert set(sent_by) == {node.name for node in graph}
    for name, needs in dominance(graph).needs.items():
        assert set(needs) - {START} <= sent_by[name]


@given(graphs())
def test_a_branch_of_a_chord_knows_its_join(graph: Graph) -> None:
    plan = arrange(graph)
    links = [plan.link(node.name) for node in graph]
    joined = {head.links[0].node: link.node for link in links for head in link.heads}
    assert {
        node.name: plan.chord_of(node.name)
        for node in graph
        if plan.chord_of(node.name) and plan.places[node.name][1] == 0
    } == joined


@given(graphs())
def test_no_node_is_sent_by_one_that_it_does_not_need(graph: Graph) -> None:
    before = ancestors(graph)
    for name, senders in causes(arrange(graph)).items():
        assert senders <= before[name]


def shape(graph: Graph) -> str:
    return tree(arrange(graph))


def test_a_linear_stretch_is_a_chain() -> None:
    (root,) = arrange(graph_of(3, [(0, 1), (1, 2)])).roots
    assert [link.node for link in root] == ["n0", "n1", "n2"]


def test_a_fan_in_is_a_chord() -> None:
    plan = arrange(graph_of(4, [(0, 1), (0, 2), (1, 3), (2, 3)]))
    assert len(plan.link(NodeName("n3")).heads) == 2
    assert not plan.woken


def test_chords_nest() -> None:
    plan = arrange(graph_of(6, [(0, 1), (0, 2), (0, 3), (1, 4), (2, 4), (4, 5), (3, 5)]))
    assert "chord of 2\n   ├─ n3" in tree(plan)
    assert not plan.woken


def test_an_n_shape_needs_no_waiting() -> None:
    plan = arrange(graph_of(4, [(0, 2), (0, 3), (1, 3)]))
    assert not plan.woken
    assert [side.links[0].node for side in plan.link(NodeName("n0")).sides] == ["n2"]


def test_what_no_nesting_expresses_is_sent_by_the_last_need() -> None:
    crossed = [(0, 1), (0, 2), (1, 3), (1, 4), (2, 4), (2, 5), (3, 6), (4, 6), (5, 6)]
    assert "sent by the last of n3, n4, n5" in shape(graph_of(7, crossed))


def test_edges_implied_by_others_cost_nothing() -> None:
    every = [(low, high) for high in range(12) for low in range(high)]
    (root,) = arrange(graph_of(12, every)).roots
    assert len(root.links) == 12


CHAIN = [(number, number + 1) for number in range(2999)]
BUTTERFLY = [
    (32 * row + column, 32 * (row + 1) + other)
    for row in range(31)
    for column in range(32)
    for other in (column, column ^ (1 << row % 5))
]
LADDER = [(3 * rung + a, 3 * rung + b) for rung in range(200) for a, b in ((0, 1), (0, 2), (1, 3), (2, 3))]
CROSSED = [(number, number + 2) for number in range(1998)] + [(2 * n, 2 * n + 1) for n in range(1000)]


@pytest.mark.parametrize(
    ("count", "edges"),
    [(3000, CHAIN), (1024, BUTTERFLY), (601, LADDER), (2000, CROSSED)],
    ids=["chain", "butterfly", "ladder", "crossed ladder"],
)
def test_large_graphs_meet_no_limit(count: int, edges: list[tuple[int, int]]) -> None:
    assert len(causes(arrange(graph_of(count, edges)))) == count
