"""Maps that follow others item by item, and what cannot run behind an item."""

from __future__ import annotations

from orchestrator.authoring.graph import Constant, Gather, Graph, Input, Node, NodeName, Output, StageName
from orchestrator.authoring.policies import Policy


def node(name: str, *, after: str = "", tolerate: float = 0.0, takes: str = "", **varying: Input) -> Node:
    return Node(
        name=NodeName(name),
        stage=StageName("some.stage"),
        policy=Policy(tolerate=tolerate),
        inputs={each: Output(NodeName(each)) for each in takes},
        varying=varying,
        after=tuple(map(NodeName, after)),
    )


def of(name: str, *path: str | int) -> Output:
    return Output(NodeName(name), path)


LIST = Constant([1, 2])


def graph(*nodes: Node) -> Graph:
    return Graph("some", nodes)


def test_a_map_of_what_the_items_of_others_give_follows_them() -> None:
    some = graph(
        node("a", x=LIST),
        node("b", x=of("a")),
        node("c", x=of("b"), y=of("a", "field"), z=LIST),
        node("d", takes="c"),
    )
    assert some.item_edges == {"b": {"a": 1}, "c": {"a": 1, "b": 1}}
    assert some.item_followers == {"a": {"b": 1, "c": 1}, "b": {"c": 1}}


def test_a_map_waits_for_all_items_where_it_takes_them_all_or_is_ordered_behind_them() -> None:
    some = graph(
        node("a", x=LIST),
        node("b", x=of("a"), takes="a"),
        node("c", x=of("a"), after="a"),
        node("d", x=Gather((of("a"), of("a")))),
        node("e", x=of("a"), y=Gather((of("a"), of("a")))),
    )
    assert some.item_edges == {}


def test_a_map_waits_for_one_whose_items_may_fail_and_for_a_node_that_gives_a_list() -> None:
    some = graph(node("a", x=LIST, tolerate=0.5), node("b", x=of("a")), node("c"), node("d", x=of("c")))
    assert some.item_edges == {}


def test_a_map_that_was_done_in_an_earlier_round_is_not_waited_for() -> None:
    some = graph(node("a", x=LIST), node("b", x=of("a")), node("c", x=of("b")))
    assert some.without(frozenset({NodeName("a")})).item_edges == {"c": {"b": 1}}


def test_behind_an_item_only_what_needs_all_items_cannot_run() -> None:
    some = graph(
        node("a", x=LIST),
        node("b", x=of("a")),
        node("c", x=of("b")),
        node("d", takes="c"),
        node("e", x=of("c"), takes="d"),
        node("f", takes="a"),
    )
    assert set(some.behind_an_item(NodeName("a"))) == {"d", "e", "f"}
    assert set(some.behind_an_item(NodeName("c"))) == {"d", "e"}
    assert set(some.descendants(NodeName("a"))) == {"b", "c", "d", "e", "f"}
