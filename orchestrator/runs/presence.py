"""Which workers are there, by what they say of themselves at each heartbeat."""

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
    """A worker that was heard of within the last lease or so."""

    name: str  #: Celery's node name, such as `training@host`
    queues: tuple[str, ...]
    holds: frozenset[str] = frozenset()  #: ids of the messages that it has fetched


def present_workers(client: Redis) -> tuple[WorkerPresence, ...]:
    """The workers that are alive, by name; a dead one is gone after one and a half leases."""
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
