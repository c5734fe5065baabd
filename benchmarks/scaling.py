"""scaling: sleeping trials on one, two, four and eight workers of one slot each."""

from __future__ import annotations

from contextlib import ExitStack
from itertools import pairwise
from statistics import median

from benchmarks import stages
from benchmarks.contenders import run_ours
from benchmarks.rig import Rig
from benchmarks.row import Row

TARGET = 0.95
TRIALS, SECONDS = 64, 0.5


def measure(rig: Rig, *, quick: bool) -> Row:
    """The efficiency at the most workers: the work's seconds over workers times seconds from call to end."""
    counts, trials = ((1, 2), 8) if quick else ((1, 2, 4, 8), TRIALS)
    taken: dict[int, float] = {}
    with ExitStack() as workers:
        for before, count in pairwise((0, *counts)):
            for number in range(before, count):
                workers.enter_context(rig.worker(slots=1, name=f"bench-{number}"))
            times = [
                run_ours(rig, stages.naps, {"items": trials, "seconds": SECONDS})
                for _ in range(1 if count < max(counts) else 3)
            ]
            taken[count] = median(times)
    efficiency = {count: trials * SECONDS / (count * seconds) for count, seconds in taken.items()}
    worst = efficiency[max(counts)]
    return Row(
        name="scaling",
        what=f"{trials} trials that sleep {SECONDS:g} s, on {', '.join(map(str, counts))} one-slot workers",
        ours="; ".join(f"{seconds:.1f} s" for seconds in taken.values()),
        ratio="; ".join(f"{each:.1%}" for each in efficiency.values()),
        target=f"≥ {TARGET:.0%} at {max(counts)}",
        reached=worst >= TARGET,
        detail="all on this one machine; efficiency is work / (workers × time from the call to the end)",
    )
