"""Validate messages on queues, and refuse malformed ones before Celery sees them.

Celery 5.7 and kombu 5.7 do not validate a message's format. A message that cannot be decoded, or whose
headers have the wrong type, raises in the worker's event loop and ends the worker; the message is then
redelivered and ends the next worker. Here only the message itself is lost.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TypeAlias

Raw: TypeAlias = "dict[str, object]"

#: Maximum bytes of a message in Redis. A canvas of thousands of nodes has some hundred kilobytes.
LARGEST = 16 * 1024 * 1024
#: Maximum nesting of lists and mappings: in arguments, and in a whole message including its canvas.
DEEPEST_ARGUMENTS, DEEPEST = 32, 500

_NAME = re.compile(r"[\w.@:\[\]=+ -]{1,300}")
_RUN = re.compile(r"[\w.-]{1,200}")
_HALF = re.compile("[\ud800-\udfff]")


class BadMessage(Exception):
    """Why a message is refused; never contains more than a few words of it."""


def read(text: bytes | str) -> Raw:
    """Parse a message as kombu stores it in Redis; raises BadMessage."""
    if len(text) > LARGEST:
        raise BadMessage(f"it has {len(text):,} bytes, and {LARGEST:,} are taken")
    raw = _parsed(text, "it")
    if not isinstance(raw, dict):
        raise BadMessage("it is no mapping")
    return raw


def check(raw: object) -> None:
    """Raise BadMessage unless kombu can decode the message, whatever its purpose."""
    if not isinstance(raw, dict):
        raise BadMessage("it is no mapping")
    properties = raw.get("properties")
    if not isinstance(properties, dict):
        raise BadMessage("it has no properties")
    place = properties.get("delivery_info")
    if not isinstance(place, dict) or not all(
        _is_text(place.get(key)) for key in ("exchange", "routing_key")
    ):
        raise BadMessage("its delivery_info names no exchange and routing key")
    if not _is_text(properties.get("delivery_tag")):
        raise BadMessage("it has no delivery tag")
    for name in ("correlation_id", "reply_to"):
        _require(properties, name, _is_text, "properties")
    _require(properties, "priority", _is_count, "properties")
    if not _is_text(raw.get("body")) or properties.get("body_encoding") not in (
        None,
        "utf-8",
        "base64",
    ):
        raise BadMessage("its body is no text, in base64 or plain")
    headers = raw.get("headers")
    if headers is not None and not isinstance(headers, dict):
        raise BadMessage("its headers are no mapping")
    if headers and "compression" in headers:
        raise BadMessage("it is compressed, which no message of ours is")
    if raw.get("content-type") != "application/json":
        raise BadMessage("its content type is not application/json")
    if str(raw.get("content-encoding")).lower() not in ("utf-8", "us-ascii"):
        raise BadMessage("its content encoding is not utf-8")


def check_task(raw: Raw) -> None:
    """Raise BadMessage unless it is a task of Celery's protocol 2 with arguments valid for a stage."""
    check(raw)
    headers = raw.get("headers") or {}
    assert isinstance(headers, dict)  # noqa: S101 - as was just checked
    for name in ("task", "id"):
        if not _is_name(headers.get(name)):
            raise BadMessage(f"its {name} is no name")
    for name, is_right in _HEADERS.items():
        _require(headers, name, is_right, "headers")
    body = body_of(raw)
    if not isinstance(body, list) or len(body) != 3:
        raise BadMessage("its body is not [args, kwargs, embed]")
    arguments, named, embedded = body
    if not isinstance(arguments, list) or not isinstance(named, dict):
        raise BadMessage("its arguments are no list and mapping")
    if _depth([arguments, named]) > DEEPEST_ARGUMENTS:
        raise BadMessage(f"its arguments are nested more than {DEEPEST_ARGUMENTS} deep")
    _check_stage(named)
    _check_embedded(embedded)


def check_command(raw: Raw) -> None:
    """Raise BadMessage unless it is a remote control command, such as `celery inspect` sends."""
    check(raw)
    body = body_of(raw)
    if not isinstance(body, dict) or not _is_name(body.get("method")):
        raise BadMessage("it names no command")
    for name, is_right in _COMMAND.items():
        _require(body, name, is_right, "command")
    if body.get("pattern") is not None:
        try:
            re.compile(str(body["pattern"]))
        except re.error:
            raise BadMessage("its pattern is no pattern") from None


def body_of(raw: Raw) -> object:
    """Decode a message's body; raises BadMessage."""
    properties, text = raw["properties"], str(raw["body"])
    if isinstance(properties, dict) and properties.get("body_encoding") == "base64":
        try:
            return _parsed(base64.b64decode(text, validate=True), "its body")
        except (binascii.Error, ValueError) as error:
            raise BadMessage("its body is no base64") from error
    return _parsed(text, "its body")


