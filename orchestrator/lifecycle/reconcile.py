"""What is left of a run, by the store and by Redis: whoever sends anything of a run asks here."""

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
    graph: Graph  #: without what was done when the round began

    @classmethod
    def of(cls, specification: Specification, round: Round | None = None) -> Remaining:
        """What a round of a run sends; without one, the submission, which sends all."""
        round = round or Round()
        return cls(specification.run, round, specification.graph.without(round.done))

    @cached_property
    def plan(self) -> Plan:
        """How the nodes are sent: in chains and chords, or by what they need."""
        return arrange(self.graph)

    @property
    def needs(self) -> dict[NodeName, int]:
        """How many others each node waits for."""
        return {node.name: len(node.needs) for node in self.graph}

    @property
    def written_out(self) -> Iterator[tuple[NodeName, int]]:
        """The maps whose items the canvas has as messages of their own, and how many."""
        for node in self.graph:
            if node.known_length is not None and self.plan.written_out(node):
                yield node.name, node.known_length

    def canvas(self, *, again: bool = False) -> Canvas:
        """The messages; with `again` they say that others like them were sent before."""
        from orchestrator.compiler.canvas import Canvas
        from orchestrator.messaging.app import app

        return Canvas(app, self.plan, self.run, self.round.number, again=again)


def reconcile(run: RunId, *, store: ArtifactStore, runs: RunStore) -> Remaining:
    """What the round that a run is in sends; raises UnknownRun."""
    return Remaining.of(Specification.read(store, run), round_of(run, runs.status(run), store))


def round_of(run: RunId, status: RunStatus | None, store: ArtifactStore) -> Round:
    """The round that a run is in: Redis knows it, and else the store has the one that was written last.

    Where Redis knows the run, others may have been written since, with which it was not carried on.
    """
    return Round.read(store, run, status.round) if status else Round.latest(store, run)
