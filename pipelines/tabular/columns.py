"""Columns: what each column of a table holds, which ones a model can learn from, and what the target asks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pandas as pd
from pandas.api.types import is_bool_dtype, is_datetime64_any_dtype, is_numeric_dtype, is_string_dtype

from orchestrator import InvalidData
from pipelines.tabular import dates, numbers
from pipelines.tabular.conventions import NO_WORD, TRUTH, DayOrder, Kind, Settled, look_over, settle
from pipelines.tabular.numbers import Decimal
from workers.training import Task

MANY_CATEGORIES = 20  #: a text column with more different values than this is looked at twice …
IDENTIFYING = 0.5  #: … and left out if they are more than this share of its values
NOT_EXACT = 2**53  #: floats hold whole numbers below it
MOST_CLASSES = 20  #: whole numbers with more different values than this are amounts, not classes


@dataclass(frozen=True)
class Layout:
    """How a table is read: target and task, the columns to learn from, and why not from the others."""

    target: str
    task: Task
    kinds: dict[str, Kind]
    left_out: dict[str, str]  #: column: reason
    #: How text is read, where there is more than one way: a decimal comma, the order of day and month
    formats: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)  #: what had to be assumed, and what counts as missing


def lay_out(
    table: pd.DataFrame,
    target: str,
    task: Task | Literal["auto"] = "auto",
    decimal: Decimal | Literal["auto"] = "auto",
    day_order: DayOrder = "auto",
    group: str | None = None,
) -> Layout:
    """Find out what a table's columns are; raises InvalidData if none is left to learn from.

    Nothing is learnt from the column that says which rows belong together (`group`).

    Each is decided over all of its rows. Where its own values allow several readings, what the other columns
    decide for holds, or what the caller says.
    """
    held = settle({name: look_over(table[name]) for name in table.columns}, decimal, day_order)
    if held[target].trouble:
        raise InvalidData(f"the target '{target}' holds {held[target].trouble}: write all of them in one way")
    columns = table.columns.drop(target)
    useless = {
        name: "it says which rows belong together" if name == group else _useless(table[name], held[name])
        for name in columns
    }
    left_out = {name: reason for name, reason in useless.items() if reason}
    used = {name: held[name] for name in columns if name not in left_out}
    if not used:
        reasons = ", ".join(f"'{name}' is {reason}" for name, reason in left_out.items())
        raise InvalidData(f"no column is left to predict '{target}' from: {reasons}")
    return Layout(
        target,
        _task_of(table[target], held[target]) if task == "auto" else task,
        {name: each.kind for name, each in used.items()},
        left_out,
        {name: each.format for name, each in {target: held[target], **used}.items() if each.format},
        [*_notes({target: held[target]}, "target"), *_notes(used, "column")],
    )


def kind_of(column: pd.Series) -> Kind:
    """What a column holds; text counts as numbers or dates if nearly all of it can be read as such."""
    return _held(column).kind


def task_of(target: pd.Series) -> Task:
    """Text, truth values and few different whole numbers are classes; other numbers are amounts."""
    return _task_of(target, _held(target))


def as_numbers(column: pd.Series, number_format: str | None = None) -> pd.Series:
    """The column as floats; what is no finite number is missing. Text is read as its layout's format says."""
    if not _is_text(column):
        found = pd.to_numeric(column, errors="coerce").astype("float64")
        return found.replace([np.inf, -np.inf], np.nan)
    number_format = _held(column).format if number_format is None else number_format
    if number_format == TRUTH:
        return numbers.to_truth(column)
    return numbers.to_numbers(column, "," if number_format == "," else ".")


def as_text(column: pd.Series) -> pd.Series:
    """The column as text without blanks around it; what is then empty, `?` or `#N/A` is missing."""
    if not _is_text(column):
        column = column.map(str, na_action="ignore").astype("str")
    text = column.astype("str").str.strip()
    return text.where((text != "") & ~text.str.contains(NO_WORD, na=False))


def as_classes(column: pd.Series, kind: Kind, written: str) -> pd.Series:
    """The classes in a target, gaps left out: truth values, whole numbers, or the words as they are."""
    if is_bool_dtype(column):
        return column
    if written == TRUTH:
        return as_numbers(column, written).dropna().astype("bool")
    if kind != "number":
        return as_text(column).dropna()
    values = as_numbers(column, written).dropna()
    if not (values % 1 == 0).all():
        return values.map(str).astype("str")
    if values.abs().max() >= NOT_EXACT:  # as floats, neighbours would become one class
        return as_text(column.loc[values.index])
    return values.astype("int64")


def as_dates(column: pd.Series, date_format: str | None = None) -> pd.Series:
    """The column as times in UTC; what is no date is missing. Text is read as its layout's format says."""
    if not is_datetime64_any_dtype(column) and date_format is None:
        date_format = _held(column).format
    return dates.to_dates(column, date_format or dates.ISO)


def dates_of(table: pd.DataFrame, layout: Layout) -> dict[str, pd.Series]:
    """The times in each column of dates to learn from."""
    return {
        name: as_dates(table[name], layout.formats.get(name))
        for name, kind in layout.kinds.items()
        if kind == "date"
    }


def _held(column: pd.Series) -> Settled:
    """What a column holds if there is no other column beside it."""
    return settle({"": look_over(column)}, "auto", "auto")[""]


def _is_text(column: pd.Series) -> bool:
    return is_string_dtype(column.dtype) and not is_numeric_dtype(column)


def _task_of(target: pd.Series, held: Settled) -> Task:
    if is_bool_dtype(target) or held.kind != "number" or held.format == TRUTH:
        return "classification"
    values = as_numbers(target, held.format).dropna()
    few = values.nunique() <= max(2, min(MOST_CLASSES, len(values) // 10))
    return "classification" if few and (values % 1 == 0).all() else "regression"


def _useless(column: pd.Series, held: Settled) -> str | None:
    """Why nothing can be learnt from a column, if so."""
    if column.notna().sum() == 0:
        return "empty"
    if held.trouble:
        return held.trouble
    if held.kind == "number":
        values = as_numbers(column, held.format)
        if values.notna().all() and values.min() == values.max():
            return "the same in every row"
        counts_up = len(values) > 1 and (values.diff().iloc[1:] == 1).all()
        return "a row number" if counts_up and (values % 1 == 0).all() else None
    different = column.nunique()
    filled = int(column.notna().sum())
    if different == 1 and filled == len(column):
        return "the same in every row"
    if held.kind == "category" and different > max(MANY_CATEGORIES, IDENTIFYING * filled):
        return held.nearly or "different in most rows, like a name or an id"
    return None


def _notes(held: Mapping[str, Settled], what: str) -> list[str]:
    return [f"{what.capitalize()} '{name}': {note}" for name, each in held.items() for note in each.notes]
