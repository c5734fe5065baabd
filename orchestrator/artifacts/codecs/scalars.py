"""Codecs of single values that JSON writes, or that have one exact spelling as text."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from enum import Enum
from typing import Final
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from orchestrator.artifacts.codec import Codec
from orchestrator.artifacts.errors import WrongValue
from orchestrator.artifacts.tree import Json

#: How floats that JSON has no sign for are written.
NON_FINITE: Final = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def unboxed(value: object) -> object:
    """The Python value of a NumPy scalar; anything else as it is. NumPy is not imported for it."""
    numpy = sys.modules.get("numpy")
    if numpy is None or not isinstance(value, numpy.generic):
        return value
    return value.item()


def float_word(value: float) -> str:
    """The word for a float that is not finite."""
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


class NoneCodec(Codec):
    def __init__(self) -> None:
        super().__init__("None", plain=True, exact=type(None))

    def to_json(self, value: object) -> Json:
        if value is not None:
            raise self.wrong(value)
        return None

    def from_json(self, value: Json) -> object:
        return self.to_json(value)

    def fits(self, value: Json) -> bool:
        return value is None


class BoolCodec(Codec):
    def __init__(self) -> None:
        super().__init__("bool", plain=True, exact=bool)

    def to_json(self, value: object) -> Json:
        if value is True or value is False:
            return value
        plain = unboxed(value)
        if not isinstance(plain, bool):
            raise self.wrong(value)
        return plain

    def from_json(self, value: Json) -> object:
        return self.to_json(value)

    def fits(self, value: Json) -> bool:
        return isinstance(value, bool)


class IntCodec(Codec):
    def __init__(self) -> None:
        super().__init__("int", plain=True, exact=int)

    def to_json(self, value: object) -> Json:
        if type(value) is int:
            return value
        plain = unboxed(value)
        if not isinstance(plain, int) or isinstance(plain, bool):
            raise self.wrong(value)
        return int(plain)

    def from_json(self, value: Json) -> object:
        return self.to_json(value)

    def fits(self, value: Json) -> bool:
        return type(value) is int


class FloatCodec(Codec):
    """Takes integers too, as Python's own annotations do."""

    def __init__(self) -> None:
        super().__init__("float", plain=True, exact=float)

    def to_json(self, value: object) -> Json:
        if type(value) is not float:
            plain = unboxed(value)
            if not isinstance(plain, (int, float)) or isinstance(plain, bool):
                raise self.wrong(value)
            try:
                value = float(plain)
            except OverflowError:
                raise WrongValue("is an integer too large for float") from None
        return value if math.isfinite(value) else float_word(value)

    def from_json(self, value: Json) -> object:
        if type(value) is float:
            return value
        if isinstance(value, str) and value in NON_FINITE:
            return NON_FINITE[value]
        if isinstance(value, int) and not isinstance(value, bool):
            return float(value)
        raise self.wrong(value)

    def fits(self, value: Json) -> bool:
        return type(value) is float or (isinstance(value, str) and value in NON_FINITE)


class StrCodec(Codec):
    def __init__(self) -> None:
        super().__init__("str", plain=True, exact=str)

    def to_json(self, value: object) -> Json:
        if type(value) is str:
            return value
        if not isinstance(value, str):
            raise self.wrong(value)
        return str.__str__(value)

    def from_json(self, value: Json) -> object:
        return self.to_json(value)

    def fits(self, value: Json) -> bool:
        return isinstance(value, str)


class TextCodec(Codec):
    """Values of one class with an exact spelling."""

    def __init__(self, cls: type, write: Callable[..., str], read: Callable[[str], object]) -> None:
        super().__init__(cls.__name__, plain=True, exact=cls)
        self._cls, self._write, self._read = cls, write, read

    def to_json(self, value: object) -> Json:
        if type(value) is not self._cls:
            raise self.wrong(value)
        return self._write(value)

    def from_json(self, value: Json) -> object:
        if not isinstance(value, str):
            raise self.wrong(value)
        try:
            return self._read(value)
        except (ValueError, InvalidOperation, ZoneInfoNotFoundError) as error:
            raise WrongValue(f"is {value!r} in the store, which is no {self.label}") from error

    def fits(self, value: Json) -> bool:
        return isinstance(value, str)


