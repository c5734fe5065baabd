"""Turns parameters into what MLflow may show: short text, with secrets left out."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping

from orchestrator.text import printable

MASK = "***"
MAX_LENGTH = 6000  #: of a value; MLflow's own limit
MAX_PARAMETERS = 100  #: of one node; further ones would only hide those that matter

_SECRET_ANYWHERE = re.compile(r"passw|passphrase|secret|credential|api_?key|private_?key|access_?key", re.I)
_SECRET_WORDS = frozenset({"token", "tokens", "key", "keys", "pwd", "pin", "auth", "dsn"})
_WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
_URL_PASSWORD = re.compile(r"(?<=://)([^/\s:@]*):[^/\s@]+@")
_ILLEGAL = re.compile(r"[^\w\-. /:]")


def as_params(values: Mapping[str, object], *, scalars_only: bool = False) -> dict[str, str]:
    """The values as MLflow parameters: nested ones by dotted names, lists as JSON, secrets as `***`.

    With `scalars_only`, lists are left out: a node's inputs may be whole tables of numbers.
    """
    found: dict[str, str] = {}
    for name, value in _flat("", values):
        if len(found) == MAX_PARAMETERS:
            break
        if scalars_only and isinstance(value, (list, tuple, set, frozenset)):
            continue
        found[_ILLEGAL.sub("_", name)[:250]] = masked(name, value)
    return found


def masked(name: str, value: object) -> str:
    """One value as text: `***` if its name or its type says that it is a secret."""
    if value is not None and (is_secret(name, value) or hasattr(value, "get_secret_value")):
        return MASK
    if isinstance(value, (list, tuple)):
        value = json.dumps(value, default=str)
    return mask_text(str(value))[:MAX_LENGTH]


def is_secret(name: str, value: object = "") -> bool:
    """Whether a value's name says that it must not be shown.

    `max_tokens=512` and `sort_keys=True` are no secrets: words that also have a plain meaning count only
    for texts.
    """
    if _SECRET_ANYWHERE.search(name):
        return True
    return not isinstance(value, (bool, int, float)) and any(
        word.lower() in _SECRET_WORDS for word in _WORDS.findall(name)
    )


def mask_text(text: str) -> str:
    """The text without the passwords of URLs in it."""
    return _URL_PASSWORD.sub(rf"\1:{MASK}@", printable(text))


def _flat(prefix: str, values: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from _flat(f"{name}.", value)
        else:
            yield name, value
