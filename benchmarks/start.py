"""start: the command line from shell to shell, with no services running, against the same by hand."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.contenders import Unfinished
from benchmarks.interleaving import duel
from benchmarks.rig import Rig, unconfigured
from benchmarks.row import Row

RUN, HELP = 1.0, 1.5


def measure(rig: Rig, *, quick: bool) -> Row:
    """`orchestrator run hello` on a stack of its own, and `--help`, each against its baseline."""
    rounds = 1 if quick else 3
    home = rig.folder / "embedded"
    ours, python = str(Path(sys.executable).with_name("orchestrator")), sys.executable
    first = _timed([ours, "run", "hello"], home)()
    run = duel(
        _timed([ours, "run", "hello"], home),
        _timed([python, "-m", "benchmarks.by_hand"], home),
        rounds=rounds,
        warm_up=0 if quick else 1,
    )
    help_ = duel(
        _timed([ours, "--help"], home), _timed([python, "-c", "import typer"], home), rounds=rounds, warm_up=1
    )
    return Row(
        name="start",
        what="`orchestrator run hello` with no service running, shell to shell; `orchestrator --help`. By "
        "hand: redis-server, a bare `celery worker`, one task, both stopped; `python -c 'import typer'`",
        ours=f"{run.our_median:.2f} s; {help_.our_median:.2f} s",
        baseline=f"{run.baseline_median:.2f} s; {help_.baseline_median:.2f} s",
        ratio=f"{run.ratio:.2f}×; {help_.ratio:.2f}×",
        target=f"≤ {RUN:g}×; ≤ {HELP:g}×",
        reached=run.ratio <= RUN and help_.ratio <= HELP,
        detail=f"{rounds} rounds; the first run of all, which makes MLflow's database, took {first:.2f} s",
    )


def _timed(command: Sequence[str], home: Path) -> Callable[[], float]:
    """Seconds that a command takes."""

    def run() -> float:
        begun = time.perf_counter()
        done = subprocess.run(
            command, env=unconfigured(home), capture_output=True, text=True, check=False, timeout=300
        )
        seconds = time.perf_counter() - begun
        if done.returncode != 0:
            raise Unfinished(f"{' '.join(command)} exited with {done.returncode}: {done.stderr[-500:]}")
        return seconds

    return run
