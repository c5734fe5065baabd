"""Presence of workers: each publishes its queues and messages at every heartbeat."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from orchestrator.authoring.graph import JSON
from orchestrator.runs.keys import WORKER

if TYPE_CHECKING:
    from redis import Redis


@dataclass(frozen=True)
class WorkerPresence:
    """What a live worker publishes about itself."""

    name: str  #: Celery's node name, such as `training@host`
    queues: tuple[str, ...]
    holds: frozenset[str] = frozenset()  #: ids of the messages that it has fetched
    version: str = ""  #: of this project; empty for a worker of before
    ahead: float | None = None  #: seconds by which its clock is ahead of Redis's, as far as is known


def say_presence(
    client: Redis, worker: WorkerPresence, *, lifetime: float, clock: Callable[[], float] = time.time
) -> None:
    """Publish a worker's queues, messages, version and clock; this expires after `lifetime` seconds."""
    said = {
        "queues": worker.queues,
        "holds": sorted(worker.holds),
        "version": worker.version,
        "expires": clock() + lifetime,
    }
    client.set(WORKER.format(name=worker.name), json.dumps(said), px=int(lifetime * 1000))


def say_goodbye(client: Redis, name: str) -> None:
    """Remove a worker's presence when it stops."""
    client.delete(WORKER.format(name=name))


def present_workers(client: Redis) -> tuple[WorkerPresence, ...]:
    """Return the live workers, sorted by name; a dead one disappears after one lease."""
    prefix = WORKER.format(name="")
    keys = sorted(cast("Iterable[str]", client.scan_iter(match=f"{prefix}*", count=1000)))
    with client.pipeline(transaction=False) as pipe:
        for key in keys:
            pipe.get(key)
        for key in keys:
            pipe.pttl(key)
        pipe.time()
        *replies, (seconds, microseconds) = pipe.execute()
    said, left = cast("list[str | None]", replies[: len(keys)]), cast("list[int]", replies[len(keys) :])
    now = seconds + microseconds / 1e6
    return tuple(
        _presence(key.removeprefix(prefix), json.loads(text), now + milliseconds / 1000)
        for key, text, milliseconds in zip(keys, said, left, strict=True)
        if text is not None
    )


def served_queues(client: Redis) -> frozenset[str]:
    """Return the queues that at least one live worker consumes from."""
    return frozenset(queue for worker in present_workers(client) for queue in worker.queues)


def _presence(name: str, said: Mapping[str, JSON], expires: float) -> WorkerPresence:
    """Read what a worker has said; by Redis's clock, that expires at `expires`."""
    by_its_clock = cast("float | None", said.get("expires"))
    return WorkerPresence(
        name,
        tuple(cast("list[str]", said["queues"])),
        frozenset(cast("list[str]", said.get("holds", ()))),
        str(said.get("version", "")),
        None if by_its_clock is None else by_its_clock - expires,
    )
