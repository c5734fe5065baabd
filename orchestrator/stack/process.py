"""A part of the stack as an operating system process: its log file, its end, and that of its descendants."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from orchestrator.stack.errors import StackFailed

#: A log file that has grown past this is put aside (`redis.log.1`) at the next start.
LARGEST_LOG = 5_000_000

_POLL = 0.005


class Process:
    """One running part, in a session of its own, so that a terminal's Ctrl-C reaches only who started it.

    The session is also its process group: what the part has started itself goes when it goes.
    """

    def __init__(self, name: str, popen: subprocess.Popen[bytes], log: Path, log_start: int) -> None:
        self.name = name
        self.log = log
        self._popen = popen
        self._log_start = log_start

    @classmethod
    def start(
        cls,
        name: str,
        command: Sequence[str],
        *,
        log: Path,
        environment: Mapping[str, str],
        pass_fds: Sequence[int] = (),
    ) -> Process:
        """Start `command`, its output appended to `log`."""
        log.parent.mkdir(parents=True, exist_ok=True)
        if log.exists() and log.stat().st_size > LARGEST_LOG:
            log.replace(log.with_name(f"{log.name}.1"))
        with log.open("ab") as output:
            log_start = output.tell()
            try:
                popen = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env=dict(environment),
                    pass_fds=pass_fds,
                    start_new_session=True,
                )
            except OSError as error:
                raise StackFailed(f"{name} cannot be started: {error}") from error
        return cls(name, popen, log, log_start)

    @property
    def pid(self) -> int:
        """Its process id, which is its process group's as well."""
        return self._popen.pid

    @property
    def exit_status(self) -> int | None:
        """Its exit status (negative: the signal that ended it), or None while it runs."""
        return self._popen.poll()

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal; nothing happens if it has ended."""
        self._popen.send_signal(number)

    def wait(self, seconds: float) -> bool:
        """Whether it ended within so many seconds."""
        return wait_until(lambda: self._popen.poll() is not None, seconds)

    def end(self, seconds: float) -> None:
        """Give it so long to end, then make sure that nothing of its process group is left."""
        if not self.wait(seconds):
            self._kill_group()
            self._popen.wait()
        self._kill_group()

    def _kill_group(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._popen.pid, signal.SIGKILL)

    def last_lines(self, count: int = 12) -> str:
        """The end of what it has written to its log since it was started."""
        with self.log.open("rb") as file:
            file.seek(self._log_start)
            return "\n".join(file.read().decode(errors="replace").rstrip().splitlines()[-count:])

    def failure(self, what: str) -> StackFailed:
        """An error that says what happened, with the end of the log."""
        lines = self.last_lines()
        said = f"; its last lines:\n{lines}" if lines else ", and it wrote nothing"
        return StackFailed(f"{self.name} {what}{said}", hint=f"its whole log is {self.log}")


def wait_until(condition: Callable[[], bool], seconds: float, *, poll: float = _POLL) -> bool:
    """Look at `condition` until it holds (True) or so many seconds have passed (False)."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(poll)
    return True
