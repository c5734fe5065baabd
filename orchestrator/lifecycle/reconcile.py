"""Compute what a round of a run sends, from the store and Redis; the only place that decides this."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from orchestrator.archive.rounds import Round
from orchestrator.archive.specification import Specification
from orchestrator.authoring.graph import Graph, NodeName
from orchestrator.compiler.arrange import arrange
from orchestrator.compiler.plan import Plan
from orchestrator.run_id import RunId
from orchestrator.runs.store import RunStore
from orchestrator.runs.values import RunStatus

if TYPE_CHECKING:
    from orchestrator.artifacts import ArtifactStore
    from orchestrator.compiler.canvas import Canvas


@dataclass(frozen=True)
class Remaining:
    """The nodes that one round of a run sends."""

    run: RunId
    round: Round
    graph: Graph  #: without the nodes that were done when the round began

    @classmethod
    def of(cls, specification: Specification, round: Round | None = None) -> Remaining:
        """Return what a round of a run sends; by default its submission, which sends all nodes."""
        round = round or Round()
        return cls(specification.run, round, specification.graph.without(round.done))

    @cached_property
    def plan(self) -> Plan:
        """How the nodes are sent: in chains and chords, or when their inputs are available."""
        return arrange(self.graph)

    @property
    def needs(self) -> dict[NodeName, int]:
        """The number of inputs of each node."""
        return {node.name: len(node.needs) for node in self.graph}

    @property
    def written_out(self) -> Iterator[tuple[NodeName, int]]:
        """The maps whose items are separate tasks in the canvas, with their numbers of items."""
        for node in self.graph:
            if node.known_length is not None and self.plan.written_out(node):
                yield node.name, node.known_length

    def canvas(self, *, again: bool = False) -> Canvas:
        """Return the canvas; `again` marks its messages as sent before."""
        from orchestrator.compiler.canvas import Canvas
        from orchestrator.messaging.app import app

        return Canvas(app, self.plan, self.run, self.round.number, again=again)


def reconcile(run: RunId, *, store: ArtifactStore, runs: RunStore) -> Remaining:
    """Return what the current round of a run sends; raises UnknownRun."""
    return Remaining.of(Specification.read(store, run), round_of(run, runs.status(run), store))


def round_of(run: RunId, status: RunStatus | None, store: ArtifactStore) -> Round:
    """Return the current round of a run: as Redis has it or, if Redis has lost the run, the last one stored.

    If Redis knows the run, the store may have later rounds that were not accepted.
    """
    return Round.read(store, run, status.round) if status else Round.latest(store, run)
