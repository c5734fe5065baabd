"""The worker's heartbeat: renew leases, kill attempts that lost theirs, and publish the worker's presence.

It runs in the parent process, so a stage that blocks its own process for minutes keeps its lease.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Iterable
from functools import cache
from importlib.metadata import version
from typing import TypeVar

from celery import bootsteps
from celery.concurrency.prefork import TaskPool
from celery.signals import worker_shutdown
from celery.worker import WorkController
from celery.worker.request import Request
from celery.worker.state import active_requests, requests, scheduled_requests
from redis.exceptions import RedisError

from orchestrator.alive import touch_alive_file
from orchestrator.run_id import RunId
from orchestrator.runs.presence import WorkerPresence, say_goodbye, say_presence
from workers.runtime.identity import assume, delivery_of, identity
from workers.runtime.request import StageRequest
from workers.runtime.resources import worker_resources

log = logging.getLogger(__name__)

T = TypeVar("T")

#: Held during a beat, and acquired before each fork. Otherwise a child process forked during a beat would
#: inherit locks of redis-py or logging that this thread holds, and deadlock.
_beating = threading.Lock()
os.register_at_fork(
    before=_beating.acquire, after_in_parent=_beating.release, after_in_child=_beating.release
)


#: Maximum seconds between two beats, when idle and while stages run. A cancelled or superseded attempt is
#: killed within this time.
IDLE_PACE, PACE = 1.0, 0.5


class Heartbeat(bootsteps.StartStopStep):
    """Beats at least three times per lease, from the fork of the pool until the worker has ended.

    Stages that finish during shutdown still need their leases. The main thread makes the first beat, so that
    lazy imports happen there.
    """

    requires = ("celery.worker.components:Pool",)

    def __init__(self, worker: WorkController, **options: object) -> None:
        super().__init__(worker, **options)
        assume(worker.hostname)
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, worker: WorkController) -> None:
        """Make the first beat and start the heartbeat thread."""
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
            if not self._stop.is_set():  # without a heartbeat, all leases would expire
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
    """Beat once; on an error, log it and leave the rest to the next beat."""
    try:
        for request in renew_leases():
            _end_soon(request, worker)
        # A worker that shuts down consumes from no queue any more
        publish_presence(worker.app.amqp.queues.consume_from)
        touch_alive_file()
    except RedisError as error:
        log.warning("heartbeat missed: %s", error)
    except Exception:  # no error may stop the heartbeat
        log.exception("heartbeat missed; the next one may not be")


def renew_leases() -> list[Request]:
    """Renew every lease of this worker; return the requests to kill: superseded, or of a run that is over."""
    return [
        request
        for request in snapshot(active_requests)
        if "node" in request.kwargs and not _is_renewed(request)
    ]


def _is_renewed(request: Request) -> bool:
    runs, run, delivery = worker_resources().runs, RunId(request.kwargs["run"]), delivery_of(request)
    if not isinstance(request, StageRequest):
        return runs.renew(run, delivery)
    node = request.node
    renewal = runs.renew_and_look(run, delivery, node)
    request.progress = None if renewal.progress is None else (node, renewal.progress)
    return renewal.renewed


def publish_presence(queues: Iterable[str]) -> None:
    """Publish this worker's presence: its name, the queues it serves, and the messages it holds."""
    resources = worker_resources()
    holds = {*snapshot(requests), *(each.id for each in snapshot(scheduled_requests))}
    presence = WorkerPresence(identity().name, tuple(queues), frozenset(holds), _version())
    say_presence(resources.runs.client, presence, lifetime=resources.settings.lease_seconds)


@cache
def _version() -> str:
    return version("celery-ml-orchestrator")


def _end_soon(request: Request, worker: WorkController) -> None:
    """Kill the process of a message from the worker's event loop; only a prefork pool can do so."""
    if worker.use_eventloop and isinstance(worker.pool, TaskPool):
        worker.hub.call_soon(_end, request, worker.pool)


def _end(request: Request, pool: TaskPool) -> None:
    if request in active_requests:
        node, run = request.kwargs["node"], request.kwargs["run"]
        extra = {"action": "revoked", "run": run, "node": node}
        log.warning("%s of run %s is ended: it was taken over, or its run is over", node, run, extra=extra)
        request.terminate(pool, signal="SIGKILL")


def snapshot(collection: Iterable[T]) -> list[T]:
    """Copy one of Celery's sets or dictionaries, which the main thread may change during the copy."""
    while True:
        try:
            return list(collection)
        except RuntimeError:  # changed during iteration
            continue
