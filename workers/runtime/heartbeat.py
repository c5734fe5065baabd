"""The worker's heartbeat: renews leases, ends what has lost its lease, and says which queues it serves.

It beats in the parent process: a stage that holds its own process for minutes is not taken for dead.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Iterable
from typing import TypeVar

from celery import bootsteps
from celery.concurrency.prefork import TaskPool
from celery.signals import worker_shutdown
from celery.worker import WorkController
from celery.worker.request import Request
from celery.worker.state import active_requests, requests, scheduled_requests
from redis.exceptions import RedisError

from orchestrator.run_id import RunId
from orchestrator.runs.presence import WorkerPresence, say_goodbye, say_presence
from workers.runtime.identity import assume, delivery_of, identity
from workers.runtime.resources import worker_resources

log = logging.getLogger(__name__)

T = TypeVar("T")

#: Held during a beat. A child that were forked meanwhile would wait forever for a lock that this thread held,
#: of redis-py, of logging: a fork waits for the end of the beat instead.
_beating = threading.Lock()
os.register_at_fork(
    before=_beating.acquire, after_in_parent=_beating.release, after_in_child=_beating.release
)


#: Seconds between two beats at the most, with nothing to do and while stages run: what was cancelled, or was
#: taken over, is ended no later.
IDLE_PACE, PACE = 1.0, 0.5


class Heartbeat(bootsteps.StartStopStep):
    """Beats from when the pool has forked until the worker's very end, at least three times per lease.

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
        try:
            while not self._stop.wait(_until_next_beat()):
                with _beating:
                    try_to_beat(worker)
        finally:
            if not self._stop.is_set():  # without it, all that runs here would be taken over by others
                extra = {"action": "heartbeat_ended"}
                log.critical("the heartbeat has ended: this worker stops", extra=extra)
                os.kill(os.getpid(), signal.SIGTERM)

    def _say_goodbye(self, **_: object) -> None:
        self._stop.set()
        with _beating:
            try:
                say_goodbye(worker_resources().runs.client, identity().name)
            except RedisError as error:
                log.info("could not say goodbye: %s", error)


def _until_next_beat() -> float:
    return min(PACE if active_requests else IDLE_PACE, worker_resources().settings.lease_seconds / 3)


def try_to_beat(worker: WorkController) -> None:
    """Beat, or log that it was not possible: the next beat may be."""
    try:
        for request in renew_leases():
            _end_soon(request, worker)
        # A worker that is about to stop serves no queue any more
        tell_presence(worker.app.amqp.queues.consume_from)
    except RedisError as error:
        log.warning("heartbeat missed: %s", error)
    except Exception:  # whatever it is, a worker must not go silent by it
        log.exception("heartbeat missed; the next one may not be")


def renew_leases() -> list[Request]:
    """Renew every lease of this worker; returns what is to end: it was taken over, or its run is over."""
    runs = worker_resources().runs
    return [
        request
        for request in snapshot(active_requests)
        if "node" in request.kwargs and not runs.renew(RunId(request.kwargs["run"]), delivery_of(request))
    ]


def tell_presence(queues: Iterable[str]) -> None:
    """Tell the others that this worker is there, which queues it serves, and which messages it holds."""
    resources = worker_resources()
    holds = {*snapshot(requests), *(each.id for each in snapshot(scheduled_requests))}
    presence = WorkerPresence(identity().name, tuple(queues), frozenset(holds))
    say_presence(resources.runs.client, presence, lifetime=resources.settings.lease_seconds)


def _end_soon(request: Request, worker: WorkController) -> None:
    """Have the worker's event loop end the process of a message; only a pool of processes can do so."""
    if worker.use_eventloop and isinstance(worker.pool, TaskPool):
        worker.hub.call_soon(_end, request, worker.pool)


def _end(request: Request, pool: TaskPool) -> None:
    if request in active_requests:
        node, run = request.kwargs["node"], request.kwargs["run"]
        extra = {"action": "revoked", "run": run, "node": node}
        log.warning("%s of run %s is ended: it was taken over, or its run is over", node, run, extra=extra)
        request.terminate(pool, signal="SIGKILL")


def snapshot(collection: Iterable[T]) -> list[T]:
    """What is in one of Celery's sets or dictionaries, which the worker's main thread changes meanwhile."""
    while True:
        try:
            return list(collection)
        except RuntimeError:  # it was changed just then
            continue
