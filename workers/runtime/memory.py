"""Watches how much memory each running stage uses, in the worker's parent process.

A process that has used more than the limit is replaced after its stage, by Celery
(`worker_max_memory_per_child`). One that goes on growing does not get so far: it is killed here, before the
kernel kills something else.
"""

from __future__ import annotations

import logging
import signal
from collections import deque
from pathlib import Path

from celery import bootsteps
from celery.worker import WorkController, state
from kombu.asynchronous import Hub

from orchestrator.settings import settings
from workers.runtime.processes import kill, memory_of

log = logging.getLogger(__name__)

#: Seconds between two looks.
PACE = 0.25
#: A stage that needs up to this much more than the limit may finish first.
ALLOWANCE = 1.1
#: Looks for which the kernel's kills are remembered: what it killed is noticed within these.
REMEMBERED = 40

#: Where the kernel counts the processes that it killed for lack of memory.
_ROOT = Path("/sys/fs/cgroup")
_COUNTER = "oom_kill"

#: Why the processes with these ids were killed.
_killed: dict[int, str] = {}
_kills: deque[int] = deque(maxlen=REMEMBERED)


class MemoryWatch(bootsteps.StartStopStep):
    """Looks at the processes from the worker's event loop: no thread that a fork would have to wait for."""

    requires = ("celery.worker.components:Pool",)

    def register_with_event_loop(self, worker: WorkController, hub: Hub) -> None:
        """Called whenever the worker has connected to Redis."""
        del worker
        hub.call_repeatedly(PACE, look)


def look() -> None:
    """Kill the processes whose stages use far too much."""
    _kills.append(count_kills())
    limit = settings().memory_limit
    if limit is None:
        return
    for request in list(state.active_requests):
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
    """Why a stage's process is gone, in words that an attempt is recorded with."""
    if process in _killed:
        return _killed.pop(process)
    if f"signal {signal.SIGKILL.value}" in str(error) and _kills and count_kills() > _kills[0]:
        return "its process was killed by the kernel: the machine, or its container, had no memory left"
    return f"its process was lost: {error}"


def in_words(size: int) -> str:
    """A size as people write it: 2 GB, 2.3 GB, 512 MB."""
    return f"{size / 1e9:.3g} GB" if size >= 1e9 else f"{size / 1e6:.3g} MB"


def count_kills() -> int:
    """The kills in this process' memory cgroup, else on the machine; 0 where nothing is counted."""
    for file in _counter_files():
        found = _read_counter(file)
        if found is not None:
            return found
    return 0


def _counter_files() -> list[Path]:
    """Where the counters may be: inside a container, the group's path may be the root of what is mounted."""
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
