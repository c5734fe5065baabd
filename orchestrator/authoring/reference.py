"""A reference stands for a value that there is not yet, while a pipeline is traced."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NoReturn, Protocol

from orchestrator.authoring.annotations import assignable, fields_of, items_of, shown
from orchestrator.authoring.graph import Element, NodeName, Not, Output


class Step(Protocol):
    """What a type checker sees of a use of a stage that returns nothing."""

    def after(self, *others: object) -> Step: ...
    def only_if(self, condition: object) -> Step: ...


class Recorder(Protocol):
    """What notes how references are used: the trace of the pipeline that they belong to."""

    def order(self, name: NodeName, others: Sequence[object]) -> None: ...
    def condition(self, name: NodeName, condition: object) -> None: ...
    def mistake(self, text: str) -> None: ...


class Reference:
    """The output of a node, an element of a mapped pipeline's list, or a part of either.

    It can be passed to other stages, taken apart by its fields (NamedTuple, dataclass, pydantic model) or by
    position (tuples), negated with `~` where it is a bool, and, as a node's output, told when to run. It has
    no value to compute with.
    """

    def __init__(
        self, trace: Recorder, source: Output | Element, hint: object, *, negated: bool = False
    ) -> None:
        self._trace = trace
        self._source = source
        self._hint = hint
        self._negated = negated

    def after(self, *others: object) -> Reference:
        """Start this node only once `others` have succeeded, though it takes nothing from them."""
        if isinstance(self._source, Output):
            self._trace.order(self._source.node, others)
        else:
            self._trace.mistake(f"{self}.after(…): {self} is what the pipeline is given, and does not run")
        return self

    def only_if(self, condition: object) -> Reference:
        """Run this node only if `condition` comes out true; otherwise it and all that needs it is skipped."""
        if isinstance(self._source, Output):
            self._trace.condition(self._source.node, condition)
        else:
            self._trace.mistake(f"{self}.only_if(…): {self} is what the pipeline is given, and does not run")
        return self

    def __getattr__(self, name: str) -> Reference:
        if name.startswith("__"):
            raise AttributeError(name)
        fields = fields_of(self._hint)
        if fields is not None and name in fields:
            return self._part(name, fields[name])
        known = f"its fields are {', '.join(fields)}" if fields else "that has no fields"
        self._trace.mistake(f"{self}.{name}: {given_by(self, 'returns')}; {known}")
        return self._part(name, Any)

    def __getitem__(self, key: int | str) -> Reference:
        items = items_of(self._hint)
        if isinstance(key, int) and items is not None and -len(items) <= key < len(items):
            position = key % len(items)
            return self._part(position, items[position])
        fields = fields_of(self._hint)
        if isinstance(key, str) and fields is not None and key in fields:
            return self._part(key, fields[key])
        self._trace.mistake(f"{self}[{key!r}]: {given_by(self, 'returns')}, which has no such part")
        return self._part(key, Any)

    def __iter__(self) -> Iterator[Reference]:
        items = items_of(self._hint)
        if items is None:
            self._no_value("be looped over; use .map(…) to run a stage for each element")
        return iter([self[position] for position in range(len(items))])

    def __invert__(self) -> Reference:
        """The opposite of a truth: `deploy(model).only_if(~known)`."""
        if not assignable(self._hint, bool):
            self._trace.mistake(f"~{self}: {given_by(self)}; only a bool can be negated")
        return Reference(self._trace, self._source, bool, negated=not self._negated)

    def __bool__(self) -> bool:
        self._no_value(
            "decide an `if`, `not`, `and` or `or`; "
            "use .only_if(x), .only_if(~x) for not, .only_if(x).only_if(y) for and"
        )

    def __len__(self) -> int:
        self._no_value("be measured")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Reference):
            self._no_value("be compared; do that in a stage that returns a bool")
        return self is other

    __hash__ = object.__hash__

    def __lt__(self, other: object) -> bool:
        self._no_value("be compared; do that in a stage that returns a bool")

    __le__ = __gt__ = __ge__ = __lt__

    def __and__(self, other: object) -> Reference:
        self._no_value(
            "be combined with & or |; use .only_if(x).only_if(y) for and, a stage for anything else"
        )

    __or__ = __rand__ = __ror__ = __and__

    def __add__(self, other: object) -> Reference:
        self._no_value("be computed with; do that in a stage")

    __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = __add__
    __floordiv__ = __rfloordiv__ = __mod__ = __rmod__ = __pow__ = __rpow__ = __add__

    def __neg__(self) -> Reference:
        self._no_value("be computed with; do that in a stage")

    def __str__(self) -> str:
        return str(output_of(self))

    def __repr__(self) -> str:
        return f"<reference to {self}>"

    def _part(self, key: str | int, hint: object) -> Reference:
        part = replace(self._source, path=(*self._source.path, key))
        return Reference(self._trace, part, hint)

    def _no_value(self, use: str) -> NoReturn:
        raise TypeError(f"{self} has no value while the pipeline is written down, so it cannot {use}")


def output_of(reference: Reference) -> Output | Element | Not:
    """What the reference stands for, as data."""
    return Not(reference._source) if reference._negated else reference._source


def node_of(reference: Reference) -> NodeName | None:
    """The node whose output the reference stands for; None for an element."""
    return reference._source.node if isinstance(reference._source, Output) else None


def hint_of(reference: Reference) -> object:
    """The annotation of what the reference stands for."""
    return reference._hint


def given_by(reference: Reference, verb: str = "gives") -> str:
    """Who gives what the reference stands for, and of which annotation: for messages."""
    node = node_of(reference)
    return f"{node or reference} {verb if node else 'is'} {shown(reference._hint)}"
