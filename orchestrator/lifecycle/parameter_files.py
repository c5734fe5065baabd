"""Reads parameters of a run from a file: YAML, TOML or JSON."""

from __future__ import annotations

import json
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import NoReturn

import yaml

from orchestrator.errors import OrchestratorError

#: Bytes that a file of parameters may have, and values that may be in it once its aliases are written out.
LARGEST, MOST_VALUES = 1024 * 1024, 100_000
#: Lists and mappings in one another.
DEEPEST = 100

#: Stands for standard input, whose form is found out.
STANDARD_INPUT = "-"


class UnreadableParameters(OrchestratorError):
    """A file of parameters cannot be read, or is not what it should be."""


def read_parameters(file: str) -> dict[str, object]:
    """The parameters in a file, by its suffix (.yaml, .yml, .toml, .json), or in standard input (`-`).

    Plain scalars of YAML are read as YAML 1.2 has them: `no` and `2026-01-01` are texts, which a parameter's
    annotation gives their types. Raises UnreadableParameters.
    """
    text = _text(file)
    try:
        found = _parsed(text, Path(file).suffix.lower() if file != STANDARD_INPUT else "")
        many = sum(1 for _ in islice(_values(found), MOST_VALUES + 1)) > MOST_VALUES
    except _Wrong as error:
        raise _unreadable(file, str(error)) from None
    except RecursionError:
        raise _unreadable(file, "it is nested too deeply") from None
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise _unreadable(file, f"a value in it is not what it says to be: {error}") from None
    if found is None and not text.strip():
        return {}
    if not isinstance(found, dict):
        raise _unreadable(file, f"it holds a {type(found).__name__}, not parameters by name")
    if others := [name for name in found if not isinstance(name, str)]:
        raise _unreadable(file, f"the name {others[0]!r} is no text")
    if many:
        raise _unreadable(file, f"it holds more than {MOST_VALUES:,} values")
    return found


class _Wrong(Exception):
    """What is wrong with a text, in one line."""


def _unreadable(file: str, reason: str) -> UnreadableParameters:
    where = "standard input" if file == STANDARD_INPUT else file
    return UnreadableParameters(f"parameters in {where}: {reason}")


def _text(file: str) -> str:
    try:
        if file == STANDARD_INPUT:
            data = sys.stdin.buffer.read(LARGEST + 1)
        else:
            with Path(file).open("rb") as opened:
                data = opened.read(LARGEST + 1)
    except OSError as error:
        raise _unreadable(file, error.strerror or str(error)) from error
    if len(data) > LARGEST:
        raise UnreadableParameters(
            f"parameters in {file}: it is larger than {LARGEST // 1024} KiB",
            hint="let a stage read large data; a parameter names the file",
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _unreadable(file, f"it is not UTF-8 (at byte {error.start + 1})") from None


def _parsed(text: str, suffix: str) -> object:
    match suffix:
        case ".json":
            return _json(text)
        case ".toml":
            return _toml(text)
        case ".yaml" | ".yml":
            return _yaml(text)
        case "":
            return _json(text) if text.lstrip().startswith("{") else _yaml(text)
    raise _Wrong(f"a file that ends in {suffix} is none of .yaml, .toml and .json")


def _json(text: str) -> object:
    try:
        return json.loads(text or "{}", object_pairs_hook=_each_once, parse_constant=_no_number)
    except json.JSONDecodeError as error:
        raise _Wrong(f"line {error.lineno}, column {error.colno}: {error.msg}") from None


def _each_once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for name, value in pairs:
        if name in found:
            raise _Wrong(f"'{name}' is given twice")
        found[name] = value
    return found


def _no_number(constant: str) -> NoReturn:
    raise _Wrong(f"{constant} is no number in JSON")


def _toml(text: str) -> object:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _Wrong(str(error)) from None


def _yaml(text: str) -> object:
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader
    except yaml.MarkedYAMLError as error:
        place = error.problem_mark or error.context_mark
        where = f"line {place.line + 1}, column {place.column + 1}: " if place else ""
        raise _Wrong(f"{where}{error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise _Wrong(str(error).splitlines()[0]) from None


class _Loader(yaml.SafeLoader):
    """Reads scalars as YAML 1.2 does, and takes no name twice."""

    _merged = 0

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Merge the mappings that `<<` names; what few lines multiply without end is refused."""
        super().flatten_mapping(node)
        self._merged += len(node.value)
        if self._merged > MOST_VALUES:
            raise _Wrong(f"it holds more than {MOST_VALUES:,} values")

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[object, object]:
        names = set[str]()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in names:
                problem = f"'{key.value}' is given twice"
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
            names.add(str(key.value))
        found: dict[object, object] = super().construct_mapping(node, deep=deep)
        return found


#: The plain scalars of YAML 1.2's core schema, by their tags: the rest are texts.
_SCALARS: Mapping[str, tuple[str, str]] = {
    "tag:yaml.org,2002:null": (r"~|null|Null|NULL|", "~nN"),
    "tag:yaml.org,2002:bool": (r"true|True|TRUE|false|False|FALSE", "tTfF"),
    "tag:yaml.org,2002:int": (r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    "tag:yaml.org,2002:float": (
        r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        "-+.0123456789",
    ),
}


def _set_up(loader: type[yaml.SafeLoader]) -> None:
    loader.yaml_implicit_resolvers = {}
    for tag, (pattern, first) in _SCALARS.items():
        loader.add_implicit_resolver(tag, re.compile(rf"^(?:{pattern})$"), [*first, ""])
    loader.add_implicit_resolver("tag:yaml.org,2002:merge", re.compile(r"^<<$"), ["<"])
    loader.add_constructor("tag:yaml.org,2002:int", _integer)
    loader.add_constructor("tag:yaml.org,2002:float", _number)


def _integer(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int:
    text = str(loader.construct_scalar(node))
    return int(text, 8 if text.startswith("0o") else 16 if text.startswith("0x") else 10)


def _number(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> float:
    return float(str(loader.construct_scalar(node)).lower().replace(".inf", "inf").replace(".nan", "nan"))


_set_up(_Loader)


def _values(value: object, depth: int = 0) -> Iterator[object]:
    """All values in a value, with what is used more than once each time."""
    if depth > DEEPEST:
        raise _Wrong("it is nested too deeply")
    yield value
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for part in parts:
        yield from _values(part, depth + 1)
