"""How a run ends before its time, and has its end written down: cancel it, conclude it."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from orchestrator.archive.run_record import write_final
from orchestrator.archive.specification import Specification
from orchestrator.artifacts import ArtifactStore, StoreError
from orchestrator.messaging.app import app
from orchestrator.messaging.tasks import CONCLUDE, PRELOADED
from orchestrator.run_id import RunId
from orchestrator.runs.errors import RunIsOver, UnknownRun
from orchestrator.runs.presence import served_queues
from orchestrator.runs.reader import RunReader
from orchestrator.runs.store import RunStore

if TYPE_CHECKING:
    from redis import Redis

log = logging.getLogger("orchestrator.cancel")

#: Seconds until a conclusion that failed is tried again, at the most.
LONGEST_WAIT = 60


def cancel(run: RunId, *, store: ArtifactStore, runs: RunStore) -> int:
    """Stop a run; returns how many deliveries were at work. Raises UnknownRun; RunIsOver if it ended itself.

    One write to Redis stops it: no attempt of it can commit from there on, and the workers that have some end
    their processes. All else makes that quicker, or is made up for by the coordinator. Idempotent.
    """
    at_work = runs.cancel(run)
    if at_work is None:
        raise RunIsOver(f"run '{run}' is over", hint=f"see: orchestrator show {run}")
    terminate(at_work)
    reader = RunReader(runs.client)
    if reader.concluded(run):
        return len(at_work)
    try:
        specification = Specification.read(store, run)
        record = reader.read(run, specification.graph)
        if record.state.over:  # else somebody has carried it on meanwhile
            write_final(store, record, reader.tracebacks(run))
    except (StoreError, UnknownRun) as error:
        log.warning("run %s is cancelled, and is written down later: %s", run, error)
    else:
        send_conclusion(run, runs.client, specification.graph.queues)
    return len(at_work)


def message_of(delivery: str) -> str:
    """The message that was delivered, by what its lease is held by: `WORKER#MESSAGE/TAG`."""
    return delivery.rpartition("#")[2].partition("/")[0]


def terminate(deliveries: Sequence[str]) -> None:
    """End the processes that are at work on these deliveries at once, rather than at their next heartbeat."""
    messages = [message_of(delivery) for delivery in deliveries]
    if messages:
        app.control.revoke(messages, terminate=True, signal="SIGKILL")


def send_conclusion(run: RunId, client: Redis, queues: Collection[str]) -> None:
    """Enqueue the conclusion of a run, whose own queues these are; idempotent."""
    queue = queue_with_mlflow(client, queues)
    app.signature(CONCLUDE, kwargs={"run": run}, queue=queue, immutable=True).apply_async()


def queue_with_mlflow(client: Redis, queues: Collection[str]) -> str:
    """Where to send what concerns a run as a whole, and needs none of its code.

    One of the given queues, of others where nobody serves these; where possible one whose workers have MLflow
    loaded.
    """
    served = served_queues(client)
    return max(served.intersection(queues) or served or queues, key=lambda name: (name in PRELOADED, name))
