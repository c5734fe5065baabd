"""Stops a run: nothing of it starts any more, and what is running is terminated."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.archive.final import write_final
from orchestrator.archive.specification import Specification
from orchestrator.artifacts import ArtifactStore
from orchestrator.coordinator.concluding import send_conclusion_to
from orchestrator.runs.errors import RunIsOver
from orchestrator.runs.keys import RunId
from orchestrator.runs.reader import RunReader
from orchestrator.runs.transitions import RunStore


def cancel(run: RunId, *, store: ArtifactStore, runs: RunStore) -> int:
    """Stop a run; returns how many deliveries were at work. Raises UnknownRun or RunIsOver.

    No attempt of it can commit from here on; the processes at work are told to end at once.
    """
    specification = Specification.read(store, run)
    at_work = runs.cancel(run)
    if at_work is None:
        raise RunIsOver(f"run '{run}' is over", hint=f"see: orchestrator show {run}")
    terminate(at_work)
    reader = RunReader(runs.client)
    write_final(store, reader.read(run, specification.graph), reader.tracebacks(run))
    send_conclusion_to(run, min(specification.graph.queues))
    return len(at_work)


def message_of(delivery: str) -> str:
    """The message that was delivered, by what its lease is held by: `WORKER#MESSAGE/TAG`."""
    return delivery.rpartition("#")[2].partition("/")[0]


def terminate(deliveries: Sequence[str]) -> None:
    """End the processes that are at work on these deliveries, wherever they are."""
    from orchestrator.app import app

    messages = [message_of(delivery) for delivery in deliveries]
    if messages:
        app.control.revoke(messages, terminate=True, signal="SIGKILL")
