"""Inspect and kill the processes of stages from the worker's parent process."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

_PROC = Path("/proc/self/statm")


def memory_of(process: int) -> int:
    """Return the resident memory of a process in bytes; 0 if it has exited."""
    if _PROC.exists():
        with contextlib.suppress(OSError):
            pages = Path(f"/proc/{process}/statm").read_text().split()[1]
            return int(pages) * os.sysconf("SC_PAGE_SIZE")
        return 0
    shown = subprocess.run(["ps", "-o", "rss=", "-p", str(process)], capture_output=True, text=True)
    return int(shown.stdout.strip() or 0) * 1024


def kill(process: int, *, itself: bool = True) -> None:
    """Kill a process and all its descendants, which would otherwise outlive it."""
    for each in [*([process] if itself else []), *started_by(process)]:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(each, signal.SIGKILL)
    if itself:
        kill_group(process)


def kill_group(leader: int) -> None:
    """Kill all processes of a group, even if its leader has already exited."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


def started_by(process: int) -> list[int]:
    """Return the ids of all descendants of a process."""
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
    """Yield (process, parent) for each process of the machine."""
    if not _PROC.exists():
        listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True).stdout
        for line in listed.splitlines():
            child, parent = map(int, line.split())
            yield child, parent
        return
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            with contextlib.suppress(OSError):
                # The second field, the program's name in parentheses, may contain any character
                _, parent_text = (folder / "stat").read_bytes().rpartition(b")")[2].split()[:2]
                yield int(folder.name), int(parent_text)
