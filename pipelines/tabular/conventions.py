"""Conventions: how a file writes numbers and dates, by each column, and by all where one leaves it open."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias, TypeVar

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pandas.api.types import is_datetime64_any_dtype, is_numeric_dtype

from pipelines.tabular import dates, numbers
from pipelines.tabular.numbers import Decimal, Distinct, distinct

Kind: TypeAlias = Literal["number", "category", "date"]
DayOrder: TypeAlias = Literal["auto", "day-first", "month-first"]

NO_WORD = r"^(?i:\?+|#n/a(?: n/a)?|#na|#(?:value|ref|div/0|num|null)!|#name\?|<na>)$"  #: a gap
TRUTH = "true/false"  #: the format of numbers that are written in these words
MOSTLY = 0.95  #: the share of a column's values that must be numbers, or dates, for it to count as such
FEW_WORDS = 3  #: or so few different words stand among many different numbers
MANY_NUMBERS = 20

_LIKE_THOUSANDS = r"^[+-]?[1-9]\d{0,2}\.\d{3}$"  #: 6.718 may be 6718
T = TypeVar("T")


@dataclass(frozen=True)
class Look:
    """What one column holds as far as its own values tell."""

    kind: Kind
    values: Distinct | None = None  #: of a column of text; None where nothing is left to be decided
    numbers: numbers.Found | None = None
    dates: dates.FoundDates | None = None
    decimal: Decimal | None = None  #: the sign that the values decide for, if they do
    day_first: bool | None = None  #: likewise
    far: int = 0  #: how many dates are too far away to be meant


@dataclass(frozen=True)
class Settled:
    """What a column holds, and how it is read."""

    kind: Kind
    format: str = ""
    notes: list[str] = field(default_factory=list)
    trouble: str = ""  #: why it cannot be read
    nearly: str = ""  #: what keeps it from being numbers


def look_over(column: pd.Series) -> Look:
    """What the column's own values tell."""
    if is_datetime64_any_dtype(column):
        return Look("date", far=int(dates.are_placeholders(column).sum()))
    if is_numeric_dtype(column) or column.notna().sum() == 0:
        return Look("number")
    if (plain := _plain(column)) is not None:
        return plain
    values = distinct(column)
    if numbers.are_truth(values):
        return Look("number", values)
    as_numbers = numbers.look_at(values)
    if _are_numbers(as_numbers):
        return Look("number", values, as_numbers, decimal=as_numbers.decimal)
    as_dates = dates.look_at(values)
    if as_dates.share >= MOSTLY or as_dates.trouble:
        order = None if as_dates.other else dates.is_day_first(as_dates.format)
        return Look("date", values, as_numbers, as_dates, day_first=order)
    return Look("category", values, as_numbers)


def settle(
    looks: Mapping[str, Look], decimal: Decimal | Literal["auto"], day_order: DayOrder
) -> dict[str, Settled]:
    """How each column is read: by its own values, else as asked for, else as the others are."""
    common_decimal: Decimal | None = _agreed(look.decimal for look in looks.values())
    common_order: bool | None = _agreed(look.day_first for look in looks.values())
    settled: dict[str, Settled] = {}
    for name, look in looks.items():
        if look.values is None:
            far = f"dates too far away to be meant count as missing: {look.far}"
            settled[name] = Settled(look.kind, notes=[far] if look.far else [])
        elif look.dates:
            settled[name] = _settle_dates(look.values, look.dates, day_order, common_order)
        elif look.kind == "category":
            settled[name] = _settle_words(look.values, look.numbers)
        elif look.numbers:
            settled[name] = _settle_numbers(look.values, look.numbers, decimal, common_decimal)
        else:
            settled[name] = Settled("number", TRUTH)
    return settled


def _plain(column: pd.Series) -> Look | None:
    """The look of a column of numbers as programs write them, where it is clear what their points mean."""
    if numbers.are_plain(column) is None:
        return None
    text = numbers.arrow_text(column)
    points = text.filter(pc.fill_null(pc.match_substring(text, "."), False))
    if not len(points):
        return Look("number")
    if pc.all(pc.match_substring_regex(points, _LIKE_THOUSANDS)).as_py():
        return None
    return Look("number", decimal=".")


def _are_numbers(found: numbers.Found) -> bool:
    few_words = found.share >= 0.5 and found.words <= FEW_WORDS and found.numbers > MANY_NUMBERS
    return found.share >= MOSTLY or few_words or bool(found.trouble)


def _settle_numbers(
    values: Distinct, found: numbers.Found, asked: Decimal | Literal["auto"], common: Decimal | None
) -> Settled:
    if found.trouble:
        return Settled("number", trouble=found.trouble)
    notes = []
    decimal: Decimal = found.decimal or (asked if asked != "auto" else common) or "."
    if found.matters and not found.decimal and asked == "auto":
        why = "as in other columns" if common else "which no value decides"
        sign, other = ("comma", ".") if decimal == "," else ("point", ",")
        notes.append(
            f"{found.example!r} was read with the {sign} as the decimal sign, {why} (-p decimal={other!r} "
            "reads it the other way)"
        )
    words = values.chosen(pc.invert(numbers.is_number(values.values, decimal)))
    if words.rows:
        notes.append(f"values that are no numbers count as missing: {words.listed()}")
    return Settled("number", "," if decimal == "," else "", notes)


def _settle_dates(values: Distinct, found: dates.FoundDates, asked: DayOrder, common: bool | None) -> Settled:
    if found.trouble:
        return Settled("date", trouble=found.trouble)
    notes, date_format = [], found.format
    if found.other:
        day_first = common is not False if asked == "auto" else asked == "day-first"
        date_format = dates.with_order_of(date_format, day_first)
        first, other = ("day", "month-first") if day_first else ("month", "day-first")
        why = "as in other columns" if common is not None else "which no value decides"
        if asked == "auto":
            notes.append(
                f"{found.example!r} was read with the {first} first, {why} (-p day_order={other} reads it "
                "the other way)"
            )
    if date_format.endswith("%y"):
        notes.append("years of two digits were read as 1969 to 2068")
    read = dates.parse(values.values, date_format)
    words = values.chosen(pa.array(read.isna()))
    if words.rows:
        notes.append(f"values that are no dates count as missing: {words.listed()}")
    never = values.chosen(pa.array(dates.are_placeholders(read)))
    if never.rows:
        notes.append(f"dates too far away to be meant count as missing: {never.listed()}")
    return Settled("date", "" if date_format == dates.ISO else date_format, notes)


def _settle_words(values: Distinct, found: numbers.Found | None) -> Settled:
    gaps = values.chosen(pc.match_substring_regex(values.values, NO_WORD))
    kept = values.chosen(
        pc.and_not(numbers.is_missing(values.values), pc.match_substring_regex(values.values, NO_WORD))
    )
    notes = [f"{kept.listed()} kept as words, not taken for gaps"] if kept.rows else []
    if gaps.rows:
        notes.append(f"values count as missing: {gaps.listed()}")
    nearly = ""
    if found and found.share >= 0.5:
        known = pc.or_(*(numbers.is_number(values.values, sign) for sign in (".", ",")))
        others = values.chosen(pc.invert(known))
        nearly = f"different in most rows, and not all numbers: {others.listed()}"
    return Settled("category", "", notes, nearly=nearly)


def _agreed(found: Iterable[T | None]) -> T | None:
    """What all that say something say."""
    known = {each for each in found if each is not None}
    return known.pop() if len(known) == 1 else None
