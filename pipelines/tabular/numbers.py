"""Numbers as people and spreadsheets write them: `12,538.43`, `6.718,50`, `1 200`, `(5)`, `$3`, `12 %`.

Whether a comma is the decimal sign or divides thousands is decided over a whole column, never value by value.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

Decimal: TypeAlias = Literal[".", ","]

#: Words for "no value"; in a column of numbers or dates they are gaps, whatever their share.
MISSING = (
    "na", "n/a", "n.a.", "nan", "-nan", "null", "none", "nil", "nd", "n.d.", "-", "--", "?", ".", "..", "*",
    "missing", "(missing)", "unknown", "not available", "<na>",
    "inf", "-inf", "+inf", "infinity", "-infinity",
    "#n/a", "#n/a n/a", "#na", "#value!", "#ref!", "#div/0!", "#num!", "#name?", "#null!",
    "1.#ind", "1.#qnan", "-1.#ind", "-1.#qnan",
)  # fmt: skip

SAMPLE = 1000  #: values from which it is told that a column cannot hold numbers
_SIGNS = r"US\$|A\$|C\$|R\$|[$€£¥₹₽₩₺₪₫฿¢%]"
_LETTERS = r"(?i:usd|eur|gbp|chf|jpy|cad|aud|inr|rub|pln|czk|sek|nok|dkk|kr\.?|zł|kč|rs\.?)"
_UNIT = f"(?:{_SIGNS}|{_LETTERS})"
_NO_UNIT = r"[\d.,'’+\-−–() \x{00a0}\x{202f}\x{2009}]|[eE][+-]?\d+"
_PLAIN = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
_CODE = r"^0\d{2,}$"  #: 00123 is a code, not a number …
_CODES = 0.01  #: … if so large a share of a column is written so


def _written(decimal: Decimal) -> str:
    """The pattern of numbers with this decimal sign, once units and brackets are gone."""
    thousands = r"\." if decimal == "," else ","
    whole = "|".join(rf"[1-9]\d{{0,2}}(?:{sign}\d{{3}})+" for sign in (thousands, " ", "'"))
    indian = r"|[1-9]\d?(?:,\d{2})+,\d{3}" if decimal == "." else ""
    sign = rf"\{decimal}"
    return rf"^[+-]?(?:(?:\d+|{whole}{indian})(?:{sign}\d*)?|{sign}\d+)(?:[eE][+-]?\d+)?$"


WRITTEN: dict[Decimal, str] = {".": _written("."), ",": _written(",")}


@dataclass(frozen=True)
class Found:
    """What a column of text holds when it is read as numbers."""

    share: float  #: of its values, gaps apart, that are numbers by the better reading
    decimal: Decimal | None  #: the sign that its values decide for; None where they allow both
    matters: bool  #: whether the other sign would give other numbers
    example: str = ""  #: one for which it matters
    numbers: int = 0  #: how many different ones there are
    words: int = 0  #: how many different values are no numbers
    trouble: str = ""  #: why it cannot be read in spite of its share


@dataclass(frozen=True)
class Distinct:
    """The different values of a column of text, with the number of rows that each stands in."""

    values: pa.Array
    counts: np.ndarray

    def __len__(self) -> int:
        return len(self.values)

    def chosen(self, mask: pa.Array) -> Distinct:
        """Those that a mask is true for."""
        mask = pc.fill_null(mask, False)
        return Distinct(self.values.filter(mask), self.counts[mask.to_numpy(zero_copy_only=False)])

    @property
    def rows(self) -> int:
        """How many rows they stand in."""
        return int(self.counts.sum())

    def listed(self, most: int = 3) -> str:
        """The most frequent ones, for a message: `'?' (12), 'n/a' (3)`."""
        order = np.argsort(-self.counts, kind="stable")[:most]
        shown = [f"{self.values[int(place)].as_py()[:30]!r} ({self.counts[place]})" for place in order]
        return ", ".join(shown) + (f" and {len(self) - most} more" if len(self) > most else "")


def distinct(column: pd.Series) -> Distinct:
    """The different texts in a column; gaps left out."""
    counted = pc.value_counts(arrow_text(column).drop_null())
    return Distinct(counted.field("values"), counted.field("counts").to_numpy())


def arrow_text(column: pd.Series) -> pa.Array:
    """A column of text in Arrow, in one piece."""
    found = pa.Array.from_pandas(column, type=pa.large_string())
    return found.combine_chunks() if isinstance(found, pa.ChunkedArray) else found


def is_missing(values: pa.Array) -> pa.Array:
    """Which values are words for "no value"."""
    return pc.is_in(pc.utf8_lower(values), value_set=pa.array(MISSING, values.type))


def are_plain(column: pd.Series) -> pa.Array | None:
    """The values, if each of them is written as programs write numbers; else None."""
    text = arrow_text(column)
    for values in (_sample(text), text):
        if pc.all(pc.match_substring_regex(values, _PLAIN)).as_py() is False:
            return None
    if pc.any(pc.match_substring_regex(text, _CODE)).as_py():
        return None
    return pc.cast(text, pa.float64())


def _sample(values: pa.Array) -> pa.Array:
    """Some of the values, from all over a column: enough to see that it cannot be what is looked for."""
    return values[:: max(1, len(values) // SAMPLE)]


def look_at(values: Distinct) -> Found:
    """Whether different values are numbers, and how they are written."""
    filled = values.chosen(pc.invert(is_missing(values.values)))
    if not _may_be_numbers(filled.values):
        return Found(0.0, None, matters=False)
    if filled.chosen(pc.match_substring_regex(filled.values, _CODE)).rows > _CODES * filled.rows:
        return Found(0.0, None, matters=False)
    bare = _bare(filled.values)
    fits = {sign: pc.match_substring_regex(bare, pattern) for sign, pattern in WRITTEN.items()}
    both = pc.and_(fits["."], fits[","])
    rows = {sign: filled.chosen(pc.and_not(fit, both)).rows for sign, fit in fits.items()}
    common = filled.chosen(both).rows
    share = (max(rows.values()) + common) / filled.rows
    unclear = pc.and_(both, pc.match_substring_regex(bare, "[.,]"))
    open_values = filled.chosen(unclear)
    example = open_values.values[0].as_py() if len(open_values) else ""
    decimal: Decimal | None = None
    if rows["."] != rows[","]:
        decimal = "." if rows["."] > rows[","] else ","
    trouble = _mixture(filled, fits, both, rows)
    if share >= 0.95 and not trouble:
        trouble = _units(filled.chosen(pc.or_(fits["."], fits[","])))
    numbers = int(pc.sum(pc.or_(fits["."], fits[","])).as_py())
    return Found(
        share, decimal, bool(example), example, numbers=numbers, words=len(filled) - numbers, trouble=trouble
    )


def _may_be_numbers(values: pa.Array) -> bool:
    sample = _bare(_sample(values))
    fits = pc.or_(*(pc.match_substring_regex(sample, pattern) for pattern in WRITTEN.values()))
    return (pc.sum(fits).as_py() or 0) > 0.2 * len(sample)


def to_numbers(column: pd.Series, decimal: Decimal = ".") -> pd.Series:
    """A column of text as floats, read with this decimal sign; what is no finite number is missing."""
    text = arrow_text(column)
    if decimal == "." and (numbers := are_plain(column)) is not None:
        return _series(numbers, column)
    encoded = text.dictionary_encode()
    canonical = _canonical(encoded.dictionary, decimal)
    return _series(canonical.take(encoded.indices), column)


def to_truth(column: pd.Series) -> pd.Series:
    """A column of `true` and `false`, in any letters, as 1 and 0."""
    text = pc.utf8_lower(arrow_text(column))
    known = pc.is_in(text, value_set=pa.array(["true", "false"], text.type))
    truth = pc.if_else(known, pc.equal(text, "true"), pa.scalar(None, pa.bool_()))
    return _series(pc.cast(truth, pa.float64()), column)


def are_truth(values: Distinct) -> bool:
    """Whether all values say true or false."""
    words = pc.is_in(pc.utf8_lower(values.values), value_set=pa.array(["true", "false"], values.values.type))
    return len(values) > 0 and bool(pc.all(words).as_py())


def is_number(values: pa.Array, decimal: Decimal) -> pa.Array:
    """Which values are numbers by this decimal sign."""
    return pc.match_substring_regex(_bare(values), WRITTEN[decimal])


def _series(numbers: pa.Array, column: pd.Series) -> pd.Series:
    values = numbers.to_numpy(zero_copy_only=False).astype("float64")
    return pd.Series(np.where(np.isfinite(values), values, np.nan), index=column.index, name=column.name)


def _canonical(values: pa.Array, decimal: Decimal) -> pa.Array:
    bare = _bare(values)
    fits = pc.match_substring_regex(bare, WRITTEN[decimal])
    digits = pc.replace_substring_regex(bare, "[.' ]" if decimal == "," else "[,' ]", "")
    digits = pc.replace_substring(digits, ",", ".")
    return pc.cast(pc.if_else(fits, digits, pa.scalar(None, values.type)), pa.float64())


def _bare(values: pa.Array) -> pa.Array:
    """Values without units; brackets and odd signs as a minus, odd blanks as blanks."""
    values = pc.replace_substring_regex(values, "[\u00a0\u2009\u202f]", " ")
    values = pc.replace_substring_regex(values, "[\u2019`´]", "'")
    values = pc.replace_substring_regex(values, "^[−–]", "-")
    values = pc.replace_substring_regex(values, r"^\((.*)\)$", r"-\1")
    values = pc.replace_substring_regex(values, rf"^([+-]?) ?{_UNIT} ?([+-]?\d.*)$", r"\1\2")
    return pc.replace_substring_regex(values, rf"^(.*\d[.,]?) ?{_UNIT}$", r"\1")


def _mixture(
    filled: Distinct, fits: dict[Decimal, pa.Array], both: pa.Array, rows: dict[Decimal, int]
) -> str:
    """Why a column in which both signs occur as the decimal sign cannot be read."""
    readable = filled.chosen(pc.or_(fits["."], fits[","])).rows
    if min(rows.values()) <= 0.05 * filled.rows or readable < 0.95 * filled.rows:
        return ""
    point, comma = (filled.chosen(pc.and_not(fits[sign], both)).values[0].as_py() for sign in (".", ","))
    return f"numbers with decimal points and with decimal commas ({point!r}, {comma!r})"


def _units(numbers: Distinct) -> str:
    """Why a column cannot be read in which numbers bear different units."""
    units = set(_units_of(numbers.values))
    if len(units) < 2 or (len(units) == 2 and "" in units and "%" not in units):
        return ""
    named = ", ".join(repr(unit) if unit else "none" for unit in sorted(units))
    return f"numbers in different units ({named})"


def _units_of(values: pa.Array) -> Iterator[str]:
    for unit in pc.unique(pc.replace_substring_regex(values, _NO_UNIT, "")):
        yield unit.as_py()
