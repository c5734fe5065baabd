"""Cleans up after an owner that was killed: ends the processes that it started, removes its private folder.

The reaper is a process of its own. It reads lines from its owner through a pipe: `+PID` for a part that was
started, `-PID` for one that was stopped, `end` when all is in order. The system closes the pipe when
the owner dies, however it dies; without an `end` before that, the parts that are left are ended here.

Run as a file and with nothing of the project, so that it is there within hundredths of a second:
`python -I -S reaper.py PATH...`, the paths being what is to be removed.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from typing import IO

PATIENCE = 2.0  #: seconds between asking politely and not


class Reaper:
    """The reaper of this process, told of what is to be cleaned up if this process is killed."""

    def __init__(self, paths: Sequence[Path], *, lock: IO[str] | None) -> None:
        """Start it. It removes `paths` after a violent end, and keeps `lock` held until it has cleaned up."""
        from subprocess import DEVNULL, PIPE, Popen

        self._popen: subprocess.Popen[bytes] = Popen(
            [sys.executable, "-I", "-S", __file__, *map(str, paths)],
            stdin=PIPE,
            stdout=DEVNULL,
            stderr=DEVNULL,
            pass_fds=() if lock is None else (lock.fileno(),),
            start_new_session=True,
        )

    def add(self, pid: int) -> None:
        """A process group was started."""
        self._tell(f"+{pid}")

    def drop(self, pid: int) -> None:
        """A process group has ended."""
        self._tell(f"-{pid}")

    def leave(self) -> None:
        """In a process that its owner has forked: let the reaper notice the owner's end."""
        try:
            self._input.close()
        except BrokenPipeError:
            return

    def dismiss(self) -> None:
        """All is in order: the reaper goes without doing anything."""
        self._tell("end")
        self.leave()
        self._popen.wait()

    def _tell(self, line: str) -> None:
        try:
            self._input.write(line.encode() + b"\n")
            self._input.flush()
        except BrokenPipeError:
            return  # somebody has killed the reaper: its owner works on without one

    @property
    def _input(self) -> IO[bytes]:
        stdin = self._popen.stdin
        assert stdin is not None  # noqa: S101 - a pipe was asked for
        return stdin


def main(paths: list[str]) -> None:
    """Watch over the owner until it ends."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    groups: set[int] = set()
    for line in sys.stdin:
        word = line.strip()
        if word == "end":
            return
        if word.startswith("+"):
            groups.add(int(word[1:]))
        elif word.startswith("-"):
            groups.discard(int(word[1:]))
    end(groups)
    for path in paths:
        if os.path.isdir(path):  # noqa: PTH112 - pathlib takes longer to import than all else here
            shutil.rmtree(path, ignore_errors=True)
        elif os.path.lexists(path):
            os.unlink(path)  # noqa: PTH108


def end(groups: set[int]) -> None:
    """End whole process groups: their leaders are asked, so that Redis writes what it holds, then killed."""
    left = {group for group in groups if _succeeds(os.kill, group, signal.SIGTERM)}
    deadline = time.monotonic() + PATIENCE
    while left and time.monotonic() < deadline:
        time.sleep(0.02)
        left = {group for group in left if _succeeds(os.kill, group, 0)}
    for group in groups:
        _succeeds(os.killpg, group, signal.SIGKILL)


def _succeeds(send: Callable[[int, int], None], pid: int, number: int) -> bool:
    try:
        send(pid, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


if __name__ == "__main__":
    main(sys.argv[1:])
