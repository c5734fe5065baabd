"""Stops a run: nothing of it starts any more, and what is running is terminated."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from orchestrator.archive.run_record import write_final
from orchestrator.archive.specification import Specification
from orchestrator.artifacts import ArtifactStore, StoreError
from orchestrator.lifecycle.concluding import send_conclusion
from orchestrator.run_id import RunId
from orchestrator.runs.errors import RunIsOver, UnknownRun
from orchestrator.runs.reader import RunReader
from orchestrator.runs.store import RunStore

log = logging.getLogger("orchestrator.cancel")


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
    from orchestrator.messaging.app import app

    messages = [message_of(delivery) for delivery in deliveries]
    if messages:
        app.control.revoke(messages, terminate=True, signal="SIGKILL")
