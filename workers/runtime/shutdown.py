"""Graceful shutdown of a worker: it stops consuming and gives its running stages a grace period.

SIGTERM, SIGINT and a remote `shutdown` start the grace period. Messages not begun are requeued at once.
Stages still running at its end are killed and requeued, and the loss is not counted against them. A second
signal, or SIGQUIT, ends the grace period. Celery's own shutdown, which waits for its pool without limit,
begins when nothing runs any more. A worker that must reload its code shuts down in the same way, with an
unlimited grace period.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import signal
import threading
from math import inf
from queue import Empty, SimpleQueue
from time import monotonic
from types import FrameType

from celery import bootsteps, signals
from celery.concurrency.prefork import TaskPool
from celery.worker import WorkController, state
from celery.worker.control import Panel
from kombu.asynchronous import Hub
from redis.exceptions import RedisError

from orchestrator.settings import settings
from workers.runtime.reloading import FINISH, RELOAD, begin_anew, multi_queue
from workers.runtime.requeue import has_begun, kill_all, kill_and_requeue, requeue

log = logging.getLogger(__name__)

#: Seconds between two checks of what still runs.
PACE = 0.1
#: A second signal within this time is a duplicate: the terminal and the parent process both send it.
ECHO_SECONDS = 1.0
#: Seconds without a check after which the event loop is considered stuck, as while Redis is unavailable.
STUCK_SECONDS = 1.0
#: Seconds that Celery's own shutdown may take after all stages have ended.
MARGIN_SECONDS = 5.0

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, RELOAD)  # and FINISH, under `multi_queue`


class GracefulShutdown(bootsteps.StartStopStep):
    """Waits for running stages in the worker's event loop; a watchdog thread ends a worker that is stuck."""

    requires = ("celery.worker.components:Pool",)

    def __init__(self, worker: WorkController, **options: object) -> None:
        super().__init__(worker, **options)
        self.worker = worker
        self.process = os.getpid()
        self.told = 0.0  #: when the worker was asked to stop; 0: not asked
        self.deadline = 0.0
        self.looked = 0.0
        self.begun = False
        self.reloads = False  #: it restarts with new code once nothing runs any more
        self.over = False  #: Celery's own shutdown has begun
        self.wake: SimpleQueue[None] = SimpleQueue()  # its `put` is reentrant, so safe in a signal handler

    def include_if(self, worker: WorkController) -> bool:
        """Install only with a prefork pool: only its processes can be killed while stages run."""
        return bool(worker.use_eventloop) and issubclass(worker.pool_cls, TaskPool)

    def start(self, worker: WorkController) -> None:
        """Install the signal handlers in place of Celery's."""
        del worker
        self.readable, writable = os.pipe()
        os.set_blocking(self.readable, False)
        os.set_blocking(writable, False)
        # Without it, the event loop would keep waiting for messages and react up to a second later
        signal.set_wakeup_fd(writable, warn_on_full_buffer=False)
        signals.worker_process_init.connect(_hear_nothing, weak=False)
        for number in (*_SIGNALS, *([FINISH] if multi_queue() else [])):
            signal.signal(number, self._tell)
        Panel.data["shutdown"] = lambda *_, **__: os.kill(os.getpid(), signal.SIGTERM)
        threading.Thread(target=self._see_to_the_end, name="leaving", daemon=True).start()
        if not multi_queue():
            atexit.register(self._begin_anew)

    def register_with_event_loop(self, worker: WorkController, hub: Hub) -> None:
        """Register the wake-up pipe; called each time the worker has connected to Redis."""
        del worker
        hub.add_reader(self.readable, self._heard)
        if self.told:
            hub.call_soon(self._look)

    def _tell(self, number: int, frame: FrameType | None) -> None:
        """Signal handler: set the deadline only; the event loop and the thread do the rest."""
        del frame
        if os.getpid() != self.process:
            return
        now = monotonic()
        outdated = number in (RELOAD, FINISH)
        if outdated and self.told:
            return
        if number == RELOAD and (process := multi_queue()):
            os.kill(process, RELOAD)
            return
        if outdated:
            self.reloads, self.deadline = True, inf
        elif number == signal.SIGQUIT or (self.told and not self.reloads and now - self.told > ECHO_SECONDS):
            self.deadline = now
        elif not self.told or self.reloads:
            self.deadline, self.told = now + settings().grace_seconds, now
        self.reloads = outdated
        self.told = self.told or now
        self.wake.put(None)

    def _heard(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self.readable, 512)
        if self.told:
            self._look()

    def _look(self) -> None:
        """In the event loop: begin the shutdown, keep waiting, or finish."""
        if self.over:
            return
        self.looked = monotonic()
        if not self.begun:
            self.begun = True
            self._begin()
        if monotonic() >= self.deadline:
            self.over = True
            kill_and_requeue(self.worker)
        if not state.reserved_requests:
            self.over = True
        if self.over:
            state.should_stop = os.EX_OK
        else:
            self.worker.hub.call_later(PACE, self._look)

    def _begin(self) -> None:
        grace = max(0.0, self.deadline - monotonic())
        running = len(state.active_requests)
        if self.reloads:
            extra = {"action": "reloading"}
            log.warning("the code has changed: %d stages finish first", running, extra=extra)
        else:
            extra = {"action": "leaving"}
            log.warning("told to stop: %d stages have %.0f s to finish", running, grace, extra=extra)
        signals.worker_shutting_down.send(
            sender=self.worker.hostname, sig="SIGTERM", how="Warm", exitcode=os.EX_OK
        )
        consumer = self.worker.consumer
        for queue in list(self.worker.app.amqp.queues.consume_from):
            consumer.cancel_task_queue(queue)
        self.worker.semaphore.clear()  # drops requests that wait for a free process
        waiting = [request for request in list(state.requests.values()) if not has_begun(request)]
        try:
            requeue(self.worker, waiting)
        except RedisError as error:
            log.warning("%d messages go back later, by the supervisor: %s", len(waiting), error)

    def _see_to_the_end(self) -> None:
        """Watchdog thread: end this process even if the event loop hangs, as while Redis is unavailable."""
        self.wake.get()
        while True:
            now = monotonic()
            stuck = not self.over and now - max(self.told, self.looked) > STUCK_SECONDS
            if stuck and not state.active_requests:
                state.should_stop = os.EX_OK
            if now > self.deadline + MARGIN_SECONDS or (stuck and now > self.deadline):
                break
            with contextlib.suppress(Empty):
                self.wake.get(timeout=PACE)
        log.error("ended by force: what it ran goes to others when its leases end", extra={"action": "left"})
        try:
            kill_all(self.worker, list(self.worker.pool._pool._pool))
        finally:
            os._exit(os.EX_SOFTWARE)

    def _begin_anew(self) -> None:
        """Restart the process with new code, as its atexit handler."""
        if self.reloads and os.getpid() == self.process:
            begin_anew()


def _hear_nothing(**_: object) -> None:
    """In a new child process: do not write its signals to the parent's wake-up pipe."""
    signal.set_wakeup_fd(-1)
