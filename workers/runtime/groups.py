"""In the worker's parent process: kill the descendants of a pool process that was killed.

Each process of the pool leads a process group. A group whose leader is gone is killed here, within a fraction
of a second. A guard, a small process beside the worker, does the same if the whole worker is killed.
"""

from __future__ import annotations

import os

from celery import signals
from celery.concurrency.prefork import TaskPool
from celery.worker import WorkController

from orchestrator.reaper import Reaper
from workers.runtime.periodic import PeriodicCheck
from workers.runtime.processes import kill_group


class ProcessGroups(PeriodicCheck):
    """Detects exited pool processes from the worker's event loop, and kills their process groups."""

    def __init__(self, worker: WorkController, **options: object) -> None:
        super().__init__(worker, **options)
        self.worker = worker
        self.known: set[int] = set()

    def include_if(self, worker: WorkController) -> bool:
        """Install only with a prefork pool: no other pool has process groups."""
        return bool(worker.use_eventloop) and issubclass(worker.pool_cls, TaskPool)

    def look(self) -> None:
        """Compare the pool's processes with those of the last time."""
        pool = self.worker.pool._pool
        processes = list(pool._pool) if pool is not None else []
        # Poll the kernel: a descendant may hold open the pipe by which billiard detects an exit
        alive = {process.pid for process in processes if process._popen.poll() is None}
        for leader in (self.known | {process.pid for process in processes}) - alive:
            kill_group(leader)
            if _reaper is not None:
                _reaper.drop(leader)
        for leader in alive - self.known:
            if _reaper is not None:
                _reaper.add(leader)
        self.known = alive


_reaper: Reaper | None = None
_owner = 0


def guard_groups() -> None:
    """Start a guard before the worker's pool; the pool's processes register with it."""
    signals.worker_init.connect(_start_guard, weak=False)


def _start_guard(**_: object) -> None:
    global _reaper, _owner
    _reaper, _owner = Reaper((), lock=None), os.getpid()


def join_guard() -> None:
    """In a new pool process: register its group with the guard, and close the inherited end of its pipe."""
    global _reaper
    if _reaper is not None and os.getpid() != _owner:
        _reaper.add(os.getpid())
        _reaper.leave()
        _reaper = None
