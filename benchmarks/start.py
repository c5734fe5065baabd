"""start: the command line from shell to shell, with no services running."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from benchmarks.contenders import Unfinished
from benchmarks.rig import Rig
from benchmarks.row import Row

RUN, HELP = 4.0, 0.3


def measure(rig: Rig, *, quick: bool) -> Row:
    """Seconds of `orchestrator run hello` on a stack of its own, and of `orchestrator --help`."""
    rounds = 1 if quick else 5
    home = rig.folder / "embedded"
    first = _time(["run", "hello"], home)
    runs: list[float] = []
    helps: list[float] = []
    for _ in range(rounds):
        runs.append(_time(["run", "hello"], home))
        helps.append(_time(["--help"], home))
    run, help_ = median(runs), median(helps)
    return Row(
        name="start",
        what="`orchestrator run hello` with no service running, shell to shell; `orchestrator --help`",
        ours=f"{run:.2f} s; {help_:.2f} s",
        target=f"≤ {RUN:g} s; ≤ {HELP:g} s",
        reached=run <= RUN and help_ <= HELP,
        detail=f"{rounds} rounds; the first run of all, which makes MLflow's database, took {first:.2f} s",
    )


def _time(arguments: Sequence[str], home: Path) -> float:
    command = str(Path(sys.executable).with_name("orchestrator"))
    environment = _without_services(home)
    begun = time.perf_counter()
    done = subprocess.run(
        [command, *arguments], env=environment, capture_output=True, text=True, check=False, timeout=300
    )
    seconds = time.perf_counter() - begun
    if done.returncode != 0:
        raise Unfinished(
            f"orchestrator {' '.join(arguments)} exited with {done.returncode}: {done.stderr[-500:]}"
        )
    return seconds


def _without_services(home: Path) -> dict[str, str]:
    """The environment of somebody who has configured nothing."""
    own = ("ORCHESTRATOR_", "MLFLOW_", "REDIS_", "PYTHON")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    return {**kept, "ORCHESTRATOR_HOME": str(home)}
