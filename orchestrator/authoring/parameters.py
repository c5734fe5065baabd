"""Parses a pipeline's parameters by the annotations of its function."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from functools import cache
from typing import TYPE_CHECKING, Any, cast

from orchestrator.authoring.annotations import hints_of, shown
from orchestrator.authoring.errors import InvalidParameters

if TYPE_CHECKING:
    from pydantic import TypeAdapter


def parse_parameters(
    pipeline: str, function: Callable[..., object], given: Mapping[str, object]
) -> dict[str, object]:
    """The parameters as the function's annotations want them, defaults filled in.

    Text is parsed as its annotation asks (`"3"` for an int, `"[1, 2]"` for a list). All that is wrong is said
    in one InvalidParameters.
    """
    signature = inspect.signature(function)
    hints = hints_of(function)
    mistakes = [
        _unknown(name, list(signature.parameters)) for name in given if name not in signature.parameters
    ]
    parsed: dict[str, object] = {}
    for name, parameter in signature.parameters.items():
        if name in given:
            try:
                parsed[name] = parse_value(given[name], hints.get(name, Any))
            except ValueError as error:
                wanted = shown(hints.get(name, Any))
                mistakes.append(f"{name}={given[name]!r}: {reason(error)}; it takes {wanted}")
        elif parameter.default is inspect.Parameter.empty:
            mistakes.append(f"parameter '{name}' is missing: give it with -p {name}=VALUE")
        else:
            parsed[name] = parameter.default
    if mistakes:
        raise InvalidParameters(f"pipeline '{pipeline}': " + "; ".join(mistakes))
    return parsed


def parse_value(value: object, hint: object) -> object:
    """One value, validated by its annotation; JSON text is read where the annotation is no plain text.

    Raises ValueError (pydantic's ValidationError is one).
    """
    from pydantic import ValidationError

    try:
        adapter = _adapter(hint)
    except TypeError:  # an annotation that cannot be hashed
        adapter = _adapter.__wrapped__(hint)
    try:
        return adapter.validate_python(value)
    except ValidationError:
        if not isinstance(value, str):
            raise
        try:
            return adapter.validate_json(value)
        except ValidationError as error:
            if error.errors()[0]["type"] != "json_invalid":
                raise
        raise


@cache
def _adapter(hint: object) -> TypeAdapter[object]:
    from pydantic import ConfigDict, TypeAdapter
    from pydantic.errors import PydanticUserError

    form = cast("type[object]", hint)
    try:
        return TypeAdapter(form, config=ConfigDict(arbitrary_types_allowed=True))
    except PydanticUserError:  # a model brings its own configuration
        return TypeAdapter(form)


def _unknown(name: str, known: list[str]) -> str:
    near = get_close_matches(name, known, 1)
    if near:
        return f"there is no parameter '{name}'. Did you mean '{near[0]}'?"
    listed = ", ".join(known) if known else "none"
    return f"there is no parameter '{name}'; its parameters: {listed}"


def reason(error: ValueError) -> str:
    """The first thing that a validation found wrong, without pydantic's frame around it."""
    from pydantic import ValidationError

    if isinstance(error, ValidationError):
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        return f"{where}: {first['msg']}" if where else first["msg"]
    return str(error)
