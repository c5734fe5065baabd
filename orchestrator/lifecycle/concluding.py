"""Asks a worker to write a run down that has ended."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from orchestrator.run_id import RunId
from orchestrator.runs.presence import served_queues

if TYPE_CHECKING:
    from redis import Redis

#: The task that writes an ended run down.
CONCLUDE = "orchestrator.conclude"
#: Seconds until a conclusion that failed is tried again, at the most.
LONGEST_WAIT = 60
#: Queues whose workers load MLflow before their first message.
LOADED = ("training", "deployment")


def send_conclusion(run: RunId, client: Redis, queues: Collection[str]) -> None:
    """Enqueue the conclusion of a run, whose own queues these are; idempotent."""
    from orchestrator.messaging.app import app

    queue = queue_with_mlflow(client, queues)
    app.signature(CONCLUDE, kwargs={"run": run}, queue=queue, immutable=True).apply_async()


def queue_with_mlflow(client: Redis, queues: Collection[str]) -> str:
    """Where to send what concerns a run as a whole, and needs none of its code.

    One of the given queues, of others where nobody serves these; where possible one whose workers have MLflow
    loaded.
    """
    served = served_queues(client)
    return max(served.intersection(queues) or served or queues, key=lambda name: (name in LOADED, name))
