"""The codec of `A | B`: the arm's own form, with a tag only where the form alone would not tell the arm."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar, cast

from orchestrator.artifacts.codec import Codec, described, json_tree, load_json
from orchestrator.artifacts.errors import StoreError, WrongValue
from orchestrator.artifacts.store import ArtifactStore
from orchestrator.artifacts.tree import Json, Tree, codec_name, untagged

#: The tag of an arm inside JSON: `{"$type": "module.Name", "value": …}`.
_TYPE: Final = "$type"

R = TypeVar("R")


class UnionCodec(Codec):
    """Chooses the arm by the value's type first, then by trying the arms in order.

    A stored value may come from a narrower annotation than this one (a `Candidate` read as
    `Candidate | None`), so that an untagged form is as good as a tagged one.
    """

    def __init__(self, label: str, arms: dict[str, Codec]) -> None:
        super().__init__(label, plain=all(arm.plain for arm in arms.values()))
        self._arms = arms  #: by full name, the tag

    def encode(self, value: object, store: ArtifactStore) -> Tree:
        if self.plain:
            return json_tree(self.to_json(value), store)
        name, tree = self._chosen(value, lambda arm: arm.encode(value, store))
        if any(arm.accepts(tree, store) for other, arm in self._arms.items() if other != name):
            return {"codec": "union", "type": name, "value": tree}
        return tree

    def decode(self, tree: Tree, store: ArtifactStore) -> object:
        arm, tree = self._arm_of(tree, store)
        if arm is not None:
            return arm.decode(tree, store)
        return self._first(lambda arm: arm.decode(tree, store), f"stored as {codec_name(tree)!r}")

    def accepts(self, tree: Tree, store: ArtifactStore) -> bool:
        return codec_name(tree) == "union" or any(arm.accepts(tree, store) for arm in self._arms.values())

    def part(self, tree: Tree, key: str | int, store: ArtifactStore) -> tuple[Codec, Tree]:
        arm, tree = self._arm_of(tree, store)
        return super().part(tree, key, store) if arm is None else arm.part(tree, key, store)

    def to_json(self, value: object) -> Json:
        name, form = self._chosen(value, lambda arm: arm.to_json(value))
        others = any(arm.fits(form) for other, arm in self._arms.items() if other != name)
        if others or (isinstance(form, dict) and _TYPE in form):
            return {_TYPE: name, "value": form}
        return form

    def from_json(self, value: Json) -> object:
        if isinstance(value, dict) and _TYPE in value:
            arm = self._arms.get(str(value[_TYPE]))
            value = value.get("value")
            if arm is not None:
                return arm.from_json(value)
        for arm in self._arms.values():
            if arm.fits(value):
                return arm.from_json(value)
        return self._first(lambda arm: arm.from_json(value), f"{described(value)} in the store")

    def fits(self, value: Json) -> bool:
        tagged = isinstance(value, dict) and _TYPE in value
        return tagged or any(arm.fits(value) for arm in self._arms.values())

    def _chosen(self, value: object, convert: Callable[[Codec], R]) -> tuple[str, R]:
        meant = {name: arm for name, arm in self._arms.items() if arm.exact is type(value)}
        problems: list[WrongValue] = []
        for name, arm in (meant | self._arms).items():
            try:
                return name, convert(arm)
            except WrongValue as problem:
                problems.append(problem)
        if len(meant) == 1:
            raise problems[0]  # the type is right, so that what is wrong inside it says more
        raise self.wrong(value)

    def _first(self, convert: Callable[[Codec], object], form: str) -> object:
        for arm in self._arms.values():
            try:
                return convert(arm)
            except (WrongValue, StoreError):
                continue
        raise WrongValue(f"is {form}; annotated {self.label}")

    def _arm_of(self, tree: Tree, store: ArtifactStore) -> tuple[Codec | None, Tree]:
        if codec_name(tree) == "union":
            name, tree = str(tree.get("type")), untagged(cast("Tree", tree.get("value")))
            if name in self._arms:
                return self._arms[name], tree
        elif codec_name(tree) == "json":
            match load_json(tree, store):
                case {"$type": str(name), "value": value} if name in self._arms:
                    return self._arms[name], {"codec": "json", "value": value}
        return next((arm for arm in self._arms.values() if arm.accepts(tree, store)), None), tree
