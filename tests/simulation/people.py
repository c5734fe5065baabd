"""What people and the command line do: submit, cancel, resume, and ask for a conclusion."""

from __future__ import annotations

from orchestrator.authoring.graph import Graph
from orchestrator.coordinator.cancelling import cancel
from orchestrator.coordinator.concluding import send_conclusion
from orchestrator.coordinator.rounds import send_round
from orchestrator.coordinator.submission import Prepared, submit
from orchestrator.runs.reader import RunReader
from orchestrator.runs.states import RunState
from orchestrator.runs.transitions import RunStore

from .world import World


class People:
    """Each of these is done by somebody else, with a connection and a view of the store of their own."""

    def __init__(self, world: World, graph: Graph) -> None:
        self.world, self.graph = world, graph
        self.count = 0

    def submit(self) -> None:
        """Run the pipeline."""

        def act() -> object:
            ids = [self.world.run_id]
            prepared, store = Prepared(self.graph, {}), self.world.open_store()
            return submit(prepared, store=store, runs=RunStore(self.world.client), ids=lambda _: ids.pop())

        self._let("submit", act)

    def cancel(self, after: float) -> None:
        """Stop the run."""
        store, runs = self.world.open_store(), RunStore(self.world.client)
        self._let("cancel", lambda: cancel(self.world.run_id, store=store, runs=runs), after)

    def resume(self, after: float) -> None:
        """Carry the run on, where it has failed or is unknown: `orchestrator resume`."""

        def act() -> object:
            reader, run = RunReader(self.world.client), self.world.run_id
            if reader.knows(run) and reader.state(run) not in (RunState.FAILED, RunState.CANCELLED):
                return "there is nothing to carry on"
            return send_round(run, store=self.world.open_store(), runs=RunStore(self.world.client))

        self._let("resume", act, after)

    def conclude(self, after: float) -> None:
        """Have the end written down, as whoever thinks that it was not."""
        run, client = self.world.run_id, self.world.client
        self._let("conclude", lambda: send_conclusion(run, client, self.graph.queues), after)

    def _let(self, name: str, act: object, after: float = 0.0) -> None:
        self.count += 1
        self.world.add_person(f"{name} {self.count}", act, after=after)
