"""Presence of workers: each publishes its queues and messages at every heartbeat."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from orchestrator.runs.keys import WORKER

if TYPE_CHECKING:
    from redis import Redis


@dataclass(frozen=True)
class WorkerPresence:
    """What a live worker publishes about itself."""

    name: str  #: Celery's node name, such as `training@host`
    queues: tuple[str, ...]
    holds: frozenset[str] = frozenset()  #: ids of the messages that it has fetched


def say_presence(client: Redis, worker: WorkerPresence, *, lifetime: float) -> None:
    """Publish a worker's queues and the messages it holds; this expires after `lifetime` seconds."""
    said = {"queues": worker.queues, "holds": sorted(worker.holds)}
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
        said = cast("list[str | None]", pipe.execute())
    return tuple(
        _presence(key.removeprefix(prefix), json.loads(text))
        for key, text in zip(keys, said, strict=True)
        if text is not None
    )


def served_queues(client: Redis) -> frozenset[str]:
    """Return the queues that at least one live worker consumes from."""
    return frozenset(queue for worker in present_workers(client) for queue in worker.queues)


def _presence(name: str, said: Mapping[str, list[str]]) -> WorkerPresence:
    return WorkerPresence(name, tuple(said["queues"]), frozenset(said.get("holds", ())))
