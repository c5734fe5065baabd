"""`Table["price"]`: what it takes, what fits it, and that a local run gets what a worker would get."""

from __future__ import annotations

from typing import Annotated, Any

import pandas as pd
import pytest

from orchestrator import Table, pipeline, stage
from orchestrator.authoring.annotations import assignable, hints_of, shown
from orchestrator.authoring.errors import InvalidPipeline, MissingColumn

SALES = pd.DataFrame({"day": [1, 2], "shop": ["a", "b"], "price": [1.5, 2.5]}, index=[7, 8])


@stage
def load() -> pd.DataFrame:
    return SALES


@stage
def number() -> int:
    return 3


@stage
def columns(sales: Table["price", "day"]) -> list[str]:  # type: ignore[type-arg, name-defined]  # noqa: F821, UP037
    assert list(sales.index) == [7, 8]  # type: ignore[attr-defined]
    return list(sales)  # type: ignore[call-overload]


@stage
def checked_columns(sales: Annotated[pd.DataFrame, Table["price", "day"]]) -> list[object]:
    return list(sales)


@stage
def of_each(tables: list[Annotated[pd.DataFrame, Table["shop"]]]) -> list[list[object]]:
    return [list(table) for table in tables]


@stage
def of_some(sales: Annotated[pd.DataFrame, Table["day"]] | None) -> list[object]:
    return [] if sales is None else list(sales)


@stage
def missing(sales: Annotated[pd.DataFrame, Table["prize"]]) -> None:
    del sales


@pipeline
def named_columns() -> None:
    columns(load())  # type: ignore[arg-type]
    checked_columns(load())
    of_each([load(), load()])
    of_some(load())
    checked_columns.map(sales=[load(), load()])


def test_a_stage_of_a_local_run_gets_the_columns_that_it_names() -> None:
    values = named_columns.run_locally()
    assert values["columns"] == ["price", "day"]
    assert values["checked_columns"] == ["price", "day"]
    assert values["of_each"] == [["shop"], ["shop"]]
    assert values["of_some"] == ["day"]
    assert values["checked_columns-2"] == [["price", "day"]] * 2


@pipeline
def a_missing_column() -> None:
    missing(load())


def test_a_missing_column_ends_a_local_run_with_its_name() -> None:
    with pytest.raises(MissingColumn, match="no column 'prize'; its columns are 'day', 'shop', 'price'"):
        a_missing_column.run_locally()


@pipeline
def no_table() -> None:
    checked_columns(number())  # type: ignore[arg-type]


def test_what_is_no_table_is_refused_before_anything_runs() -> None:
    with pytest.raises(InvalidPipeline, match=r"Table\['price', 'day'\]"):
        no_table.run_locally()


@pytest.mark.parametrize(
    ("source", "target", "fits"),
    [
        (pd.DataFrame, Table["a"], True),
        (Table["a"], pd.DataFrame, True),
        (Table["a", "b"], Table["b"], True),
        (Table["a"], Table["a", "b"], False),
        (pd.Series, Table["a"], False),
        (pd.DataFrame, Table, False),
        (Table["a"], int, False),
        (list[pd.DataFrame], list[Table["a"]], True),  # type: ignore[type-arg, name-defined]  # noqa: F821
        (pd.DataFrame | None, Table["a"] | None, True),
        (pd.DataFrame | None, Table["a"], False),
    ],
)
def test_a_table_fits_where_its_columns_are_named(source: object, target: object, fits: bool) -> None:
    assert assignable(source, target) is fits


def test_two_annotations_of_the_same_columns_are_one() -> None:
    assert Table["a", "b"] is Table["a", "b"]
    assert shown(Table["a", "b"]) == "Table['a', 'b']"


def test_of_annotated_only_the_columns_are_left() -> None:
    def function(size: Annotated[int, "rows"], sales: Annotated[Any, "notes", Table["a"]]) -> None: ...

    assert hints_of(function) == {"size": int, "sales": Table["a"], "return": type(None)}
