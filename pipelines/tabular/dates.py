"""Dates as people write them: the order of day, month and year in a whole column, and its values as times."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pandas.api.types import is_datetime64_any_dtype

from pipelines.tabular.numbers import Distinct, arrow_text, is_missing

ISO = "ISO8601"

#: How dates look, and the formats that such a look may have; the time of day is apart from it.
LOOKS: Mapping[str, Sequence[str]] = {
    r"\d{4}-\d{1,2}-\d{1,2}": (ISO,),
    r"\d{4}/\d{1,2}/\d{1,2}": ("%Y/%m/%d",),
    r"\d{4}\.\d{1,2}\.\d{1,2}\.?": ("%Y.%m.%d",),
    r"\d{1,2}/\d{1,2}/\d{4}": ("%d/%m/%Y", "%m/%d/%Y"),
    r"\d{1,2}-\d{1,2}-\d{4}": ("%d-%m-%Y", "%m-%d-%Y"),
    r"\d{1,2}\.\d{1,2}\.\d{4}": ("%d.%m.%Y", "%m.%d.%Y"),
    r"\d{1,2}/\d{1,2}/\d{2}": ("%d/%m/%y", "%m/%d/%y"),
    r"\d{1,2}-\d{1,2}-\d{2}": ("%d-%m-%y", "%m-%d-%y"),
    r"\d{1,2}\.\d{1,2}\.\d{2}": ("%d.%m.%y", "%m.%d.%y"),
    r"\d{1,2}-[A-Za-z]+-\d{4}": ("%d-%b-%Y", "%d-%B-%Y"),
    r"\d{1,2}-[A-Za-z]+-\d{2}": ("%d-%b-%y", "%d-%B-%y"),
    r"\d{1,2} [A-Za-z]+ \d{4}": ("%d %b %Y", "%d %B %Y"),
    r"\d{1,2}[A-Za-z]{3}\d{4}": ("%d%b%Y",),
    r"[A-Za-z]+ \d{1,2}, ?\d{4}": ("%b %d, %Y", "%B %d, %Y"),
    r"[A-Za-z]+ \d{1,2} \d{4}": ("%b %d %Y", "%B %d %Y"),
}
_TIME = r"(?:[T ,:]+\d{1,2}:\d{2}.*)?"
TIMES = ("", " %H:%M", " %H:%M:%S", " %H:%M:%S.%f", " %I:%M %p", " %I:%M:%S %p", "T%H:%M:%S", ", %H:%M")

#: Years outside of these stand for "never" or "always", such as 9999-12-31 and 0001-01-01.
SAMPLE = 1000  #: values from which it is told whether a column may hold dates at all

FIRST_YEAR, LAST_YEAR = 1000, 2900


@dataclass(frozen=True)
class FoundDates:
    """What a column of text holds when it is read as dates."""

    share: float  #: of its values, gaps apart, that are dates by the best reading
    format: str = ""  #: that reading
    other: str = ""  #: another one, with the day and the month the other way round, that fits as well
    example: str = ""  #: a value that would be another day
    trouble: str = ""  #: why it cannot be read in spite of its share


def look_at(values: Distinct) -> FoundDates:
    """Whether different values are dates, and how they are written."""
    filled = values.chosen(pc.invert(is_missing(values.values)))
    if not filled.rows:
        return FoundDates(0.0)
    look = _look(filled)
    if look is None:
        return FoundDates(0.0)
    dates = {each: parse(filled.values, each) for each in LOOKS[look]}
    rows = {each: int(filled.counts[read.notna()].sum()) for each, read in dates.items()}
    best = max(rows, key=lambda each: rows[each])
    share = rows[best] / filled.rows
    swapped = next((each for each in rows if each != best and _swapped(each, best)), None)
    if swapped is None:
        return FoundDates(share, best)
    either = int(filled.counts[(dates[best].notna() | dates[swapped].notna()).to_numpy()].sum())
    if share < 0.95 <= either / filled.rows:
        first = _example(filled, dates[best], dates[swapped])
        second = _example(filled, dates[swapped], dates[best])
        return FoundDates(
            share, best, trouble=f"dates with the day first and with the month first ({first!r}, {second!r})"
        )
    if rows[swapped] < rows[best]:
        return FoundDates(share, best)
    differ = (dates[best] != dates[swapped]) & dates[best].notna() & dates[swapped].notna()
    if not differ.any():
        return FoundDates(share, best)
    return FoundDates(share, best, swapped, filled.values[int(np.argmax(differ.to_numpy()))].as_py())


def to_dates(column: pd.Series, date_format: str) -> pd.Series:
    """A column as times in UTC; what is no date, or no day that may have been meant, is missing."""
    if is_datetime64_any_dtype(column):
        return column.where(~are_placeholders(column))
    encoded = arrow_text(column).dictionary_encode()
    dates = parse(encoded.dictionary, date_format)
    dates = dates.where(~are_placeholders(dates))
    codes = encoded.indices.fill_null(-1).to_numpy()
    return pd.Series(dates.array.take(codes, allow_fill=True), index=column.index, name=column.name)


def are_placeholders(dates: pd.Series) -> pd.Series:
    """Which dates stand for "never" or "always"."""
    years = dates.dt.year
    far: pd.Series = (years < FIRST_YEAR) | (years > LAST_YEAR)
    return far


def parse(values: pa.Array, date_format: str) -> pd.Series:
    """Texts as times in UTC by one format, with or without a time of day; what does not fit is missing."""
    text = pd.Series(values.to_pandas(), dtype="str")
    if date_format == ISO:
        return _read(text, ISO)
    dates = _read(text, date_format)
    for time in TIMES[1:]:
        left = dates.isna() & text.notna()
        if not left.any():
            break
        dates = dates.fillna(_read(text[left], date_format + time))
    return dates


def with_order_of(date_format: str, day_first: bool) -> str:
    """The format with the day before the month, or after it."""
    is_day_first = date_format.index("%d") < date_format.index("%m")
    return date_format if is_day_first == day_first else _swap(date_format)


def is_day_first(date_format: str) -> bool | None:
    """Whether a format has the day before the month; None for one that has the year first or names months."""
    if "%d" not in date_format or "%m" not in date_format or date_format.startswith("%Y"):
        return None
    return date_format.index("%d") < date_format.index("%m")


def _read(text: pd.Series, date_format: str) -> pd.Series:
    dates = pd.to_datetime(text, format=date_format, errors="coerce", utc=True)
    return dates.dt.tz_localize(None).dt.as_unit("us")


def _look(filled: Distinct) -> str | None:
    """The look that most values have, told from a sample over all of the column."""
    sample = filled.values[:: max(1, len(filled) // SAMPLE)]
    votes = {
        look: pc.sum(pc.match_substring_regex(sample, f"^{look}{_TIME}$")).as_py() or 0 for look in LOOKS
    }
    best = max(votes, key=lambda look: votes[look])
    return best if votes[best] >= 0.5 * len(sample) else None


def _swapped(one: str, other: str) -> bool:
    return _swap(one) == other


def _swap(date_format: str) -> str:
    return date_format.translate(str.maketrans("dm", "md"))


def _example(filled: Distinct, only: pd.Series, without: pd.Series) -> str:
    found: Iterator[int] = iter(np.flatnonzero((only.notna() & without.isna()).to_numpy()))
    return str(filled.values[int(next(found))].as_py())
