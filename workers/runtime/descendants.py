"""Allow a stage to start child processes, and end them together with the stage.

A stage's process leads a process group that its child processes belong to. This module ends the remaining
ones when the stage is over; if the stage's process itself is killed, `groups.py` ends them from outside.
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

#: Seconds that pools have for an orderly exit, and that killed processes have to exit.
ORDERLY, DEATH = 5.0, 2.0

_PR_SET_CHILD_SUBREAPER = 36
#: Resource trackers of multiprocessing and joblib: helper processes that remove leaked shared memory.
_TRACKERS = ("multiprocessing.resource_tracker", "joblib.externals.loky.backend.resource_tracker")

#: Where joblib and loky keep the pool that they would use again, with its processes, in the next stage.
_REUSED_POOLS = ("joblib.externals.loky.reusable_executor", "loky.reusable_executor")

#: Finalizer priority with which multiprocessing's `get_temp_dir` removes its folder: after its contents.
_FOLDER_PRIORITY = -100


class _MainProcess(multiprocessing.process.BaseProcess):
    """A stand-in for `multiprocessing.process._MainProcess`, which cannot be instantiated here."""

    def __init__(self) -> None:
        self._identity = ()
        self._name = multiprocessing.process.current_process().name  # it appears in the worker's log
        self._parent_pid = None
        self._popen = None
        self._closed = False
        key = multiprocessing.process.AuthenticationString(os.urandom(32))  # type: ignore[attr-defined]
        self._config = {"authkey": key, "semprefix": "/mp"}


class _Tracker(Protocol):
    _pid: int | None

    def _stop(self) -> None: ...


class _ReusedPool(Protocol):
    def shutdown(self, *, kill_workers: bool) -> None: ...


def allow_processes() -> None:
    """Prepare a stage's process, once, so that stages can start child processes that can be found later."""
    with contextlib.suppress(OSError):
        os.setpgid(0, 0)
    if sys.platform == "linux":  # orphaned descendants are reparented to this process
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    os.register_at_fork(before=_hold, after_in_parent=_release, after_in_child=_obey_by_default)
    # billiard's processes are daemonic, and multiprocessing forbids daemonic processes to have children
    multiprocessing.process._current_process = _MainProcess()  # type: ignore[attr-defined]


def _hold() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})


def _release() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})


def _obey_by_default() -> None:
    """Reset the signal handlers in a forked child: Celery's could swallow the SIGTERM of a closing pool."""
    for number in (signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP, signal.SIGUSR1):
        signal.signal(number, signal.SIG_DFL)
    _release()


@contextmanager
def copies_end_here() -> Iterator[None]:
    """Exit a forked copy of this process (`os.fork`) that leaves the block: it would commit a second time."""
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
    """End processes that were started inside the block and still run."""
    try:
        yield
    finally:
        if _has_children():
            _end_children()
        _remove_folder()


def _remove_folder() -> None:
    """Remove multiprocessing's socket folder, if it exists: this process never runs its exit handlers."""
    if multiprocessing.process.current_process()._config.get("tempdir") is None:  # type: ignore[attr-defined]
        return
    from multiprocessing import util

    with contextlib.suppress(Exception):
        util._run_finalizers(_FOLDER_PRIORITY)  # type: ignore[attr-defined]


def _has_children() -> bool:
    """Whether this process has child processes, zombies included; costs one system call."""
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
            tracker._stop()  # it exits once unused, and frees leaked shared memory
    deadline = monotonic() + DEATH
    with contextlib.suppress(ChildProcessError):
        while monotonic() < deadline:
            if os.waitpid(-1, os.WNOHANG) == (0, 0):
                sleep(0.005)


def _close_pools() -> None:
    """Close pools left open: they would replace each process that is killed, or miss it in the next stage."""
    if "multiprocessing.util" not in sys.modules:
        return
    thread = threading.Thread(target=_close_each_pool, name="close-pools", daemon=True)
    thread.start()
    thread.join(ORDERLY)
    server = sys.modules.get("multiprocessing.forkserver")
    if server is not None:
        with contextlib.suppress(Exception):
            server._forkserver._stop()  # the next stage that needs one starts another


def _close_each_pool() -> None:
    from multiprocessing import util

    for module in _REUSED_POOLS:
        pool: _ReusedPool | None = getattr(sys.modules.get(module), "_executor", None)
        if pool is not None:  # joblib's `terminate` also removes its shared memory
            close = getattr(pool, "terminate", pool.shutdown)
            with contextlib.suppress(Exception):
                close(kill_workers=True)
    util._run_finalizers(0)  # type: ignore[attr-defined]


def _tracker(module: str) -> _Tracker | None:
    found = getattr(sys.modules.get(module), "_resource_tracker", None)
    return cast("_Tracker", found) if getattr(found, "_pid", None) else None
