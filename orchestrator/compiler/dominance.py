"""Order facts about a graph: which needs are implied by others, and which node every path to another passes.

Dominators of an acyclic graph in one pass over a topological order: Cooper, Harvey and Kennedy, "A Simple,
Fast Dominance Algorithm" (2001).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from orchestrator.authoring.graph import Graph, NodeName

#: Stands before all nodes: the moment of submission.
START = NodeName("")


@dataclass(frozen=True)
class Dominance:
    """A graph's nodes by what must have happened before them."""

    order: tuple[NodeName, ...]  #: START first, each node after all it needs
    needs: Mapping[NodeName, tuple[NodeName, ...]]  #: without those that another need implies; START if none
    parent: Mapping[NodeName, NodeName]  #: the closest node that every path from START passes

    @cached_property
    def rank(self) -> Mapping[NodeName, int]:
        """Each node's place in `order`."""
        return {name: place for place, name in enumerate(self.order)}

    @cached_property
    def children(self) -> Mapping[NodeName, tuple[NodeName, ...]]:
        """The nodes of which each node is the parent, in order."""
        found: dict[NodeName, list[NodeName]] = {name: [] for name in self.order}
        for name in self.order[1:]:
            found[self.parent[name]].append(name)
        return {name: tuple(names) for name, names in found.items()}

    @cached_property
    def depth(self) -> Mapping[NodeName, int]:
        """How many nodes dominate each node."""
        depth = {START: 0}
        for name in self.order[1:]:
            depth[name] = depth[self.parent[name]] + 1
        return depth

    def branch(self, below: NodeName, name: NodeName) -> NodeName:
        """The child of `below` that is, or dominates, `name`."""
        while self.parent[name] != below:
            name = self.parent[name]
        return name


def dominance(graph: Graph) -> Dominance:
    """Work out the order facts of a graph."""
    order = (START, *graph.order)
    needs = _without_implied(graph)
    parent: dict[NodeName, NodeName] = {}
    depth = {START: 0}
    for name in order[1:]:
        first, *others = needs[name]
        for other in others:
            first = _meet(first, other, parent, depth)
        parent[name] = first
        depth[name] = depth[first] + 1
    return Dominance(order, needs, parent)


def _meet(
    one: NodeName, other: NodeName, parent: Mapping[NodeName, NodeName], depth: Mapping[NodeName, int]
) -> NodeName:
    while one != other:
        if depth[one] >= depth[other]:
            one = parent[one]
        else:
            other = parent[other]
    return one


def _without_implied(graph: Graph) -> dict[NodeName, tuple[NodeName, ...]]:
    """Direct needs that no other need already implies (the transitive reduction), by bit sets."""
    bit = {name: 1 << place for place, name in enumerate(graph.order)}
    ancestors: dict[NodeName, int] = {}
    reduced: dict[NodeName, tuple[NodeName, ...]] = {}
    for name in graph.order:
        needs: Sequence[NodeName] = sorted(graph[name].needs, key=bit.__getitem__)
        implied = 0
        for need in needs:
            implied |= ancestors[need]
        kept = tuple(need for need in needs if not bit[need] & implied)
        reduced[name] = kept or (START,)
        ancestors[name] = implied
        for need in kept:
            ancestors[name] |= bit[need]
    return reduced
