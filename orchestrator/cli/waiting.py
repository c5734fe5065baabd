"""Notices what a run waits for in vain: a queue that no worker reads."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from orchestrator.runs.presence import served_queues
from orchestrator.runs.record import RunRecord
from orchestrator.runs.states import NodeState

if TYPE_CHECKING:
    from redis import Redis

#: Seconds that a node is queued before somebody asks for its worker, and between two complaints.
PATIENCE, AGAIN = 4.0, 30.0


class QueueWatch:
    """Watches the queues that a run's nodes are queued in."""

    def __init__(
        self, client: Redis, *, advice: Callable[[str], str], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`advice` makes the notice for a queue without a worker."""
        self._client = client
        self._advice = advice
        self._clock = clock
        self._since: Mapping[str, float] = {}
        self._looked = 0.0
        self._told: dict[str, float] = {}

    def notices(self, record: RunRecord) -> list[str]:
        """What to tell now; cheap to ask often."""
        now = self._clock()
        queued = {node.queue for node in record.nodes if node.state is NodeState.QUEUED}
        self._since = {queue: self._since.get(queue, now) for queue in queued}
        late = [queue for queue, since in self._since.items() if now - since >= PATIENCE]
        if not late or now - self._looked < PATIENCE / 4:
            return []
        self._looked = now
        served = served_queues(self._client)
        silent = [queue for queue in sorted(late) if queue not in served]
        due = [queue for queue in silent if now - self._told.get(queue, -AGAIN) >= AGAIN]
        self._told.update(dict.fromkeys(due, now))
        return [self._advice(queue) for queue in due]


def start_one(queue: str) -> str:
    """What to do about a queue without a worker."""
    return f"waiting: no worker serves the queue '{queue}'; start one with: orchestrator worker {queue}"


def still_starting(queue: str) -> str:
    """The same, where the workers belong to a stack that is starting."""
    return f"waiting: the worker of the queue '{queue}' is still starting"
