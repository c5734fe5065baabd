"""The shape of a canvas: sequences of nodes and joins, and what no nesting of them can express."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from orchestrator.authoring.graph import Graph, Node, NodeName, node_of

#: Maps up to this many items may be written out in the canvas.
WRITTEN_OUT = 64


@dataclass
class Link:
    """A node's place in a sequence: started by what precedes it, or by the last of its `heads` (a join)."""

    node: NodeName
    heads: tuple[Sequence, ...] = ()  #: run side by side before the node, which is the body of their chord
    sides: list[Sequence] = field(default_factory=list)  #: started by the node, awaited by nothing behind it


@dataclass(eq=False)
class Sequence:
    """Nodes that run one behind the other: a chain."""

    links: list[Link] = field(default_factory=list)
    join: NodeName | None = None  #: of whose chord it is a part

    def __iter__(self) -> Iterator[Link]:
        return iter(self.links)

    @property
    def first(self) -> tuple[NodeName, ...]:
        """The nodes that it starts with: several where it starts with a chord."""
        return first_of(self.links[0])


@dataclass(frozen=True)
class Plan:
    """A graph, arranged as a canvas."""

    graph: Graph
    roots: tuple[Sequence, ...]  #: started by the submission
    woken: Mapping[NodeName, Sequence]  #: by first node: started by whichever of its needs ends last
    places: Mapping[NodeName, tuple[Sequence, int]]  #: where each node stands

    def link(self, name: NodeName) -> Link:
        """A node's place."""
        sequence, position = self.places[name]
        return sequence.links[position]

    def following(self, name: NodeName) -> Link | None:
        """What stands behind a node in its sequence."""
        sequence, position = self.places[name]
        return sequence.links[position + 1] if position + 1 < len(sequence.links) else None

    def chord_of(self, name: str) -> NodeName | None:
        """The node whose chord counts the branch that a node stands in, or the item of a map."""
        node = node_of(name)
        if node != name:
            return self.chorded(self.node(node))
        return self.places[node][0].join if node in self.places else None

    def written_out(self, node: Node) -> bool:
        """Whether a map's items stand in the canvas itself; others become items on a worker.

        A chord counts only items that succeed, so a map that tolerates failures cannot be one; nor can one
        without items.
        """
        return is_written_out(self.graph, node.name) and not self.link(node.name).heads

    def chorded(self, node: Node) -> NodeName | None:
        """The node that is the body of a written-out map's chord: the one behind it, where that is all."""
        return chord_body(self.graph, self.link(node.name), self.following(node.name))

    def node(self, name: NodeName) -> Node:
        """A node of the graph."""
        return self.graph[name]


def is_written_out(graph: Graph, name: NodeName) -> bool:
    """Whether a map is fit to have its items in the canvas: not beside others that go on item by item."""
    node = graph[name]
    length = node.known_length
    short = node.mapped and length is not None and 0 < length <= WRITTEN_OUT
    by_item = node.scope or name in graph.item_followers or name in graph.item_edges
    return short and not node.conditions and not node.policy.tolerate and not by_item


def chord_body(graph: Graph, link: Link, following: Link | None) -> NodeName | None:
    """The node behind a map in a sequence, where the map's items and it make a chord."""
    if link.heads or link.sides or following is None or following.heads:
        return None
    fit = is_written_out(graph, link.node) and not graph[following.node].mapped
    return following.node if fit else None


def first_of(link: Link) -> tuple[NodeName, ...]:
    """The nodes that are sent to start a link: its own, or the first ones of the branches that it joins."""
    return tuple(name for head in link.heads for name in head.first) if link.heads else (link.node,)
