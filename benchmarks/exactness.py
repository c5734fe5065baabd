"""exactness: random graphs of sleeping stages with slots for all: how long they take, over what they must."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from statistics import median

from benchmarks import stages
from benchmarks.contenders import Unfinished, run_ours, settle, start_ours
from benchmarks.graphs import random_graph
from benchmarks.rig import Rig
from benchmarks.row import Row

MEDIAN, WORST = 1.03, 1.10
GRAPHS = 100
#: Graphs that run at the same time: sleeping costs nothing, but starting stages does.
TOGETHER = 3


@dataclass(frozen=True)
class Makespan:
    """How long a graph took, and its critical path, in seconds."""

    seed: int
    taken: float
    needed: float

    @property
    def stretch(self) -> float:
        return self.taken / self.needed


def measure(rig: Rig, *, quick: bool) -> Row:
    """The makespan, from the submission to the end of the last stage, over the critical path."""
    count = 6 if quick else GRAPHS
    slots = TOGETHER * max(random_graph(seed).width for seed in range(count)) + TOGETHER
    with rig.worker(slots=slots):
        run_ours(rig, stages.fan, {"width": slots * 4})  # every child has worked once
        with ThreadPoolExecutor(TOGETHER) as threads:
            found = sorted(
                threads.map(lambda seed: _run(rig, seed), range(count)), key=lambda each: each.stretch
            )
    middle, worst = median(each.stretch for each in found), found[-1]
    late = median(each.taken - each.needed for each in found)
    return Row(
        name="exactness",
        what=f"makespan / critical path of {count} random graphs of sleeping stages, none series-parallel",
        ours=f"median {middle:.3f}, worst {worst.stretch:.3f}",
        baseline="1 (the critical path)",
        ratio=f"{middle:.3f}×",
        target=f"≤ {MEDIAN} median, ≤ {WORST} worst",
        reached=middle <= MEDIAN and worst.stretch <= WORST,
        detail=f"15 to 40 stages of 50 to 300 ms, {slots} slots, {TOGETHER} graphs at a time; "
        f"a run ends {late * 1000:.0f} ms late in the median; the worst is graph {worst.seed}",
    )


def _run(rig: Rig, seed: int) -> Makespan:
    run = start_ours(rig, stages.maze, {"seed": seed})
    settle(rig, run)
    record = rig.reader.summary(run)
    if record.submitted is None or record.ended is None:
        raise Unfinished(f"{run} has no times")
    return Makespan(seed, (record.ended - record.submitted).total_seconds(), random_graph(seed).critical_path)
