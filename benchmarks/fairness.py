"""fairness: how long a run of three stages waits that is sent behind maps of thousands of short items.

The maps' loss is measured against slots that do nothing but run items one after the other, so that all that a
turn costs is in it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from statistics import quantiles

from benchmarks import stages
from benchmarks.contenders import settle, start_ours, wait_for
from benchmarks.rig import Rig
from benchmarks.row import Row
from orchestrator.lifecycle.ending import cancel
from orchestrator.run_id import RunId
from orchestrator.runs.keys import RunKeys

WAIT, LOSS = 1.0, 0.03
SLOTS, MAPS = 2, (1, 10, 50)
#: Of each map: so many that none ends while it is measured.
ITEMS, SECONDS = 5000, 0.05
#: Seconds between two small runs, and how many there are.
PAUSE, RUNS = 0.4, 20
#: Seconds over which the rate of items is taken: they are recorded four at a time.
WINDOW = 20.0


@dataclass(frozen=True)
class _Crowd:
    """What was seen beside so many maps."""

    maps: int
    waited: Sequence[float]  #: seconds until the first stage of each small run began
    loss: float  #: of the rate of items by slots that do nothing but sleep, before the small runs came

    @property
    def p95(self) -> float:
        """The wait that one run in twenty exceeds."""
        return quantiles(self.waited, n=20)[-1]


def measure(rig: Rig, *, quick: bool) -> Row:
    """The waits beside 1, 10 and 50 maps, and what the maps lose by them."""
    with rig.worker(slots=SLOTS):
        crowds = [_beside(rig, 1, runs=5, window=2.0)] if quick else [_beside(rig, maps) for maps in MAPS]
    waits = ", ".join(f"{crowd.p95:.2f}" for crowd in crowds)
    worst, loss = max(crowd.p95 for crowd in crowds), max(crowd.loss for crowd in crowds)
    return Row(
        name="fairness",
        what=(
            f"a run of three stages sent behind {', '.join(str(crowd.maps) for crowd in crowds)} maps of "
            f"{ITEMS:,} items of {SECONDS * 1000:g} ms: seconds until it begins, 95th percentile"
        ),
        ours=f"{waits} s; of their rate, the maps lose {loss:.1%}",
        target=f"≤ {WAIT:g} s; ≤ {LOSS:.0%}",
        reached=worst <= WAIT and loss <= LOSS,
        detail=f"{len(crowds[0].waited)} runs each, {SLOTS} slots; "
        + "; ".join(f"{crowd.maps}: at most {max(crowd.waited):.2f} s" for crowd in crowds),
    )


def _beside(rig: Rig, maps: int, *, runs: int = RUNS, window: float = WINDOW) -> _Crowd:
    crowd = [start_ours(rig, stages.naps, {"items": ITEMS, "seconds": SECONDS}) for _ in range(maps)]
    for run in crowd:  # all of them have their items
        wait_for(partial(_is_expanded, rig, run), run)
    time.sleep(1.0)
    rate = _rate(rig, crowd, window)
    waited: list[float] = []
    for _ in range(runs):
        waited.append(_wait_of_a_small_run(rig))
        time.sleep(PAUSE)
    for run in crowd:
        cancel(run, store=rig.store, runs=rig.runs)
        settle(rig, run, state="cancelled")
    return _Crowd(maps, waited, 1 - rate * SECONDS / SLOTS)


def _is_expanded(rig: Rig, run: RunId) -> bool:
    return _open(rig, [run]) > 1


def _wait_of_a_small_run(rig: Rig) -> float:
    run = start_ours(rig, stages.line, {"length": 3})
    wait_for(lambda: rig.reader.state(run).over, run)
    return rig.seconds_waited(run)


def _rate(rig: Rig, runs: Sequence[RunId], seconds: float) -> float:
    """Items of these maps per second."""
    before, begun = _open(rig, runs), time.monotonic()
    time.sleep(seconds)
    return (before - _open(rig, runs)) / (time.monotonic() - begun)


def _open(rig: Rig, runs: Sequence[RunId]) -> int:
    return sum(int(str(rig.redis.hget(RunKeys(run).meta, "open"))) for run in runs)