class ChoiceCodec(Codec):
    """One of a few values, each with its own JSON: enumerations and `Literal`."""

    def __init__(self, label: str, choices: Sequence[tuple[object, Json]], exact: type | None) -> None:
        super().__init__(label, plain=True, exact=exact)
        self._written = {(type(value), value): spelling for value, spelling in choices}
        self._read = {(type(spelling), spelling): value for value, spelling in choices}
        self.is_text = all(isinstance(spelling, str) for _, spelling in choices)  #: fit to be a dict's key

    def to_json(self, value: object) -> Json:
        for candidate in (value, unboxed(value)):
            if isinstance(candidate, (str, int, bytes, Enum, type(None))):
                key = (type(candidate), candidate)
                if key in self._written:
                    return self._written[key]
        raise WrongValue(f"is {value!r}; annotated {self.label}")

    def from_json(self, value: Json) -> object:
        if isinstance(value, (list, dict)) or (type(value), value) not in self._read:
            raise WrongValue(f"is {value!r} in the store; annotated {self.label}")
        return self._read[type(value), value]

    def fits(self, value: Json) -> bool:
        return not isinstance(value, (list, dict)) and (type(value), value) in self._read


class FlagCodec(Codec):
    """Combinations of flags, as their number."""

    def __init__(self, cls: type[Enum]) -> None:
        super().__init__(cls.__qualname__, plain=True, exact=cls)
        self._cls = cls

    def to_json(self, value: object) -> Json:
        if not isinstance(value, self._cls):
            raise self.wrong(value)
        return int(value.value)

    def from_json(self, value: Json) -> object:
        try:
            return self._cls(value)
        except ValueError as error:
            raise WrongValue(f"is {value!r} in the store; annotated {self.label}") from error

    def fits(self, value: Json) -> bool:
        return type(value) is int


def enum_codec(cls: type[Enum]) -> ChoiceCodec:
    """The codec of an enumeration: by value if all are text or all are integers, else by name."""
    members = list(cls)
    by_value = any(all(type(member.value) is kind for member in members) for kind in (str, int))
    choices = [(member, member.value if by_value else member.name) for member in members]
    return ChoiceCodec(cls.__qualname__, choices, exact=cls)


def write_datetime(value: datetime) -> str:
    """ISO 8601, and the name of the time zone in brackets where it has one (RFC 9557)."""
    text = value.isoformat()
    return f"{text}[{value.tzinfo.key}]" if isinstance(value.tzinfo, ZoneInfo) and value.tzinfo.key else text


def read_datetime(text: str) -> datetime:
    """The reverse of `write_datetime`."""
    text, _, zone = text.removesuffix("]").partition("[")
    moment = datetime.fromisoformat(text)
    if not zone:
        return moment
    local = moment.replace(tzinfo=ZoneInfo(zone))
    return local if local.utcoffset() == moment.utcoffset() else local.replace(fold=1)


def write_time(value: time) -> str:
    """ISO 8601; a zone's offset is unknown without a date, so only fixed offsets can be written."""
    if value.tzinfo is not None and value.utcoffset() is None:
        raise WrongValue(f"is a time in {value.tzinfo}, which has no offset without a date; annotated time")
    return value.isoformat()


_DURATION = re.compile(r"P(-?\d+)DT(\d+)\.(\d{6})S")


def write_timedelta(value: timedelta) -> str:
    """ISO 8601 with days and seconds, as Python keeps them: `P1DT0.500000S`."""
    return f"P{value.days}DT{value.seconds}.{value.microseconds:06}S"


def read_timedelta(text: str) -> timedelta:
    """The reverse of `write_timedelta`."""
    if not (match := _DURATION.fullmatch(text)):
        raise ValueError(text)
    days, seconds, microseconds = map(int, match.groups())
    return timedelta(days, seconds, microseconds)


#: The codec of each scalar annotation.
SCALARS: Final[dict[object, Codec]] = {
    type(None): NoneCodec(),
    None: NoneCodec(),
    bool: BoolCodec(),
    int: IntCodec(),
    float: FloatCodec(),
    str: StrCodec(),
    date: TextCodec(date, date.isoformat, date.fromisoformat),
    time: TextCodec(time, write_time, time.fromisoformat),
    datetime: TextCodec(datetime, write_datetime, read_datetime),
    timedelta: TextCodec(timedelta, write_timedelta, read_timedelta),
    Decimal: TextCodec(Decimal, str, Decimal),
    UUID: TextCodec(UUID, str, UUID),
}
