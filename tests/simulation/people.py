"""What people and the command line do: submit, cancel, resume, and ask for a conclusion."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from orchestrator.authoring.graph import Graph
from orchestrator.lifecycle.ending import cancel, send_conclusion
from orchestrator.lifecycle.reconcile import reconcile
from orchestrator.lifecycle.resume import send_round
from orchestrator.lifecycle.submission import Prepared, submit
from orchestrator.run_id import RunId
from orchestrator.runs.reader import RunReader
from orchestrator.runs.states import RunState
from orchestrator.runs.store import RunStore

from .world import Told, World


class IdTaken(Exception):
    """Who submits learns that its id is another run's, and would take the next."""


@dataclass
class People:
    """Each of these is done by somebody else, with a connection and a view of the store of their own."""

    world: World
    graph: Graph
    submitted: list[object] = field(default_factory=list)  #: what they were told: a run's id, or an error
    resumed: int = 0  #: how many were told that the run goes on
    heard: Told = lambda _: None  #: hears all that they are told
    heard_of_cancel: Told = lambda _: None

    def __post_init__(self) -> None:
        self.count = 0

    def submit(self) -> None:
        """Run the pipeline."""

        def act() -> object:
            ids = iter([self.world.run_id])

            def next_id(_: str) -> RunId:
                for id in ids:
                    return id
                raise IdTaken

            prepared, store = Prepared(self.graph, {}), self.world.open_store()
            return submit(prepared, store=store, runs=RunStore(self.world.client), ids=next_id)

        self._let("submit", act, self.submitted.append)

    def forget(self) -> None:
        """Neither Redis nor the store knows the run any more: its id may be given to somebody else."""
        self.submitted[:] = [reply for reply in self.submitted if reply != self.world.run_id]

    def cancel(self, after: float) -> None:
        """Stop the run."""
        store, runs = self.world.open_store(), RunStore(self.world.client)
        self._let(
            "cancel", lambda: cancel(self.world.run_id, store=store, runs=runs), self.heard_of_cancel, after
        )

    def resume(self, after: float) -> None:
        """Carry the run on, where it has failed or is unknown: `orchestrator resume`."""

        def act() -> object:
            reader, run = RunReader(self.world.client), self.world.run_id
            if reader.knows(run) and reader.state(run) not in (RunState.FAILED, RunState.CANCELLED):
                return "there is nothing to carry on"
            return send_round(run, store=self.world.open_store(), runs=RunStore(self.world.client))

        def told(reply: object) -> None:
            self.resumed += isinstance(reply, int)

        self._let("resume", act, told, after)

    def conclude(self, after: float) -> None:
        """Have the end written down, as whoever thinks that it was not."""
        run, client = self.world.run_id, self.world.client
        self._let("conclude", lambda: send_conclusion(run, client, self.graph.queues), after=after)

    def send(self, which: float) -> None:
        """Send a node's message, whether it is its turn or not: the first for 0, the last below 1."""

        def act() -> None:
            run, runs = self.world.run_id, RunStore(self.world.plain)
            remaining = reconcile(run, store=self.world.shared, runs=runs)
            nodes = [node.name for node in remaining.graph]
            if nodes:
                node = nodes[int(which * len(nodes))]
                join = remaining.plan.chord_of(node)
                if join is not None:  # no chord counts a message outside the canvas
                    runs.detach(run, join)
                remaining.canvas(again=True).by_itself(node).apply_async()

        self._let("send", act)

    def _let(
        self, name: str, act: Callable[[], object], told: Told = lambda _: None, after: float = 0.0
    ) -> None:
        def both(reply: object) -> None:
            told(reply)
            self.heard(reply)

        self.count += 1
        self.world.add_person(f"{name} {self.count}", act, told=both, after=after)
