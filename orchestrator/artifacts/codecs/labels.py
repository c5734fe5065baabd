"""What a frame has beside its columns' values: index, column names, their frequencies, attributes."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, TypeAlias, cast

import pandas as pd

from orchestrator.artifacts.errors import WrongValue
from orchestrator.artifacts.tree import Json

Index: TypeAlias = "pd.Index[Any]"


def freq_of(index: Index, where: str) -> str | None:
    """The frequency of an index of times as text; one that text does not give back is refused."""
    freq = getattr(index, "freq", None)
    if freq is None or not isinstance(index, pd.DatetimeIndex | pd.TimedeltaIndex):
        return None
    text = cast("str", freq.freqstr)
    try:
        returned = pd.tseries.frequencies.to_offset(text)
    except ValueError:
        returned = None
    if returned != freq:
        raise WrongValue(
            f"is a table whose {where} with the frequency {freq!r} would not come back the same",
            hint="The times themselves would: take it away, for example with frame.index.freq = None.",
        )
    return text


def with_freq(index: Index, text: str | None) -> Index:
    """The index with its frequency again."""
    if not text or not isinstance(index, pd.DatetimeIndex | pd.TimedeltaIndex):
        return index
    return cast("Index", type(index)(index, freq=text))


def columns_text(columns: Index) -> dict[str, Json]:
    """What Arrow forgets of column names."""
    text: dict[str, Json] = {"freq": freq_of(columns, "column names")}
    if isinstance(columns, pd.RangeIndex):
        text["range"] = [columns.start, columns.stop, columns.step]
    elif columns.nlevels == 1 and (columns.dtype == object or isinstance(columns.dtype, pd.StringDtype)):
        text["dtype"] = str(columns.dtype)
    return text


def columns_as_they_were(columns: Index, text: dict[str, Any]) -> Index:
    """The reverse of `columns_text`."""
    if text.get("range"):
        start, stop, step = text["range"]
        return cast("Index", pd.RangeIndex(start, stop, step, name=columns.name))
    if text.get("dtype") in ("object", "string", "str"):
        columns = columns.astype(text["dtype"])
    return with_freq(columns, text.get("freq"))


def same_columns(before: Index, after: Index) -> bool:
    """Whether column names came back as they were, with their types."""
    if type(before) is not type(after) or list(before.names) != list(after.names):
        return False
    if not before.equals(after) or levels_of(before) != levels_of(after):
        return False
    return all(type(one) is type(other) for one, other in zip(before, after, strict=True))


def check_index(before: Index, after: Index) -> None:
    """Refuse an index that would come back with other names or types; `after` has no rows."""
    if isinstance(before, pd.RangeIndex):
        return  # kept in Arrow's own metadata, for a table with its rows
    lost = before.dtype == object and not isinstance(before, pd.MultiIndex) and _holds_odd(before)
    if lost or type(before) is not type(after) or levels_of(before) != levels_of(after):
        raise WrongValue(
            f"is a table whose index {levels_of(before)} would come back as {levels_of(after)}",
            hint="Move it into columns with frame.reset_index(), or give it one type.",
        )


def levels_of(index: Index) -> list[tuple[Hashable, str]]:
    """The name and the type of each level."""
    levels = index.levels if isinstance(index, pd.MultiIndex) else [index]
    return [(name, shown_type(level.dtype)) for name, level in zip(index.names, levels, strict=True)]


def _holds_odd(index: Index) -> bool:
    """Whether an index of Python objects holds others than those that Arrow gives back."""
    return index.inferred_type not in ("string", "bytes", "date", "decimal", "empty")


def shown_type(dtype: object) -> str:
    """A type in which two that differ differ: categories show what they are categories of."""
    if isinstance(dtype, pd.CategoricalDtype):
        kind = dtype.categories.dtype if dtype.categories is not None else None
        return f"category of {shown_type(kind)}"
    return repr(dtype) if isinstance(dtype, pd.StringDtype) else str(dtype)


def check_attributes(attributes: dict[Hashable, Any]) -> None:
    """Refuse attributes that JSON would change or lose."""
    for name, value in attributes.items():
        if type(name) is not str or not _is_json(value):
            raise WrongValue(
                f"is a table whose attrs[{name!r}] is no JSON value and would not come back the same",
                hint="Make it one (text keys; lists instead of tuples; float(x) of NumPy's), or remove it.",
            )


def _is_json(value: object) -> bool:
    if isinstance(value, dict):
        return type(value) is dict and all(type(key) is str and _is_json(part) for key, part in value.items())
    if isinstance(value, list):
        return type(value) is list and all(map(_is_json, value))
    return value is None or type(value) in (bool, int, float, str)
