"""Restart a worker whose code on disk has changed, once its running stages are over.

A process of its pool notices the change and signals the worker. The worker shuts down with an unlimited grace
period and restarts. A worker started by `workers.multi_queue` signals that process instead, which imported
the code for all of its workers.
"""

from __future__ import annotations

import contextlib
import multiprocessing.util
import os
import signal
import sys
from collections.abc import Sequence
from typing import NoReturn

import billiard.util
from celery import platforms

from workers.runtime.identity import identity

#: Signals to a worker, or to the process that runs several workers, that its code is outdated.
RELOAD = signal.SIGUSR2
#: Signals to a worker to finish its running stages and exit, since its replacement is being started.
FINISH = signal.SIGUSR1

_multi_queue: int | None = None


def belong_to(process: int) -> None:
    """Register `process` as the multi-queue process that restarts this worker."""
    global _multi_queue
    _multi_queue = process


def multi_queue() -> int | None:
    """Return the id of the multi-queue process that runs this worker; None if there is none."""
    return _multi_queue


def ask_for_reload() -> None:
    """Request a restart of this worker; may be called in any of its processes."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(identity().process, RELOAD)


def begin_anew(command: Sequence[str] = ()) -> NoReturn:
    """Replace this process (exec) by the same command, or by another Python command, under the same id."""
    for each in (multiprocessing.util, billiard.util):
        each._run_finalizers()  # they remove temporary folders, and exec would skip them
    sys.stdout.flush()
    sys.stderr.flush()
    platforms.close_open_fds([sys.__stdin__, sys.__stdout__, sys.__stderr__])
    os.execv(sys.executable, [sys.executable, *(command or sys.orig_argv[1:])])  # noqa: S606 - needs no shell
