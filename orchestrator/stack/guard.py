"""Cleans up after a stack whose owner was killed: ends its processes, removes its private folder.

It reads lines from its owner through a pipe: `+PID` for a part that was started, `-PID` for one that was
stopped, `end` when all is in order. The operating system closes the pipe when the owner dies, however it
dies; without an `end` before that, the parts that are left are ended here.

Run as a file and with nothing of the project, so that it is there within hundredths of a second:
`python -I -S guard.py PATH...`, the paths being what is to be removed.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE = 2.0  #: seconds between asking politely and not


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
