"""How many stages of a queue the local stack runs at once, and the CPU cores that it may use."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from orchestrator.stack.errors import StackFailed

_CONTROL_GROUP = Path("/sys/fs/cgroup")


def slots_of(queues: Iterable[str], given: Mapping[str, int]) -> dict[str, int]:
    """The slots of each queue: as given, else data 2, training one per usable core (at least 2), others 1.

    Slots for queues that are not started here are ignored; those for unknown queues raise StackFailed.
    """
    from orchestrator.settings import settings  # late: it brings pydantic

    queues = tuple(dict.fromkeys(queues))
    known = tuple(dict.fromkeys([*settings().queues, *queues]))
    if unknown := sorted(set(given) - set(known)):
        raise StackFailed(f"slots are wished for queue {unknown[0]!r}; the queues are {', '.join(known)}")
    usual = {"data": 2, "training": max(2, usable_cores())}
    slots = {queue: given.get(queue, usual.get(queue, 1)) for queue in queues}
    for queue, count in slots.items():
        if count < 1:
            raise StackFailed(f"queue {queue!r} cannot have {count} slots; give it at least 1")
    return slots


def usable_cores(control_group: Path = _CONTROL_GROUP) -> int:
    """The cores of this machine, within this process' affinity and its control group's quota; at least 1.

    A quota of 1.5 cores counts as 2. `joblib.cpu_count` says the same, but is slow to import.
    """
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _quota(control_group)
    return affinity if quota is None else max(1, min(affinity, math.ceil(quota)))


def _quota(control_group: Path) -> float | None:
    """The cores that a container was given (`docker run --cpus`), by version 2 or 1 of control groups."""
    try:
        quota, _, period = (control_group / "cpu.max").read_text().partition(" ")
    except OSError:
        try:
            quota = (control_group / "cpu" / "cpu.cfs_quota_us").read_text()
            period = (control_group / "cpu" / "cpu.cfs_period_us").read_text()
        except OSError:
            return None
    try:
        cores = int(quota) / int(period)
    except (ValueError, ZeroDivisionError):  # "max"
        return None
    return cores if cores > 0 else None  # -1: none, in version 1
