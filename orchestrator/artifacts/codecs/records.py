"""Codecs of values with named fields: dataclasses, named tuples, typed dictionaries."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NotRequired, Required, cast, get_origin

from orchestrator.artifacts.codec import Codec
from orchestrator.artifacts.codecs.containers import Container, Inward, Outward, at
from orchestrator.artifacts.errors import WrongValue
from orchestrator.artifacts.tree import Json

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


@dataclass(frozen=True)
class Shape:
    """How values of one class are taken apart into fields, and put together."""

    label: str
    exact: type
    hints: Mapping[str, object]  #: the annotation of each field
    apart: Callable[
        [object], Mapping[str, object]
    ]  #: the fields of a value, which is known to be of the class
    together: Callable[[Mapping[str, object]], object]
    optional: frozenset[str] = frozenset()  #: fields that a value may lack


class RecordCodec(Container):
    """A value with named fields, of exactly the annotation's class: a subclass would not come back as one."""

    kind = "object"

    def __init__(self, shape: Shape, fields: Mapping[str, Codec]) -> None:
        super().__init__(shape.label, plain=all(field.plain for field in fields.values()), exact=shape.exact)
        self._shape, self._fields = shape, fields

    def take(self, value: object, outward: Outward) -> Json:
        if type(value) is not self._shape.exact:
            raise self.wrong(value)
        parts = self._shape.apart(value)
        self._check_names(parts.keys())
        return {name: at(name, outward(self._fields[name]), part, "field") for name, part in parts.items()}

    def make(self, parts: Json, inward: Inward) -> object:
        if not isinstance(parts, dict):
            raise self.wrong(parts)
        self._check_names(parts.keys())
        fields = {name: at(name, inward(self._fields[name]), part, "field") for name, part in parts.items()}
        try:
            return self._shape.together(fields)
        except (ValueError, TypeError, LookupError, AssertionError) as error:
            raise WrongValue(f"as stored is no valid {self.label}: {error}") from error

    def codec_of(self, key: str | int) -> tuple[Codec, str | int] | None:
        if isinstance(key, int) and issubclass(self._shape.exact, tuple) and 0 <= key < len(self._fields):
            key = list(self._fields)[key]
        return (self._fields[str(key)], key) if key in self._fields else None

    def fits(self, value: Json) -> bool:
        return isinstance(value, dict) and self._missing(value.keys()) == self._unknown(value.keys()) == set()

    def _check_names(self, names: typing.AbstractSet[str]) -> None:
        if missing := self._missing(names):
            raise WrongValue(f"lacks {', '.join(map(repr, sorted(missing)))}; annotated {self.label}")
        if unknown := self._unknown(names):
            raise WrongValue(f"has {', '.join(map(repr, sorted(unknown)))}, which {self.label} does not name")

    def _missing(self, names: typing.AbstractSet[str]) -> typing.AbstractSet[str]:
        return self._fields.keys() - names - self._shape.optional

    def _unknown(self, names: typing.AbstractSet[str]) -> typing.AbstractSet[str]:
        return names - self._fields.keys()


def shape_of(cls: type, label: str) -> Shape | None:
    """The shape of a class with named fields, None for any other class."""
    if typing.is_typeddict(cls):
        return _typed_dict(cls, label)
    if issubclass(cls, tuple) and hasattr(cls, "_fields"):
        return _named_tuple(cls, label)
    if dataclasses.is_dataclass(cls):
        return _dataclass(cls, label)
    return None


def _typed_dict(cls: type, label: str) -> Shape:
    hints = _hints(cls)
    # With annotations kept as text, the class itself has not seen its own `NotRequired`s.
    optional = {name for name in cls.__optional_keys__ if get_origin(hints[name]) is not Required}  # type: ignore[attr-defined]
    optional |= {name for name, hint in hints.items() if get_origin(hint) is NotRequired}
    return Shape(
        label, dict, hints, lambda value: cast("dict[str, object]", value), dict, frozenset(optional)
    )


def _named_tuple(cls: type, label: str) -> Shape:
    names = cast("tuple[str, ...]", cls._fields)  # type: ignore[attr-defined]
    hints = _hints(cls)
    return Shape(
        label,
        cls,
        {name: hints.get(name, typing.Any) for name in names},
        lambda value: dict(zip(names, cast("tuple[object, ...]", value), strict=True)),
        lambda fields: cls(**fields),
    )


def _dataclass(cls: type, label: str) -> Shape:
    fields = {field.name: field for field in dataclasses.fields(cast("DataclassInstance", cls))}
    hints = _hints(cls)

    def together(values: Mapping[str, object]) -> object:
        made = cls(**{name: value for name, value in values.items() if fields[name].init})
        for name, value in values.items():
            if not fields[name].init:
                object.__setattr__(made, name, value)
        return made

    return Shape(
        label,
        cls,
        {name: hints[name] for name in fields},
        lambda value: {name: getattr(value, name) for name in fields},
        together,
    )


def _hints(cls: type) -> dict[str, object]:
    return typing.get_type_hints(cls, include_extras=True)


def missing_arguments(cls: type) -> list[str]:
    """The `InitVar`s of a dataclass: what its fields alone cannot give back to it."""
    pseudo = getattr(cls, "__dataclass_fields__", {}).values()
    return [
        field.name
        for field in pseudo
        if isinstance(field.type, dataclasses.InitVar) or _is_init_var(field.type)
    ]


def _is_init_var(annotation: object) -> bool:
    return isinstance(annotation, str) and "InitVar" in annotation
