"""Beside a worker's pool: a process that delivers to MLflow what attempts have left in their outboxes.

The processes of the pool tell it of their outboxes through a pipe, and go on with the next stage. It may be
killed at any time: what it has not delivered is delivered when the run is concluded.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import select
import signal
from time import monotonic
from typing import TYPE_CHECKING, NoReturn, TypeAlias

from celery import platforms
from celery.concurrency.prefork import TaskPool
from celery.worker import WorkController
from redis.exceptions import RedisError

from orchestrator.errors import OrchestratorError
from workers.runtime.periodic import PeriodicCheck

if TYPE_CHECKING:
    from workers.tracking import MlflowTracking

log = logging.getLogger(__name__)

#: An outbox to be delivered: its run and its node.
Due: TypeAlias = tuple[str, str]

#: Seconds until it tries again after MLflow, the store or Redis did not answer: at first, and at most.
FIRST_PAUSE, LONGEST_PAUSE = 5.0, 60.0
#: Seconds that an outbox waits, so that short runs leave it to their conclusion and stages have the cores.
HOLD = 0.5
#: Outboxes that it remembers while it cannot deliver them; others wait for the conclusions of their runs.
MOST = 10_000

#: The pipe's writing end, inherited by the processes of the pool.
_writable: int | None = None


def has_sender() -> bool:
    """Whether this is a process of a worker that has a sender."""
    return _writable is not None


def hand_over(run: str, node: str) -> None:
    """Have the outbox of a run's node delivered soon; if the pipe is full, when the run is concluded."""
    if _writable is not None:
        with contextlib.suppress(BlockingIOError, BrokenPipeError):
            os.write(_writable, json.dumps((run, node)).encode() + b"\n")


class OutboxSender(PeriodicCheck):
    """Forks the process before the pool, and anew if it has ended."""

    def __init__(self, worker: WorkController, **options: object) -> None:
        super().__init__(worker, **options)
        self.process: int | None = None
        self.readable = -1

    def include_if(self, worker: WorkController) -> bool:
        """Install only with a prefork pool, whose processes inherit the pipe."""
        return bool(worker.use_eventloop) and issubclass(worker.pool_cls, TaskPool)

    def create(self, worker: WorkController) -> None:
        """Open the pipe, before the pool is started."""
        global _writable
        del worker
        self.readable, _writable = os.pipe()
        os.set_blocking(_writable, False)

    def start(self, worker: WorkController) -> None:
        """Fork the process."""
        del worker
        self._fork()

    def _fork(self) -> None:
        parent = os.getpid()
        self.process = os.fork()
        if self.process == 0:
            _become_sender(self.readable, parent)

    def stop(self, worker: WorkController) -> None:
        """End the process."""
        del worker
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError, ChildProcessError):
                os.kill(self.process, signal.SIGKILL)
                os.waitpid(self.process, 0)
            self.process = None

    def terminate(self, worker: WorkController) -> None:
        """End the process, as `stop` does."""
        self.stop(worker)

    def look(self) -> None:
        """Fork the process anew if it has ended."""
        with contextlib.suppress(ChildProcessError):
            if self.process is None or os.waitpid(self.process, os.WNOHANG)[0] == 0:
                return
        log.warning("the process that writes to MLflow has ended; another one begins")
        self._fork()


def _become_sender(readable: int, parent: int) -> NoReturn:
    status = 1
    try:
        platforms.set_pdeathsig("SIGKILL")
        if os.getppid() == parent:
            _forget_the_worker()
            _serve(readable)
            status = 0
    except BaseException:
        log.exception("writing to MLflow has failed", extra={"action": "sender failed"})
    finally:
        os._exit(status)


def _forget_the_worker() -> None:
    """Undo what the worker's parent process has set up for itself."""
    global _writable
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal: the worker ends this process
    if _writable is not None:
        os.close(_writable)  # or the pipe would not end with the worker
        _writable = None


def _serve(readable: int) -> None:
    """Deliver each outbox that the pool tells of, until the pipe ends."""
    from workers.runtime.resources import worker_resources

    deliveries, rest = Deliveries(worker_resources().tracking), b""
    while True:
        if select.select([readable], [], [], deliveries.seconds_to_wait())[0]:
            told = os.read(readable, 1 << 16)
            if not told:
                return
            *lines, rest = (rest + told).split(b"\n")
            for line in lines:
                deliveries.add(*json.loads(line))
        elif deliveries.seconds_to_wait() == 0.0:
            deliveries.deliver_next()


class Deliveries:
    """The outboxes that the process is to deliver, one after the other."""

    def __init__(self, tracking: MlflowTracking) -> None:
        self._tracking = tracking
        self._due: dict[Due, float] = {}  #: when it may be delivered, in the order in which it was added
        self._tried: set[Due] = set()
        self._pause = 0.0  #: seconds, since a service did not answer

    def add(self, run: str, node: str) -> None:
        """Add the outbox of a run's node."""
        if len(self._due) < MOST:
            self._due.setdefault((run, node), monotonic() + HOLD)

    def seconds_to_wait(self) -> float | None:
        """Return how long to wait until the next delivery; None if there is none."""
        first = next(iter(self._due.values()), None)
        return None if first is None else max(0.0, first - monotonic())

    def deliver_next(self) -> None:
        """Deliver one of them, or put it off if a service does not answer."""
        due = run, node = next(iter(self._due))
        try:
            self._tracking.deliver(run, node, first=due not in self._tried)
        except Exception as error:  # noqa: BLE001 - whatever it is, others go on, and the conclusion tells
            if isinstance(error, RedisError) or (isinstance(error, OrchestratorError) and error.transient):
                self._put_off(due, error)
                return
            log.warning("what %s of run %s has logged is left to the run's end: %s", node, run, error)
        del self._due[due]
        self._tried.discard(due)
        self._pause = 0.0

    def _put_off(self, due: Due, error: Exception) -> None:
        """Try again after a pause, for which those behind it wait, too."""
        if not self._pause:
            log.warning("what stages have logged is kept until it can be delivered: %s", error)
        self._pause = min(LONGEST_PAUSE, max(FIRST_PAUSE, 2 * self._pause))
        self._tried.add(due)
        self._due[due] = monotonic() + self._pause
