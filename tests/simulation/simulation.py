"""Simulates one run of one graph, with faults, and says what did not hold."""

from __future__ import annotations

import gc
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from orchestrator.authoring.graph import Graph, NodeName
from orchestrator.settings import settings

from . import seams
from .faults import Fault, faults, happen
from .graphs import Shape, graph_of, shape
from .invariants import FIRST_CALL, Broken, Invariants
from .laboratory import Laboratory
from .people import People
from .scheduler import Actor, Endless, Event
from .stepped_redis import names
from .workers import Worker
from .world import World

#: A step that happens to a worker.
Strike = Callable[[Worker], None]

#: Steps after which a simulation that has not ended never will.
MOST_STEPS = 6000
#: Seconds that a stage takes.
DURATIONS = [0.0, 0.0, 0.0, 0.0, 0.1, 0.1, 0.1, 1.0, 1.0, 4.0, 4.0, 15.0]


@dataclass(frozen=True)
class Case:
    """What is simulated: a seed for the order of things, a graph, and what goes wrong."""

    seed: int
    shape: Shape
    faults: tuple[Fault, ...]

    @classmethod
    def of(cls, seed: int) -> Case:
        """The case that a seed stands for."""
        return cls(seed, shape(seed), faults(seed))

    def __str__(self) -> str:
        told = "\n".join(f"  {fault}" for fault in self.faults) or "  none"
        return f"seed {self.seed}\n{self.shape}\nfaults:\n{told}"


def warm_up(lab: Laboratory) -> None:
    """Have libraries make what they make once in a process, ids and scripts, before anything is looked at.

    So a seed replays, whatever was simulated before it.
    """
    for seed in range(20):
        Simulation(Case.of(seed), lab).run()
    gc.freeze()  # what there is by now stays: looking through it takes a tenth of the time
    gc.set_threshold(20_000, 20, 100)


@dataclass
class Outcome:
    """How a simulation came out."""

    breach: str | None
    history: list[Event]
    steps: int


@dataclass
class Simulation:
    """One of them, while it goes on."""

    case: Case
    lab: Laboratory
    breach: str | None = None
    calls: int = FIRST_CALL
    given: dict[int, object] = field(default_factory=dict)  #: to each call
    called: Counter[str] = field(default_factory=Counter)  #: how often, by node
    #: What is to happen to the next worker that is about to make a step like this.
    awaited: dict[re.Pattern[str], Strike] = field(default_factory=dict)
    resumes: int = 10  #: that are made in the end, where Redis has forgotten the run

    def run(self) -> Outcome:
        """Simulate it from the submission to the end."""
        self.world = World(self.case.seed, self.lab)
        self.graph: Graph = graph_of(self.case.shape)
        self.handlers: frozenset[NodeName] = frozenset(node.name for node in self.graph.handlers)
        self.invariants = Invariants(self)
        self.people = People(
            self.world,
            self.graph,
            heard=self._holding(self.invariants.told),
            heard_of_cancel=self._holding(self.invariants.told_of_cancel),
        )
        self.world.mlflow.written = self._holding(self.invariants.written)
        self.world.received = self._holding(self.invariants.message_taken)
        if all(step.stage != "fit" and not step.training for step in self.case.shape.steps):
            self.world.queues = self.world.chance.choice([settings().queues, ("data",)])
        self.world.outages.after_call = self._look
        self.world.play = self._play
        seams.enter(self.world, self.case.seed)
        assume, self._left = self.world.before_step, list(self.case.faults)
        self._keeping = {fault.kept_at for fault in self.case.faults}

        def before_step(actor: Actor) -> None:
            self._strike(actor)
            assume(actor)

        self.world.before_step = before_step
        for _ in range(2):
            self.world.add_worker()
        for name in ("coordinator", "another"):
            self.world.add_supervisor(name)
        self.people.submit()
        try:
            self.world.run(self._is_over, steps=MOST_STEPS)
            self.invariants.at_the_end()
        except (Broken, Endless) as error:
            self.breach = self.breach or str(error)
        except Exception as error:  # noqa: BLE001 - of any kind, it is to be told with its history
            self.breach = self.breach or f"{type(error).__name__}: {error}"
        finally:
            self.world.end()
        return Outcome(self.breach, self.world.history, self.world.steps)

    def _is_over(self) -> bool:
        seen = self.world.seen()
        if self.world.is_quiet(seen):
            return True
        if self.world.is_forgotten(seen) and self.resumes and not self.world.has_ended():
            self.resumes -= 1
            self.people.resume(after=5.0)
        return False

    def _strike(self, actor: Actor) -> None:
        if self.world.steps in self._keeping:
            self.world.outages.keep_redis()
        while self._left and self._left[0].step <= self.world.steps:
            happen(self._left.pop(0), actor, self)
        if not isinstance(actor.owner, Worker):
            return
        for step in [step for step in self.awaited if step.match(actor.about_to)]:
            self.awaited.pop(step)(actor.owner)

    def _look(self, command: str, args: tuple[Any, ...], reply: Any) -> None:
        name = names.get(str(args[1]), "") if command == "EVALSHA" else ""
        if name:
            self._hold(lambda: self.invariants.after_transition(name, args[4:], reply))
        if command == "ZREM" and args[1] == self.world.keys.leases:
            self._hold(lambda: self.invariants.after_lease_dropped(str(args[2])))

    def _holding(self, check: Callable[[Any], None]) -> Callable[[Any], None]:
        return lambda given: self._hold(lambda: check(given))

    def _play(self, node: str, attempt: int, plan: str, given: object) -> int:
        """What each stage's function does."""
        self.calls += 1
        call = self.calls
        self.given[call] = given
        self.called[node] += 1
        self.world.step(f"call {node}, attempt {attempt}, of {given}")
        self._hold(lambda: self.invariants.before_call(node))
        self.world.reply(call)
        self.world.step(f"return from {node}", wait=self.world.chance.choice(DURATIONS))
        self._hold(lambda: self.invariants.after_call(node))
        word, *numbers = plan.split()
        bad = len(numbers) < 2 or numbers[0] == numbers[1]
        if word == "fail" and bad:
            raise RuntimeError("it always fails")
        if word == "flaky" and bad and attempt <= 1:
            raise OSError("not yet")
        return call

    def _hold(self, check: Callable[[], None]) -> None:
        """Where something does not hold, the simulation ends, whoever runs just now."""
        try:
            check()
        except Broken as error:
            self.breach = self.breach or str(error)
            self.world.stop(error)
