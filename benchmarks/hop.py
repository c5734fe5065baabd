"""hop: a chain of 20 stages that do nothing, against a raw Celery chain of 20 tasks that do nothing."""

from __future__ import annotations

from benchmarks import raw, stages
from benchmarks.breakdown import breakdown
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
    with rig.worker(slots=SLOTS):
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
        detail=f"{rounds} rounds, {SLOTS} slots; single rounds: {least:.2f} to {most:.2f}×; "
        + breakdown(LENGTH),
    )


def _shown(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms ({seconds / LENGTH * 1000:.1f} ms a hop)"
