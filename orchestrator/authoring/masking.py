"""Which texts are secrets, and how they are left out of what is shown or kept."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, get_args
from urllib.parse import quote, quote_plus

if TYPE_CHECKING:
    from orchestrator.authoring.graph import JSON

MASK = "***"

#: What to do instead of writing a secret into a run.
SEE_CONTEXT = (
    "set it in the workers' environment, as NAME or in the file that NAME_FILE names, and let the stage read "
    'it: context.secret("NAME")'
)

_SECRET_ANYWHERE = re.compile(r"passw|passphrase|secret|credential|api_?key|private_?key|access_?key", re.I)
_SECRET_WORDS = frozenset({"token", "tokens", "key", "keys", "pwd", "pin", "auth", "dsn"})
_WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")

#: The password of a URL, up to the last `@`: one that is not encoded may hold `/` and `@` itself. Digits that
#: end at a delimiter are a port.
_URL_PASSWORD = re.compile(r"""(?<=://)([^\s/:@]*):(?!\d{1,5}(?:[/?#"',;)\]}\s]|$))((?:(?!://)\S)+)@""")
#: `password=…`, in a URL's query or in the words of a connection string.
_NAMED_PASSWORD = re.compile(
    r"""\b(\w*(?:passw(?:or)?d|passphrase|pwd|secret|api_?key|access_?key|account_?key|token)=)('[^']*'|"[^"]*"|[^\s&;,'")\]}]+)""",
    re.I,
)
#: What comes after the name of its kind in an HTTP header, and the signature of a URL that is signed.
_CREDENTIALS = re.compile(
    r"""(\bauthorization["']?\s*[:=]\s*["']?(?:bearer|basic|token)\s+|[?&](?:sig|X-Amz-Signature)=)[^\s"',;&]+""",
    re.I,
)

#: Lines of secrets that this process has read, as they are and as they are quoted. Shorter ones would mask
#: half of every text.
_known: set[str] = set()
_SHORTEST = 4
#: Characters of an argument from which its name makes it a secret everywhere: `password="none"` is not one.
_SHORTEST_ARGUMENT = 8
#: What is named after a secret without being one: `secret_name`, `credentials_file`.
_NAMED_AFTER = re.compile(r"(?:name|file|path|folder|id|url|uri|length|size|count)s?$", re.I)


def keep_secret(value: str) -> None:
    """From now on, mask this text wherever it occurs, each of its lines by itself."""
    given = (value, *value.splitlines())
    lines = (line for line in (*given, *map(str.strip, given)) if len(line) >= _SHORTEST)
    _known.update(form for line in lines for form in _forms(line))


def keep_secret_arguments(arguments: Mapping[str, object]) -> None:
    """From now on, mask the texts among these that are secrets by their name, such as `api_key`."""
    for value in secret_arguments(arguments).values():
        keep_secret(value)


def secret_arguments(arguments: Mapping[str, object]) -> dict[str, str]:
    """The texts among these that are secrets by their name."""
    return {
        name: value
        for name, value in arguments.items()
        if isinstance(value, str) and len(value) >= _SHORTEST_ARGUMENT
        if _SECRET_ANYWHERE.search(name) and not _NAMED_AFTER.search(name)
    }


def _forms(text: str) -> Iterator[str]:
    """A text as it is, and as `repr`, JSON, CSV and URLs write it."""
    yield text
    yield repr(text)[1:-1]
    yield ascii(text)[1:-1]
    in_json = json.dumps(text)[1:-1]
    yield in_json
    yield in_json.replace("/", r"\/")  # as pandas writes it
    yield json.dumps(text, ensure_ascii=False)[1:-1]
    yield text.replace('"', '""')
    in_bytes = text.encode("utf-8", "surrogateescape")
    yield quote(in_bytes)
    yield quote(in_bytes, safe="")
    yield quote_plus(in_bytes)


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


def is_secret_type(value: object) -> bool:
    """Whether it is one of pydantic's secrets, or their class: in JSON they are stars."""
    return hasattr(value, "get_secret_value")


def asks_for_secret(hint: object) -> bool:
    """Whether an annotation is that of a secret, or has one among its arguments."""
    return is_secret_type(hint) or any(map(asks_for_secret, get_args(hint)))


def holds_password(value: JSON) -> bool:
    """Whether a URL with a password is in a value, at any depth."""
    match value:
        case str():
            found = _URL_PASSWORD.search(value) if "://" in value else None
            return found is not None and found[2].strip("*") != ""
        case dict():
            return any(map(holds_password, value.values()))
        case list():
            return any(map(holds_password, value))
    return False


def mask_text(text: str) -> str:
    """The text without the passwords of URLs and connection strings in it, and without known secrets."""
    for secret in sorted(_known, key=len, reverse=True):
        text = text.replace(secret, MASK)
    if "://" in text:
        text = _URL_PASSWORD.sub(rf"\1:{MASK}@", text)
    if "=" in text:
        text = _NAMED_PASSWORD.sub(rf"\1{MASK}", text)
    return _CREDENTIALS.sub(rf"\1{MASK}", text)


def mask_value(name: str, value: JSON) -> JSON:
    """A value as it may be shown: a secret by its name is `***`, texts are masked at any depth."""
    match value:
        case None | bool():
            return value
        case dict():
            return {mask_text(key): mask_value(key, each) for key, each in value.items()}
        case _ if is_secret(name, value):
            return MASK
        case list():
            return [mask_value(name, each) for each in value]
        case str():
            return mask_text(value)
    return value


def mask_json(text: str) -> str:
    """A value as JSON text, as it may be shown; still JSON where a number looks like a secret."""
    return text if mask_text(text) == text else json.dumps(mask_value("", json.loads(text)))


def is_masked(value: JSON) -> bool:
    """Whether something was left out of a value that is shown."""
    match value:
        case str():
            return MASK in value
        case dict():
            return any(map(is_masked, value.values()))
        case list():
            return any(map(is_masked, value))
    return False


def mask_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Tags, each as it may be shown."""
    return {key: MASK if is_secret(key, value) else mask_text(value) for key, value in tags.items()}


def mask_values(values: Mapping[str, JSON]) -> dict[str, JSON]:
    """Named values, each as it may be shown."""
    return {name: mask_value(name, value) for name, value in values.items()}
