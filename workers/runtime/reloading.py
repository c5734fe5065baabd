"""A worker whose code on the disk has changed is started anew, when the stages that it runs are over.

A process of its pool notices, and tells the worker. That leaves, as if told to stop but with no end to its
grace, and begins anew; one that `workers.multi_queue` runs tells that process, which imported the code for
all of its workers.
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

#: Tells a worker, or the process that runs several, that its code is outdated.
RELOAD = signal.SIGUSR2
#: Tells a worker to finish what it runs and to end, since the next one is being started.
FINISH = signal.SIGUSR1

_multi_queue: int | None = None


def belong_to(process: int) -> None:
    """From now on, this process starts this worker anew."""
    global _multi_queue
    _multi_queue = process


def multi_queue() -> int | None:
    """The process that runs this worker and others, if there is one."""
    return _multi_queue


def ask_for_reload() -> None:
    """Have this worker started anew; called in any of its processes."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(identity().process, RELOAD)


def begin_anew(command: Sequence[str] = ()) -> NoReturn:
    """Become the same command again, or another one of Python's, with the same process id."""
    for each in (multiprocessing.util, billiard.util):
        each._run_finalizers()  # they remove folders, and are forgotten
    sys.stdout.flush()
    sys.stderr.flush()
    platforms.close_open_fds([sys.__stdin__, sys.__stdout__, sys.__stderr__])
    os.execv(sys.executable, [sys.executable, *(command or sys.orig_argv[1:])])  # noqa: S606 - needs no shell
