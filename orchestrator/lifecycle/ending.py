"""Cancel runs, and enqueue the conclusion of finished runs."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from orchestrator.archive.run_record import write_final
from orchestrator.archive.specification import Specification
from orchestrator.artifacts import ArtifactStore, StoreError
from orchestrator.messaging.app import app
from orchestrator.messaging.priorities import CONCLUSIONS, LEVEL
from orchestrator.messaging.tasks import CONCLUDE, PRELOADED
from orchestrator.run_id import RunId
from orchestrator.runs.errors import RunIsOver, UnknownRun
from orchestrator.runs.presence import served_queues
from orchestrator.runs.reader import RunReader
from orchestrator.runs.store import RunStore

if TYPE_CHECKING:
    from redis import Redis

log = logging.getLogger("orchestrator.cancel")

#: Maximum seconds until a failed conclusion is retried.
LONGEST_WAIT = 60


def cancel(run: RunId, *, store: ArtifactStore, runs: RunStore) -> int:
    """Cancel a run; return the number of running deliveries. Raises UnknownRun; RunIsOver if it ended itself.

    One write to Redis cancels it: from then on no attempt can commit, and workers kill the processes of its
    attempts. The rest only makes this faster, or is done later by the coordinator. Idempotent.
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
        record = specification.record(reader)
        if record.state.over:  # otherwise it was resumed meanwhile
            write_final(store, record, reader.tracebacks(run))
    except (StoreError, UnknownRun) as error:
        log.warning("run %s is cancelled, and is written down later: %s", run, error)
    else:
        send_conclusion(run, runs.client, specification.graph.queues)
    return len(at_work)


def message_of(delivery: str) -> str:
    """Return the message id of a delivery, whose form is `WORKER#MESSAGE/TAG`."""
    return delivery.rpartition("#")[2].partition("/")[0]


def terminate(deliveries: Sequence[str]) -> None:
    """Kill the processes of these deliveries at once, rather than at their workers' next heartbeat."""
    messages = [message_of(delivery) for delivery in deliveries]
    if messages:
        app.control.revoke(messages, terminate=True, signal="SIGKILL")


def send_conclusion(run: RunId, client: Redis, queues: Collection[str]) -> None:
    """Enqueue the conclusion task for a finished run; `queues` are the queues of its graph. Idempotent.

    It comes after nodes of the default priority, before its batches: runs that go on are in more of a hurry.
    """
    queue, headers = queue_with_mlflow(client, queues), {LEVEL: CONCLUSIONS}
    app.signature(CONCLUDE, kwargs={"run": run}, queue=queue, headers=headers, immutable=True).apply_async()


def queue_with_mlflow(client: Redis, queues: Collection[str]) -> str:
    """Choose the queue for a task about a whole run, which needs none of the run's code.

    It is one of the given queues or, if no worker serves these, another served one; preferably one whose
    workers have imported MLflow.
    """
    served = served_queues(client)
    return max(served.intersection(queues) or served or queues, key=lambda name: (name in PRELOADED, name))
