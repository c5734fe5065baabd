"""What the numbers were taken on: the machine's kind, never its name or its paths."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from redis import Redis


def describe(redis: Redis, *, load: float) -> Mapping[str, str]:
    """The machine, how busy it was (`load`, before anything was measured), and the versions that matter."""
    return {
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "memory": f"{_memory() / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.machine()}",
        "load before (1 min)": f"{load:.2f}",
        "Python": platform.python_version(),
        "Celery": version("celery"),
        "Redis": str(redis.info("server")["redis_version"]),
    }


def _processor() -> str:
    table = Path("/proc/cpuinfo")
    found = re.search(r"^model name\s*:\s*(.+)$", table.read_text(), re.MULTILINE) if table.exists() else None
    return found[1] if found else platform.processor() or platform.machine()


def _memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
