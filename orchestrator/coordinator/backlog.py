"""Tell autoscalers how much work waits in each queue: they read the length of a list in Redis.

A queue's own lists say too little: a map has one message in them, however many of its items are left.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, cast

from orchestrator.messaging.priorities import BATCH_LEVELS, NODE_LEVELS, list_of
from orchestrator.messaging.unacked import nodes_named
from orchestrator.runs.keys import BACKLOG
from orchestrator.runs.reader import RunReader

if TYPE_CHECKING:
    from redis import Redis

#: Longest list; more workers than this are never asked for.
MOST = 1000
#: Seconds that a list stays when no coordinator is left to renew it.
LIFETIME = 60


@dataclass
class Backlog:
    """The lists of all queues."""

    client: Redis
    queues: Sequence[str]
    _shown: dict[str, int] = field(default_factory=dict)  #: the lengths that were written last

    def show(self) -> None:
        """Make each queue's list as long as the nodes and items that wait for a slot, at most MOST."""
        for queue, waiting in self._waiting().items():
            length = min(waiting, MOST)
            if length or self._shown.get(queue) != 0:
                self._write(BACKLOG.format(queue=queue), length)
            self._shown[queue] = length

    def _waiting(self) -> dict[str, int]:
        with self.client.pipeline(transaction=False) as pipe:
            for queue in self.queues:
                for level in BATCH_LEVELS:
                    pipe.lrange(list_of(queue, level), 0, -1)
                for level in NODE_LEVELS:
                    pipe.llen(list_of(queue, level))
            replies = iter(pipe.execute())
        found = {}
        for queue in self.queues:
            batches = cast("list[list[str]]", [next(replies) for _ in BATCH_LEVELS])
            nodes = cast("list[int]", [next(replies) for _ in NODE_LEVELS])
            found[queue] = sum(nodes) + self._items_of(batches)
        return found

    def _items_of(self, batches: Sequence[Sequence[str]]) -> int:
        reader, named = RunReader(self.client), nodes_named(chain.from_iterable(batches))
        return sum(reader.items_left(run, map) for run, map in named if map)

    def _write(self, key: str, length: int) -> None:
        with self.client.pipeline() as transaction:
            transaction.delete(key)
            if length:
                transaction.rpush(key, *[""] * length)
                transaction.expire(key, LIFETIME)
            transaction.execute()
