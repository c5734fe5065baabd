"""What a worker's parent process looks after, several times a second, from its event loop."""

from __future__ import annotations

import logging

from celery import bootsteps
from celery.worker import WorkController
from kombu.asynchronous import Hub

log = logging.getLogger(__name__)

#: Seconds between two rounds of checks.
PACE = 0.25


class PeriodicCheck(bootsteps.StartStopStep):
    """A part of the worker that looks after something while the worker runs."""

    requires = ("celery.worker.components:Pool",)

    def look(self) -> None:
        """Look once; must be quick, since the worker handles no messages meanwhile."""
        raise NotImplementedError


class PeriodicChecks(bootsteps.StartStopStep):
    """Calls all checks from one timer: each time that an idle worker wakes up costs more than they do."""

    requires = ("celery.worker.components:Pool",)

    def register_with_event_loop(self, worker: WorkController, hub: Hub) -> None:
        """Start the timer; called each time the worker has connected to Redis."""
        hub.call_repeatedly(PACE, _look_all, worker)


def _look_all(worker: WorkController) -> None:
    for step in worker.steps:
        if isinstance(step, PeriodicCheck):
            try:
                step.look()
            except Exception:
                log.exception("a check failed; the next one may not", extra={"action": "look_failed"})
