"""Small graphs of all shapes, and what one round of a run knows of its graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from hypothesis import strategies as st
from hypothesis.vendor.pretty import RepresentationPrinter

from orchestrator.authoring.graph import Constant, Graph, Input, Node, NodeName, Output, StageName
from orchestrator.authoring.policies import Policy
from orchestrator.compiler.arrange import arrange
from orchestrator.compiler.plan import Plan


@dataclass(frozen=True)
class Shape:
    """A graph, with the lengths that its maps have or turn out to have."""

    graph: Graph
    lengths: Mapping[NodeName, int]

    def __repr__(self) -> str:
        ending = [f"!{node.name}" for node in self.graph.handlers] + ["fail fast"] * self.graph.fail_fast
        return f"Shape({', '.join([*map(self._told, self.graph), *ending])})"

    def _repr_pretty_(self, printer: RepresentationPrinter, _: bool) -> None:
        printer.text(repr(self))  # what Hypothesis prints

    def _told(self, node: Node) -> str:
        length = self.lengths.get(node.name)
        items = "" if length is None else f"[{'' if node.known_length else '?'}{length}]"
        needs = "".join(sorted(node.needs))
        return f"{needs}{'?' if node.conditions else ''}>{node.name}{items}"


@dataclass(frozen=True)
class Facts:
    """What the messages of one round are sent with."""

    shape: Shape
    number: int = 0  #: of the round
    done: frozenset[NodeName] = field(default=frozenset())  #: nodes that were done when it began

    @property
    def graph(self) -> Graph:
        return self.shape.graph

    @cached_property
    def handlers(self) -> tuple[NodeName, ...]:
        """What runs once the run has failed."""
        return tuple(node.name for node in self.graph.handlers)

    @cached_property
    def plan(self) -> Plan:
        return arrange(self.graph.without(self.done))

    @cached_property
    def maps(self) -> Mapping[NodeName, int]:
        """The maps that the canvas writes out, with their lengths."""
        left = (node for node in self.graph if node.name not in self.done)
        return {
            node.name: self.shape.lengths[node.name]
            for node in left
            if self.plan.written_out(self.plan.node(node.name))
        }

    def node(self, task: str) -> Node:
        """The node that a task is, or is an item of."""
        return self.graph[task.partition("[")[0]]

    def group(self, task: str) -> NodeName | None:
        """The map that a task is an item of."""
        return self.node(task).name if "[" in task else None

    def items(self, name: str) -> list[NodeName]:
        """The items of a map."""
        return [NodeName(f"{name}[{index}]") for index in range(self.shape.lengths[NodeName(name)])]

    @cached_property
    def left(self) -> Mapping[NodeName, frozenset[NodeName]]:
        """The nodes that are left, and the others of these that each needs."""
        return {node.name: node.needs for node in self.plan.graph}

    def needed_by(self, task: str) -> tuple[NodeName, ...]:
        """The nodes that need a task, or the map that it is an item of."""
        return self.graph.successors[self.node(task).name]

    def descendants(self, task: str) -> tuple[NodeName, ...]:
        """What cannot run without a task."""
        if self.group(task):
            return self.plan.graph.behind_an_item(self.node(task).name)
        return self.graph.descendants(self.node(task).name)

    def follows(self, name: str) -> tuple[NodeName, ...]:
        """The maps that a map follows item by item."""
        return tuple(self.plan.graph.item_edges.get(NodeName(name), {}))

    def followers(self, name: str) -> tuple[NodeName, ...]:
        """The maps that follow a map item by item."""
        return tuple(self.plan.graph.item_followers.get(NodeName(name), {}))


@dataclass(frozen=True)
class Part:
    """A node of a shape: named by one letter, like each of those it needs."""

    name: str
    needs: str = ""
    length: int | None = None  #: of a map
    unknown: bool = False  #: the map takes its length from the first of its needs
    conditional: bool = False  #: it runs only if the first of its needs says so
    tolerate: float = 0.0
    follows: str = ""  #: those of its needs that it takes item by item

    def node(self) -> Node:
        """The part as a graph's node."""
        first = Output(NodeName(self.needs[0])) if self.needs else None
        varying: dict[str, Input] = {}
        if self.length is not None:
            varying = {name: Output(NodeName(name)) for name in self.follows}
            if not varying:
                varying["each"] = first if first and self.unknown else Constant(list(range(self.length)))
        return Node(
            name=NodeName(self.name),
            stage=StageName("some.stage"),
            policy=Policy(tolerate=self.tolerate),
            varying=varying,
            after=tuple(NodeName(name) for name in self.needs if name not in self.follows),
            conditions=(first,) if first and self.conditional else (),
        )


