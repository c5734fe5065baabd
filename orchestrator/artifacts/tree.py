"""The JSON tree that stands for a stored value: its types, its digest, its plain form."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from enum import Enum
from typing import Final, TypeAlias, cast

from orchestrator.artifacts.digest import Digest, digest_of_bytes
from orchestrator.artifacts.errors import StoreError
from orchestrator.authoring.masking import mask_json, mask_value

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

#: Such as `{"codec": "json", "value": 3}`, `{"codec": "frame", "digest": "sha256:…"}`
Tree: TypeAlias = "dict[str, Json]"

#: JSON up to this size (bytes) stays in the tree; larger JSON becomes a blob.
INLINE_LIMIT: Final = 64 * 1024

#: Outputs of up to this many characters of JSON are shown as a node's value.
SHOWN: Final = 1024


class Missing(Enum):
    """The type of `MISSING`, which says that a tree has no plain JSON value."""

    MISSING = "missing"


MISSING: Final = Missing.MISSING

_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)


def canonical(value: Json) -> bytes:
    """The one way to write this JSON value, whatever the order of its keys."""
    return _ENCODER.encode(value).encode()


def digest_of(tree: Tree) -> str:
    """The fingerprint of a stored value: equal trees have equal fingerprints."""
    return digest_of_bytes(canonical(tree))


def gather(trees: Sequence[Tree]) -> Tree:
    """The tree of the list whose items are stored as `trees`, without touching any of their data."""
    return {"codec": "list", "parts": list(trees)}


def inline(tree: Tree) -> Json | Missing:
    """The plain JSON value, if all of the value is small JSON kept in the tree itself; else `MISSING`."""
    match tree:
        case {"codec": "json", "value": value}:
            return value
        case {"codec": "union", "value": dict(inner)}:
            return inline(inner)
        case {"codec": "list", "parts": list(items)}:
            values = [inline(cast("Tree", item)) for item in items]
            return MISSING if MISSING in values else cast("Json", values)
        case {"codec": "object", "parts": dict(fields)}:
            named = {name: inline(cast("Tree", field)) for name, field in fields.items()}
            return MISSING if MISSING in named.values() else cast("Json", named)
    return MISSING


def shown_value(tree: Tree) -> str:
    """An output as JSON text, where it is small enough to be shown; else an empty text."""
    plain = inline(tree)
    text = "" if plain is MISSING else json.dumps(plain)
    if len(text) > SHOWN:
        return ""
    if "://" in text or "=" in text:
        return json.dumps(mask_value("", cast("Json", plain)))
    return mask_json(text)


def codec_name(tree: Tree) -> str:
    """Which codec wrote the tree."""
    if not isinstance(tree, dict) or not isinstance(name := tree.get("codec"), str):
        raise StoreError(
            "a stored value is not a tree of this project",
            hint="Its manifest was altered, or written by another version: run its stage again.",
        )
    return name


def untagged(tree: Tree) -> Tree:
    """The tree without the mark that says which arm of a union it belongs to."""
    while codec_name(tree) == "union":
        tree = cast("Tree", tree.get("value"))
    return tree


def digests_in(tree: Tree) -> Iterator[Digest]:
    """Each blob that a value, or a part of it, is kept in."""
    match tree:
        case {"codec": "union", "value": dict(inner)}:
            yield from digests_in(inner)
        case {"parts": list() | dict() as parts}:  # of a container, or of a table
            for part in parts.values() if isinstance(parts, dict) else parts:
                yield from digests_in(cast("Tree", part))
        case {"digest": str()}:
            yield digest_in(tree)


def digest_in(tree: Tree) -> Digest:
    """The digest of the blob that the tree points to (the store checks its form when it is used)."""
    return Digest(str(tree.get("digest")))
