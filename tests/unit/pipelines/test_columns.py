"""What columns are taken for."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import pytest

from orchestrator import InvalidData
from pipelines.tabular.columns import Layout, as_dates, as_numbers, kind_of, lay_out, task_of
from pipelines.tabular.conventions import Kind
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
        InvalidData, match="no column is left to predict 'y' from: 'planet' is the same in every row"
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


def text(*values: str | None) -> pd.Series:
    """A column as it is read from a CSV file."""
    return pd.Series(list(values), dtype="str")


def laid_out(target: str = "y", **columns: pd.Series) -> Layout:
    """The layout of a table with these columns, and a target if they hold none."""
    rows = len(next(iter(columns.values())))
    return lay_out(pd.DataFrame({"y": [0.5 + row for row in range(rows)], **columns}), target)


def read_as(layout: Layout, name: str, column: pd.Series) -> list[float]:
    """A column's values as its layout says."""
    return as_numbers(column, layout.formats.get(name, "")).tolist()


WRITTEN_NUMBERS: dict[str, tuple[list[str], list[float]]] = {
    "thousands": (["12,538.43", "1,200", "5"], [12538.43, 1200, 5]),
    "decimal commas": (["1,5", "2,25", "3"], [1.5, 2.25, 3]),
    "points for thousands": (["6.718", "1.234.567,8", "3"], [6718, 1234567.8, 3]),
    "blanks for thousands": (["1 200,5", "3\u00a0400", "7\u202f000"], [1200.5, 3400, 7000]),
    "apostrophes": (["1'200.5", "1’300", "7"], [1200.5, 1300, 7]),
    "lakhs": (["1,00,000.50", "5,000", "7"], [100000.5, 5000, 7]),
    "currency": (["$1,200.50", "-$5", "($7)"], [1200.5, -5, -7]),
    "currency behind": (["1.234,50 €", "5 €", "7,5 €"], [1234.5, 5, 7.5]),
    "percent": (["12%", "13 %", "5.5%"], [12, 13, 5.5]),
    "exponents": (["1e5", "2E-3", "+5"], [1e5, 2e-3, 5]),
    "minus signs": (["−5", "-6", "7"], [-5, -6, 7]),
    "truth values": (["TRUE", "false", "True"], [1, 0, 1]),
}


@pytest.mark.parametrize(("values", "numbers"), WRITTEN_NUMBERS.values(), ids=WRITTEN_NUMBERS)
def test_numbers_are_read_as_people_write_them(values: list[str], numbers: list[float]) -> None:
    column = text(*values)
    layout = laid_out(x=column)
    assert layout.kinds == {"x": "number"}
    assert read_as(layout, "x", column) == numbers
    assert layout.notes == []


def test_a_point_divides_thousands_where_other_columns_have_decimal_commas() -> None:
    people = text("6.718", "12.538", "1.000")
    layout = laid_out(people=people, share=text("1,5", "2,25", "3"))
    assert read_as(layout, "people", people) == [6718, 12538, 1000]
    assert len(layout.notes) == 1
    assert "'people': '6.718' was read with the comma as the decimal sign, as in other" in layout.notes[0]


def test_what_no_column_decides_is_said_and_can_be_chosen() -> None:
    people = text("6.718", "12.538", "1.000")
    table = pd.DataFrame({"people": people, "y": [0.5, 1.5, 2.5]})
    layout = lay_out(table, "y")
    assert read_as(layout, "people", people) == [6.718, 12.538, 1]
    assert "which no value decides (-p decimal=',' reads it the other way)" in layout.notes[0]
    chosen = lay_out(table, "y", decimal=",")
    assert read_as(chosen, "people", people) == [6718, 12538, 1000]
    assert chosen.notes == []


UNREADABLE = {
    "both decimal signs": (
        ["1.5", "2,5"],
        "numbers with decimal points and with decimal commas ('1.5', '2,5')",
    ),
    "currencies": (["$5", "6 EUR"], "numbers in different units ('$', 'EUR')"),
    "percents and none": (["5%", "0.05"], "numbers in different units (none, '%')"),
    "both orders": (
        ["31/01/2024", "01/31/2024"],
        "dates with the day first and with the month first ('31/01/2024', '01/31/2024')",
    ),
    "numbers and words": (
        [*map(str, range(40)), "about 40", "some", "a lot", "few"],
        "different in most rows, and not all numbers: 'about 40' (1), 'some' (1), 'a lot' (1) and 1 more",
    ),
}


