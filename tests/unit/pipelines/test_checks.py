"""What is reported of a table, and what stops it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest

from orchestrator import Unfit
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
    with pytest.raises(Unfit) as caught:
        checked(table_with(target), task)
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)
