"""A run as a worker knows it: its graph, its plan, its canvas; read once and kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from celery import Celery

from orchestrator.archive.rounds import Round
from orchestrator.archive.specification import Specification
from orchestrator.authoring.graph import Graph, Node, NodeName, StageName, group_and_index
from orchestrator.code import differing
from orchestrator.compiler.arrange import arrange
from orchestrator.compiler.canvas import Canvas
from orchestrator.compiler.plan import Plan
from orchestrator.run_id import RunId
from workers.runtime.loaded_code import loaded_code


@dataclass(frozen=True)
class NodeRef:
    """What one message asks for: a node, or one item of a map."""

    name: NodeName
    node: Node
    index: int | None = None  #: of the item

    @property
    def group(self) -> NodeName | None:
        """The map that this is an item of."""
        return None if self.index is None else self.node.name


@dataclass(frozen=True)
class RunContext:
    """A run's specification and all that follows from it."""

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
        """How the graph is laid out; worked out once for all its nodes."""
        return arrange(self.graph.without(self.round.done))

    @cached_property
    def canvas(self) -> Canvas:
        """The signatures of what follows each node."""
        return Canvas(self.app, self.plan, self.run, self.round.number)

    def other_code(self, node: Node) -> tuple[str, ...]:
        """What of the code that a node's stage reaches is not the run's in this process."""
        if node.stage not in self._compared:
            self._compared[node.stage] = differing(loaded_code(node), self.specification.code)
        return self._compared[node.stage]

    def knows(self, name: str) -> bool:
        """Whether the run has a node of that name, or a map with such an item."""
        group, _ = group_and_index(name)
        return group in self.graph

    def node_ref(self, name: str) -> NodeRef:
        """What a message's `node` stands for."""
        group, index = group_and_index(name)
        return NodeRef(NodeName(name), self.graph[group], index)

    def stored_as(self, ref: NodeRef) -> str:
        """The name under which a node's output is stored."""
        stored = self.folder_of(ref)
        if self.round.number and ref.node in self.graph.handlers:
            stored = f"{stored}@{self.round.number}"  # each round that fails is told of
        return stored if ref.index is None else f"{stored}[{ref.index}]"

    def folder_of(self, ref: NodeRef) -> str:
        """The name under which a node's output is stored with those of other items of its map."""
        return self.round.stored_as(ref.node.name, ref.index)

    def needed_by(self, ref: NodeRef) -> tuple[NodeName, ...]:
        """The nodes that need this one or, of an item, its map."""
        return self.graph.successors[ref.node.name]

    def descendants(self, ref: NodeRef) -> tuple[NodeName, ...]:
        """Everything that cannot run without this node."""
        return self.graph.descendants(ref.node.name)
