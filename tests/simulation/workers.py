"""Simulated workers: the real stage task under Celery's real tracer, and the real heartbeat."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from celery.app.trace import build_tracer
from celery.exceptions import Reject
from redis.exceptions import RedisError

from orchestrator.app import app
from orchestrator.runs.keys import RunId
from orchestrator.runs.transitions import RunStore
from orchestrator.settings import settings
from workers.runtime import heartbeat
from workers.runtime.identity import Identity
from workers.runtime.workshop import Workshop

from .messages import Received, acknowledge, fetch, requeue
from .scheduler import Actor

if TYPE_CHECKING:
    from .world import World

#: Seconds between two beats; more than in life, as each is several steps.
PACE = 2.0

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
        self.shops: dict[Actor, Workshop] = {}
        self.parent = self.workshop()
        world.spawn(f"{name} beats", self._beat, owner=self)
        for slot in range(slots):
            self._start_slot(slot)

    def workshop(self) -> Workshop:
        runs = RunStore(self.client, lease_seconds=settings().lease_seconds)
        return Workshop(settings(), runs, _store=self.world.open_store())

    def shop_of(self, actor: Actor) -> Workshop:
        """What a child process works with; each has its own, and what it remembers dies with it."""
        if actor.name.endswith("beats") or actor.name.endswith("parent"):
            return self.parent
        if actor not in self.shops:
            self.shops[actor] = self.workshop()
        return self.shops[actor]

    def _start_slot(self, slot: int) -> None:
        self.world.spawn(f"{self.name}.{slot}", self._serve, owner=self)

    def _serve(self) -> None:
        while True:
            message = fetch(self.client, settings().queues, self.world.now)
            if message is None:
                self.world.rest()
                continue
            self.world.reply(message)
            self.requests.append(message)
            due = message.due
            if due is not None and due > self.world.now:  # Celery keeps it, and its slot goes on
                wait = due - self.world.now
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
        _, info, _, _ = _tracers[message.task](message.id, args, kwargs, message.request(self.name))
        self.world.log_outcome(message, info)
        # celery.worker.request.Request (5.7): on_success, on_retry and on_failure acknowledge a late one; a
        # Reject puts it back or drops it
        again = info is not None and isinstance(info.retval, Reject) and info.retval.requeue
        self._let_go(message, again=again)
        del self.active[actor]
        if message in self.requests:
            self.requests.remove(message)

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
        self.shops.pop(actor, None)
        self.world.kill(actor)
        self.world.spawn(
            f"{self.name}.parent", lambda: self._bury(message, terminated=terminated), owner=self
        )
        if not actor.name.endswith("later"):
            self.world.spawn(actor.name, self._serve, after=0.2, owner=self)

    def _bury(self, message: Received, *, terminated: bool) -> None:
        # celery.worker.request.Request (5.7): _announce_revoked acknowledges, on_failure puts back
        if not terminated:
            try:
                if "node" in message.kwargs:
                    error = "its process was killed"
                    self.parent.runs.release(
                        RunId(message.kwargs["run"]), self._delivery(message), error=error
                    )
            except RedisError as error:
                self.world.note(self.name, f"the lease ends by itself: {error}")
        self._let_go(message, again=not terminated)
        self.requests.remove(message)

    def _delivery(self, message: Received) -> str:
        return self.identity.delivery(message.id, message.tag)

    def _end(self, lost: object) -> None:
        """In the place of the event loop's call of `_end`: its lease is lost, or its run is over."""
        for actor, message in list(self.active.items()):
            if message is lost:
                self.lose_child(actor, terminated=True)

    def die(self) -> None:
        """The whole worker is killed; its messages stay where they are."""
        for actor in list(self.world.actors):
            if actor.owner is self:
                self.world.kill(actor)

    def pause(self, seconds: float) -> None:
        """The whole worker stands still."""
        for actor in self.world.actors:
            if actor.owner is self:
                actor.wakes = max(actor.wakes, self.world.now + seconds)

    def _beat(self) -> None:
        while True:
            try:
                for lost in heartbeat.renew_leases():
                    self._end(lost)
                heartbeat.say_presence(list(settings().queues))
            except RedisError as error:
                self.world.note(self.name, f"missed a beat: {error}")
            self.world.step("wait for the next beat", wait=PACE)


class OfThisWorker:
    """What Celery keeps once in a process (`celery.worker.state`), of the worker whose heartbeat asks."""

    def __init__(self, found: Callable[[Worker], list[Any]], worker: Callable[[], Worker]) -> None:
        self._found, self._worker = found, worker

    def __iter__(self) -> Iterator[Any]:
        return iter(self._found(self._worker()))
