"""Where simulated things take the place of real ones, for a whole process: clocks, stores, messages, chance.

What is not about the order of things is left out: what a stage prints, its child processes and folders, and
whether its code has changed.
"""

from __future__ import annotations

import os
import random
from contextlib import nullcontext
from datetime import UTC, datetime
from functools import cache, partial
from types import SimpleNamespace
from typing import Any

from kombu.transport.redis import Channel

import orchestrator.coordinator.rounds as rounds
import orchestrator.coordinator.submission as submission
import orchestrator.supervisor.supervisor as supervisor
import workers.runtime.attempt as attempt
import workers.runtime.execute as execute
import workers.runtime.heartbeat as heartbeat
import workers.runtime.identity as identity
import workers.runtime.own_tasks as own_tasks
import workers.runtime.share as share
import workers.runtime.stage_task as stage_task
import workers.tracking.tracking as tracking
from orchestrator.app import app
from orchestrator.chords import ChordCounter
from orchestrator.runs import scripts
from workers.tracking.circuit import Circuit

from . import stages
from .scheduler import Actor
from .stepped_redis import SteppedRedis, simulated_source
from .stepped_tracking import put_in_place_of_the_library
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


class _NoThread:
    def __init__(self, **_: object) -> None: ...

    def start(self) -> None: ...


class _NoEvent:
    def set(self) -> None: ...


def _put(place: Any, **instead: object) -> None:
    """Have a module, class or object use something else under these names, which it must have."""
    for name, value in instead.items():
        assert hasattr(place, name), f"{place} has no {name} any more"
        setattr(place, name, value)


def _now() -> float:
    return world().now


def _sleep(seconds: float) -> None:
    world().step("sleep", wait=seconds)


def _is_killed() -> bool:
    actor = world().current
    return actor is not None and actor.killed


def _workshop() -> Any:
    actor = world().actor
    assert isinstance(actor.owner, Worker)
    return actor.owner.shop_of(actor)


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
    _put(ChordCounter, _create_client=lambda *_, **__: SteppedRedis(connection_pool=pool))
    _put(app, now=lambda: datetime.fromtimestamp(world().now, UTC))
    _put(app.control, revoke=lambda messages, **_: world().terminate(messages))
    for module in (execute, share):
        _put(module, monotonic=_now, captured=_nothing, AttemptLog=_NoLog, check_code=lambda *_: None)
    for module in (execute, share, stage_task):
        _put(module, terminate_handler_fired=_is_killed)
    for module in (stage_task, own_tasks):
        _put(module, sleep=_sleep)
    for module in (stage_task, own_tasks, heartbeat):
        _put(module, workshop=_workshop)
    _put(stage_task, is_outdated=lambda *_: False)
    _put(attempt, children_end_here=_nothing, _folder_kept=_nothing, copies_end_here=_nothing)
    _put(attempt, Fence=partial(attempt.Fence, clock=_now))  # type: ignore[attr-defined]
    _put(share, threading=SimpleNamespace(Thread=_NoThread, Event=_NoEvent))
    _put(
        heartbeat,
        active_requests=OfThisWorker(lambda each: list(each.active.values()), _worker),
        requests=OfThisWorker(lambda each: [message.id for message in each.requests], _worker),
        scheduled_requests=(),
    )
    _put(tracking, active=_nothing, open_store=lambda _: world().open_tracking())
    _put(tracking, Circuit=partial(Circuit, clock=_now))
    _put(submission, code_of=lambda *_: {}, files_of=lambda *_: {}, commit_of_pipeline=lambda *_: None)
    _put(rounds, changed_nodes=lambda *_: {})
    _put(supervisor, PACE=2.0)
    stages.played[:] = [lambda *given: world().play(*given)]