def _check_stage(named: Mapping[str, object]) -> None:
    """Check the arguments by which our tasks name a run and a node."""
    for name, is_right in _ARGUMENTS.items():
        if name in named and not is_right(named[name]):
            raise BadMessage(f"its argument {name} is of another kind")


def _check_embedded(embedded: object) -> None:
    if embedded is None:
        return
    if not isinstance(embedded, dict):
        raise BadMessage("what follows it is no mapping")
    for name in ("callbacks", "errbacks", "chain"):
        each = embedded.get(name)
        if each is not None and not (isinstance(each, list) and all(map(_is_signature, each))):
            raise BadMessage(f"its {name} are no list of signatures")
    if embedded.get("chord") is not None and not _is_signature(embedded["chord"]):
        raise BadMessage("its chord is no signature")


def _is_signature(value: object) -> bool:
    return (
        isinstance(value, dict)
        and _is_name(value.get("task"))
        and isinstance(value.get("args"), list)
        and isinstance(value.get("kwargs"), dict)
        and isinstance(value.get("options"), dict)
    )


def _parsed(text: bytes | str, what: str) -> object:
    try:
        value: object = json.loads(text)
    except RecursionError:
        raise BadMessage(f"{what} is nested too deeply") from None
    except ValueError:
        raise BadMessage(f"{what} is no JSON") from None
    if _depth(value) > DEEPEST:
        raise BadMessage(f"{what} is nested more than {DEEPEST} deep")
    return value


def _depth(value: object) -> int:
    """Count levels of lists and mappings without recursion; stop counting above the maximum."""
    level, depth = [value], 0
    while level and depth <= DEEPEST:
        inner: list[object] = []
        for each in level:
            if isinstance(each, dict):
                inner += each.values()
            elif isinstance(each, list):
                inner += each
        depth += 1
        level = [each for each in inner if isinstance(each, (dict, list))]
    return depth


def _require(mapping: Mapping[str, object], name: str, is_right: Callable[[object], bool], what: str) -> None:
    value = mapping.get(name)
    if value is not None and not is_right(value):
        raise BadMessage(f"{name} in its {what} is of another kind")


def _is_text(value: object) -> bool:
    """Whether the value is text that can be sent to Redis: JSON may contain lone surrogates."""
    return isinstance(value, str) and (value.isascii() or not _HALF.search(value))


def _is_name(value: object) -> bool:
    return isinstance(value, str) and _NAME.fullmatch(value) is not None


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31


def _is_flag(value: object) -> bool:
    return isinstance(value, bool)


def _is_mapping(value: object) -> bool:
    return isinstance(value, dict)


def _is_reply(value: object) -> bool:
    return isinstance(value, dict) and all(_is_text(each) for each in value.values())


def _is_names(value: object) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _is_limits(value: object) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 2
        and all(each is None or (isinstance(each, (int, float)) and 0 <= each < 1e9) for each in value)
    )


def _is_time(value: object) -> bool:
    if not isinstance(value, str):
        return False
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return False
    return True


#: Headers that Celery's worker reads; each is optional.
_HEADERS: Mapping[str, Callable[[object], bool]] = {
    "lang": _is_text,
    "root_id": _is_text,
    "parent_id": _is_text,
    "group": _is_text,
    "group_index": _is_count,
    "shadow": _is_text,
    "eta": _is_time,
    "expires": _is_time,
    "retries": _is_count,
    "timelimit": _is_limits,
    "argsrepr": _is_text,
    "kwargsrepr": _is_text,
    "origin": _is_text,
    "ignore_result": _is_flag,
    "replaced_task_nesting": _is_count,
    "stamped_headers": _is_names,
    "stamps": _is_mapping,
}

#: Fields of a command beside its method.
_COMMAND: Mapping[str, Callable[[object], bool]] = {
    "arguments": _is_mapping,
    "destination": _is_names,
    "pattern": _is_text,
    "matcher": lambda value: value in ("glob", "pcre"),
    "reply_to": _is_reply,
    "ticket": _is_text,
}

#: Arguments of our tasks.
_ARGUMENTS: Mapping[str, Callable[[object], bool]] = {
    "run": lambda value: isinstance(value, str) and _RUN.fullmatch(value) is not None,
    "node": _is_name,
    "again": _is_flag,
    "batch": lambda value: value is None or _is_flag(value) or _is_count(value),
    "share": lambda value: value is None or _is_flag(value) or _is_count(value),
    "round": _is_count,
    "stage": _is_name,
    "delivery": _is_text,
    "message": _is_text,
}
