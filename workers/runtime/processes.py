"""The processes of stages, seen from the worker's parent: what they use, and how they are ended."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

_PROC = Path("/proc/self/statm")


def memory_of(process: int) -> int:
    """The memory that a process has in use, in bytes; 0 if it is gone."""
    if _PROC.exists():
        with contextlib.suppress(OSError):
            pages = Path(f"/proc/{process}/statm").read_text().split()[1]
            return int(pages) * os.sysconf("SC_PAGE_SIZE")
        return 0
    shown = subprocess.run(["ps", "-o", "rss=", "-p", str(process)], capture_output=True, text=True)
    return int(shown.stdout.strip() or 0) * 1024


def kill(process: int, *, itself: bool = True) -> None:
    """Kill a process with all that it has started: a stage's own workers would go on without it."""
    for each in [*([process] if itself else []), *started_by(process)]:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(each, signal.SIGKILL)
    if itself:
        kill_group(process)


def kill_group(leader: int) -> None:
    """Kill all processes of a group, whether its leader is still there or not."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


def started_by(process: int) -> list[int]:
    """The children of a process, their children, and so on."""
    children: dict[int, list[int]] = {}
    for child, parent in _parents():
        children.setdefault(parent, []).append(child)
    found, open_ = [], [process]
    while open_:
        next_ = children.get(open_.pop(), [])
        found += next_
        open_ += next_
    return found


def _parents() -> Iterator[tuple[int, int]]:
    """Each process of the machine, and its parent."""
    if not _PROC.exists():
        listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True).stdout
        for line in listed.splitlines():
            child, parent = map(int, line.split())
            yield child, parent
        return
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            with contextlib.suppress(OSError):
                # The second field, the program's name in brackets, may hold anything
                _, parent_text = (folder / "stat").read_bytes().rpartition(b")")[2].split()[:2]
                yield int(folder.name), int(parent_text)
