"""Ends a run of which no worker can read any more what it consists of."""

from __future__ import annotations

import logging

from orchestrator.artifacts.errors import StoreError
from orchestrator.lifecycle.concluding import send_conclusion
from orchestrator.run_id import RunId
from workers.runtime.resources import WorkerResources

log = logging.getLogger("orchestrator.unreadable")


def fail_run(run: RunId, error: StoreError, queue: str, resources: WorkerResources) -> None:
    """Fail the run, and have that written down by a worker of this queue."""
    log.error("run %s is given up: %s", run, error, extra={"action": "run given up", "run": run})
    if resources.runs.fail_run(run, error=f"{type(error).__name__}: {error}"):
        send_conclusion(run, resources.runs.client, [queue])
