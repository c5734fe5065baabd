"""Parses a pipeline's parameters by the annotations of its function."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from functools import cache
from typing import TYPE_CHECKING, Any, cast

from orchestrator.authoring.annotations import fields_of, hint_at, hints_of, list_element, shown
from orchestrator.authoring.errors import InvalidParameters
from orchestrator.authoring.masking import SEE_CONTEXT, is_secret_type, mask_value

if TYPE_CHECKING:
    from pydantic import TypeAdapter, ValidationError
    from pydantic_core import ErrorDetails

#: How pydantic calls a field that its type does not have.
_UNKNOWN_FIELD = ("extra_forbidden", "unexpected_keyword_argument")


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
        if is_secret_type(given.get(name)):
            mistakes.append(f"parameter '{name}' is a secret, and parameters are kept: {SEE_CONTEXT}")
        elif name in given:
            try:
                parsed[name] = parse_value(given[name], hints.get(name, Any))
            except ValueError as error:
                hint = hints.get(name, Any)
                way_out = _written_as_list(name, given[name], hint)
                told = mask_value(name, f"{given[name]!r}")
                mistakes.append(f"{name}={told}: {reason(error, hint)}; it takes {shown(hint)}{way_out}")
        elif parameter.default is inspect.Parameter.empty:
            mistakes.append(f"parameter '{name}' is missing: give it with -p {name}=VALUE")
        else:
            parsed[name] = parameter.default
    if mistakes:
        raise InvalidParameters(f"pipeline '{pipeline}': " + "; ".join(mistakes))
    return parsed


def override(
    function: Callable[..., object], base: Mapping[str, object], given: Mapping[str, object]
) -> dict[str, object]:
    """The parameters of `base` with others in their place; `model.depth` is a field of the parameter `model`.

    A field of a parameter that `base` does not have is one of its default. Raises InvalidParameters for a
    field of what has none.
    """
    found, hints = dict(base), hints_of(function)
    parameters = inspect.signature(function).parameters
    for name, value in given.items():
        root, *path = name.split(".")
        if not path or root not in parameters:
            found[name] = value
            continue
        whole = found[root] if root in found else parameters[root].default
        found[root] = _with_part(name, whole, path, _as_its_type(value, hint_at(hints.get(root, Any), path)))
    return found


def _with_part(name: str, whole: object, path: Sequence[str], value: object) -> object:
    absent = whole is None or whole is inspect.Parameter.empty
    plain = {} if absent else _with_names(whole)
    if not isinstance(plain, dict):
        raise InvalidParameters(f"{name}=…: '{name.rpartition('.')[0]}' has no fields that could be set")
    key, *rest = path
    return {**plain, key: _with_part(name, plain.get(key), rest, value) if rest else value}


def _with_names(value: object) -> object:
    """A value as JSON, in which named tuples are fields by name."""
    from pydantic_core import to_jsonable_python

    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return {name: _with_names(each) for name, each in value._asdict().items()}
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: _with_names(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, dict):
        return {name: _with_names(each) for name, each in value.items()}
    return to_jsonable_python(value, fallback=repr)


def _as_its_type(value: object, hint: object) -> object:
    """Text as its annotation wants it, if it can be read so; what cannot is told with the whole parameter."""
    from pydantic_core import to_jsonable_python

    try:
        return to_jsonable_python(parse_value(value, hint), fallback=repr) if hint is not Any else value
    except ValueError:
        return value


def parse_value(value: object, hint: object) -> object:
    """One value, validated by its annotation; JSON text is read where the annotation is no plain text.

    A field that a dataclass, NamedTuple, TypedDict or model does not have is a mistake, at any depth, unless
    the type itself says what becomes of such fields. Raises ValueError (pydantic's ValidationError is one).
    """
    from pydantic import ValidationError

    try:
        adapter = _adapter(hint)
    except TypeError:  # an annotation that cannot be hashed
        adapter = _adapter.__wrapped__(hint)
    try:
        return _validated(adapter.validate_python, value, hint)
    except ValidationError:
        if not isinstance(value, str):
            raise
        try:
            return _validated(adapter.validate_json, value, hint)
        except ValidationError as error:
            if error.errors()[0]["type"] != "json_invalid":
                raise
        raise


def _validated(validate: Callable[..., object], value: object, hint: object) -> object:
    from pydantic import ValidationError

    try:
        return validate(value, extra="forbid")
    except ValidationError as error:
        if all(_allowed(each, hint) for each in error.errors()):
            return validate(value)
        raise


def _allowed(error: ErrorDetails, hint: object) -> bool:
    """Whether it is about a field too many, in a type that says itself what becomes of those."""
    if error["type"] not in _UNKNOWN_FIELD:
        return False
    owner = hint_at(hint, error["loc"][:-1])
    settings = getattr(owner, "model_config", None) or getattr(owner, "__pydantic_config__", None) or {}
    return settings.get("extra") in ("allow", "ignore")


@cache
def _adapter(hint: object) -> TypeAdapter[object]:
    from pydantic import ConfigDict, TypeAdapter
    from pydantic.errors import PydanticUserError

    form = cast("type[object]", hint)
    try:
        return TypeAdapter(form, config=ConfigDict(arbitrary_types_allowed=True))
    except PydanticUserError:  # a model brings its own configuration
        pass
    try:
        return TypeAdapter(form)
    except PydanticUserError as error:  # such as typing's own TypedDict on Python 3.11
        raise ValueError(str(error).partition("\n")[0]) from error


def _unknown(name: str, known: Collection[str]) -> str:
    return _no_such("parameter", name, known, "its parameters")


def _no_such(what: str, name: str, known: Collection[str], listing: str) -> str:
    near = get_close_matches(name, known, 1)
    if near:
        return f"there is no {what} '{name}'. Did you mean '{near[0]}'?"
    return f"there is no {what} '{name}'; {listing}: {', '.join(known) or 'none'}"


def _written_as_list(name: str, value: object, hint: object) -> str:
    """How to write a list whose items were given as `a,b`; empty where that was not the mistake."""
    element = list_element(hint)
    if element is None or not isinstance(value, str) or value.lstrip().startswith(("[", "{")):
        return ""
    parts = [part.strip() for part in value.split(",") if part.strip()]
    try:
        written = [parse_value(part, element) for part in parts]
        text = json.dumps(written, ensure_ascii=False)
    except (ValueError, TypeError):  # not of the items' type, or one that JSON does not know
        text = json.dumps(parts, ensure_ascii=False)
    return f", written as JSON: -p {name}='{text}'"


def reason(error: ValueError, hint: object = Any) -> str:
    """The first thing that a validation found wrong, without pydantic's frame around it."""
    from pydantic import ValidationError

    return _first_mistake(error, hint) if isinstance(error, ValidationError) else str(error)


def _first_mistake(error: ValidationError, hint: object) -> str:
    wrong = [each for each in error.errors() if not _allowed(each, hint)]
    first = (wrong or error.errors())[0]
    if first["type"] not in _UNKNOWN_FIELD:
        where = ".".join(str(part) for part in first["loc"])
        return f"{where}: {first['msg']}" if where else first["msg"]
    *place, name = first["loc"]
    known = fields_of(hint_at(hint, place)) or {}
    where = f" in {'.'.join(map(str, place))}" if place else ""
    return _no_such(f"field{where}", str(name), list(known), "its fields")
