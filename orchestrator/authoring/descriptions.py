"""Describes a pipeline's parameters: types, defaults, and what docstrings and annotations say of them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from orchestrator.authoring.annotations import fields_of, hints_of, list_element, shown
from orchestrator.authoring.graph import JSON
from orchestrator.authoring.masking import mask_value

#: How deep fields of records are described: a type may hold itself.
DEEPEST = 4

_GOOGLE = re.compile(r"^(?P<name>\*{0,2}\w+)\s*(?:\([^)]*\))?\s*:\s*(?P<text>.*)$")
_NUMPY = re.compile(r"^(?P<name>\w+)\s*(?::.*)?$")
_REST = re.compile(r"^:param\s+(?:[^:]*\s)?(?P<name>\w+)\s*:\s*(?P<text>.*)$")


@dataclass(frozen=True, kw_only=True)
class ParameterDescription:
    """A parameter, or a field of one that is a record."""

    name: str
    type: str  #: the annotation, as its author wrote it
    required: bool
    default: JSON = None  #: None also where there is none
    text: str = ""  #: from `Annotated[…, "text"]`, a field's description, or the docstring
    fields: tuple[ParameterDescription, ...] = ()  #: of a dataclass, NamedTuple, TypedDict or model

    def to_json(self) -> dict[str, JSON]:
        """As in `pipelines --json`."""
        plain: dict[str, JSON] = {
            "name": self.name,
            "type": self.type,
            "required": self.required,
            "default": self.default,
            "text": self.text,
        }
        if self.fields:
            plain["fields"] = [each.to_json() for each in self.fields]
        return plain

    @property
    def default_in_words(self) -> str:
        """`required`, or `= 3`."""
        return "required" if self.required else f"= {self.default!r}"

    def written(self, depth: int) -> str:
        """Its name as it is listed: `-p model`, and so deep below it `  .depth`."""
        return f"{'  ' * depth}.{self.name}" if depth else f"-p {self.name}"

    def lines(self, depth: int = 0) -> Iterator[tuple[int, ParameterDescription]]:
        """It and its fields, each with how deep it is."""
        yield depth, self
        for each in self.fields:
            yield from each.lines(depth + 1)


def describe_parameters(function: Callable[..., object]) -> tuple[ParameterDescription, ...]:
    """What a function takes, in order."""
    hints, annotated = hints_of(function), _annotated(function)
    texts = documented(inspect.getdoc(function) or "")
    return tuple(
        _described(
            name,
            hints.get(name, Any),
            parameter.default is inspect.Parameter.empty,
            parameter.default,
            _annotation_text(annotated.get(name)) or texts.get(name, ""),
        )
        for name, parameter in inspect.signature(function).parameters.items()
    )


def documented(docstring: str) -> dict[str, str]:
    """What a docstring says of each parameter, by its name: in the styles of Google, NumPy and Sphinx."""
    return {**_google(docstring), **_numpy(docstring), **_rest(docstring)}


def _described(
    name: str, hint: object, required: bool, default: object, text: str, depth: int = 0
) -> ParameterDescription:
    from pydantic_core import to_jsonable_python

    plain = None if required else to_jsonable_python(default, fallback=repr)
    return ParameterDescription(
        name=name,
        type=shown(hint),
        required=required,
        default=plain and mask_value(name, plain),
        text=text,
        fields=_fields(hint, depth) if depth < DEEPEST else (),
    )


def _fields(hint: object, depth: int) -> tuple[ParameterDescription, ...]:
    """The fields of a record, or of the records in a list or an option."""
    element = list_element(hint)
    if element is not None:
        return _fields(element, depth)
    members = [each for each in get_args(hint) if each is not type(None)]
    if len(members) == 1 and fields_of(hint) is None:
        return _fields(members[0], depth)
    found = fields_of(hint)
    if found is None or not isinstance(hint, type):
        return ()
    texts, annotated, defaults = documented(inspect.getdoc(hint) or ""), _annotated(hint), _defaults(hint)
    described = _descriptions(hint)
    return tuple(
        _described(
            name,
            kind,
            name not in defaults,
            defaults.get(name),
            described.get(name) or _annotation_text(annotated.get(name)) or texts.get(name, ""),
            depth + 1,
        )
        for name, kind in found.items()
    )


def _defaults(record: type) -> Mapping[str, object]:
    if is_dataclass(record):
        plain = {each.name: each.default for each in fields(record) if each.default is not MISSING}
        made = {
            each.name: each.default_factory()
            for each in fields(record)
            if each.default_factory is not MISSING
        }
        return {**plain, **made}
    model_fields: Mapping[str, Any] = getattr(record, "model_fields", {})
    if model_fields:
        return {
            name: each.get_default(call_default_factory=True, validated_data={})
            for name, each in model_fields.items()
            if not each.is_required()
        }
    named: Mapping[str, object] = getattr(record, "_field_defaults", {})
    return named


def _descriptions(record: type) -> Mapping[str, str]:
    """What a pydantic model says of its fields."""
    model_fields: Mapping[str, Any] = getattr(record, "model_fields", {})
    return {name: each.description for name, each in model_fields.items() if each.description}


def _annotated(owner: object) -> Mapping[str, object]:
    try:
        return get_type_hints(owner, include_extras=True)
    except (NameError, TypeError):
        return {}


def _annotation_text(hint: object) -> str:
    """The text in an `Annotated`: a plain one, `Doc("…")`, or the description of a `Field`."""
    if get_origin(hint) is not Annotated:
        return ""
    for extra in get_args(hint)[1:]:
        told = extra if isinstance(extra, str) else getattr(extra, "documentation", None)
        told = told or getattr(extra, "description", None)
        if isinstance(told, str) and told:
            return told
    return ""


def _google(docstring: str) -> dict[str, str]:
    headings = ("Args:", "Arguments:", "Parameters:")
    return _entries(_section(docstring, lambda line, _: line.strip() in headings), _GOOGLE)


def _numpy(docstring: str) -> dict[str, str]:
    lines = _section(docstring, lambda line, below: line.strip() == "Parameters" and _is_rule(below))[1:]
    ends = next((at for at, below in enumerate(lines[1:]) if _is_rule(below)), len(lines))
    return _entries(lines[:ends], _NUMPY)


def _is_rule(line: str) -> bool:
    return set(line.strip()) == {"-"}


def _rest(docstring: str) -> dict[str, str]:
    found: dict[str, str] = {}
    name = ""
    for line in docstring.splitlines():
        entry = _REST.match(line.strip())
        if entry is not None:
            name = entry["name"]
            found[name] = entry["text"]
        elif name and line.startswith(" ") and line.strip():
            found[name] = f"{found[name]} {line.strip()}".strip()
        else:
            name = ""
    return found


def _section(docstring: str, begins: Callable[[str, str], bool]) -> list[str]:
    """The lines behind a heading, up to the next line that is a heading."""
    lines = docstring.splitlines()
    for number, line in enumerate(lines):
        if begins(line, lines[number + 1] if number + 1 < len(lines) else ""):
            return lines[number + 1 :]
    return []


def _entries(lines: list[str], entry: re.Pattern[str]) -> dict[str, str]:
    """The entries of a section: a line that names a parameter, and what is indented below it."""
    found: dict[str, str] = {}
    name, indent = "", _indent_of(lines)
    for line in lines:
        here = len(line) - len(line.lstrip())
        if line.strip() and here < indent:
            break
        named = entry.match(line.strip()) if line.strip() and here == indent else None
        if named is not None:
            name = named["name"].lstrip("*")
            found[name] = named.groupdict().get("text") or ""
        elif name and line.strip() and here > indent:
            found[name] = f"{found[name]} {line.strip()}".strip()
        elif line.strip():
            break
    return found


def _indent_of(lines: list[str]) -> int:
    first = next((line for line in lines if line.strip()), "")
    return len(first) - len(first.lstrip())
