"""Celery's pool of processes, which outlives that several of its processes end at the same time."""

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
    """The processes, as the worker's event loop watches them.

    The loop takes up several ends at once. The first has all of these processes replaced, and a new one may
    get the file descriptor by which an old one was watched. Celery 5.7 takes the next end for the new one's:
    nobody watches it then, and the worker ends when it connects to Redis again ("file descriptor is None").
    """

    def _event_process_exit(self, hub: Hub, proc: BaseProcess) -> None:
        """Replace a process that has ended."""
        if proc._popen.poll() is not None:
            super()._event_process_exit(hub, proc)

    def _track_child_process(self, proc: BaseProcess, hub: Hub) -> None:
        """Watch a process, also one whose end was seen and that is not replaced yet."""
        if getattr(proc, "_sentinel_poll", 0) is None:
            del proc._sentinel_poll
        super()._track_child_process(proc, hub)


class ProcessPool(TaskPool):
    """Celery's pool with these processes."""

    Pool = Processes


class QuickPool(ProcessPool):
    """The same, which does not wait for half a second's sleep to end when no task is running."""

    _pool: AsynPool | None

    def on_stop(self) -> None:
        """Stop the children, which have nothing to do or finish what they do."""
        if state.reserved_requests or self._pool is None:
            super().on_stop()
            return
        hub = get_event_loop()
        if hub is not None:
            _run_ready_callbacks(hub)  # acknowledgements that are under way
        self._pool.close()
        self._pool.join()
        self._pool = None
