"""Columns: what each column of a table holds, which ones a model can learn from, and what the target asks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import pandas as pd
from pandas.api.types import is_bool_dtype, is_datetime64_any_dtype, is_integer_dtype, is_numeric_dtype

from orchestrator import Unfit
from workers.training import Task

Kind: TypeAlias = Literal["number", "category", "date"]

#: Tried in this order, and the first that fits most is taken: 03/04/2025 is in April if the others may be.
DATE_FORMATS = (
    "ISO8601",
    "%d/%m/%Y",
    "%m/%d/%Y",
    "%d.%m.%Y",
    "%Y/%m/%d",
    "%d/%m/%Y %H:%M",
    "%m/%d/%Y %H:%M",
    "%d.%m.%Y %H:%M",
)
MOSTLY = 0.95  #: the share of a column's values that must be numbers, or dates, for it to count as such
MANY_CATEGORIES = 20  #: a text column with more different values than this is looked at twice …
IDENTIFYING = 0.5  #: … and left out if they are more than this share of its values
MOST_CLASSES = 20  #: whole numbers with more different values than this are amounts, not classes


@dataclass(frozen=True)
class Layout:
    """How a table is read: target and task, the columns to learn from, and why not from the others."""

    target: str
    task: Task
    kinds: dict[str, Kind]
    left_out: dict[str, str]  #: column: reason


def lay_out(table: pd.DataFrame, target: str, task: Task | Literal["auto"] = "auto") -> Layout:
    """Find out what a table's columns are; raises Unfit if none is left to learn from."""
    columns = {name: table[name] for name in table.columns.drop(target)}
    useless = {name: _useless(column) for name, column in columns.items()}
    left_out = {name: reason for name, reason in useless.items() if reason}
    kinds = {name: kind_of(column) for name, column in columns.items() if name not in left_out}
    if not kinds:
        reasons = ", ".join(f"'{name}' is {reason}" for name, reason in left_out.items())
        raise Unfit(f"no column is left to predict '{target}' from: {reasons}")
    return Layout(target, task_of(table[target]) if task == "auto" else task, kinds, left_out)


def kind_of(column: pd.Series) -> Kind:
    """What a column holds; text counts as numbers or dates if nearly all of it can be read as such."""
    if is_datetime64_any_dtype(column):
        return "date"
    if is_numeric_dtype(column):
        return "number"
    filled = column.dropna()
    if as_numbers(filled).notna().mean() >= MOSTLY:
        return "number"
    if as_dates(filled).notna().mean() >= MOSTLY:
        return "date"
    return "category"


def task_of(target: pd.Series) -> Task:
    """Text, truth values and few different whole numbers are classes; other numbers are amounts."""
    values = target.dropna()
    if is_bool_dtype(values) or kind_of(values) != "number":
        return "classification"
    numbers = as_numbers(values)
    few = numbers.nunique() <= max(2, min(MOST_CLASSES, len(numbers) // 10))
    return "classification" if few and (numbers % 1 == 0).all() else "regression"


def as_numbers(column: pd.Series) -> pd.Series:
    """The column as floats; what is no finite number is missing."""
    return pd.to_numeric(column, errors="coerce").astype("float64").replace([np.inf, -np.inf], np.nan)


def as_text(column: pd.Series) -> pd.Series:
    """The column as text without blanks around it; what is then empty is missing."""
    text = column.map(str, na_action="ignore").astype("str").str.strip()
    return text.where(text != "")


def as_dates(column: pd.Series) -> pd.Series:
    """The column as times in UTC, by the format that fits most of it; what does not fit is missing."""
    if is_datetime64_any_dtype(column):
        return column
    return max(_readings(column), key=lambda dates: int(dates.notna().sum()))


def _readings(column: pd.Series) -> Iterator[pd.Series]:
    for date_format in DATE_FORMATS:
        dates = pd.to_datetime(column, format=date_format, errors="coerce", utc=True)
        yield dates.dt.tz_localize(None)


def _useless(column: pd.Series) -> str | None:
    """Why nothing can be learnt from a column, if so."""
    filled = column.dropna()
    if filled.empty:
        return "empty"
    if filled.nunique() == 1 and len(filled) == len(column):
        return "the same in every row"
    if is_integer_dtype(column) and len(column) > 1 and (column.diff().iloc[1:] == 1).all():
        return "a row number"
    if filled.nunique() > max(MANY_CATEGORIES, IDENTIFYING * len(filled)) and kind_of(column) == "category":
        return "different in most rows, like a name or an id"
    return None
