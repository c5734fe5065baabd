"""Codecs of lists, tuples, sets and mappings."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeAlias, TypeVar, cast

from orchestrator.artifacts.codec import Codec, json_part, json_parts, json_tree
from orchestrator.artifacts.errors import NoSuchPart, WrongValue
from orchestrator.artifacts.store import ArtifactStore
from orchestrator.artifacts.tree import Json, Tree, canonical

P = TypeVar("P")
R = TypeVar("R")

#: How a part's codec is used on a part: to or from JSON, to or from a tree.
Outward: TypeAlias = Callable[[Codec], Callable[[object], Json]]
Inward: TypeAlias = Callable[[Codec], Callable[[Json], object]]


class Container(Codec):
    """A value made of parts; plain if all its parts are.

    A subclass says how a value is taken apart (`take`) and put together (`make`), whichever way the parts go.
    """

    kind: str  #: "list" or "object": the form in JSON, and the codec's name in a tree

    def take(self, value: object, outward: Outward) -> Json:
        raise NotImplementedError

    def make(self, parts: Json, inward: Inward) -> object:
        raise NotImplementedError

    def codec_of(self, key: str | int) -> tuple[Codec, str | int] | None:
        """The codec of one part and its key in the stored form."""
        raise NotImplementedError

    def encode(self, value: object, store: ArtifactStore) -> Tree:
        if self.plain:
            return json_tree(self.to_json(value), store)
        return {
            "codec": self.kind,
            "parts": self.take(value, lambda codec: lambda part: codec.encode(part, store)),
        }

    def open(self, tree: Tree, store: ArtifactStore) -> object:
        if self.plain and tree["codec"] == "json":
            return super().open(tree, store)
        parts = json_parts(tree, self.kind, store)
        return self.make(parts, lambda codec: lambda part: codec.decode(cast("Tree", part), store))

    def accepts(self, tree: Tree, store: ArtifactStore) -> bool:
        if tree["codec"] == self.kind:
            return self.fits(tree.get("parts"))
        return self.plain and super().accepts(tree, store)

    def part(self, tree: Tree, key: str | int, store: ArtifactStore) -> tuple[Codec, Tree]:
        found = self.codec_of(key)
        if found is not None:
            codec, place = found
            if tree["codec"] == "json":
                part = json_part(tree, place, store)
            else:
                part = _part_of(json_parts(tree, self.kind, store), place)
            if part is not None:
                return codec, part
        raise NoSuchPart(f"there is no part {key!r} in the stored {self.label}")

    def to_json(self, value: object) -> Json:
        return self.take(value, lambda codec: codec.to_json)

    def from_json(self, value: Json) -> object:
        return self.make(value, lambda codec: codec.from_json)


def _part_of(parts: Json, place: str | int) -> Tree | None:
    match parts, place:
        case list(items), int(index) if 0 <= index < len(items):
            return cast("Tree", items[index])
        case dict(fields), str(name) if name in fields:
            return cast("Tree", fields[name])
    return None


class ListCodec(Container):
    """Any number of items of one annotation: lists, `tuple[T, ...]`, sets."""

    kind = "list"

    def __init__(
        self, label: str, item: Codec, taken: tuple[type, ...], made: Callable[[Iterable[object]], object]
    ) -> None:
        super().__init__(label, plain=item.plain, exact=taken[0])
        self._item, self._taken, self._made = item, taken, made

    def take(self, value: object, outward: Outward) -> Json:
        if not isinstance(value, self._taken):
            raise self.wrong(value)
        parts = each(cast("Iterable[object]", value), outward(self._item))
        return sorted(parts, key=canonical) if isinstance(value, (set, frozenset)) else parts

    def make(self, parts: Json, inward: Inward) -> object:
        if not isinstance(parts, list):
            raise self.wrong(parts)
        return self._made(each(parts, inward(self._item)))

    def codec_of(self, key: str | int) -> tuple[Codec, str | int] | None:
        return self._item, key

    def fits(self, value: Json) -> bool:
        return isinstance(value, list)


class TupleCodec(Container):
    """A tuple with an annotation for each item."""

    kind = "list"

    def __init__(self, label: str, items: tuple[Codec, ...]) -> None:
        super().__init__(label, plain=all(item.plain for item in items), exact=tuple)
        self._items = items

    def take(self, value: object, outward: Outward) -> Json:
        if type(value) is not tuple:
            raise self.wrong(value)
        self._check_length(value)
        return [
            at(index, outward(item), part)
            for index, (item, part) in enumerate(zip(self._items, value, strict=True))
        ]

    def make(self, parts: Json, inward: Inward) -> object:
        if not isinstance(parts, list):
            raise self.wrong(parts)
        self._check_length(parts)
        return tuple(
            at(index, inward(item), part)
            for index, (item, part) in enumerate(zip(self._items, parts, strict=True))
        )

    def codec_of(self, key: str | int) -> tuple[Codec, str | int] | None:
        return (self._items[key], key) if isinstance(key, int) and 0 <= key < len(self._items) else None

    def fits(self, value: Json) -> bool:
        return isinstance(value, list) and len(value) == len(self._items)

    def _check_length(self, parts: tuple[object, ...] | list[Json]) -> None:
        if len(parts) != len(self._items):
            raise WrongValue(f"has {len(parts)} items; annotated {self.label}")


class MappingCodec(Container):
    """Named values of one annotation; integers and choices are possible names too."""

    kind = "object"

    def __init__(self, label: str, key: Codec, item: Codec) -> None:
        super().__init__(label, plain=item.plain, exact=dict)
        self._key, self._item = key, item
        self._read_key: Callable[[str], object] = self._integer_key if key.label == "int" else key.from_json

    def take(self, value: object, outward: Outward) -> Json:
        if type(value) is not dict:
            raise self.wrong(value)
        write = outward(self._item)
        parts: dict[str, Json] = {}
        for key, part in value.items():
            try:
                name = str(self._key.to_json(key))
            except WrongValue as error:
                raise error.within(f"key {key!r}") from None
            parts[name] = at(name, write, part, "key")
        return parts

    def make(self, parts: Json, inward: Inward) -> object:
        if not isinstance(parts, dict):
            raise self.wrong(parts)
        read = inward(self._item)
        return {self._read_key(name): at(name, read, part, "key") for name, part in parts.items()}

    def codec_of(self, key: str | int) -> tuple[Codec, str | int] | None:
        try:
            return self._item, str(self._key.to_json(key))
        except WrongValue:
            return None

    def fits(self, value: Json) -> bool:
        return isinstance(value, dict)

    @staticmethod
    def _integer_key(name: str) -> object:
        try:
            return int(name)
        except ValueError as error:
            raise WrongValue(f"key {name!r} is no int") from error


def at(index: int | str, convert: Callable[[P], R], part: P, word: str = "item") -> R:
    """Convert one part; an error says which part it was."""
    try:
        return convert(part)
    except WrongValue as error:
        raise error.within(f"{word} {index!r}") from error.__cause__


def each(parts: Iterable[P], convert: Callable[[P], R]) -> list[R]:
    """Convert all items; an error says which item it was."""
    converted: list[R] = []
    try:
        for part in parts:
            converted.append(convert(part))  # its length is the index of a failing item
    except WrongValue as error:
        raise error.within(f"item {len(converted)}") from error.__cause__
    return converted
