"""Keeps a stack up in the background: `python -m orchestrator.stack.daemon HOME [QUEUE=N]...`.

It reports to the process that started it in lines of JSON: `progress`, and at last `state` or `error`.
It ends at SIGTERM, or when a part of the stack has ended, after stopping the others.
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

from orchestrator.coordinator.after_power_cut import runs_at_work, send_what_differs_again
from orchestrator.coordinator.service import supervised
from orchestrator.errors import OrchestratorError
from orchestrator.settings import apply_environment, settings
from orchestrator.stack.embedded import EmbeddedStack
from orchestrator.stack.errors import StackBusy, Terminated
from orchestrator.stack_state import FILE, take_lock, write_state

log = logging.getLogger("orchestrator.stack.daemon")

#: The reaper of a stack that was killed needs a few seconds to clean up.
_LOCK_SECONDS = 10.0
_GRACE = 10.0
_CHECK_SECONDS = 0.5

#: Open until the process ends: `down` takes the release of the lock for the end of the whole stack.
_locks: list[IO[str]] = []


def main(arguments: Sequence[str]) -> int:
    """Keep a stack up; returns the exit status."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    home = Path(arguments[0]).absolute()
    slots = {queue: int(count) for queue, count in (word.split("=") for word in arguments[1:])}
    try:
        run(home, slots)
    except Terminated:
        log.info("stack stopped", extra={"action": "stack_stopped"})
    except OrchestratorError as error:
        log.error("%s: %s", type(error).__name__, error, extra={"action": "stack_failed"})  # noqa: TRY400
        report("error", {"kind": type(error).__name__, "message": str(error), "hint": error.hint})
        return 1
    return 0


def run(home: Path, slots: dict[str, int]) -> None:
    """Start the stack, report that, and supervise its runs until it ends or SIGTERM arrives."""
    lock = take_lock(home, _LOCK_SECONDS)
    if lock is None:
        raise StackBusy(
            f"another stack of {home} is starting or stopping", hint="wait a moment, then try again"
        )
    _locks.append(lock)
    (home / FILE).unlink(missing_ok=True)
    stack = EmbeddedStack.start(
        home,
        slots,
        settings().queues,
        services=True,
        grace=_GRACE,
        on_progress=lambda text: report("progress", text),
        before_workers=resend_lost,
        lock=lock,
    )
    with stack:
        try:
            state = stack.describe()
            # the supervisor sends messages by this process's own application
            apply_environment(state.environment)
            write_state(home / FILE, state)
            log.info("stack is up", extra={"action": "stack_up"})
            report("state", state.as_json())
            stop_reporting()
            with supervised(settings(), stack.redis_url):
                while True:
                    stack.check()
                    time.sleep(_CHECK_SECONDS)
        finally:
            (home / FILE).unlink(missing_ok=True)


def resend_lost(stack: EmbeddedStack) -> None:
    """Send again what Redis counts as done and a power cut kept from the disk, before a worker reads it."""
    if runs := runs_at_work(stack.redis_url):
        apply_environment(stack.environment())
        for told in send_what_differs_again(runs, settings(), stack.redis_url):
            log.warning(told, extra={"action": "resent"})
            report("progress", told)


def report(kind: str, value: object) -> None:
    """Report to the process that started this one, which may be gone."""
    try:
        print(json.dumps({kind: value}), flush=True)
    except BrokenPipeError:
        stop_reporting()


def stop_reporting() -> None:
    """Close the pipe, whose end tells the other side that no more reports follow."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


if __name__ == "__main__":
    status = main(sys.argv[1:])
    logging.shutdown()
    os._exit(status)  # which releases the lock
