"""fan-out: 1 → 2,000 → 1 stages that do nothing, against a raw Celery chord of 2,000 tasks, on two queues."""

from __future__ import annotations

from benchmarks import raw, stages
from benchmarks.contenders import run_ours, run_raw
from benchmarks.interleaving import Duel, duel
from benchmarks.rig import Rig
from benchmarks.row import Row

TARGET = 5.0
SLOTS = 2


def measure(rig: Rig, *, quick: bool) -> Row:
    """The ratio of the rates, in items per second from the call to the end."""
    return _measure(rig, "fan-out", "data", quick=quick)


def measure_training(rig: Rig, *, quick: bool) -> Row:
    """The same on the training queue, whose nodes are tracked in MLflow."""
    return _measure(rig, "fan-out, training", "training", quick=quick)


def _measure(rig: Rig, name: str, queue: str, *, quick: bool) -> Row:
    width = 200 if quick else 2000
    rounds, warm_up = (1, 1) if quick else (3, 1)
    with rig.worker(slots=SLOTS, queues=("data", "training")), rig.raw_worker(slots=SLOTS):
        found = duel(
            lambda: run_ours(rig, stages.fan, {"width": width, "queue": queue}),
            lambda: run_raw(rig, lambda: raw.fan(width)),
            rounds=rounds,
            warm_up=warm_up,
        )
    return Row(
        name=name,
        what=f"1 → {width:,} → 1 empty items, queue {queue}, from the call to the end; "
        f"raw: chord of {width:,} empty tasks",
        ours=f"{width / found.our_median:,.0f} items/s ({found.our_median:.2f} s)",
        baseline=f"{width / found.baseline_median:,.0f} items/s ({found.baseline_median:.2f} s)",
        ratio=f"{found.gain:.1f}×",
        target=f"≥ {TARGET:g}×",
        reached=found.gain >= TARGET,
        detail=f"{rounds} rounds, {SLOTS} slots; {_range(found)}",
    )


def _range(found: Duel) -> str:
    return f"single rounds: {1 / found.ratios[-1]:.1f} to {1 / found.ratios[0]:.1f}×"
