"""Starts a stack in the background, and stops it: what `up` and `down` do."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO

from orchestrator.stack import errors
from orchestrator.stack.environment import child_environment
from orchestrator.stack.errors import StackBusy, StackFailed
from orchestrator.stack.process import wait_until
from orchestrator.stack.slots import slots_of
from orchestrator.stack_state import StackState, daemon_pid, has_daemon, read_state

#: Above the daemon's own limits: its error about a part that hangs says more than one from here could.
_STOP_SECONDS = 30.0
_KILLED_SECONDS = 5.0
#: How long another `up` or `down` of the same home is waited for.
_BUSY_SECONDS = 120.0


def start_in_background(
    home: Path, slots: Mapping[str, int], *, on_progress: Callable[[str], None] = lambda _: None
) -> StackState:
    """Start the stack of `home` and return once it is healthy; a stack that is up is left as it is.

    Waits for another process that is starting or stopping it. Raises StackFailed, RedisNotFound or StackBusy,
    with nothing left running.
    """
    from orchestrator.settings import settings  # late: it brings pydantic

    home = home.expanduser().absolute()
    slots_of(settings().queues, slots)  # raises for an unknown queue before anything is started
    while True:
        if state := _wait_for_another(home, on_progress):
            return state
        try:
            return _start(home, slots, on_progress)
        except StackBusy:
            if not has_daemon(home):
                raise


def _wait_for_another(home: Path, on_progress: Callable[[str], None]) -> StackState | None:
    """The stack that is up, or that another process is starting; None once there is certainly none."""
    if has_daemon(home) and read_state(home) is None:
        on_progress("waiting for another stack that is starting or stopping")
    if not wait_until(lambda: read_state(home) is not None or not has_daemon(home), _BUSY_SECONDS, poll=0.05):
        raise StackBusy(
            f"another stack of {home} has been starting or stopping for {_BUSY_SECONDS:.0f} s",
            hint="end it with `orchestrator down`, then try again",
        )
    return read_state(home)


def _start(home: Path, slots: Mapping[str, int], on_progress: Callable[[str], None]) -> StackState:
    daemon = _start_daemon(home, slots)
    try:
        state = _wait_for_start(daemon, on_progress)
    except BaseException:
        daemon.terminate()
        daemon.wait()
        raise
    daemon.returncode = 0  # it outlives this process on purpose, of which Popen would warn
    return state


def stop_in_background(home: Path) -> bool:
    """Stop the stack of `home`, and return when nothing of it is left; False if none was up."""
    home = home.expanduser().absolute()
    pid = daemon_pid(home)  # it may just be starting
    if pid is None:
        return False
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    if not wait_until(lambda: not has_daemon(home), _STOP_SECONDS, poll=0.02):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)  # its reaper does the rest
        wait_until(lambda: not has_daemon(home), _KILLED_SECONDS, poll=0.02)
    return True


def _start_daemon(home: Path, slots: Mapping[str, int]) -> subprocess.Popen[bytes]:
    logs = home / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    words = [f"{queue}={count}" for queue, count in slots.items()]
    with (logs / "daemon.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "orchestrator.stack.daemon", str(home), *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            env=child_environment({}, home=home),
            start_new_session=True,
        )


def _wait_for_start(daemon: subprocess.Popen[bytes], on_progress: Callable[[str], None]) -> StackState:
    """Read what the daemon reports, until it has started or failed."""
    assert daemon.stdout is not None  # noqa: S101 - a pipe was asked for
    with daemon.stdout as output:
        for kind, value in _reports(output):
            if kind == "progress":
                on_progress(str(value))
            elif kind == "error":
                raise _error_from(value)
            elif kind == "state":
                return StackState.from_json(str(value))
    status = daemon.wait()
    if status in (0, -signal.SIGTERM):
        raise StackFailed("the stack was stopped while it was starting", hint="start it again")
    raise StackFailed(
        f"the stack's daemon ended with exit status {status} as it was started",
        hint="its log is daemon.log in the home's logs folder",
    )


def _reports(output: IO[bytes]) -> Iterator[tuple[str, object]]:
    for line in output:
        yield from json.loads(line).items()


def _error_from(value: object) -> Exception:
    assert isinstance(value, dict)  # noqa: S101 - our own daemon wrote it
    kind = getattr(errors, str(value["kind"]), StackFailed)
    return kind(value["message"], hint=value["hint"])
