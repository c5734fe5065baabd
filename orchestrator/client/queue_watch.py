"""Notices what a run waits for in vain: a queue that no worker reads, or workers that do not take it up."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from orchestrator.client.program import with_program_name
from orchestrator.runs.presence import served_queues
from orchestrator.runs.record import RunRecord
from orchestrator.runs.states import NodeState

if TYPE_CHECKING:
    from redis import Redis

#: Seconds that a node is queued before we look for its worker, between two checks, between two equal notices.
PATIENCE, CHECK_INTERVAL, REPEAT_INTERVAL = 4.0, 1.0, 30.0
#: The patience with workers that are just being started, and with those that are there.
START, STALL = 15.0, 20.0

_ACTIVE = (NodeState.RUNNING, NodeState.RETRYING)


class QueueWatch:
    """Watches the queues that a run's nodes are queued in."""

    def __init__(
        self,
        client: Redis,
        *,
        advice: Callable[[str], str],
        patience: float = PATIENCE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`advice` makes the notice for a queue without a worker, after `patience` seconds."""
        self._client = client
        self._advice = advice
        self._patience = patience
        self._clock = clock
        self._since: Mapping[str, float] = {}
        self._looked = 0.0
        self._told: dict[str, float] = {}

    def notices(self, record: RunRecord) -> list[str]:
        """What to tell now; cheap to ask often."""
        now = self._clock()
        queued = {node.queue for node in record.nodes if node.state is NodeState.QUEUED}
        self._since = {queue: self._since.get(queue, now) for queue in queued}
        waited = {queue: now - since for queue, since in self._since.items()}
        if max(waited.values(), default=0.0) < self._patience or now - self._looked < CHECK_INTERVAL:
            return []
        self._looked = now
        served = served_queues(self._client)
        idle = not any(node.state in _ACTIVE for node in record.nodes)
        found = {}
        for queue in sorted(queue for queue, seconds in waited.items() if seconds >= self._patience):
            if queue not in served:
                found[queue] = self._advice(queue)
            elif idle and waited[queue] >= STALL:
                found[queue] = not_taken_up(queue)
        due = [queue for queue in found if now - self._told.get(queue, -REPEAT_INTERVAL) >= REPEAT_INTERVAL]
        self._told.update(dict.fromkeys(due, now))
        return [found[queue] for queue in due]


def advise_starting_worker(queue: str) -> str:
    """What to do about a queue without a worker."""
    return with_program_name(
        f"waiting: no worker serves the queue '{queue}'; start one with: orchestrator worker {queue}"
    )


def being_replaced(slots: Mapping[str, int]) -> Callable[[str], str]:
    """What to say about a queue without a worker, on a stack that has workers of its own for some."""

    def advice(queue: str) -> str:
        if not slots.get(queue):
            return advise_starting_worker(queue)
        return f"waiting: the stack's worker of the queue '{queue}' is starting, as after each change of code"

    return advice


def still_starting(queue: str) -> str:
    """The same, where the workers belong to a stack that is starting."""
    return f"waiting: the worker of the queue '{queue}' is still starting"


def not_taken_up(queue: str) -> str:
    """What may be wrong where there are workers."""
    return (
        f"waiting: the workers of the queue '{queue}' have not taken this run up: they are busy with others, "
        "or do not have its pipeline's code (ORCHESTRATOR_PIPELINES); their logs tell"
    )
