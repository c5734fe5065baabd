"""Keeps a stack up in the background: `python -m orchestrator.stack.daemon HOME [QUEUE=N]...`.

Who started it reads from its output: lines of JSON with `progress`, and one last with `state` or `error`.
It ends when it is told to (SIGTERM), or when a part of the stack has ended, after stopping the others.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from orchestrator.errors import OrchestratorError
from orchestrator.stack.embedded import EmbeddedStack
from orchestrator.stack.errors import StackBusy, Terminated
from orchestrator.stack.state import FILE, take_lock, write_state

log = logging.getLogger("orchestrator.stack.daemon")

#: A stack that was killed needs a few seconds until its guard has cleaned up.
_LOCK_SECONDS = 10.0
_GRACE = 10.0
_LOOK_SECONDS = 0.5

#: Only the end of the process lets go of the lock, because `down` takes that for the end of everything.
_held: list[IO[str]] = []


def main(arguments: Sequence[str]) -> int:
    """Keep a stack up; returns the exit status."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    home = Path(arguments[0]).absolute()
    slots = {queue: int(count) for queue, count in (word.split("=") for word in arguments[1:])}
    try:
        keep(home, slots)
    except Terminated:
        log.info("stack stopped", extra={"action": "stack_stopped"})
    except OrchestratorError as error:
        log.error("%s: %s", type(error).__name__, error, extra={"action": "stack_failed"})  # noqa: TRY400
        tell("error", {"kind": type(error).__name__, "message": str(error), "hint": error.hint})
        return 1
    return 0


def keep(home: Path, slots: dict[str, int]) -> None:
    """Start the stack, say so, and stay until it ends or is told to."""
    from orchestrator.coordinator.service import supervised
    from orchestrator.settings import settings, take_part

    lock = take_lock(home, _LOCK_SECONDS)
    if lock is None:
        raise StackBusy(
            f"another stack of {home} is starting or stopping", hint="wait a moment, then try again"
        )
    _held.append(lock)
    (home / FILE).unlink(missing_ok=True)
    stack = EmbeddedStack.start(
        home,
        slots,
        settings().queues,
        services=True,
        grace=_GRACE,
        on_progress=lambda text: tell("progress", text),
        before_workers=send_lost_again,
        lock=lock,
    )
    with stack:
        try:
            state = stack.describe()
            take_part(state.environment)  # the supervisor sends messages by this process's own application
            write_state(home / FILE, state)
            log.info("stack is up", extra={"action": "stack_up"})
            tell("state", state.as_json())
            stop_telling()
            with supervised(settings(), stack.redis_url):
                while True:
                    stack.check()
                    time.sleep(_LOOK_SECONDS)
        finally:
            (home / FILE).unlink(missing_ok=True)


def send_lost_again(stack: EmbeddedStack) -> None:
    """What Redis has as done, and a power cut kept from the disk: before a worker needs it and fails."""
    from orchestrator.coordinator.after_power_cut import runs_at_work, send_what_differs_again
    from orchestrator.settings import settings, take_part

    if runs := runs_at_work(stack.redis_url):
        take_part(stack.environment())
        for told in send_what_differs_again(runs, settings(), stack.redis_url):
            log.warning(told, extra={"action": "resent"})
            tell("progress", told)


def tell(kind: str, value: object) -> None:
    """Tell who started it; nobody may be listening any more."""
    try:
        print(json.dumps({kind: value}), flush=True)
    except BrokenPipeError:
        stop_telling()


def stop_telling() -> None:
    """Let go of the pipe, by whose end the other side knows that there is no more to come."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


if __name__ == "__main__":
    status = main(sys.argv[1:])
    logging.shutdown()
    os._exit(status)  # with the lock
