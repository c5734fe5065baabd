"""How many processes the kernel has killed for lack of memory, by its own counters."""

from __future__ import annotations

from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")
_COUNTER = "oom_kill"


def count_kills() -> int:
    """The kills in this process' memory cgroup, else on the machine; 0 where nothing is counted."""
    for file in _files():
        found = _read(file)
        if found is not None:
            return found
    return 0


def _files() -> list[Path]:
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


def _read(file: Path) -> int | None:
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
