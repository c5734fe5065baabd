"""Runs random graphs on workers, several at a time, and compares each with what it should do."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from orchestrator.artifacts import ArtifactStore
from orchestrator.authoring.graph import Graph
from orchestrator.lifecycle.submission import prepare, submit
from orchestrator.run_id import RunId
from orchestrator.runs.reader import RunReader
from orchestrator.runs.store import RunStore
from orchestrator.settings import settings

from .comparison import differences
from .interpreter import interpret
from .recipe import Recipe, pipeline_of, recipe
from .stages import folder_of


@dataclass(frozen=True)
class Trial:
    """A random graph that was sent."""

    seed: int
    recipe: Recipe
    graph: Graph
    run: RunId

    def breaches(self, reader: RunReader, *, costly: int = 0, forgetful: int = 0) -> list[str]:
        """What is not as it should be now; `costly` faults may each have cost a node an attempt.

        `forgetful` ones may each have made Redis forget all attempts of a node.
        """
        if not reader.state(self.run).over:
            states = {name: state.value for name, state in reader.raw_states(self.run).items()}
            return [f"the run has not ended: {states}"]
        record = reader.read(self.run, self.graph)
        calls = {path.name: len(path.read_text().splitlines()) for path in folder_of(self.run).glob("*")}
        expected = interpret(self.recipe)
        return differences(self.recipe, expected, record, calls, costly=costly, forgetful=forgetful)

    def told(self, breaches: Iterable[str]) -> str:
        """The graph, and what was not as it should be."""
        return "\n".join([f"seed {self.seed}, run {self.run}:", str(self.recipe), "", *breaches])


def send(seed: int, *, store: ArtifactStore, runs: RunStore) -> Trial:
    """Submit the graph of a seed."""
    chosen = recipe(seed)
    salt = f"{seed} {time.time_ns()}"
    prepared = prepare(pipeline_of(chosen, salt), {}, queues=settings().queues)
    return Trial(seed, chosen, prepared.graph, submit(prepared, store=store, runs=runs))


def wait_for(trials: Iterable[Trial], is_done: Callable[[RunId], bool], seconds: float) -> None:
    """Return once all have ended, or after so many seconds."""
    left, deadline = list(trials), time.monotonic() + seconds
    while left and time.monotonic() < deadline:
        left = [trial for trial in left if not is_done(trial.run)]
        time.sleep(0.05)
