"""The processes of this machine, as `ps` lists them."""

from __future__ import annotations

import os
import subprocess
import time


def all_processes() -> list[tuple[int, int, int]]:
    """The processes of the machine: id, parent, session."""
    listed = subprocess.run(
        ["ps", "-A", "-o", "pid=,ppid=,sess="], capture_output=True, text=True, check=True
    )
    return [tuple(map(int, line.split())) for line in listed.stdout.splitlines()]  # type: ignore[misc]


def leads_group(process: int) -> bool:
    """Whether a process leads a process group; not if it has ended."""
    try:
        return os.getpgid(process) == process
    except ProcessLookupError:
        return False


def of_session(leader: int) -> list[int]:
    """The processes of a session."""
    return [process for process, _, session in all_processes() if session == leader]


def outlived(leader: int, ended: float) -> list[int]:
    """The processes of a session that began before its leader ended: another may have its id since."""
    listed = subprocess.run(
        ["ps", "-A", "-o", "pid=,sess=,etimes="], capture_output=True, text=True, check=True
    )
    rows = (map(int, line.split()) for line in listed.stdout.splitlines())
    latest = time.time() - ended
    return [process for process, session, age in rows if session == leader and age > latest]


class Processes:
    """The processes of this machine, but for those that other tests keep running."""

    def __init__(self) -> None:
        self._others: set[int] = set()
        self._others = self.of(os.getpid())

    def of(self, pid: int) -> set[int]:
        """What a process has started, and what those have."""
        children: dict[int, list[int]] = {}
        for child, parent in self._parents().items():
            children.setdefault(parent, []).append(child)
        found: set[int] = set()
        todo = [pid]
        while todo:
            started = set(children.get(todo.pop(), [])) - self._others  # nor what those start meanwhile
            found |= started
            todo += started
        return found

    def alive(self, pids: set[int]) -> set[int]:
        """Those that still run; what waits for its parent to take note of its end does not."""
        return pids & self._parents().keys()

    def _parents(self) -> dict[int, int]:
        command = ["ps", "-axo", "pid=,ppid=,stat="]
        table = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        rows = (line.split() for line in table.splitlines())
        return {int(pid): int(parent) for pid, parent, state in rows if not state.startswith("Z")}
