"""One simulation: workers, a supervisor, people, and a run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from orchestrator.artifacts import ArtifactStore
from orchestrator.runs.keys import RunId, RunKeys
from orchestrator.runs.reader import RunReader
from orchestrator.runs.transitions import RunStore
from orchestrator.settings import settings
from orchestrator.supervisor.supervisor import Supervisor

from .laboratory import Laboratory
from .messages import Post, Received
from .outages import Outages
from .scheduler import Actor, Scheduler
from .stepped_redis import SteppedRedis, end_short_lived
from .stepped_store import SteppedStore
from .stepped_tracking import Mlflow, SteppedMlflow
from .workers import Worker


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

    def add_worker(self, *, slots: int = 1) -> None:
        number = len(self.workers) + 1
        self.workers.append(Worker(self, f"w{number}", number, slots))

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

    def add_person(self, name: str, body: Any, *, after: float = 0.0) -> None:
        """Somebody does one thing; whether it was refused is theirs to hear."""
        self.people += 1

        def act() -> None:
            try:
                self.note(name, f"is told: {body()}")
            except Exception as error:  # noqa: BLE001 - as a command's last line
                self.note(name, f"is told: {type(error).__name__}: {error}")
            finally:
                self.people -= 1

        self.spawn(name, act, after=after, owner=Person())

    def log_outcome(self, message: Received, info: Any) -> None:
        if info is not None:
            self.note(self.actor.name, f"{message}: {info.state} {info.retval!r}"[:120])

    def terminate(self, messages: list[str]) -> None:
        """Have whoever works on these messages killed."""
        self.step(f"broadcast: terminate {len(messages)}")
        for worker in self.workers:
            for actor, message in list(worker.active.items()):
                if message.id in messages:
                    worker.lose_child(actor, terminated=True)

    def is_quiet(self) -> bool:
        """Whether all of it has come to its end."""
        busy = any(actor.name.endswith((".later", ".parent", "a message")) for actor in self.actors)
        if busy or self.people or any(worker.active for worker in self.workers if self._lives(worker)):
            return False
        pipe = self.plain.pipeline(transaction=False)
        pipe.hget(self.keys.meta, "concluded")
        pipe.hlen("unacked")
        for queue in settings().queues:
            pipe.llen(queue)
        concluded, *messages = pipe.execute()
        return (concluded is not None or self.is_nothing()) and not any(messages)

    def is_nothing(self) -> bool:
        """Whether nothing was submitted: whoever tried was told so."""
        return not any(self.shared.keys("runs"))

    def is_forgotten(self) -> bool:
        """Whether Redis does not know the run, and nobody is about to change that."""
        return not self.people and not self.plain.exists(self.keys.meta)

    def _lives(self, worker: Worker) -> bool:
        return any(actor.owner is worker for actor in self.actors)

    def _let_expire(self, seconds: float) -> None:
        self._unexpired += seconds
        if self._unexpired > 1.0:
            end_short_lived(self.plain, self._unexpired)
            self._unexpired = 0.0
