"""Which workers are there: what each says of itself at each heartbeat."""

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
    """A worker that is there."""

    name: str  #: Celery's node name, such as `training@host`
    queues: tuple[str, ...]
    holds: frozenset[str] = frozenset()  #: ids of the messages that it has fetched


def say_presence(client: Redis, worker: WorkerPresence, *, lifetime: float) -> None:
    """Say that a worker is there, which queues it serves and which messages it holds, for so many seconds."""
    said = {"queues": worker.queues, "holds": sorted(worker.holds)}
    client.set(WORKER.format(name=worker.name), json.dumps(said), px=int(lifetime * 1000))


def say_goodbye(client: Redis, name: str) -> None:
    """Say that a worker is there no more."""
    client.delete(WORKER.format(name=name))


def present_workers(client: Redis) -> tuple[WorkerPresence, ...]:
    """The workers that are alive, by name; a dead one is gone after a lease."""
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
    """The queues that at least one worker reads."""
    return frozenset(queue for worker in present_workers(client) for queue in worker.queues)


def _presence(name: str, said: Mapping[str, list[str]]) -> WorkerPresence:
    return WorkerPresence(name, tuple(said["queues"]), frozenset(said.get("holds", ())))
