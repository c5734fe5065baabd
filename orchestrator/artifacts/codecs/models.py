"""Codecs of pydantic models, field by field."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, cast, get_args

from pydantic import (
    BaseModel,
    PydanticSchemaGenerationError,
    RootModel,
    Secret,
    SecretBytes,
    SecretStr,
    TypeAdapter,
)
from pydantic import ValidationError as PydanticError
from pydantic.fields import FieldInfo

from orchestrator.artifacts.codec import Codec, described
from orchestrator.artifacts.codecs.records import Shape
from orchestrator.artifacts.codecs.scalars import float_word
from orchestrator.artifacts.errors import UnsupportedType, WrongValue
from orchestrator.artifacts.hints import unwrapped
from orchestrator.artifacts.tree import Json


def model_shape(cls: type[BaseModel], label: str) -> Shape:
    """The shape of a model. It is validated again when it is put together."""

    def apart(value: object) -> Mapping[str, object]:
        model = cast("BaseModel", value)
        if model.__pydantic_extra__:
            raise WrongValue(
                f"has fields that {label} does not name: {', '.join(sorted(model.__pydantic_extra__))}"
            )
        return {name: getattr(model, name) for name in cls.model_fields}

    def together(fields: Mapping[str, object]) -> object:
        data = fields["root"] if issubclass(cls, RootModel) else dict(fields)
        try:
            return cls.model_validate(data, by_name=True, by_alias=False)
        except PydanticError as error:
            raise WrongValue(f"as stored is no valid {label}: {_first_line(error)}") from error

    hints = {name: _annotation(field) for name, field in cls.model_fields.items()}
    return Shape(label, cls, hints, apart, together)


class StoredSecret(UnsupportedType):
    """A field that holds a secret."""


class FieldCodec(Codec):
    """A field of a type that only pydantic knows (`HttpUrl`, `EmailStr`, …): pydantic's own JSON."""

    def __init__(self, hint: object, label: str) -> None:
        super().__init__(label, plain=True)
        if _holds_secret(hint):
            raise StoredSecret(
                f"{label} is a secret, which must not be stored",
                hint="Read it from the environment in the stage.",
            )
        try:
            self._adapter: TypeAdapter[object] = TypeAdapter(cast("Any", hint))
        except PydanticSchemaGenerationError as error:
            raise UnsupportedType(f"{label} cannot be stored") from error

    def to_json(self, value: object) -> Json:
        try:
            self._adapter.validate_python(value)
        except PydanticError as error:
            raise WrongValue(
                f"is {described(value)}; annotated {self.label}: {_first_line(error)}"
            ) from error
        return _finite(cast("Json", self._adapter.dump_python(value, mode="json")))

    def from_json(self, value: Json) -> object:
        try:
            return self._adapter.validate_python(value)
        except PydanticError as error:
            raise WrongValue(f"as stored is no valid {self.label}: {_first_line(error)}") from error

    def fits(self, value: Json) -> bool:  # noqa: ARG002
        return True


def _holds_secret(hint: object) -> bool:
    kind = unwrapped(hint)
    secret = isinstance(kind, type) and issubclass(kind, (SecretStr, SecretBytes, Secret))
    return secret or any(_holds_secret(part) for part in get_args(kind))


def _annotation(field: FieldInfo) -> object:
    return Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation


def _finite(value: Json) -> Json:
    if isinstance(value, float) and not math.isfinite(value):
        return float_word(value)  # pydantic reads the word as the float
    if isinstance(value, list):
        return [_finite(part) for part in value]
    if isinstance(value, dict):
        return {name: _finite(part) for name, part in value.items()}
    return value


def _first_line(error: PydanticError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(map(str, first["loc"]))
    return f"{place}: {first['msg']}" if place else first["msg"]
