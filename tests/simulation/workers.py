"""Simulated workers: the real stage task under Celery's real tracer, and the real heartbeat."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from celery.app.trace import build_tracer
from celery.exceptions import Reject
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from orchestrator.messaging.app import app
from orchestrator.run_id import RunId
from orchestrator.runs.store import RunStore
from orchestrator.settings import settings
from workers.runtime import heartbeat
from workers.runtime.dispatch import conclude_again
from workers.runtime.identity import Identity
from workers.runtime.outbox_sender import Deliveries
from workers.runtime.resources import WorkerResources

from .messages import Received, acknowledge, fetch, requeue
from .scheduler import Actor, Ended

if TYPE_CHECKING:
    from .world import World

_tracers: dict[str, Callable[..., Any]] = {}


class Worker:
    """One worker: its parent process with the heartbeat, and a child process for each slot."""

    patient = True  #: it waits for a Redis that is away

    def __init__(self, world: World, name: str, number: int, slots: int) -> None:
        self.world = world
        self.name = name
        self.identity = Identity(name, f"{name}/{number}", number)
        self.client = world.client
        self.requests: list[Received] = []  #: fetched
        self.active: dict[Actor, Received] = {}
        self.skew = 0.0  #: seconds that its machine's clock is ahead
        self.beat_began = world.now
        self.beats: list[float] = []  #: when each beat began that reached Redis
        self.leaving = False  #: it takes no more messages
        self.resources_by_process: dict[Actor, WorkerResources] = {}
        self.parent = self.resources()
        self.pulse = world.spawn(f"{name} beats", self._beat, owner=self)
        self._start_sender()
        for slot in range(slots):
            self._start_slot(slot)

    def resources(self) -> WorkerResources:
        runs = RunStore(self.client, lease_seconds=settings().lease_seconds)
        return WorkerResources(settings(), runs, _store=self.world.open_store())

    def resources_of(self, actor: Actor) -> WorkerResources:
        """What a child process works with; each has its own, and what it remembers dies with it."""
        if actor.name.endswith("beats") or actor.name.endswith("parent"):
            return self.parent
        actor = actor.process or actor
        if actor not in self.resources_by_process:
            self.resources_by_process[actor] = self.resources()
        return self.resources_by_process[actor]

    def _start_slot(self, slot: int) -> None:
        self.world.spawn(f"{self.name}.{slot}", self._serve, owner=self)

    def _start_sender(self) -> None:
        self.deliveries = Deliveries(self.resources().tracking)
        self.sender = self.world.spawn(f"{self.name} sender", self._deliver, owner=self)

    def _deliver(self) -> None:
        deliveries = self.deliveries
        while True:
            seconds = deliveries.seconds_to_wait()
            if seconds is None:
                self.world.rest()
            elif seconds:
                self.world.step("wait for an outbox", wait=seconds)
            else:
                deliveries.deliver_next()

    def lose_sender(self) -> None:
        """The process that delivers outboxes is killed: its parent starts another, which knows of none."""
        self.world.kill(self.sender)
        self._start_sender()

    def _serve(self) -> None:
        while not self.leaving:
            message = fetch(self.client, self.world.queues, self.world.now)
            if message is None:
                self.world.rest()
                continue
            self.world.reply(message)
            self.world.received(self)
            self.requests.append(message)
            wait = (message.due or 0.0) - self.world.wall_clock()
            if wait > 0.0:  # Celery keeps it, and its slot goes on
                self.world.spawn(f"{self.name}.later", partial(self.work, message), after=wait, owner=self)
                continue
            self.work(message)

    def work(self, message: Received) -> None:
        """Trace one task, and do with its message what Celery's worker does afterwards."""
        actor = self.world.actor
        self.active[actor] = message
        task = app.tasks[message.task]
        if message.task not in _tracers:
            _tracers[message.task] = build_tracer(message.task, task, app=app)
        args, kwargs, _ = message.payload
        info = None
        try:
            _, info, _, _ = _tracers[message.task](message.id, args, kwargs, message.request(self.name))
        except RedisError as error:  # not even the failure could be counted: billiard's loop takes it so
            self.world.note(actor.name, f"{message}: {error}")
        self.world.log_outcome(message, info)
        # celery.worker.request.Request (5.7): on_success, on_retry and on_failure acknowledge a late one; a
        # Reject puts it back or drops it
        again = info is not None and isinstance(info.retval, Reject) and info.retval.requeue
        self._let_go(message, again=again)
        del self.active[actor]
        if message in self.requests:
            self.requests.remove(message)
        if self.leaving and not self.active:
            self.world.add_worker()

    def _let_go(self, message: Received, *, again: bool) -> None:
        while True:
            try:
                if again:
                    requeue(self.client, message)
                else:
                    acknowledge(self.client, message)
                break
            except RedisError as error:
                self.world.note(self.name, f"cannot let go of its message: {error}")
                self.world.step("wait", wait=1.0)

    def lose_child(self, actor: Actor, *, terminated: bool = False) -> None:
        """A child process is killed: its parent notices (`StageRequest.on_failure`), and starts another."""
        if actor not in self.active:
            return
        message = self.active.pop(actor)
        self.resources_by_process.pop(actor, None)
        self.world.kill(actor)
        self.world.spawn(
            f"{self.name}.parent", lambda: self._bury(message, terminated=terminated), owner=self
        )
        if not actor.name.endswith("later"):
            self.world.spawn(actor.name, self._serve, after=0.2, owner=self)

    def _bury(self, message: Received, *, terminated: bool) -> None:
        # workers.runtime.request.StageRequest, whose own Request (5.7) acknowledges what was terminated, and
        # puts back what was killed
        run, why = RunId(message.kwargs["run"]), "its process was killed"
        try:
            if terminated:
                conclude_again(run, message.queue, self.parent)
            elif "node" in message.kwargs:
                self.parent.runs.mark_lost(run, self._delivery(message), error=why)
        except (OperationalError, RedisError) as error:
            self.world.note(self.name, f"that is left to others: {error}")
        self._let_go(message, again=not terminated)
        self.requests.remove(message)

    def _delivery(self, message: Received) -> str:
        return self.identity.delivery(message.id, message.tag)

    def holder(self, actor: Actor) -> str | None:
        """What the leases are held by of what one of its processes works on; None if that is nothing."""
        message = self.active.get(actor)
        return self._delivery(message) if message is not None else None

    def end(self, lost: object) -> None:
        """In the place of the event loop's call of `_end`: its lease is lost, or its run is over."""
        for actor, message in list(self.active.items()):
            if message is lost:
                self.lose_child(actor, terminated=True)

    def die(self) -> None:
        """The whole worker is killed; its messages stay where they are."""
        for actor in list(self.world.actors):
            if actor.owner is self:
                self.world.kill(actor)
        self.active.clear()

    def pause(self, seconds: float) -> None:
        """The whole worker stands still."""
        for actor in self.world.actors:
            if actor.owner is self:
                actor.wakes = max(actor.wakes, self.world.now + seconds)

    def leave(self) -> None:
        """It is told to stop: what runs ends in order, and another worker takes its place."""
        if self.pulse.killed:  # with all of its process: nothing is left that could
            return
        self.world.note(self.name, "leaves")
        self.leaving = True
        if not self.active:
            self.world.add_worker()

    def stop_beating(self) -> None:
        """Its heartbeat meets an error that nothing provides for."""
        self.pulse.error = Ended("an error of its own")

    def _beat(self) -> None:
        queues = SimpleNamespace(consume_from=self.world.queues)
        controller = SimpleNamespace(app=SimpleNamespace(amqp=SimpleNamespace(queues=queues)))

        def wait(seconds: float) -> bool:
            self.world.step("wait for the next beat", wait=seconds)
            self.beat_began = self.world.now
            return False

        stop = SimpleNamespace(wait=wait, is_set=lambda: False)
        heartbeat.try_to_beat(controller)
        heartbeat.Heartbeat._beat(SimpleNamespace(_stop=stop), controller)  # type: ignore[arg-type]


class OfThisWorker:
    """What Celery keeps once in a process (`celery.worker.state`), of the worker whose heartbeat asks."""

    def __init__(self, found: Callable[[Worker], list[Any]], worker: Callable[[], Worker]) -> None:
        self._found, self._worker = found, worker

    def __iter__(self) -> Iterator[Any]:
        return iter(self._found(self._worker()))

    def __len__(self) -> int:
        return len(self._found(self._worker()))
