"""What columns are taken for."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import pytest

from orchestrator import Unfit
from pipelines.tabular.columns import Kind, kind_of, lay_out, task_of
from pipelines.tabular.preparing import prepare_inputs
from workers.training import Task

KINDS: dict[str, tuple[Sequence[object], Kind]] = {
    "numbers": ([1, 2.5, None], "number"),
    "truth values": ([True, False, True], "number"),
    "numbers among text": (["1", "2"] * 20 + ["?"], "number"),
    "words": (["a", "b", None], "category"),
    "ISO dates": (["2024-01-31", "2024-02-01"], "date"),
    "moments": (["2024-01-31T10:00:00Z", "2024-02-01T11:30:00+02:00"], "date"),
    "days first": (["31/01/2024", "01/02/2024"], "date"),
    "months first": (["01/31/2024", "02/01/2024"], "date"),
    "dots": (["31.01.2024", None], "date"),
}


@pytest.mark.parametrize(("values", "kind"), KINDS.values(), ids=KINDS)
def test_a_column_is_taken_for_what_nearly_all_of_it_is(values: list[object], kind: Kind) -> None:
    assert kind_of(pd.Series(values)) == kind


TASKS: dict[str, tuple[Sequence[object], Task]] = {
    "text": (["yes", "no"] * 20, "classification"),
    "truth values": ([True, False] * 20, "classification"),
    "few whole numbers": ([0, 1, 2] * 20, "classification"),
    "few whole numbers with gaps": ([0.0, 1.0, None] * 20, "classification"),
    "many whole numbers": (list(range(100)), "regression"),
    "fractions": ([0.5, 1.5] * 20, "regression"),
}


@pytest.mark.parametrize(("values", "task"), TASKS.values(), ids=TASKS)
def test_the_target_tells_the_task(values: list[object], task: Task) -> None:
    assert task_of(pd.Series(values)) == task


def test_columns_that_teach_nothing_are_left_out_with_the_reason() -> None:
    table = pd.DataFrame(
        {
            "row": range(7, 57),
            "name": [f"somebody {number}" for number in range(50)],
            "planet": "Earth",
            "blank": None,
            "age": [20.0, 30.0] * 25,
            "y": [0, 1] * 25,
        }
    )
    layout = lay_out(table, "y")
    assert layout.kinds == {"age": "number"}
    assert layout.left_out == {
        "row": "a row number",
        "name": "different in most rows, like a name or an id",
        "planet": "the same in every row",
        "blank": "empty",
    }


def test_a_table_without_a_useful_column_is_stopped() -> None:
    table = pd.DataFrame({"planet": "Earth", "y": [0, 1] * 25})
    with pytest.raises(
        Unfit, match="no column is left to predict 'y' from: 'planet' is the same in every row"
    ):
        lay_out(table, "y")


def test_a_date_becomes_numbers_and_gaps_stay_gaps() -> None:
    table = pd.DataFrame({"when": ["1970-01-02", None], "city": [" Rome", ""], "y": [0, 1]})
    layout = lay_out(table.assign(city=["Rome", "Oslo"], when=["1970-01-02", "1970-01-03"]), "y")
    prepared = prepare_inputs(table, layout)
    assert prepared.iloc[0].to_dict() == {
        "when.day": 1.0,
        "when.year": 1970.0,
        "when.month": 1.0,
        "when.weekday": 4.0,
        "city": "Rome",
    }
    assert prepared.iloc[1].isna().all()
