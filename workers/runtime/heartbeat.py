"""The worker's heartbeat: renews the leases of what it runs, and says which queues it serves.

It beats in the parent process: a stage that holds its own process for minutes is not taken for dead.
"""

from __future__ import annotations

import json
import logging
import threading

from celery import bootsteps
from celery.worker import WorkController
from celery.worker.state import active_requests, requests, scheduled_requests
from redis.exceptions import RedisError

from orchestrator.runs.keys import WORKER, RunId
from workers.runtime.identity import assume, identity
from workers.runtime.workshop import workshop

log = logging.getLogger(__name__)


class Heartbeat(bootsteps.StartStopStep):
    """Beats three times per lease, from when the pool has forked until the worker stops.

    Its thread must hold no lock when a child is forked, or the child waits for that lock forever. So the
    first beat, which imports what there is to import, is made by the main thread.
    """

    requires = ("celery.worker.components:Pool",)

    def __init__(self, worker: WorkController, **options: object) -> None:
        super().__init__(worker, **options)
        assume(worker.hostname)
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, worker: WorkController) -> None:
        """Beat for the first time, and keep on."""
        queues = list(worker.app.amqp.queues.consume_from)
        try_to_beat(queues)
        self._thread = threading.Thread(target=self._beat, args=(queues,), name="heartbeat", daemon=True)
        self._thread.start()

    def stop(self, worker: WorkController) -> None:
        """Say goodbye."""
        del worker
        self._stop.set()

    def _beat(self, queues: list[str]) -> None:
        interval = workshop().settings.lease_seconds / 3
        while not self._stop.wait(interval):
            try_to_beat(queues)


def try_to_beat(queues: list[str]) -> None:
    """Beat, or log that it was not possible: the next beat may be."""
    try:
        beat(queues)
    except RedisError as error:
        log.warning("heartbeat missed: %s", error)


def beat(queues: list[str]) -> None:
    """Renew every lease of this worker, and say that it is there and which messages it holds."""
    shop = workshop()
    me = identity()
    for request in list(active_requests):
        if "node" in request.kwargs:
            shop.runs.renew(RunId(request.kwargs["run"]), me.delivery(request.id))
    said = {"queues": queues, "holds": [*requests, *(request.id for request in list(scheduled_requests))]}
    lifetime = int(shop.settings.lease_seconds * 1000)
    shop.runs.client.set(WORKER.format(name=me.name), json.dumps(said), px=lifetime)
