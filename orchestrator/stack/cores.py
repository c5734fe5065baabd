"""How many cores this process may use: those that its affinity and its container leave it."""

from __future__ import annotations

import math
import os
from pathlib import Path

_CONTROL_GROUP = Path("/sys/fs/cgroup")


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
