"""Watch the memory of each running stage from the worker's parent process.

Celery replaces a process that has used more than the limit after its stage
(`worker_max_memory_per_child`). A process that keeps growing while its stage runs is killed here, before the
kernel kills another process.
"""

from __future__ import annotations

import logging
import signal
from collections import deque
from collections.abc import Iterable
from pathlib import Path

from celery.worker import WorkController, state
from celery.worker.request import Request

from orchestrator.settings import settings
from workers.runtime.periodic import PeriodicCheck
from workers.runtime.processes import kill, memory_of

log = logging.getLogger(__name__)

#: While nothing runs, only one check in so many counts.
IDLE = 4
#: A stage that uses up to this multiple of the limit may finish.
ALLOWANCE = 1.1
#: Number of checks whose OOM counts are kept; an OOM kill is detected within these.
REMEMBERED = 40

#: Where the kernel counts its OOM kills.
_ROOT = Path("/sys/fs/cgroup")
_COUNTER = "oom_kill"

#: Reasons why this module killed processes, by process id.
_killed: dict[int, str] = {}
_kills: deque[int] = deque(maxlen=REMEMBERED)


class MemoryWatch(PeriodicCheck):
    """Checks the processes from the worker's event loop, since a fork would have to wait for a thread."""

    def __init__(self, worker: WorkController, **options: object) -> None:
        super().__init__(worker, **options)
        self.idle_looks = 0

    def look(self) -> None:
        """Count the kernel's OOM kills, and kill stages that use more memory than they may."""
        requests = list(state.active_requests)
        self.idle_looks = 0 if requests else self.idle_looks + 1
        if self.idle_looks % IDLE:
            return
        _kills.append(count_kills())
        if (limit := settings().memory_limit) is not None:
            _kill_over(limit, requests)


def _kill_over(limit: int, requests: Iterable[Request]) -> None:
    """Kill the processes of stages that use more than the limit times ALLOWANCE."""
    for request in requests:
        if request.worker_pid is None or "node" not in request.kwargs:
            continue
        used = memory_of(request.worker_pid)
        if used > limit * ALLOWANCE:
            reason = f"it used {in_words(used)} of memory, over its limit of {in_words(limit)}"
            _killed[request.worker_pid] = reason
            extra = {"action": "over_memory", "run": request.kwargs["run"], "node": request.kwargs["node"]}
            log.warning("%s is killed: %s", request.name, reason, extra=extra)
            kill(request.worker_pid)


def reason_of_death(process: int | None, error: BaseException) -> str:
    """Describe why a stage's process was lost, for the attempt's record."""
    if process in _killed:
        return _killed.pop(process)
    if f"signal {signal.SIGKILL.value}" in str(error) and _kills and count_kills() > _kills[0]:
        return "its process was killed by the kernel: the machine, or its container, had no memory left"
    return f"its process was lost: {error}"


def in_words(size: int) -> str:
    """Format a size in bytes: 2 GB, 2.3 GB, 512 MB."""
    return f"{size / 1e9:.3g} GB" if size >= 1e9 else f"{size / 1e6:.3g} MB"


def count_kills() -> int:
    """Count OOM kills in this process's memory cgroup, else on the machine; 0 if there is no counter."""
    for file in _counter_files():
        found = _read_counter(file)
        if found is not None:
            return found
    return 0


def _counter_files() -> list[Path]:
    """List candidate counter files: inside a container, the cgroup's path may be the root of the mount."""
    files: list[Path] = []
    for line in _lines(Path("/proc/self/cgroup")):
        _, controllers, path = line.split(":", 2)
        inside = path.lstrip("/")
        if not controllers:  # version 2
            files += [_ROOT / inside / "memory.events", _ROOT / "memory.events"]
        elif "memory" in controllers.split(","):
            memory = _ROOT / "memory"
            files += [memory / inside / "memory.oom_control", memory / "memory.oom_control"]
    return [*files, Path("/proc/vmstat")]


def _read_counter(file: Path) -> int | None:
    for line in _lines(file):
        name, _, value = line.partition(" ")
        if name == _COUNTER:
            return int(value)
    return None


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text().splitlines()
    except OSError:
        return []
