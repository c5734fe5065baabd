"""Parameters are parsed by the annotations of a pipeline's function."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Literal, NamedTuple

import pytest
from pydantic import BaseModel, ConfigDict
from typing_extensions import TypedDict

from orchestrator import pipeline, stage
from orchestrator.authoring.errors import InvalidParameters
from orchestrator.authoring.parameters import override, parse_parameters


@stage
def nothing() -> None:
    pass


@pipeline
def tuned(
    data: Path,
    folds: int = 5,
    depths: list[int] = [3, 5],  # noqa: B006 - as users write it
    kind: Literal["fast", "good"] = "fast",
    since: date | None = None,
    names: tuple[str, ...] = (),
    limit: float | None = None,
) -> None:
    nothing()


def test_defaults_fill_what_is_not_given() -> None:
    assert tuned.parse({"data": "x.csv"})["folds"] == 5


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("data", "a/b.csv", Path("a/b.csv")),
        ("folds", "7", 7),
        ("depths", "[1, 2]", [1, 2]),
        ("kind", "good", "good"),
        ("since", "2026-11-24", date(2026, 11, 24)),
        ("names", '["a", "b"]', ("a", "b")),
        ("limit", "null", None),
        ("limit", "0.5", 0.5),
    ],
)
def test_text_is_parsed_as_its_annotation_asks(name: str, text: str, value: object) -> None:
    assert tuned.parse({"data": "x", name: text})[name] == value


def test_an_unknown_parameter_suggests_a_near_one() -> None:
    with pytest.raises(InvalidParameters, match=r"no parameter 'fold'\. Did you mean 'folds'\?"):
        tuned.parse({"data": "x", "fold": "3"})


def test_a_missing_parameter_says_how_to_give_it() -> None:
    with pytest.raises(InvalidParameters, match="'data' is missing: give it with -p data=VALUE"):
        tuned.parse({})


def test_a_wrong_value_says_what_is_taken() -> None:
    with pytest.raises(InvalidParameters, match=r"folds='many': .*integer.*; it takes int"):
        tuned.parse({"data": "x", "folds": "many"})


def test_all_wrong_parameters_are_told_at_once() -> None:
    with pytest.raises(InvalidParameters) as caught:
        tuned.parse({"folds": "many", "kind": "slow", "foldz": 1})
    assert str(caught.value).count(";") >= 3


@dataclass(frozen=True)
class Tree:
    depth: int = 3


class Leaf(NamedTuple):
    depth: int = 3


class Branch(TypedDict, total=False):
    depth: int


class Root(BaseModel):
    depth: int = 3
    tree: Tree = Tree()


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")
    depth: int = 3
    tree: Tree = Tree()


@dataclass(frozen=True)
class Forest:
    tree: Tree = Tree()
    trees: list[Tree] = field(default_factory=list)
    by_name: dict[str, Tree] = field(default_factory=dict)


@pipeline
def grown(
    tree: Tree = Tree(),
    leaf: Leaf = Leaf(),  # noqa: B008
    branch: Branch | None = None,
    root: Root | None = None,
    open_root: Open | None = None,
    forest: Forest = Forest(),
    trees: Sequence[Tree] = (),
    either: Tree | Leaf | None = None,
    names: list[str] | None = None,
    depths: tuple[int, ...] = (),
) -> None:
    nothing()


UNKNOWN_FIELDS = {
    "dataclass": ("tree", '{"depht": 9}', "field 'depht'"),
    "NamedTuple": ("leaf", '{"depht": 9}', "field 'depht'"),
    "TypedDict": ("branch", '{"depht": 9}', "field 'depht'"),
    "model": ("root", '{"depht": 9}', "field 'depht'"),
    "value": ("tree", {"depht": 9}, "field 'depht'"),
    "nested": ("forest", '{"tree": {"depht": 9}}', "field in tree 'depht'"),
    "in a list": ("forest", '{"trees": [{}, {"depht": 9}]}', "field in trees.1 'depht'"),
    "in a mapping": ("forest", '{"by_name": {"oak": {"depht": 9}}}', "field in by_name.oak 'depht'"),
    "list": ("trees", '[{"depht": 9}]', "field in 0 'depht'"),
    "in a model": ("root", '{"tree": {"depht": 9}}', "field in tree 'depht'"),
    "in an open model": ("open_root", '{"x": 1, "tree": {"depht": 9}}', "field in tree 'depht'"),
    "union": ("either", '{"depht": 9}', "field in Tree 'depht'"),
}


@pytest.mark.parametrize(("name", "value", "field"), UNKNOWN_FIELDS.values(), ids=UNKNOWN_FIELDS)
def test_an_unknown_field_is_refused_with_a_near_one(name: str, value: object, field: str) -> None:
    with pytest.raises(InvalidParameters) as caught:
        grown.parse({name: value})
    assert f"there is no {field}. Did you mean 'depth'?" in str(caught.value)


def test_an_unknown_field_without_a_near_one_lists_the_fields() -> None:
    with pytest.raises(InvalidParameters, match="no field 'colour'; its fields: tree, trees, by_name"):
        grown.parse({"forest": '{"colour": 1}'})


def test_a_type_that_says_so_takes_further_fields() -> None:
    parsed = grown.parse({"open_root": '{"colour": 1}'})["open_root"]
    assert isinstance(parsed, Open)
    assert parsed.model_extra == {"colour": 1}


@pytest.mark.parametrize(
    ("name", "text", "written"),
    [
        ("names", "a,b", '-p names=\'["a", "b"]\''),
        ("names", "a", "-p names='[\"a\"]'"),
        ("depths", "3, 5", "-p depths='[3, 5]'"),
        ("depths", "x,y", '-p depths=\'["x", "y"]\''),
    ],
)
def test_a_list_that_is_not_json_is_told_how_to_be_written(name: str, text: str, written: str) -> None:
    with pytest.raises(InvalidParameters) as caught:
        grown.parse({name: text})
    assert written in str(caught.value)


@dataclass(frozen=True)
class Sapling:
    depth: int = 3
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Wood:
    tree: Sapling = Sapling()
    size: int = 10


def grow(forest: Wood = Wood(), rate: float = 0.1) -> None: ...


@pytest.mark.parametrize(
    ("base", "given", "expected"),
    [
        ({}, {"forest.tree.depth": "5"}, Wood(Sapling(depth=5))),
        ({"forest": {"size": 2}}, {"forest.tree.names": '["a"]'}, Wood(Sapling(names=("a",)), size=2)),
        ({"forest": {"size": 2}}, {"forest.size": "4", "rate": "0.5"}, Wood(size=4)),
        ({"forest": {"size": 2}}, {"forest": '{"size": 7}'}, Wood(size=7)),
    ],
)
def test_a_field_of_a_parameter_is_set_by_its_path(base, given, expected):
    values = parse_parameters("grow", grow, override(grow, base, given))
    assert values["forest"] == expected


class Grid(NamedTuple):
    tree: Sapling = Sapling()
    limit: int = 3


GRID = Grid()


@dataclass(frozen=True)
class Park:
    grid: Grid = GRID
    first: Sapling | None = None


def plant(grid: Grid = GRID, park: Park = Park(), spare: Sapling | None = None) -> None: ...


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"grid.limit": "7"}, {"grid": Grid(limit=7)}),
        ({"grid.tree.depth": "7"}, {"grid": Grid(Sapling(depth=7))}),
        ({"park.grid.limit": "7"}, {"park": Park(Grid(limit=7))}),
        ({"park.first.depth": "7"}, {"park": Park(first=Sapling(depth=7))}),
        ({"spare.depth": "7"}, {"spare": Sapling(depth=7)}),
    ],
)
def test_fields_of_named_tuples_and_of_records_that_may_be_none_are_set(given, expected):
    values = parse_parameters("plant", plant, override(plant, {}, given))
    assert {name: values[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"rate.x": "1"}, "'rate' has no fields"),
        ({"forest.sise": "1"}, "Did you mean 'size'"),
        ({"forest.size": "many"}, "valid integer"),
        ({"forrest.size": "1"}, "there is no parameter 'forrest.size'"),
    ],
)
def test_a_path_that_leads_nowhere_is_told(given, told):
    with pytest.raises(InvalidParameters, match=told):
        parse_parameters("grow", grow, override(grow, {}, given))
