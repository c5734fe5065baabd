"""following: a map over the results of another one, one of whose items takes long.

The baseline is the same map with `.after(…)` the first, so that it waits for its last item.
"""

from __future__ import annotations

from benchmarks import stages
from benchmarks.contenders import settle, start_ours
from benchmarks.interleaving import duel
from benchmarks.rig import Rig
from benchmarks.row import Row
from orchestrator.authoring.graph import NodeName, item_name
from orchestrator.authoring.pipeline import Pipeline
from orchestrator.lifecycle.submission import prepare
from orchestrator.settings import settings

TARGET = 2.0  #: items' times
SLOTS = 4
ITEMS, SECONDS, LONGEST = 40, 0.1, 4.0


def measure(rig: Rig, *, quick: bool) -> Row:
    """What is left to do once the first map has ended, in seconds."""
    rounds = 1 if quick else 3
    with rig.worker(slots=SLOTS):
        found = duel(
            lambda: _seconds_behind(rig, stages.following),
            lambda: _seconds_behind(rig, stages.waiting),
            rounds=rounds,
            warm_up=1,
        )
    return Row(
        name="following",
        what=f"two maps of {ITEMS} items of {SECONDS:g} s, the second over the results of the first, one of "
        f"whose items takes {LONGEST:g} s: time from its end to that of the run",
        ours=f"{found.our_median:.2f} s",
        baseline=f"{found.baseline_median:.2f} s",
        ratio=f"{found.ratio:.2f}×",
        target=f"≤ {TARGET * SECONDS:g} s",
        reached=found.our_median <= TARGET * SECONDS,
        detail=f"{rounds} rounds, {SLOTS} slots; the baseline's second map waits for the whole first one",
    )


def _seconds_behind(rig: Rig, pipeline: Pipeline[..., object]) -> float:
    parameters: dict[str, object] = {"items": ITEMS, "seconds": SECONDS, "longest": LONGEST}
    run = start_ours(rig, pipeline, parameters)
    settle(rig, run)
    record = rig.reader.read(run, prepare(pipeline, parameters, queues=settings().queues).graph)
    ends = {node.name: node.ended for node in record.nodes}
    last, over = ends[item_name(NodeName("nap"), 0)], record.ended
    assert last is not None and over is not None  # noqa: PT018, S101 - it has succeeded
    return (over - last).total_seconds()
