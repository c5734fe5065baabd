"""The worker's heartbeat: renews the leases of what it runs, and says which queues it serves.

It beats in the parent process: a stage that holds its own process for minutes is not taken for dead.
"""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Iterable
from typing import TypeVar

from celery import bootsteps
from celery.signals import worker_shutdown
from celery.worker import WorkController
from celery.worker.state import active_requests, requests, scheduled_requests
from redis.exceptions import RedisError

from orchestrator.runs.keys import WORKER, RunId
from workers.runtime.identity import assume, delivery_of, identity
from workers.runtime.workshop import workshop

log = logging.getLogger(__name__)

T = TypeVar("T")

#: Held during a beat. A child that were forked meanwhile would wait forever for a lock that this thread held,
#: of redis-py, of logging: a fork waits for the end of the beat instead.
_beating = threading.Lock()
os.register_at_fork(
    before=_beating.acquire, after_in_parent=_beating.release, after_in_child=_beating.release
)


class Heartbeat(bootsteps.StartStopStep):
    """Beats three times per lease, from when the pool has forked until the worker's very end.

    Stages that finish while the worker stops still need their leases. The first beat is made by the main
    thread, since it imports what there is to import.
    """

    requires = ("celery.worker.components:Pool",)

    def __init__(self, worker: WorkController, **options: object) -> None:
        super().__init__(worker, **options)
        assume(worker.hostname)
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, worker: WorkController) -> None:
        """Beat for the first time, and keep on."""
        try_to_beat(worker)
        self._thread = threading.Thread(target=self._beat, args=(worker,), name="heartbeat", daemon=True)
        self._thread.start()
        worker_shutdown.connect(self._say_goodbye, weak=False)

    def _beat(self, worker: WorkController) -> None:
        interval = workshop().settings.lease_seconds / 3
        while not self._stop.wait(interval):
            with _beating:
                try_to_beat(worker)

    def _say_goodbye(self, **_: object) -> None:
        self._stop.set()
        with _beating:
            try:
                workshop().runs.client.delete(WORKER.format(name=identity().name))
            except RedisError as error:
                log.info("could not say goodbye: %s", error)


def try_to_beat(worker: WorkController) -> None:
    """Beat, or log that it was not possible: the next beat may be."""
    try:
        # A worker that is about to stop serves no queue any more
        beat(list(worker.app.amqp.queues.consume_from))
    except RedisError as error:
        log.warning("heartbeat missed: %s", error)
    except Exception:  # whatever it is, a worker must not go silent by it
        log.exception("heartbeat missed; the next one may not be")


def beat(queues: list[str]) -> None:
    """Renew every lease of this worker, and say that it is there and which messages it holds."""
    shop = workshop()
    me = identity()
    for request in copied(active_requests):
        if "node" in request.kwargs:
            shop.runs.renew(RunId(request.kwargs["run"]), delivery_of(request))
    said = {"queues": queues, "holds": [*copied(requests), *(each.id for each in copied(scheduled_requests))]}
    lifetime = int(shop.settings.lease_seconds * 1000)
    shop.runs.client.set(WORKER.format(name=me.name), json.dumps(said), px=lifetime)


def copied(collection: Iterable[T]) -> list[T]:
    """What is in one of Celery's sets or dictionaries, which the worker's main thread changes meanwhile."""
    while True:
        try:
            return list(collection)
        except RuntimeError:  # it was changed just then
            continue