@pytest.mark.parametrize(("values", "reason"), UNREADABLE.values(), ids=UNREADABLE)
def test_a_column_that_cannot_be_read_is_left_out_with_the_reason(values: list[str], reason: str) -> None:
    column = text(*values)
    used = pd.Series([float(number * 2) for number in range(len(column))])
    assert laid_out(x=column, used=used).left_out == {"x": reason}


def test_a_target_that_cannot_be_read_stops_the_run_with_the_reason() -> None:
    with pytest.raises(InvalidData, match="the target 'y' holds numbers with decimal points and with"):
        laid_out(y=text("1.5", "2,5", "3.5"), x=text("1", "2", "4"))


def test_words_for_gaps_among_numbers_are_gaps_and_named() -> None:
    column = text(*[str(number) for number in range(0, 180, 2)], *["?"] * 10)
    layout = laid_out(x=column)
    assert layout.kinds == {"x": "number"}
    assert layout.notes == ["Column 'x': values that are no numbers count as missing: '?' (10)"]


def test_words_among_words_stay_words_and_are_named() -> None:
    layout = laid_out(x=text(*["yes", "None", "NA", "?"] * 10))
    assert layout.kinds == {"x": "category"}
    assert layout.notes == [
        "Column 'x': 'None' (10), 'NA' (10) kept as words, not taken for gaps",
        "Column 'x': values count as missing: '?' (10)",
    ]


def test_codes_with_leading_zeros_are_no_numbers() -> None:
    assert kind_of(text("00123", "04567", "12345")) == "category"
    assert kind_of(text("01", "02", "12")) == "number"


WRITTEN_DATES = {
    "31-12-2024": "2024-12-31",
    "05-Jan-2024": "2024-01-05",
    "5 January 2024": "2024-01-05",
    "January 5, 2024": "2024-01-05",
    "05JAN2024": "2024-01-05",
    "2024/01/31": "2024-01-31",
    "31.12.2024 17:30": "2024-12-31 17:30",
    "12/31/2024 05:30 PM": "2024-12-31 17:30",
    "2024-01-31T10:00:00+02:00": "2024-01-31 08:00",
}


@pytest.mark.parametrize(("written", "meant"), WRITTEN_DATES.items())
def test_dates_are_read_as_people_write_them(written: str, meant: str) -> None:
    column = text(written, None)
    assert kind_of(column) == "date"
    assert as_dates(column)[0] == pd.Timestamp(meant)


def test_the_order_of_day_and_month_is_that_of_the_other_dates_and_said() -> None:
    unclear = text("01/02/2024", "03/04/2024")
    layout = laid_out(sold=unclear, built=text("12/31/2020", "01/01/2021"))
    assert layout.formats == {"sold": "%m/%d/%Y", "built": "%m/%d/%Y"}
    assert "'01/02/2024' was read with the month first, as in other columns" in layout.notes[0]


def test_an_order_that_nothing_decides_is_said_and_can_be_chosen() -> None:
    table = pd.DataFrame({"sold": text("01-02-2024", "03-04-2024"), "y": [0.5, 1.5]})
    layout = lay_out(table, "y")
    assert as_dates(table["sold"], layout.formats["sold"])[0] == pd.Timestamp("2024-02-01")
    assert "with the day first, which no value decides (-p day_order=month-first" in layout.notes[0]
    chosen = lay_out(table, "y", day_order="month-first")
    assert as_dates(table["sold"], chosen.formats["sold"])[0] == pd.Timestamp("2024-01-02")
    assert chosen.notes == []


@pytest.mark.parametrize("typed", [False, True])
def test_dates_that_mean_never_are_gaps_and_named(typed: bool) -> None:
    column = text("2024-01-31", "9999-12-31", "0001-01-01", "2024-02-01")
    if typed:  # as a Parquet file has them
        column = pd.Series(pd.to_datetime(column, format="ISO8601").dt.as_unit("us"))
    layout = laid_out(until=column)
    prepared = prepare_inputs(pd.DataFrame({"until": column}), layout)
    assert prepared["until.year"].isna().tolist() == [False, True, True, False]
    assert len(layout.notes) == 1
    assert "dates too far away to be meant count as missing: " in layout.notes[0]


def test_the_parts_of_a_date_overwrite_no_other_column() -> None:
    table = pd.DataFrame(
        {
            "sold": ["2024-01-31", "2024-02-01"],
            "sold.year": [7.5, 8.5],
            "sold.date.day": [1.5, 2.5],
            "y": [0.5, 1.5],
        }
    )
    prepared = prepare_inputs(table, lay_out(table, "y"))
    assert prepared["sold.year"].tolist() == [7.5, 8.5]
    assert prepared["sold.date.date.year"].tolist() == [2024, 2024]
    assert prepared.columns.is_unique
