"""Processes that a stage starts: they are allowed, and end with the stage.

A stage's process leads a process group, which whatever it starts belongs to. What is left of it when the
stage is over is ended here; when the stage's process is killed, `groups.py` ends it from outside.
"""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing.process
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic, sleep
from typing import Protocol, cast

from workers.runtime.error_text import traceback_of
from workers.runtime.processes import started_by

#: Seconds that pools have to end in good order, and the kernel to end what is killed.
ORDERLY, DEATH = 5.0, 2.0

_PR_SET_CHILD_SUBREAPER = 36
#: What multiprocessing and joblib keep beside all else: it removes shared memory that nobody has freed.
_TRACKERS = ("multiprocessing.resource_tracker", "joblib.externals.loky.backend.resource_tracker")

#: At which priority multiprocessing's `get_temp_dir` has its folder removed: after all that is in it.
_FOLDER_PRIORITY = -100


class _MainProcess(multiprocessing.process.BaseProcess):
    """What multiprocessing takes a stage's process for: its own class of that name is not to be had."""

    def __init__(self) -> None:
        self._identity = ()
        self._name = multiprocessing.process.current_process().name  # it stands in the worker's log
        self._parent_pid = None
        self._popen = None
        self._closed = False
        key = multiprocessing.process.AuthenticationString(os.urandom(32))  # type: ignore[attr-defined]
        self._config = {"authkey": key, "semprefix": "/mp"}


class _Tracker(Protocol):
    _pid: int | None

    def _stop(self) -> None: ...


def allow_processes() -> None:
    """Once in a stage's process: let stages start processes, and make them findable afterwards."""
    with contextlib.suppress(OSError):
        os.setpgid(0, 0)
    if sys.platform == "linux":  # those whose parent has ended become this process' own
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    os.register_at_fork(before=_hold, after_in_parent=_release, after_in_child=_obey_by_default)
    # billiard marks its processes as daemonic, which multiprocessing forbids to have children
    multiprocessing.process._current_process = _MainProcess()  # type: ignore[attr-defined]


def _hold() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})


def _release() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})


def _obey_by_default() -> None:
    """In a forked copy: a handler of Celery's could swallow the SIGTERM of a pool that ends."""
    for number in (signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP, signal.SIGUSR1):
        signal.signal(number, signal.SIG_DFL)
    _release()


@contextmanager
def copies_end_here() -> Iterator[None]:
    """End a copy of this process (`os.fork`) that leaves the block: it would commit, as this one does."""
    original = os.getpid()
    status = 0
    try:
        yield
    except BaseException as error:
        if os.getpid() == original:
            raise
        status = 1
        os.write(2, traceback_of(error).encode())
    finally:
        if os.getpid() != original:
            os._exit(status)


@contextmanager
def children_end_here() -> Iterator[None]:
    """End what was started inside the block and still runs."""
    try:
        yield
    finally:
        if _has_children():
            _end_children()
        _remove_folder()


def _remove_folder() -> None:
    """Remove multiprocessing's folder for sockets, if there is one: this process never exits in order."""
    if multiprocessing.process.current_process()._config.get("tempdir") is None:  # type: ignore[attr-defined]
        return
    from multiprocessing import util

    with contextlib.suppress(Exception):
        util._run_finalizers(_FOLDER_PRIORITY)  # type: ignore[attr-defined]


def _has_children() -> bool:
    """Whether there are any, also such that ended and were not waited for: one call of the kernel."""
    try:
        if hasattr(os, "waitid"):
            os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        else:
            os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return False
    return True


def _end_children() -> None:
    _close_pools()
    trackers = [tracker for tracker in map(_tracker, _TRACKERS) if tracker is not None]
    spared = {tracker._pid for tracker in trackers}
    for process in set(started_by(os.getpid())) - spared:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    for tracker in trackers:
        with contextlib.suppress(Exception):
            tracker._stop()  # it goes once nobody uses it, and frees what was left behind
    deadline = monotonic() + DEATH
    with contextlib.suppress(ChildProcessError):
        while monotonic() < deadline:
            if os.waitpid(-1, os.WNOHANG) == (0, 0):
                sleep(0.005)


def _close_pools() -> None:
    """Do what Python does at its exit: a pool that was left open would replace each worker that is killed."""
    if "multiprocessing.util" not in sys.modules:
        return
    from multiprocessing import util

    thread = threading.Thread(target=util._run_finalizers, args=(0,), name="close-pools", daemon=True)  # type: ignore[attr-defined]
    thread.start()
    thread.join(ORDERLY)
    server = sys.modules.get("multiprocessing.forkserver")
    if server is not None:
        with contextlib.suppress(Exception):
            server._forkserver._stop()  # the next stage that needs one starts another


def _tracker(module: str) -> _Tracker | None:
    found = getattr(sys.modules.get(module), "_resource_tracker", None)
    return cast("_Tracker", found) if getattr(found, "_pid", None) else None