def shape(*parts: Part) -> Shape:
    """A shape of the given parts."""
    lengths = {NodeName(part.name): part.length for part in parts if part.length is not None}
    return Shape(Graph("some", tuple(part.node() for part in parts)), lengths)


def failing(whole: Shape, handlers: str, *, fail_fast: bool) -> Shape:
    """A shape that has something to run after a failure, and may fail fast."""
    after = tuple(Part(name).node() for name in handlers)
    return replace(whole, graph=replace(whole.graph, handlers=after, fail_fast=fail_fast))


CHAIN = shape(Part("a"), Part("b", "a"), Part("c", "b"))
CROSSED = shape(Part("a"), Part("b"), Part("c", "ab"), Part("d", "ab"), Part("e", "ab"))
RING = shape(Part("a"), Part("b"), Part("c"), Part("d", "ab"), Part("e", "bc"), Part("f", "ca"))
WRITTEN_OUT = shape(Part("a"), Part("m", "a", length=3), Part("z", "m"))
UNKNOWN = shape(Part("a"), Part("m", "a", length=3, unknown=True, tolerate=0.4), Part("z", "m"))
LONG = shape(Part("a"), Part("m", "a", length=18, unknown=True), Part("z", "m"))
AWAITED_MAPS = shape(
    Part("a"),
    Part("b"),
    Part("m", "ab", length=2),
    Part("n", "a", length=2, unknown=True),
    Part("y", "nb"),
    Part("z", "mn"),
)
FOLLOWING = shape(
    Part("m", length=3),
    Part("n", "m", length=3, follows="m"),
    Part("o", "m", length=3, follows="m"),
    Part("p", "no", length=3, follows="no"),
    Part("y", "m"),
    Part("z", "p"),
)
CONDITION = shape(Part("a"), Part("b", "a", conditional=True), Part("m", "b", length=2), Part("z", "ma"))


@st.composite
def _any_shape(draw: st.DrawFn) -> Shape:
    parts: list[Part] = []
    for name in "abcde"[: draw(st.integers(2, 5))]:
        earlier = "".join(part.name for part in parts)
        needs = "".join(sorted(draw(st.sets(st.sampled_from(earlier), max_size=3)))) if earlier else ""
        length = draw(st.sampled_from([None, None, 0, 1, 2, 3]))
        maps = [part.name for part in parts if part.name in needs and part.length is not None]
        follows = draw(st.sampled_from(["", *maps]))
        part = Part(
            name,
            needs,
            length=next((part.length for part in parts if part.name == follows), length),
            follows=follows,
            unknown=draw(st.booleans()),
            conditional=draw(st.integers(0, 3)) == 3,
            tolerate=draw(st.sampled_from([0.0, 0.5, 1.0])),
        )
        parts.append(part)
    return shape(*parts)


def shapes() -> st.SearchStrategy[Shape]:
    """The named shapes, and any others."""
    named = st.sampled_from(
        [CROSSED, RING, AWAITED_MAPS, UNKNOWN, WRITTEN_OUT, CONDITION, LONG, CHAIN, FOLLOWING]
    )
    return st.builds(
        failing,
        named | _any_shape(),
        st.sampled_from(["", "h", "gh"]),
        fail_fast=st.sampled_from([False, True]),
    )
