"""message: bytes that a node moves through Redis, in short chains and in long ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from benchmarks import raw, stages
from benchmarks.contenders import run_ours, run_raw
from benchmarks.rig import Rig
from benchmarks.row import Row

LENGTHS = (100, 300, 1000)
#: How much more a node of the longest chain may move than one of the shortest, to be called flat.
FLAT = 1.05
SLOTS = 2


def measure(rig: Rig, *, quick: bool) -> Row:
    """All that Redis receives and sends during a run, over the number of nodes."""
    lengths = LENGTHS[:2] if quick else LENGTHS
    with rig.worker(slots=SLOTS):
        run_ours(rig, stages.line, {"length": 10})
        ours = {length: _ours(rig, length) / length for length in lengths}
    with rig.raw_worker(slots=SLOTS):
        theirs = {length: _raw(rig, length) / length for length in lengths}
    growth, raw_growth = _growth(ours), _growth(theirs)
    return Row(
        name="message",
        what=f"kB through Redis per node, chains of {_listed(lengths)}; raw: Celery chains of as many tasks",
        ours=_shown(ours),
        baseline=_shown(theirs),
        ratio=f"{growth:.2f}× from shortest to longest (raw {raw_growth:.1f}×)",
        target=f"flat (≤ {FLAT}×)",
        reached=growth <= FLAT,
        detail="all of Redis's traffic, in and out: messages, acknowledgements, results, state, events",
    )


def _ours(rig: Rig, length: int) -> int:
    return _moved(rig, lambda: run_ours(rig, stages.line, {"length": length}))


def _raw(rig: Rig, length: int) -> int:
    return _moved(rig, lambda: run_raw(rig, lambda: raw.line(length)))


def _moved(rig: Rig, run: Callable[[], object]) -> int:
    before = _traffic(rig)
    run()
    return _traffic(rig) - before


def _traffic(rig: Rig) -> int:
    stats = rig.redis.info("stats")
    return int(stats["total_net_input_bytes"]) + int(stats["total_net_output_bytes"])


def _growth(found: Mapping[int, float]) -> float:
    return found[max(found)] / found[min(found)]


def _listed(lengths: tuple[int, ...]) -> str:
    *first, last = (f"{length:,}" for length in lengths)
    return f"{', '.join(first)} and {last}"


def _shown(found: Mapping[int, float]) -> str:
    return ", ".join(f"{value / 1000:,.1f}" for value in found.values())
