"""Celery's prefork pool, fixed for several of its processes ending at the same time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from celery.concurrency.asynpool import AsynPool
from celery.concurrency.prefork import TaskPool, _run_ready_callbacks
from celery.worker import state
from kombu.asynchronous import get_event_loop

if TYPE_CHECKING:
    from billiard.process import BaseProcess
    from kombu.asynchronous import Hub


class Processes(AsynPool):
    """The pool's processes, as watched by the worker's event loop.

    The loop may handle several process exits at once. The first one replaces all exited processes, and a new
    process may get the file descriptor by which an old one was watched. Celery 5.7 then attributes the next
    exit to the new process: it is no longer watched, and the worker ends at its next connection to Redis
    ("file descriptor is None").
    """

    def _event_process_exit(self, hub: Hub, proc: BaseProcess) -> None:
        """Replace a process, provided that it has exited."""
        if proc._popen.poll() is not None:
            super()._event_process_exit(hub, proc)

    def _track_child_process(self, proc: BaseProcess, hub: Hub) -> None:
        """Watch a process, including one whose exit was seen and that is not replaced yet."""
        if getattr(proc, "_sentinel_poll", 0) is None:
            del proc._sentinel_poll
        super()._track_child_process(proc, hub)


class ProcessPool(TaskPool):
    """Celery's prefork pool with `Processes`."""

    Pool = Processes


class QuickPool(ProcessPool):
    """A `ProcessPool` that stops without Celery's half-second sleep if no task is running."""

    _pool: AsynPool | None

    def on_stop(self) -> None:
        """Close the pool and join its processes; idle processes exit at once."""
        if state.reserved_requests or self._pool is None:
            super().on_stop()
            return
        hub = get_event_loop()
        if hub is not None:
            _run_ready_callbacks(hub)  # pending acknowledgements
        self._pool.close()
        self._pool.join()
        self._pool = None
