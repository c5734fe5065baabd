"""many: small runs that thirty clients submit at once, against as many raw chains."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from statistics import quantiles
from typing import TypeVar

from benchmarks import raw, stages
from benchmarks.contenders import LEISURE, settle, start_ours, wait_for
from benchmarks.interleaving import duel
from benchmarks.rig import Rig
from benchmarks.row import Row

T = TypeVar("T")

TARGET = 0.5
SLOTS, CLIENTS, LENGTH = 2, 30, 3


def measure(rig: Rig, *, quick: bool) -> Row:
    """The ratio of the rates of runs, from the first call until the last has ended."""
    count, rounds = (60, 1) if quick else (1000, 1)
    waits: list[float] = []
    kept: list[float] = []
    before = _on_disk(rig)
    with rig.worker(slots=SLOTS), rig.raw_worker(slots=SLOTS):
        _ours(rig, CLIENTS, [], [])
        _raw(rig, CLIENTS)
        found = duel(
            lambda: _ours(rig, count, waits, kept), lambda: _raw(rig, count), rounds=rounds, warm_up=0
        )
    stored = (_on_disk(rig) - before) / (CLIENTS + rounds * count)
    return Row(
        name="many",
        what=f"{count:,} runs of {LENGTH} empty stages, submitted by {CLIENTS} clients at once, until the "
        f"last has ended; raw: as many chains of {LENGTH} empty tasks",
        ours=f"{count / found.our_median:,.0f} runs/s",
        baseline=f"{count / found.baseline_median:,.0f} chains/s",
        ratio=f"{found.gain:.2f}×",
        target=f"≥ {TARGET:g}×",
        reached=found.gain >= TARGET,
        detail=f"{rounds} rounds, {SLOTS} slots; 95 of 100 runs waited at most "
        f"{quantiles(waits, n=20)[-1]:.1f} s; an ended run keeps {kept[-1]:.1f} kB in Redis "
        f"and {stored / 1000:.1f} kB in the store, in blocks of the disk",
    )


def _ours(rig: Rig, count: int, waits: list[float], kept: list[float]) -> float:
    before = _memory(rig)
    begun = time.perf_counter()
    runs = _at_once(lambda: start_ours(rig, stages.line, {"length": LENGTH}), count)
    wait_for(lambda: not rig.reader.open_runs(), "all runs", pace=LEISURE)
    seconds = time.perf_counter() - begun
    for run in runs:
        settle(rig, run)
    waits.extend(rig.seconds_waited(run) for run in runs)
    kept.append((_memory(rig) - before) / count / 1000)
    return seconds


def _raw(rig: Rig, count: int) -> float:
    begun = time.perf_counter()
    results = _at_once(lambda: raw.line(LENGTH), count)
    keys = [result.backend.get_key_for_task(result.id) for result in results]
    wait_for(lambda: rig.redis.exists(*keys) == count, "all chains", pace=LEISURE)
    seconds = time.perf_counter() - begun
    rig.redis.delete(*keys)
    return seconds


def _at_once(call: Callable[[], T], count: int) -> list[T]:
    with ThreadPoolExecutor(CLIENTS) as clients:
        return [each.result() for each in [clients.submit(call) for _ in range(count)]]


def _memory(rig: Rig) -> int:
    return int(rig.redis.info("memory")["used_memory"])


def _on_disk(rig: Rig) -> float:
    """Bytes that the store takes on the disk."""
    return sum(file.lstat().st_blocks * 512 for file in rig.store_folder.rglob("*"))
