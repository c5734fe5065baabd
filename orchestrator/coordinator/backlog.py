"""Tell autoscalers how much work waits in each queue: they read the length of a list in Redis.

A queue's own lists say too little: a map has one message in them, however many of its items are left.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from typing import TYPE_CHECKING, cast

from orchestrator.messaging.priorities import BATCH_LEVELS, NODE_LEVELS, list_of
from orchestrator.messaging.unacked import nodes_named
from orchestrator.runs.keys import BACKLOG

if TYPE_CHECKING:
    from redis import Redis

    from orchestrator.runs.reader import RunReader

#: Longest list; more workers than this are never asked for.
MOST = 1000
#: Seconds that a list stays when no coordinator is left to renew it.
LIFETIME = 60


def show_backlog(client: Redis, reader: RunReader, queues: Iterable[str]) -> None:
    """Make each queue's list as long as the nodes and items that wait for a slot, at most MOST."""
    for queue in queues:
        _show(client, BACKLOG.format(queue=queue), min(_waiting(client, reader, queue), MOST))


def _waiting(client: Redis, reader: RunReader, queue: str) -> int:
    with client.pipeline(transaction=False) as pipe:
        for level in BATCH_LEVELS:
            pipe.lrange(list_of(queue, level), 0, -1)
        for level in NODE_LEVELS:
            pipe.llen(list_of(queue, level))
        found = pipe.execute()
    batches = cast("list[list[str]]", found[: len(BATCH_LEVELS)])
    nodes = cast("list[int]", found[len(BATCH_LEVELS) :])
    maps = nodes_named(chain.from_iterable(batches))
    return sum(nodes) + sum(reader.items_left(run, node) for run, node in maps)


def _show(client: Redis, key: str, length: int) -> None:
    with client.pipeline() as transaction:
        transaction.delete(key)
        if length:
            transaction.rpush(key, *[""] * length)
            transaction.expire(key, LIFETIME)
        transaction.execute()
