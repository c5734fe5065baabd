"""One Celery worker for one queue, as forked by `multi_queue`: fast to start, and fast to stop when idle."""

from __future__ import annotations

import os
import shutil
import socket
import sys
from multiprocessing import current_process
from pathlib import Path

from celery import platforms, signals

from workers.runtime.pool import QuickPool


def load_application() -> None:
    """Import what every worker needs: the application with all stages, and Celery's modules."""
    import kombu.transport.redis  # noqa: F401

    from workers.celery import app
    from workers.runtime.loaded_code import know_code

    app.finalize()
    know_code()


def load_libraries() -> None:
    """Import libraries of training and deployment stages, which each child process would import otherwise."""
    from workers.tracking import preload

    preload()


def consume(
    queue: str, *, slots: int, generation: int = 1, log: Path | None = None, ready: Path | None = None
) -> int:
    """Run the worker of a queue until it is shut down; return the exit status.

    Its output goes to `log`; the file `ready` is created once it consumes messages. A worker of a later
    `generation` has its own name, since earlier ones may still run stages.
    """
    from workers.celery import app
    from workers.runtime.reloading import belong_to

    parent = os.getppid()
    platforms.set_pdeathsig("SIGKILL")
    if os.getppid() != parent:
        return 1  # the parent ended before PDEATHSIG was set
    belong_to(parent)
    if log is not None:
        _write_to(log)
    if ready is not None:
        signals.worker_ready.connect(lambda **_: ready.touch(), weak=False)
    signals.worker_process_init.connect(_leave_at_once, weak=False)
    name = queue if generation == 1 else f"{queue}-{generation}"
    worker = app.Worker(
        queues=[queue],
        hostname=f"{name}@{socket.gethostname()}",
        concurrency=slots,
        pool=QuickPool,
        # Both are messages between workers; mingle waits one second for replies at startup.
        without_mingle=True,
        without_gossip=True,
        task_events=True,
        loglevel="WARNING",
        quiet=True,
    )
    worker.start()
    _remove_own_folder()
    return int(worker.exitcode or 0)


def _leave_at_once(**_: object) -> None:
    """In a new child process: connect the last receiver of its shutdown signal."""
    signals.worker_process_shutdown.connect(_leave, weak=False)


def _leave(exitcode: int, **_: object) -> None:
    """Exit this child process at once; billiard would sleep for one second first (`Worker._do_exit`)."""
    if exitcode == 0:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


def _remove_own_folder() -> None:
    """Remove the folder of billiard's shared memory, since `os._exit` runs no finalizers."""
    folder = current_process()._config.get("tempdir")  # type: ignore[attr-defined]
    if folder:
        shutil.rmtree(folder, ignore_errors=True)


def _write_to(log: Path) -> None:
    log.parent.mkdir(parents=True, exist_ok=True)
    file = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.close(file)
