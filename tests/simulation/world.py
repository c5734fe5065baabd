"""One simulation: workers, a supervisor, people, and a run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from orchestrator.archive.rounds import Round
from orchestrator.archive.run_record import read_final, unconcluded_runs
from orchestrator.artifacts import ArtifactStore
from orchestrator.coordinator.supervisor import Supervisor
from orchestrator.lifecycle.reconcile import round_of
from orchestrator.run_id import RunId
from orchestrator.runs.keys import RunKeys
from orchestrator.runs.reader import RunReader
from orchestrator.runs.store import RunStore
from orchestrator.settings import settings

from .laboratory import Laboratory
from .messages import Post, Received
from .outages import Outages
from .scheduler import Actor, Scheduler
from .stepped_redis import SteppedRedis, end_short_lived
from .stepped_store import SteppedStore
from .stepped_tracking import Mlflow, SteppedMlflow
from .workers import Worker

#: Hears what somebody was told.
Told = Callable[[object], None]


#: Seconds for which a worker keeps a message only where clocks are wrong.
FAR_AWAY = 120.0


@dataclass(frozen=True)
class Seen:
    """What Redis has of the run and its messages."""

    knows: bool  #: the run
    concluded: bool
    fetched: int  #: messages that some worker has
    waiting: int  #: messages in queues


class Stop:
    """In the place of the event that ends a supervisor's thread."""

    def __init__(self, world: Scheduler) -> None:
        self.world = world

    def wait(self, seconds: float) -> bool:
        self.world.step("wait for its next look", wait=seconds)
        return False


class Person:
    """Whoever submits, cancels, resumes; a command gives up where Redis is away."""

    patient = False


class World(Scheduler):
    """All that there is in one simulation."""

    def __init__(self, seed: int, lab: Laboratory) -> None:
        super().__init__(seed)
        self.plain = lab.plain
        self.plain.flushdb()
        self.outages = Outages(self, lab.raw)
        self.post = Post(self)
        self.post.faults = self.outages
        SteppedRedis.world, SteppedRedis.faults = self, self.outages
        self.client = SteppedRedis(connection_pool=lab.pool)
        self.shared = ArtifactStore("memory://")
        self.mlflow = Mlflow()
        self.run_id = RunId("simulated-20270115-080000-0000")
        self.keys = RunKeys(self.run_id)
        self.workers: list[Worker] = []
        self.people = 0
        self.broadcasts_to_lose = 0
        self.queues = settings().queues  #: that workers serve
        self.received: Callable[[Worker], None] = lambda _: None
        self.play: Callable[[str, int, str, Any], int] = lambda *_: 0
        self.time_passed = self._let_expire
        self._unexpired = 0.0

    def open_store(self) -> SteppedStore:
        return SteppedStore(self, self.outages, self.shared)

    def open_tracking(self) -> SteppedMlflow:
        return SteppedMlflow(self, self.outages, self.mlflow)

    @property
    def actor(self) -> Actor:
        """Who runs now."""
        assert self.current is not None
        return self.current

    def add_worker(self) -> None:
        number = len(self.workers) + 1
        self.workers.append(Worker(self, f"w{number}", number, self.chance.choice([1, 1, 2])))

    def add_supervisor(self, name: str) -> None:
        supervisor = Supervisor(
            RunStore(self.client, lease_seconds=settings().lease_seconds),
            RunReader(self.client),
            self.open_store,
            settings().queues,
            settings().lease_seconds,
            name=name,
            clock=lambda: self.now,
        )
        self.spawn(name, lambda: supervisor.run(Stop(self)))  # type: ignore[arg-type]

    def add_person(
        self, name: str, body: Callable[[], object], *, told: Told = lambda _: None, after: float = 0.0
    ) -> None:
        """Somebody does one thing; `told` hears what came of it: a reply, or the error that refused it."""
        self.people += 1

        def act() -> None:
            reply: object
            try:
                reply = body()
            except Exception as error:  # noqa: BLE001 - as a command's last line
                reply = error
            finally:
                self.people -= 1
            self.note(name, f"is told: {reply!r}"[:200])
            told(reply)

        self.spawn(name, act, after=after, owner=Person())

    def log_outcome(self, message: Received, info: Any) -> None:
        if info is not None:
            self.note(self.actor.name, f"{message}: {info.state} {info.retval!r}"[:120])

    def terminate(self, messages: list[str]) -> None:
        """Have whoever works on these messages killed."""
        self.step(f"broadcast: terminate {len(messages)}")
        if self.broadcasts_to_lose:
            self.broadcasts_to_lose -= 1
            self.note("broker", "that broadcast is lost")
            return
        for worker in self.workers:
            for actor, message in list(worker.active.items()):
                if message.id in messages:
                    worker.lose_child(actor, terminated=True)

    def seen(self) -> Seen:
        """What Redis has just now, asked once."""
        pipe = self.plain.pipeline(transaction=False)
        pipe.exists(self.keys.meta)
        pipe.hexists(self.keys.meta, "concluded")
        pipe.hlen("unacked")
        for queue in self.queues:
            pipe.llen(queue)
        knows, concluded, fetched, *waiting = pipe.execute()
        return Seen(bool(knows), bool(concluded), fetched, sum(waiting))

    def is_quiet(self, seen: Seen) -> bool:
        """Whether all of it has come to its end."""
        kept = [actor for actor in self.actors if actor.name.endswith(".later")]
        too_long = [actor for actor in kept if actor.wakes > self.now + FAR_AWAY]
        busy = any(actor.name.endswith((".parent", "a message")) for actor in self.actors)
        if len(kept) > len(too_long) or busy or self.people or any(worker.active for worker in self.workers):
            return False
        if any(worker.deliveries.seconds_to_wait() is not None for worker in self.living_workers()):
            return False
        if seen.fetched > len(too_long) or seen.waiting:
            return False
        return seen.concluded or (not seen.knows and (self.is_unreadable or self.is_written_down()))

    def is_written_down(self) -> bool:
        """Whether the store tells that the run has ended, and that MLflow knows it."""
        return self.has_ended() and not unconcluded_runs(self.shared)

    def has_ended(self) -> bool:
        """Whether the store tells that the run has ended: nobody carries it on then who wants it to end."""
        final = read_final(self.shared, self.run_id)
        return final is not None and final[0].round == self.round().number

    def is_nothing(self) -> bool:
        """Whether neither Redis nor the store knows of a run: nothing was accepted, or all was lost."""
        return self.is_unreadable and not self.plain.exists(self.keys.meta)

    @property
    def is_unreadable(self) -> bool:
        """Whether nobody can tell what the run consists of."""
        return self.shared.read(f"runs/{self.run_id}/specification.json") is None

    def round(self) -> Round:
        """The round that the run is in."""
        return round_of(self.run_id, RunStore(self.plain).status(self.run_id), self.shared)

    def is_forgotten(self, seen: Seen) -> bool:
        """Whether Redis does not know the run, and nobody is about to change that."""
        return not self.people and not seen.knows

    def living_workers(self) -> list[Worker]:
        """Those that were not killed, the first first."""
        return [worker for worker in self.workers if any(actor.owner is worker for actor in self.actors)]

    def _let_expire(self, seconds: float) -> None:
        self._unexpired += seconds
        if self._unexpired > 1.0:
            end_short_lived(self.plain, self._unexpired)
            self._unexpired = 0.0
