"""What is reported of a table, and what stops it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest

from orchestrator import InvalidData
from pipelines.tabular.checks import Checked, check_table
from pipelines.tabular.columns import lay_out
from workers.training import Task


def table_with(target: Sequence[object]) -> pd.DataFrame:
    """A table with one useful column beside this target."""
    values = np.random.default_rng(0).normal(size=len(target))
    return pd.DataFrame({"x": values, "y": target})


def checked(table: pd.DataFrame, task: Task | None = None, **settings: object) -> Checked:
    """The table after the checks."""
    return check_table(table, lay_out(table, "y", task or "auto"), **settings)  # type: ignore[arg-type]


def test_rows_without_a_target_are_left_out() -> None:
    table, report = checked(table_with([0, 1] * 20 + [None] * 3))
    assert (report.rows, report.kept, report.missing_target) == (43, 40, 3)
    assert str(table["y"].dtype) == "int64"


def test_repeated_rows_are_left_out_unless_they_are_to_be_kept() -> None:
    once = table_with([0, 1] * 20)
    twice = pd.concat([once, once.head(5)], ignore_index=True)
    assert checked(twice).report.kept == 40
    assert checked(twice, duplicates="keep").report.kept == 45


def test_a_tiny_class_of_a_large_table_is_left_out() -> None:
    table, report = checked(table_with(["a", "b"] * 200 + ["c"]))
    assert report.rare_classes == {"c": 1}
    assert set(table["y"]) == {"a", "b"}


def test_the_report_reads_as_sentences() -> None:
    report = checked(table_with(["a", "b"] * 200 + ["c", None])).report
    assert str(report).splitlines() == [
        "400 of 402 rows are used.",
        "Rows left out, as they lack the target: 1",
        "Class left out, as it is too rare: 'c' (1)",
    ]


STOPPED: dict[str, tuple[Sequence[object], Task | None, str]] = {
    "no target at all": ([None] * 40, None, "the target 'y' is missing in all 40 rows"),
    "one value": (["a"] * 40, None, "the target 'y' is a in every row"),
    "one amount": ([1.5] * 40, None, "the target 'y' is 1.5 in every row"),
    "too few rows": ([0, 1] * 5, None, "10 usable rows are too few, at least 30 are needed"),
    "a small class": (
        ["a"] * 40 + ["b"] * 3,
        None,
        "class 'b' of the target 'y' has only 3 of the 8 rows",
    ),
    "text as amounts": (["a", "b"] * 20, "regression", "holds text, but regression needs numbers"),
    "dates": (["2024-01-01", "2024-01-02"] * 20, None, "the target 'y' holds dates"),
}


@pytest.mark.parametrize(("target", "task", "line"), STOPPED.values(), ids=STOPPED)
def test_a_meaningless_result_is_not_computed(target: Sequence[object], task: Task | None, line: str) -> None:
    with pytest.raises(InvalidData) as caught:
        checked(table_with(target), task)
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


def test_different_rows_are_no_repeats_though_names_are_not_learnt_from() -> None:
    people = pd.DataFrame(
        {"name": [f"somebody {number}" for number in range(60)], "x": 1.5, "y": [0, 1] * 30}
    )
    people["x"] = [1.5, 2.5, 2.5, 1.5] * 15
    table, report = checked(people)
    assert "name" in report.left_out
    assert (report.kept, report.duplicates, len(table)) == (60, 0, 60)


def test_what_was_dropped_is_told_with_the_way_to_keep_it() -> None:
    once = table_with([0, 1] * 20)
    twice = pd.concat([once, once.head(5)], ignore_index=True)
    told = "Rows that repeat an earlier one in every column, left out (-p duplicates=keep keeps them): 5"
    assert told in checked(twice).report.lines()
    assert "Rows that repeat an earlier one in every column, kept: 5" in str(
        checked(twice, duplicates="keep").report
    )


@pytest.mark.parametrize("word", ["None", "NA", "null", "nan", "N/A", "none", "-"])
def test_a_class_may_be_called_as_gaps_are(word: str) -> None:
    values = pd.Series([word, "peanut", "milk", ""] * 20, dtype="str").replace("", None)
    table, report = checked(table_with(values.tolist()))
    assert set(table["y"]) == {word, "peanut", "milk"}
    assert report.missing_target == 20
    assert report.notes == [f"Target 'y': {word!r} (20) kept as words, not taken for gaps"]


def test_gaps_in_a_target_are_named() -> None:
    table, report = checked(table_with(["0", "1"] * 20 + ["NA"] * 5))
    assert (set(table["y"]), report.missing_target) == ({0, 1}, 5)
    assert report.notes == ["Target 'y': values that are no numbers count as missing: 'NA' (5)"]


def test_classes_of_large_numbers_stay_apart() -> None:
    table, _ = checked(table_with(["9007199254740993", "9007199254740992"] * 20))
    assert set(table["y"]) == {"9007199254740993", "9007199254740992"}


def test_truth_values_and_amounts_are_what_they_say() -> None:
    assert set(checked(table_with(["True", "false"] * 20)).table["y"]) == {True, False}
    assert checked(table_with(["1.000,5", *[f"{n},25" for n in range(40)]])).table["y"][0] == 1000.5


@pytest.mark.parametrize(
    ("task", "line"), [("regression", "folds=100 is too much"), (None, "choose fewer folds")]
)
def test_more_folds_than_rows_are_refused(task: Task | None, line: str) -> None:
    values = [float(n) for n in range(60)] if task else ["a", "b"] * 40
    with pytest.raises(InvalidData, match=line):
        checked(table_with(values), task, folds=100)
