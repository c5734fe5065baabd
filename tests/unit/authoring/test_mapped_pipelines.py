"""A pipeline that is mapped in another one is a copy of its graph for each element."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import NamedTuple

import pytest

from orchestrator import pipeline, stage
from orchestrator.authoring.errors import EmptyMap, InvalidPipeline, UnevenMap
from orchestrator.authoring.graph import (
    Constant,
    Element,
    Graph,
    NodeName,
    Not,
    Output,
    group_and_index,
    indexes_of,
    item_name,
    node_of,
)
from orchestrator.compiler.arrange import arrange
from orchestrator.compiler.draw import tree


class Store(NamedTuple):
    name: str
    size: int
    open: bool


class Parts(NamedTuple):
    train: list[int]
    test: list[int]


@stage
def stores() -> list[Store]:
    return STORES


@stage
def load(name: str, scale: int = 1) -> list[int]:
    return [len(name) * scale] * 3


@stage
def split(rows: list[int]) -> Parts:
    return Parts(rows[:2], rows[2:])


@stage
def fit(train: list[int], depth: int) -> int:
    return sum(train) * depth


@stage
def is_big(model: int) -> bool:
    return model > 10


@stage
def deploy(model: int, test: list[int]) -> str:
    return f"{model} on {test}"


@stage
def collect(found: list[str]) -> int:
    return len(found)


@stage
def add(left: int, right: int) -> int:
    return left + right


@stage
def several(models: list[int]) -> int:
    return len(models)


HAVE_IT = "have it return what one of its stages gives"
STORES = [Store("a", 1, True), Store("bbb", 2, False), Store("ccccc", 3, True)]


@pipeline
def train_one(store: Store, depth: int = 2) -> str:
    """Of the parts of the element some stages take one."""
    parts = split(load(store.name))
    model = fit(parts.train, depth)
    return deploy.only_if(is_big(model))(model, parts.test)


@pipeline
def known() -> None:
    collect(train_one.map(store=STORES))


@pipeline
def unknown(depth: int = 2) -> None:
    collect(train_one.partial(depth=depth).map(store=stores()))


def graph_of(function: Callable[[], object]) -> Graph:
    return pipeline(function).graph()


def mistakes_of(function: Callable[[], object]) -> tuple[str, ...]:
    with pytest.raises(InvalidPipeline) as caught:
        graph_of(function)
    return caught.value.mistakes


def test_names_tell_the_copy_and_are_read_back() -> None:
    assert item_name(NodeName("fit"), 3) == "fit[3]"
    assert item_name(NodeName("train_one.fit"), 3) == "train_one[3].fit"
    assert group_and_index("train_one[3].fit") == ("train_one.fit", 3)
    assert group_and_index("fit-2[12]") == ("fit-2", 12)
    assert group_and_index("train_one.fit") == ("train_one.fit", None)


def test_stages_of_a_mapped_pipeline_are_nodes_that_go_on_copy_by_copy() -> None:
    graph = unknown.graph()
    assert [node.name for node in graph] == [
        "stores",
        "train_one.load",
        "train_one.split",
        "train_one.fit",
        "train_one.is_big",
        "train_one.deploy",
        "collect",
    ]
    assert all(node.mapped for node in graph if node.scope)
    assert graph["train_one.load"].each == {"train_one.store": Output(NodeName("stores"))}
    assert graph["train_one.load"].inputs == {"name": Element("train_one.store", ("name",))}
    assert graph["train_one.fit"].each == {}
    assert graph.item_edges[NodeName("train_one.fit")] == {"train_one.split": 1}
    assert list(graph.item_edges[NodeName("train_one.deploy")]) == [
        "train_one.fit",
        "train_one.is_big",
        "train_one.split",
    ]
    assert graph["collect"].needs == {"train_one.deploy"}
    assert graph.partial == {("train_one.deploy", 1)}


def test_a_part_of_a_known_element_is_an_element_of_a_list_of_such_parts() -> None:
    node = known.graph()["train_one.load"]
    assert node.inputs == {"name": Element("train_one.store:name")}
    assert node.each["train_one.store:name"] == Constant(["a", "bbb", "ccccc"])


def test_a_node_has_only_those_lists_of_parts_that_it_takes() -> None:
    @pipeline
    def one(store: Store) -> int:
        load(store.name)
        return add(store.size, 1)

    def outer() -> None:
        several(one.map(store=(each for each in STORES)))

    graph = graph_of(outer)
    assert [*graph["one.load"].each] == ["one.store", "one.store:name"]
    assert [*graph["one.add"].each] == ["one.store", "one.store:size"]


def test_a_graph_with_mapped_pipelines_survives_json() -> None:
    for each in (known, unknown):
        graph = each.graph()
        assert Graph.from_json(json.loads(json.dumps(graph.to_json()))) == graph


@pytest.mark.parametrize("each", [known, unknown])
def test_it_runs_locally_and_leaves_out_what_is_skipped(each: Callable[[], object]) -> None:
    outputs = each.run_locally()  # type: ignore[attr-defined]
    assert outputs["train_one.fit"] == [4, 12, 20]
    assert outputs["train_one.deploy"] == ["12 on [3]", "20 on [5]"]
    assert outputs["collect"] == 2


def test_a_copy_that_fails_keeps_no_other_from_its_end() -> None:
    deployed: list[int] = []

    @stage
    def refuse(value: int) -> int:
        if value == 2:
            raise ValueError("no 2")
        return value

    @stage
    def note(value: int) -> int:
        deployed.append(value)
        return value

    @pipeline
    def one(value: int) -> int:
        return note(refuse(value))

    def outer() -> None:
        several(one.map(value=[1, 2, 3]))

    with pytest.raises(ValueError, match="no 2"):
        pipeline(outer).run_locally()
    assert deployed == [1, 3]


def test_what_a_copy_takes_may_be_its_own_or_the_same_for_all() -> None:
    @pipeline
    def one(size: int, open: bool, base: int) -> int:
        grown = add(size, base)
        return add.only_if(~open)(grown, 1)

    def outer() -> None:
        base = several([1, 2, 3])
        sizes, opened = [1, 2, 3], [True, False, False]
        several(one.partial(base=base).map(size=sizes, open=opened))

    graph = graph_of(outer)
    assert graph["one.add"].inputs == {"left": Element("one.size"), "right": Output(NodeName("several"))}
    assert graph["one.add-2"].conditions == (Not(Element("one.open")),)
    outputs = pipeline(outer).run_locally()
    assert outputs["one.add"] == [4, 5, 6]
    assert outputs["one.add-2"] == [6, 7]
    assert outputs["several-2"] == 2


def test_it_may_be_mapped_several_times_and_over_what_a_map_gives() -> None:
    @pipeline
    def one(model: int) -> int:
        return add(model, 1)

    def outer() -> None:
        models = add.partial(right=1).map(left=[1, 2])
        first = one.map(model=models)
        several(one.map(model=first))

    graph = graph_of(outer)
    assert graph.item_edges[NodeName("one.add")] == {"add": 1}
    assert graph.item_edges[NodeName("one-2.add")] == {"one.add": 1}
    assert pipeline(outer).run_locally()["one-2.add"] == [4, 5]


def test_a_stage_that_takes_nothing_of_a_copy_is_called_for_each() -> None:
    @pipeline
    def one(model: int) -> int:
        return add(1, 2)

    def outer() -> None:
        several(one.map(model=[7, 8, 9]))

    assert pipeline(outer).run_locally()["one.add"] == [3, 3, 3]


def test_what_cannot_be_mapped_is_refused_in_one_line() -> None:
    @pipeline
    def silent(model: int) -> None:
        add(model, 1)

    @pipeline
    def given_back(model: int) -> int:
        add(model, 1)
        return model

    leaked: list[int] = []

    @pipeline
    def leaky(model: int) -> int:
        leaked.append(add(model, 1))
        return add(model, 2)

    def wrong() -> None:
        silent.map(model=[1])
        given_back.map(model=[1])
        leaky.map(model=[1])
        several(leaked)
        given_back.map(model=[1], other=[2])
        leaky.map(model="abc")

    assert mistakes_of(wrong) == (
        "silent.map(…): silent returns nothing; " + HAVE_IT,
        f"given_back.map(…): given_back returns what none of its stages gives; {HAVE_IT}",
        "several takes leaky.add, which the mapped pipeline leaky does not return",
        "given_back.map(…): got an unexpected keyword argument 'other'",
        "leaky-2.map(model=…) takes a list, not str",
    )


def test_a_pipeline_that_is_mapped_in_itself_is_refused() -> None:
    @pipeline
    def endless(value: int) -> int:
        return several(endless.map(value=[value]))

    def outer() -> None:
        endless.map(value=[1])

    assert mistakes_of(outer) == (
        "endless.endless.map(…) is called in endless itself, which would never end",
    )


def test_lists_that_do_not_fit_are_refused() -> None:
    @pipeline
    def one(left: int, right: int) -> int:
        return add(left, right)

    def uneven() -> None:
        one.map(left=[1, 2], right=[1, 2, 3])

    def empty() -> None:
        one.partial(right=1).map(left=[], at_least=1)

    assert mistakes_of(uneven) == (
        "one.map(…) goes through its lists side by side, but left has 2, right has 3",
    )
    assert mistakes_of(empty) == ("one.map(…, at_least=1) got no items",)


def test_lists_whose_lengths_are_known_late_are_refused_by_name() -> None:
    @stage
    def numbers(count: int) -> list[int]:
        return list(range(count))

    @pipeline
    def one(left: int, right: int) -> int:
        return add(left, right)

    def uneven() -> None:
        one.map(left=numbers(2), right=numbers(3))

    def short() -> None:
        one.partial(right=1).map(left=numbers(1), at_least=2)

    with pytest.raises(UnevenMap, match=r"one\.map\(…\) .* left has 2, right has 3"):
        pipeline(uneven).run_locally()
    with pytest.raises(EmptyMap, match=r"one\.map\(…, at_least=2\) got 1 item"):
        pipeline(short).run_locally()


def test_outside_of_a_pipeline_there_is_no_map() -> None:
    with pytest.raises(TypeError, match="is for use in a pipeline"):
        train_one.map(store=STORES)


@stage
def depths_of(name: str) -> list[int]:
    return list(range(1, len(name) + 1))


@pipeline
def search_one(store: Store) -> int:
    rows = load(store.name)
    models = fit.partial(train=rows).map(depth=depths_of(store.name))
    return several(add.partial(right=1).map(left=models))


@pipeline
def search_region(stores: list[Store]) -> int:
    return several(search_one.map(store=stores))


def test_a_map_in_a_mapped_pipeline_has_items_of_items() -> None:
    def outer() -> None:
        several(search_one.map(store=stores()))

    graph = graph_of(outer)
    assert graph["search_one.fit"].depth == 2
    assert graph.item_edges[NodeName("search_one.fit")] == {"search_one.depths_of": 1, "search_one.load": 1}
    assert graph.item_edges[NodeName("search_one.add")] == {"search_one.fit": 2}
    assert graph.item_edges[NodeName("search_one.several")] == {"search_one.add": 1}
    outputs = pipeline(outer).run_locally()
    assert outputs["search_one.fit"] == [[3], [9, 18, 27], [15, 30, 45, 60, 75]]
    assert outputs["search_one.several"] == [1, 3, 5]


def test_the_canvas_tells_what_is_in_each_copy() -> None:
    def outer() -> None:
        several(search_one.map(store=stores()))

    told = tree(arrange(graph_of(outer)))
    assert "search_one.load  (data; for each copy of search_one)" in told
    assert (
        "search_one.add  (data; a map in each copy of search_one; item by item behind search_one.fit)" in told
    )


def test_a_mapped_pipeline_is_mapped_in_a_mapped_one_over_lists_in_its_elements() -> None:
    regions = [STORES[:2], STORES[2:]]

    def outer() -> None:
        several(search_region.map(stores=regions))

    graph = graph_of(outer)
    assert graph["search_region.search_one.fit"].depth == 3
    assert pipeline(outer).run_locally()["search_region.search_one.several"] == [[1, 3], [5]]
    assert Graph.from_json(json.loads(json.dumps(graph.to_json()))) == graph


def test_items_of_items_have_all_indexes_in_their_names() -> None:
    assert item_name(NodeName("a[2].b.c"), 4) == "a[2].b[4].c"
    assert item_name(NodeName("a[2].b[4].c"), 0) == "a[2].b[4].c[0]"
    assert group_and_index("a[2].b[4].c[0]") == ("a[2].b[4].c", 0)
    assert group_and_index("a[2].b[4].c") == ("a[2].b.c", 4)
    assert node_of("a[2].b[4].c[0]") == "a.b.c"
    assert indexes_of("a[2].b[4].c[0]") == (2, 4, 0)


def test_each_copy_may_leave_out_what_fails_in_it() -> None:
    @stage(tolerate=0.5)
    def refuse(value: int, bad: int) -> int:
        if value == bad:
            raise ValueError(f"no {bad}")
        return value

    @pipeline
    def one(bad: int) -> int:
        return several(add.partial(right=0).map(left=refuse.partial(bad=bad).map(value=[1, 2])))

    def outer() -> None:
        several(one.map(bad=[0, 1, 2]))

    outputs = pipeline(outer).run_locally()
    assert outputs["one.add"] == [[1, 2], [2], [1]]
    assert outputs["one.several"] == [2, 1, 1]


def test_an_element_of_an_element_is_what_its_annotation_says() -> None:
    @stage
    def size_of(store: Store) -> int:
        return store.size

    @pipeline
    def one(store: Store) -> int:
        return size_of(store)

    @pipeline
    def region(stores: list[Store]) -> int:
        return several(one.map(store=stores))

    def outer() -> None:
        several(region.map(stores=[STORES[:2], STORES[2:]]))

    assert pipeline(outer).run_locally()["region.one.size_of"] == [[1, 2], [3]]
