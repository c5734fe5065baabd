"""Ends a run of which no worker can read any more what it consists of."""

from __future__ import annotations

import logging

from orchestrator.artifacts.errors import StoreError
from orchestrator.coordinator.concluding import send_conclusion
from orchestrator.runs.keys import RunId
from workers.runtime.workshop import Workshop

log = logging.getLogger("orchestrator.unreadable")


def give_up(run: RunId, error: StoreError, queue: str, workshop: Workshop) -> None:
    """Fail the run, and have that written down by a worker of this queue."""
    log.error("run %s is given up: %s", run, error, extra={"action": "run given up", "run": run})
    if workshop.runs.give_up(run, error=f"{type(error).__name__}: {error}"):
        send_conclusion(run, workshop.runs.client, [queue])
