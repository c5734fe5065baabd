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
from orchestrator.stack.state import StackState, is_kept, keeper_of, read_state

#: Above the keeper's own limits: what it says about a part that hangs is better than what can be said here.
_STOP_SECONDS = 30.0
_KILLED_SECONDS = 5.0
#: How long another `up` or `down` of the same home is waited for.
_OTHERS_SECONDS = 120.0


def start_in_background(
    home: Path, slots: Mapping[str, int], *, on_progress: Callable[[str], None] = lambda _: None
) -> StackState:
    """Start the stack of `home` and return once it is healthy; a stack that is up is left as it is.

    One that somebody else is starting is waited for, and so is the end of one that is being stopped. Raises
    StackFailed, RedisNotFound or StackBusy, with nothing left running.
    """
    home = home.expanduser().absolute()
    _check(slots)
    while True:
        if state := _state_of_another(home, on_progress):
            return state
        try:
            return _start(home, slots, on_progress)
        except StackBusy:
            if not is_kept(home):
                raise


def _state_of_another(home: Path, on_progress: Callable[[str], None]) -> StackState | None:
    """The stack that is up or that somebody else is starting; None once it is certain that there is none."""
    if is_kept(home) and read_state(home) is None:
        on_progress("waiting for another stack that is starting or stopping")
    if not wait_until(lambda: read_state(home) is not None or not is_kept(home), _OTHERS_SECONDS, poll=0.05):
        raise StackBusy(
            f"another stack of {home} has been starting or stopping for {_OTHERS_SECONDS:.0f} s",
            hint="end it with `orchestrator down`, then try again",
        )
    return read_state(home)


def _start(home: Path, slots: Mapping[str, int], on_progress: Callable[[str], None]) -> StackState:
    keeper = _start_keeper(home, slots)
    try:
        state = _listen(keeper, on_progress)
    except BaseException:
        keeper.terminate()
        keeper.wait()
        raise
    keeper.returncode = 0  # it outlives this process on purpose, of which Popen would warn
    return state


def stop_in_background(home: Path) -> bool:
    """Stop the stack of `home`, and return when nothing of it is left; False if none was up."""
    home = home.expanduser().absolute()
    keeper = keeper_of(home)  # it may just be starting
    if keeper is None:
        return False
    with contextlib.suppress(ProcessLookupError):
        os.kill(keeper, signal.SIGTERM)
    if not wait_until(lambda: not is_kept(home), _STOP_SECONDS, poll=0.02):
        with contextlib.suppress(ProcessLookupError):
            os.kill(keeper, signal.SIGKILL)  # its guard does the rest
        wait_until(lambda: not is_kept(home), _KILLED_SECONDS, poll=0.02)
    return True


def _check(slots: Mapping[str, int]) -> None:
    from orchestrator.settings import settings

    slots_of(settings().queues, slots)


def _start_keeper(home: Path, slots: Mapping[str, int]) -> subprocess.Popen[bytes]:
    logs = home / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    words = [f"{queue}={count}" for queue, count in slots.items()]
    with (logs / "keeper.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "orchestrator.stack.daemon", str(home), *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            env=child_environment({}, home=home),
            start_new_session=True,
        )


def _listen(keeper: subprocess.Popen[bytes], on_progress: Callable[[str], None]) -> StackState:
    """What the keeper says, until it says how the start went."""
    assert keeper.stdout is not None  # noqa: S101 - a pipe was asked for
    with keeper.stdout as output:
        for kind, value in _said(output):
            if kind == "progress":
                on_progress(str(value))
            elif kind == "error":
                raise _error(value)
            elif kind == "state":
                return StackState.from_json(str(value))
    status = keeper.wait()
    if status in (0, -signal.SIGTERM):
        raise StackFailed("the stack was stopped while it was starting", hint="start it again")
    raise StackFailed(
        f"the stack's keeper ended with exit status {status} as it was started",
        hint="its log is keeper.log in the home's logs folder",
    )


def _said(output: IO[bytes]) -> Iterator[tuple[str, object]]:
    for line in output:
        yield from json.loads(line).items()


def _error(value: object) -> Exception:
    assert isinstance(value, dict)  # noqa: S101 - our own keeper said it
    kind = getattr(errors, str(value["kind"]), StackFailed)
    return kind(value["message"], hint=value["hint"])
