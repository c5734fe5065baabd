"""hop: a chain of 20 stages that do nothing, against a raw Celery chain of 20 tasks that do nothing."""

from __future__ import annotations

import json
import subprocess
import sys

from benchmarks import raw, stages
from benchmarks.contenders import run_ours, run_raw
from benchmarks.interleaving import duel
from benchmarks.rig import Rig
from benchmarks.row import Row

LENGTH = 20
TARGET = 0.35
SLOTS = 2


def measure(rig: Rig, *, quick: bool) -> Row:
    """The ratio of the times from the call to the end."""
    rounds, warm_up = (3, 2) if quick else (60, 6)
    with rig.worker(slots=SLOTS), rig.raw_worker(slots=SLOTS):
        found = duel(
            lambda: run_ours(rig, stages.line, {"length": LENGTH}),
            lambda: run_raw(rig, lambda: raw.line(LENGTH)),
            rounds=rounds,
            warm_up=warm_up,
        )
    least, *_, most = found.ratios
    return Row(
        name="hop",
        what=f"chain of {LENGTH} empty stages, from the call to the end; raw: chain of {LENGTH} empty tasks",
        ours=_shown(found.our_median),
        baseline=_shown(found.baseline_median),
        ratio=f"{found.ratio:.2f}×",
        target=f"≤ {TARGET}×",
        reached=found.ratio <= TARGET,
        detail=f"{rounds} rounds, {SLOTS} slots; single rounds: {least:.2f} to {most:.2f}×; " + _breakdown(),
    )


def _breakdown() -> str:
    """Milliseconds of the submission, and of a node with its parts, without messages and other processes."""
    command = [sys.executable, "-m", "benchmarks.breakdown", str(LENGTH)]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found: dict[str, float] = json.loads(told)
    submission, node = found.pop("submission"), found.pop("node")
    parts = ", ".join(f"{name} {seconds * 1000:.2f}" for name, seconds in found.items())
    return f"in one process: {submission * 1000:.1f} ms to submit, {node * 1000:.2f} a node ({parts})"


def _shown(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms ({seconds / LENGTH * 1000:.1f} ms a hop)"
