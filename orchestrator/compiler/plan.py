"""The shape of a canvas: sequences of nodes and joins, and what no nesting of them can express."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from orchestrator.authoring.graph import Graph, Node, NodeName

#: Maps up to this many items may be written out in the canvas.
WRITTEN_OUT = 64


@dataclass
class Link:
    """A node's place in a sequence: started by what precedes it, or by the last of its `heads` (a join)."""

    node: NodeName
    heads: tuple[Sequence, ...] = ()  #: run side by side before the node, which is the body of their chord
    sides: list[Sequence] = field(default_factory=list)  #: started by the node, awaited by nothing behind it


@dataclass
class Sequence:
    """Nodes that run one behind the other: a chain."""

    links: list[Link] = field(default_factory=list)

    def __iter__(self) -> Iterator[Link]:
        return iter(self.links)


@dataclass(frozen=True)
class Plan:
    """A graph, arranged as a canvas."""

    graph: Graph
    roots: tuple[Sequence, ...]  #: started by the submission
    waits: Mapping[
        NodeName, tuple[NodeName, ...]
    ]  #: needs that the canvas does not express: awaited by parking
    places: Mapping[NodeName, tuple[Sequence, int]]  #: where each node stands

    @property
    def wakes(self) -> Mapping[NodeName, tuple[NodeName, ...]]:
        """For each node, the nodes that may be parked until it is done."""
        return self._wakes

    def __post_init__(self) -> None:
        wakes: dict[NodeName, list[NodeName]] = {}
        for name, awaited in self.waits.items():
            for need in awaited:
                wakes.setdefault(need, []).append(name)
        frozen = {name: tuple(names) for name, names in wakes.items()}
        object.__setattr__(self, "_wakes", frozen)

    _wakes: Mapping[NodeName, tuple[NodeName, ...]] = field(init=False, repr=False)

    def link(self, name: NodeName) -> Link:
        """A node's place."""
        sequence, position = self.places[name]
        return sequence.links[position]

    def following(self, name: NodeName) -> Link | None:
        """What stands behind a node in its sequence."""
        sequence, position = self.places[name]
        return sequence.links[position + 1] if position + 1 < len(sequence.links) else None

    def written_out(self, node: Node) -> bool:
        """Whether a map's items stand in the canvas itself; others become items on a worker.

        A chord counts only items that succeed, so a map that tolerates failures cannot be one; nor can one
        without items.
        """
        length = node.known_length
        short = node.mapped and length is not None and 0 < length <= WRITTEN_OUT
        starts_freely = node.name not in self.waits and not self.link(node.name).heads
        return short and starts_freely and not node.conditions and not node.policy.tolerate

    def node(self, name: NodeName) -> Node:
        """A node of the graph."""
        return self.graph[name]
