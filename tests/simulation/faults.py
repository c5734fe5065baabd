"""What goes wrong in a simulation, and at which step; drawn at random from a seed."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.settings import settings
from workers.tracking.runs import STATE

from .scheduler import Actor
from .workers import Worker

if TYPE_CHECKING:
    from .simulation import Simulation

#: Each kind of fault, and how often it is drawn.
KINDS = {
    "kill child": 4,
    "stop heartbeat": 1,
    "kill worker": 3,
    "pause worker": 3,
    "pause writer": 2,
    "pause conclusion": 1,
    "lose conclusion": 2,
    "lose message": 3,
    "double message": 3,
    "delay message": 2,
    "early message": 1,
    "lose broadcast": 1,
    "lose reply": 2,
    "fill Redis": 2,
    "restart Redis": 2,
    "wipe Redis": 2,
    "store away": 2,
    "tracking away": 2,
    "lose specification": 1,
    "clock ahead": 1,
    "submit again": 1,
    "cancel": 2,
    "resume": 2,
    "conclude": 1,
}


#: In how many cases several do the same at once.
SEVERAL = 0.5
HOUR = 3600.0
#: Steps before its restart whose writes Redis loses at the most.
LOST_STEPS = 25


#: Steps of a worker: with an output, as it concludes a run, and once the store has that run's record.
_KEEPS_OUTPUT = re.compile("create .*/(items|nodes)/")
_TELLS_MLFLOW = re.compile(f"mlflow: log to .*{STATE}")
_HAS_KEPT_RECORD = re.compile("list .*/outbox")


@dataclass(frozen=True)
class Fault:
    """Something that happens before a step."""

    step: int
    kind: str
    size: float  #: in [0, 1): how long, or how far back

    @property
    def kept_at(self) -> int | None:
        """The step after which Redis writes nothing to its disk any more, where it is to be restarted."""
        return max(self.step - 1 - int(LOST_STEPS * self.size), 1) if self.kind == "restart Redis" else None

    def __str__(self) -> str:
        return f"{self.kind} at step {self.step} ({self.size:.2f})"


def faults(seed: int) -> tuple[Fault, ...]:
    """The same for the same seed; a quarter of the seeds have none."""
    chance = random.Random(f"faults {seed}")
    kinds, weights = list(KINDS), list(KINDS.values())
    drawn = [
        Fault(int(chance.triangular(1, 160, 25)), chance.choices(kinds, weights)[0], chance.random())
        for _ in range(chance.choice([0, 1, 1, 2, 2, 3, 4]))
    ]
    return tuple(sorted(drawn, key=lambda fault: fault.step))


def happen(fault: Fault, actor: Actor, simulation: Simulation) -> None:
    """Let it happen, to whoever was to go on."""
    world, lease = simulation.world, settings().lease_seconds
    worker = actor.owner if isinstance(actor.owner, Worker) else world.living_workers()[0]
    world.note("FAULT", f"{fault.kind} ({actor.name} was about to {actor.about_to})")
    match fault.kind:
        case "kill child" if actor is worker.sender:
            worker.lose_sender()
        case "kill child":
            victim = actor if actor in worker.active else next(iter(worker.active), None)
            if victim is not None:
                worker.lose_child(victim)
        case "kill worker":
            worker.die()
            world.add_worker()
        case "pause worker":
            worker.pause(lease * (0.5 + 3 * fault.size))
        case "pause writer":
            simulation.awaited[_KEEPS_OUTPUT] = lambda owner: owner.pause(lease * (0.5 + 3 * fault.size))
        case "pause conclusion":

            def pause(owner: Worker) -> None:
                owner.pause(lease * (2 + 6 * fault.size))
                simulation.people.resume(after=1.0)

            simulation.awaited[_TELLS_MLFLOW] = pause
        case "lose conclusion":

            def lose(owner: Worker) -> None:
                owner.die()
                world.add_worker()
                _wipe_redis(simulation, resumed_after=20 * fault.size)

            simulation.awaited[_HAS_KEPT_RECORD] = lose
        case "stop heartbeat":
            if worker.beats:  # else its main thread beats, which starts nothing then
                worker.stop_beating()
        case "clock ahead":
            worker.skew = (fault.size - 0.3) * 2 * HOUR
        case "early message":
            simulation.people.send(fault.size)
        case "lose broadcast":
            world.broadcasts_to_lose += 2
        case "lose specification":
            world.shared.remove(f"runs/{world.run_id}/specification.json")
        case "submit again":
            if "lose specification" not in {str(each.kind) for each in simulation.case.faults}:
                simulation.people.submit()  # with the same id, which only the specification refuses
        case "lose message":
            world.post.next_is.append("lost")
        case "double message":
            world.post.next_is.append("doubled")
        case "delay message":
            world.post.next_is.append("late")
        case "fill Redis":
            world.outages.redis_full_until = world.now + 6 * fault.size
        case "restart Redis":
            world.outages.restart_redis()
            simulation.invariants.forget()
        case "wipe Redis":
            _wipe_redis(simulation, resumed_after=20 * fault.size)
        case "store away":
            world.outages.store_away_until = world.now + 10 * fault.size
        case "tracking away":
            world.outages.tracking_away_until = world.now + 30 * fault.size
        case "cancel":
            world.broadcasts_to_lose += fault.size * 4 % 1 < SEVERAL
            for _ in range(1 + (fault.size < SEVERAL)):
                simulation.people.cancel(after=0.0)
        case "resume":
            for number in range(1 + 2 * (fault.size < SEVERAL)):
                simulation.people.resume(after=number * fault.size)
        case "conclude":
            simulation.people.conclude(after=0.0)
        case "lose reply":
            world.outages.replies_to_lose += 1
        case _:
            raise AssertionError(fault.kind)
    if world.is_nothing():
        simulation.people.forget()


def _wipe_redis(simulation: Simulation, *, resumed_after: float) -> None:
    simulation.world.outages.wipe_redis()
    simulation.invariants.forget()
    simulation.people.resume(after=resumed_after)
