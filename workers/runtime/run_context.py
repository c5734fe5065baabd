"""A run as cached by a worker: its graph, plan and canvas, read once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from celery import Celery

from orchestrator.archive.rounds import Round
from orchestrator.archive.specification import Specification
from orchestrator.authoring.graph import (
    Graph,
    Node,
    NodeName,
    StageName,
    group_and_index,
    indexes_of,
    item_at,
    item_name,
    node_of,
)
from orchestrator.code import differing
from orchestrator.compiler.arrange import arrange
from orchestrator.compiler.canvas import Canvas
from orchestrator.compiler.plan import Plan
from orchestrator.run_id import RunId
from orchestrator.runs.values import Follows
from workers.runtime.loaded_code import loaded_code


@dataclass(frozen=True)
class NodeRef:
    """The target of a message: a node, or one item of a map."""

    name: NodeName
    node: Node

    @cached_property
    def indexes(self) -> tuple[int, ...]:
        """The indexes of the map item; none for a node."""
        return indexes_of(self.name)

    @property
    def index(self) -> int | None:
        """The last index of the map item; None for a node."""
        return self.indexes[-1] if self.indexes else None

    @property
    def depth(self) -> int:
        """How many indexes it has."""
        return len(self.indexes)

    @property
    def is_map(self) -> bool:
        """Whether it is expanded into items: a map, or an item that is a map itself."""
        return self.depth < self.node.depth

    @property
    def group(self) -> NodeName | None:
        """The map that this item belongs to; None for a node."""
        return group_and_index(self.name)[0] if self.indexes else None

    def item(self, index: int) -> NodeRef:
        """One item of this map."""
        return NodeRef(item_name(self.name, index), self.node)


@dataclass(frozen=True)
class RunContext:
    """A run's specification and everything derived from it."""

    specification: Specification
    app: Celery
    round: Round = field(default_factory=Round)
    _compared: dict[StageName, tuple[str, ...]] = field(default_factory=dict)

    @property
    def run(self) -> RunId:
        """The run's id."""
        return self.specification.run

    @property
    def graph(self) -> Graph:
        """The run's graph."""
        return self.specification.graph

    @cached_property
    def plan(self) -> Plan:
        """The layout of the graph for this round, computed once for all nodes."""
        return arrange(self.graph.without(self.round.done))

    @cached_property
    def canvas(self) -> Canvas:
        """The Celery signatures of each node's successors."""
        return Canvas(self.app, self.plan, self.run, self.round.number)

    def other_code(self, node: Node) -> tuple[str, ...]:
        """Return the definitions a node's stage reaches that differ between this process and the run."""
        if node.stage not in self._compared:
            self._compared[node.stage] = differing(loaded_code(node), self.specification.code)
        return self._compared[node.stage]

    def knows(self, name: str) -> bool:
        """Whether the run has a node of that name, or a map that the item name refers to."""
        return node_of(name) in self.graph

    def node_ref(self, name: str) -> NodeRef:
        """Return the node or map item that a message's `node` argument names."""
        return NodeRef(NodeName(name), self.graph[node_of(name)])

    def stored_as(self, ref: NodeRef) -> str:
        """Return the name under which a node's output is stored."""
        is_handler = ref.node in self.graph.handlers
        stored = self.round.handler_stored_as(ref.node.name) if is_handler else self.folder_of(ref)
        return stored if ref.index is None else f"{stored}[{ref.index}]"

    def folder_of(self, ref: NodeRef) -> str:
        """Return the name of the folder that stores a node's output, shared by all items of a map."""
        return self.round.stored_as(ref.name)

    def needed_by(self, ref: NodeRef) -> tuple[NodeName, ...]:
        """Return the direct successors of this node; for an item, those of its map."""
        return self.graph.successors[ref.node.name]

    def follows(self, ref: NodeRef) -> Follows:
        """Return the maps that a map follows item by item in this round."""
        shared = self.followed(ref).items()
        return Follows(
            [item_at(name, ref.indexes) for name, indexes in shared if indexes == ref.depth + 1],
            [item_at(name, ref.indexes) for name, indexes in shared if indexes > ref.depth + 1],
        )

    def followed(self, ref: NodeRef) -> Mapping[NodeName, int]:
        """Return the nodes whose items a node follows in this round, and how many indexes they share."""
        return self.plan.graph.item_edges.get(ref.node.name, {})

    def descendants(self, ref: NodeRef) -> tuple[NodeName, ...]:
        """Return the nodes that cannot run if this one fails."""
        if ref.index is not None:
            return self.plan.graph.behind_an_item(ref.node.name)
        return self.graph.descendants(ref.node.name)
