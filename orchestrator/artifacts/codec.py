"""What every codec does: turn a value of one annotation into a tree, and the tree into the value."""

from __future__ import annotations

import json
from copy import deepcopy
from functools import lru_cache
from typing import Final, cast

from orchestrator.artifacts.digest import Digest
from orchestrator.artifacts.errors import NoSuchPart, StoreError, WrongValue
from orchestrator.artifacts.io_errors import translated_parse_errors
from orchestrator.artifacts.store import ArtifactStore
from orchestrator.artifacts.tree import INLINE_LIMIT, Json, Tree, canonical, codec_name, digest_in, untagged

#: A string of so many characters is inline for sure: JSON writes one character in at most 12 bytes.
_SHORT: Final = INLINE_LIMIT // 12 - 2

_NUMBERS = (int, float, bool, type(None))


class Codec:
    """The codec of one annotation.

    A *plain* one works in JSON and defines `to_json`, `from_json` and `fits`; the others define `encode`,
    `open` and `accepts`. A container of plain codecs is plain itself: a record of numbers is one JSON value.
    """

    def __init__(self, label: str, *, plain: bool, exact: type | None = None) -> None:
        self.label = label  #: the annotation, as messages write it
        self.plain = plain
        self.exact = exact  #: the type whose values are certainly meant for this codec (for unions)

    def encode(self, value: object, store: ArtifactStore) -> Tree:
        """The tree of a value; what is too large for it goes to the store."""
        return json_tree(self.to_json(value), store)

    def decode(self, tree: Tree, store: ArtifactStore) -> object:
        """The value of a tree."""
        return self.open(untagged(tree), store)

    def open(self, tree: Tree, store: ArtifactStore) -> object:
        """The value of a tree that has no union's tag."""
        if tree["codec"] != "json":
            raise self.mismatch(tree)
        return self.from_json(load_json(tree, store))

    def accepts(self, tree: Tree, store: ArtifactStore) -> bool:
        """Whether this codec could have written the tree, as far as a glance can tell."""
        return tree["codec"] == "json" and self.fits(load_json(tree, store))

    def part(self, tree: Tree, key: str | int, store: ArtifactStore) -> tuple[Codec, Tree]:  # noqa: ARG002
        """The codec and the tree of one part of the value."""
        raise NoSuchPart(f"there is no part {key!r} in a value annotated {self.label}")

    def to_json(self, value: object) -> Json:
        raise NotImplementedError

    def from_json(self, value: Json) -> object:
        raise NotImplementedError

    def fits(self, value: Json) -> bool:
        raise NotImplementedError

    def wrong(self, value: object) -> WrongValue:
        """The error for a value of another type."""
        return WrongValue(f"is {described(value)}; annotated {self.label}")

    def mismatch(self, tree: Tree) -> WrongValue:
        """The error for a stored value of another type."""
        return WrongValue(f"is stored as {codec_name(tree)!r}; annotated {self.label}")


class BlobCodec(Codec):
    """The codec of values that are blobs of their own kind; `kind` is the tree's codec."""

    kind: str

    def accepts(self, tree: Tree, store: ArtifactStore) -> bool:  # noqa: ARG002
        return tree["codec"] == self.kind

    def open(self, tree: Tree, store: ArtifactStore) -> object:
        if tree["codec"] != self.kind:
            raise self.mismatch(tree)
        return self.load(tree, store)

    def load(self, tree: Tree, store: ArtifactStore) -> object:
        raise NotImplementedError


def described(value: object) -> str:
    """The type of a value, as messages write it."""
    return "None" if value is None else type(value).__qualname__


def json_tree(value: Json, store: ArtifactStore) -> Tree:
    """The tree of a JSON value: inline if it is small."""
    if type(value) in _NUMBERS or (type(value) is str and len(value) <= _SHORT):
        return {"codec": "json", "value": value}
    data = canonical(value)
    if len(data) <= INLINE_LIMIT:
        return {"codec": "json", "value": value}
    return {"codec": "json", "digest": store.put(data), "size": len(data)}


def load_json(tree: Tree, store: ArtifactStore) -> Json:
    """The JSON value of such a tree."""
    if "value" in tree:
        return tree["value"]
    return _parsed(digest_in(tree), store)


def json_part(tree: Tree, key: str | int, store: ArtifactStore) -> Tree | None:
    """The tree of one part of a container that was stored as one JSON value; None if there is none."""
    value = load_json(tree, store) if "value" in tree else _kept_json(digest_in(tree), store)
    match value, key:
        case list(items), int(index) if 0 <= index < len(items):
            return {"codec": "json", "value": deepcopy(items[index])}
        case dict(fields), str(name) if name in fields:
            return {"codec": "json", "value": deepcopy(fields[name])}
    return None


@lru_cache(maxsize=4)
def _kept_json(digest: Digest, store: ArtifactStore) -> Json:
    """A large JSON value, kept for whoever goes through its parts one by one."""
    return _parsed(digest, store)


def _parsed(digest: Digest, store: ArtifactStore) -> Json:
    data = store.get(digest)
    with translated_parse_errors(f"artifact {digest}", "JSON"):
        return cast("Json", json.loads(data))


def json_parts(tree: Tree, kind: str, store: ArtifactStore) -> Json:
    """The trees of a container's parts, also where the container was stored as one JSON value."""
    if tree["codec"] == kind:
        return tree.get("parts")
    if tree["codec"] == "json":
        match load_json(tree, store):
            case list(items) if kind == "list":
                return [{"codec": "json", "value": item} for item in items]
            case dict(fields) if kind == "object":
                return {name: {"codec": "json", "value": field} for name, field in fields.items()}
    raise StoreError(f"a stored value is {codec_name(tree)!r} where a {kind} is needed")
