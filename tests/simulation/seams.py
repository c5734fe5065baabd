"""Where simulated things take the place of real ones, for a whole process: clocks, stores, messages, chance.

What is not about the order of things is left out: what a stage prints, its child processes and folders, and
whether its code has changed.
"""

from __future__ import annotations

import os
import random
import sys
from contextlib import nullcontext
from datetime import UTC, datetime, tzinfo
from functools import cache, partial
from types import SimpleNamespace
from typing import Any

from celery.app import trace
from kombu.transport.redis import Channel
from kombu.utils import functional

import orchestrator.coordinator.supervisor as supervisor
import orchestrator.lifecycle.resume as resume
import orchestrator.lifecycle.submission as submission
import workers.runtime.builtin_tasks as builtin_tasks
import workers.runtime.claimed_node as claimed_node
import workers.runtime.execute as execute
import workers.runtime.heartbeat as heartbeat
import workers.runtime.identity as identity
import workers.runtime.map_batches as batches
import workers.runtime.outbox_sender as outbox_sender
import workers.runtime.resources as resources
import workers.runtime.stage_task as stage_task
import workers.runtime.turn as turn
import workers.tracking.attempt as tracking_attempt
import workers.tracking.entry_buffer as entry_buffer
import workers.tracking.mlflow_tracking as tracking
import workers.tracking.models as models
import workers.tracking.records as records
from orchestrator.messaging.app import app
from orchestrator.messaging.chords import ChordCounter
from orchestrator.runs import scripts
from workers.tracking.circuit import Circuit

from . import stages
from .scheduler import Actor
from .stepped_redis import LinkedRedis, SteppedRedis, simulated_source
from .stepped_tracking import make_model, put_in_place_of_the_library, save_model
from .threads import threading_of
from .workers import OfThisWorker, Worker
from .world import World

_world: World | None = None


def world() -> World:
    """The simulation that goes on."""
    assert _world is not None
    return _world


def enter(new: World, seed: int) -> None:
    """Have all seams belong to this simulation."""
    global _world
    _world = new
    random.seed(seed)
    own = random.Random(f"bytes {seed}")
    os.urandom = own.randbytes  # ids of messages, tokens
    vars(random)["_urandom"] = own.randbytes
    new.before_step = _assume


def _assume(actor: Actor) -> None:
    identity._current = actor.owner.identity if isinstance(actor.owner, Worker) else None


class _NoLog:
    """What a stage prints concerns nobody here."""

    def __init__(self, *_: object) -> None: ...

    def add(self, *_: object) -> None: ...

    def close(self) -> None: ...


class _NoTraceback:
    """What Celery keeps of an error: nobody reads its traceback here, and to make it takes long."""

    tb = None
    traceback = ""

    def __init__(self, exc_info: Any = None, internal: bool = False) -> None:
        found: tuple[Any, Any, Any] = exc_info or sys.exc_info()
        self.type, self.exception, _ = found
        self.internal = internal

    @property
    def exc_info(self) -> Any:
        return self.type, self.exception, None


def _put(place: Any, **instead: object) -> None:
    """Have a module, class or object use something else under these names, which it must have."""
    for name, value in instead.items():
        assert hasattr(place, name), f"{place} has no {name} any more"
        setattr(place, name, value)


def _now() -> float:
    return world().now


class SimulatedDate(datetime):
    """As the clock of whoever asks shows it."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> SimulatedDate:
        return cls.fromtimestamp(world().wall_clock(), tz)


def _publish_presence(queues: list[str]) -> None:
    """The real one; a beat that gets as far has reached Redis."""
    _real_publish_presence(queues)
    worker = _worker()
    worker.beats.append(worker.beat_began)


_real_publish_presence = heartbeat.publish_presence


def _sleep(seconds: float) -> None:
    world().step("sleep", wait=seconds)


def _is_killed() -> bool:
    actor = world().current
    return actor is not None and actor.killed


def _worker_resources() -> Any:
    actor = world().actor
    assert isinstance(actor.owner, Worker)
    return actor.owner.resources_of(actor)


def _worker() -> Worker:
    owner = world().actor.owner
    assert isinstance(owner, Worker)
    return owner


def _nothing(*_: object, **__: object) -> Any:
    return nullcontext()


def install(pool: Any) -> None:
    """Put everything in its place, once in a process."""
    put_in_place_of_the_library()
    _put(scripts, source=cache(simulated_source))
    _put(Channel, _put=lambda *args, **options: world().post.put(*args, **options))
    client, sender = SteppedRedis(connection_pool=pool), LinkedRedis(connection_pool=pool)
    _put(Channel, _create_client=lambda *_, **__: sender)
    _put(ChordCounter, _create_client=lambda *_, **__: client)
    _put(trace, ExceptionInfo=_NoTraceback)
    _put(app, now=lambda: SimulatedDate.now(UTC))
    for module in (records, submission):
        _put(module, datetime=SimulatedDate)
    _put(tracking_attempt, time=lambda: world().wall_clock())
    _put(app.control, revoke=lambda messages, **_: world().terminate(messages))
    for module in (execute, batches):
        _put(module, monotonic=_now, captured=_nothing, AttemptLog=_NoLog, check_code=lambda *_: None)
    for module in (execute, batches, stage_task):
        _put(module, terminate_handler_fired=_is_killed)
    for module in (execute, batches, claimed_node):
        _put(module, traceback_of=repr)
    for module in (stage_task, builtin_tasks, functional):
        _put(module, sleep=_sleep)
    for module in (stage_task, builtin_tasks, heartbeat):
        _put(module, worker_resources=_worker_resources)
    for module in (stage_task, turn):
        _put(module, is_outdated=lambda *_: False)
    _put(turn, monotonic=_now, SECONDS=20.0)
    _put(claimed_node, children_end_here=_nothing, _folder_kept=_nothing, copies_end_here=_nothing)
    _put(claimed_node, Fence=partial(claimed_node.Fence, clock=_now))  # type: ignore[attr-defined]
    _put(batches, threading=threading_of(world), HELD_UP=3.0)
    _put(entry_buffer, threading=threading_of(world))
    _put(resources, has_sender=lambda: True, hand_over=lambda *due: _worker().deliveries.add(*due))
    _put(outbox_sender, monotonic=_now)
    _put(
        heartbeat,
        active_requests=OfThisWorker(lambda each: list(each.active.values()), _worker),
        requests=OfThisWorker(lambda each: [message.id for message in each.requests], _worker),
        scheduled_requests=(),
        publish_presence=_publish_presence,
        _end_soon=lambda request, _: _worker().end(request),
        _beating=nullcontext(),
        os=SimpleNamespace(kill=lambda *_: _worker().leave(), getpid=os.getpid),
        PACE=3.0,
        IDLE_PACE=3.0,
    )
    _put(tracking, active=_nothing, open_client=lambda _: world().open_tracking())
    _put(tracking, Circuit=partial(Circuit, clock=_now))
    _put(tracking_attempt, save_model=save_model)
    _put(models, _make=make_model)
    _put(submission, code_of=lambda *_: {}, files_of=lambda *_: {}, ask_commit_of=lambda *_: lambda: None)
    _put(resume, changed_nodes=lambda *_: {})
    _put(supervisor, PACE=5.0)
    stages.played[:] = [lambda *given: world().play(*given)]
