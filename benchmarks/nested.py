"""nested: maps in a mapped pipeline, against flat maps of as many items.

The baseline is ours, too: what is compared is what a second level of items costs.
"""

from __future__ import annotations

from benchmarks import stages
from benchmarks.contenders import run_ours
from benchmarks.interleaving import duel
from benchmarks.rig import Rig
from benchmarks.row import Row

TARGET = 1.0
SLOTS = 2


def measure(rig: Rig, *, quick: bool) -> Row:
    """The ratio of the times from the call to the end."""
    width = 20 if quick else 100
    rounds = 1 if quick else 2
    items = width * width
    with rig.worker(slots=SLOTS):
        found = duel(
            lambda: run_ours(rig, stages.square, {"width": width}),
            lambda: run_ours(rig, stages.flat, {"items": items}),
            rounds=rounds,
            warm_up=1,
        )
    return Row(
        name="nested",
        what=f"a pipeline mapped {width}×, with two maps of {width} empty items in it, the second over the "
        f"results of the first; flat: two such maps of {items:,}",
        ours=f"{1e6 * found.our_median / items / 2:.0f} µs an item ({found.our_median:.2f} s)",
        baseline=f"{1e6 * found.baseline_median / items / 2:.0f} µs ({found.baseline_median:.2f} s)",
        ratio=f"{found.ratio:.2f}×",
        target=f"≤ {TARGET:g}×",
        reached=found.ratio <= TARGET,
        detail=f"{rounds} rounds, {SLOTS} slots",
    )
