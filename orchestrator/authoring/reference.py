"""A reference stands for a node's output while a pipeline is being written down."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from orchestrator.authoring.annotations import fields_of, items_of, shown
from orchestrator.authoring.graph import NodeName, Output

if TYPE_CHECKING:
    from orchestrator.authoring.trace import Trace


class Step(Protocol):
    """What a type checker sees of a use of a stage that returns nothing."""

    def after(self, *others: object) -> Step: ...
    def only_if(self, condition: object) -> Step: ...


class Reference:
    """The output of a node, or a part of it, before there is any value.

    It can be passed to other stages, taken apart by its fields (NamedTuple, dataclass, pydantic model) or
    by position (tuples), and told when to run. It has no value to compute with.
    """

    def __init__(self, trace: Trace, node: NodeName, hint: object, path: tuple[str | int, ...] = ()) -> None:
        self._trace = trace
        self._node = node
        self._hint = hint
        self._path = path

    def after(self, *others: object) -> Reference:
        """Start this node only once `others` have succeeded, though it takes nothing from them."""
        self._trace.order(self._node, others)
        return self

    def only_if(self, condition: object) -> Reference:
        """Run this node only if `condition` comes out true; otherwise it and all that needs it is skipped."""
        self._trace.condition(self._node, condition)
        return self

    def __getattr__(self, name: str) -> Reference:
        if name.startswith("__"):
            raise AttributeError(name)
        fields = fields_of(self._hint)
        if fields is not None and name in fields:
            return self._part(name, fields[name])
        known = f"its fields are {', '.join(fields)}" if fields else "that has no fields"
        self._trace.mistake(f"{self}.{name}: {self._node} returns {shown(self._hint)}; {known}")
        return self._part(name, Any)

    def __getitem__(self, key: int | str) -> Reference:
        items = items_of(self._hint)
        if isinstance(key, int) and items is not None and -len(items) <= key < len(items):
            position = key % len(items)
            return self._part(position, items[position])
        fields = fields_of(self._hint)
        if isinstance(key, str) and fields is not None and key in fields:
            return self._part(key, fields[key])
        self._trace.mistake(
            f"{self}[{key!r}]: {self._node} returns {shown(self._hint)}, which has no such part"
        )
        return self._part(key, Any)

    def __iter__(self) -> Iterator[Reference]:
        items = items_of(self._hint)
        if items is None:
            self._no_value("be looped over; use .map(…) to run a stage for each element")
        return iter([self[position] for position in range(len(items))])

    def __bool__(self) -> bool:
        self._no_value("decide an if; use .only_if(…)")

    def __len__(self) -> int:
        self._no_value("be measured")

    def __str__(self) -> str:
        return str(Output(self._node, self._path))

    def __repr__(self) -> str:
        return f"<reference to {self}>"

    def _part(self, key: str | int, hint: object) -> Reference:
        return Reference(self._trace, self._node, hint, (*self._path, key))

    def _no_value(self, use: str) -> NoReturn:
        raise TypeError(f"{self} has no value while the pipeline is written down, so it cannot {use}")


def output_of(reference: Reference) -> Output:
    """What the reference stands for, as data."""
    return Output(reference._node, reference._path)


def hint_of(reference: Reference) -> object:
    """The annotation of what the reference stands for."""
    return reference._hint
