"""idle: what a local stack that is up takes with nothing to do, and how it grows by what it does (Linux)."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from benchmarks.contenders import Unfinished
from benchmarks.rig import Rig, unconfigured
from benchmarks.row import Row

#: Of a core; and of the memory, after so many nodes.
CPU, GROWTH = 0.02, 1.1
NODES = 10_000
#: Runs of 100 nodes, until each process has imported what it uses.
WARM_UP = 5


def measure(rig: Rig, *, quick: bool) -> Row:
    """CPU and memory of all processes of the stack."""
    settle, seconds, nodes = (2, 5, 200) if quick else (15, 30, NODES)
    environment = {**unconfigured(rig.folder / "idle"), "ORCHESTRATOR_PIPELINES": "benchmarks.stages"}
    with _stack(environment):
        for _ in range(WARM_UP):
            _command(environment, "run", "flat", "-p", "items=50")
        time.sleep(settle)
        busy = _cpu_over(environment, seconds)
        before = _memory(environment)
        for _ in range(10):
            _command(environment, "run", "flat", "-p", f"items={nodes // 20}")
        time.sleep(settle)
        after = _memory(environment)
    growth = sum(after.values()) / sum(before.values())
    return Row(
        name="idle",
        what=f"CPU of a local stack that is up over {seconds} s with nothing to do, of one core; its memory "
        f"after {WARM_UP * 100} nodes; after {nodes:,} more in 10 runs",
        ours=f"{busy:.1%}; {sum(before.values()) / 1e6:.0f} MB; {sum(after.values()) / 1e6:.0f} MB",
        ratio=f"{growth:.2f}×",
        target=f"≤ {CPU:.0%}; ≤ {GROWTH:g}×",
        reached=busy <= CPU and growth <= GROWTH,
        detail=f"{len(before)} processes; shared memory counts once; the largest has "
        f"{max(before.values()) / 1e6:.0f} MB",
    )


@contextmanager
def _stack(environment: Mapping[str, str]) -> Iterator[None]:
    _command(environment, "up")
    try:
        yield
    finally:
        _command(environment, "down")


def _command(environment: Mapping[str, str], *words: str) -> None:
    command = [str(Path(sys.executable).with_name("orchestrator")), *words]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)
    if done.returncode != 0:
        raise Unfinished(f"{' '.join(words)} exited with {done.returncode}: {done.stderr[-500:]}")


def _cpu_over(environment: Mapping[str, str], seconds: float) -> float:
    """The share of a core that the processes take; those that end meanwhile are not counted."""
    before, begun = _ticks(environment), time.monotonic()
    time.sleep(seconds)
    after, taken = _ticks(environment), time.monotonic() - begun
    ticks = sum(count - before.get(process, 0) for process, count in after.items())
    return ticks / os.sysconf("SC_CLK_TCK") / taken


def _ticks(environment: Mapping[str, str]) -> dict[int, int]:
    """User and system time of each process, with that of children it has waited for."""
    found = {}
    for process in _processes(environment):
        with suppress(OSError):
            fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
            found[process] = sum(map(int, fields[11:15]))
    return found


def _memory(environment: Mapping[str, str]) -> dict[int, int]:
    """Bytes of each process; what several share is divided among them."""
    found = {}
    for process in _processes(environment):
        with suppress(OSError):
            lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
            found[process] = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    return found


def _processes(environment: Mapping[str, str]) -> Iterator[int]:
    """The processes that were started with the stack's home."""
    home = f"ORCHESTRATOR_HOME={environment['ORCHESTRATOR_HOME']}".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if home in (folder / "environ").read_bytes().split(b"\0"):
                yield int(folder.name)
