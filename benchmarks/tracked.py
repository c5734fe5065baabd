"""tracked: items of a training map that each log one metric, against the fewest calls of MLflow's client."""

from __future__ import annotations

import subprocess
import sys
import time
from statistics import median

from benchmarks import stages
from benchmarks.contenders import Unfinished, settle, start_ours, wait_for
from benchmarks.interleaving import duel
from benchmarks.rig import Rig
from benchmarks.row import Row
from orchestrator.settings import settings

TARGET, STAGES = 1.0, 0.1
SLOTS = 2

#: The baseline: a process makes so many runs, each with a metric and its parameters, in three calls.
BY_HAND = """
import sys
from mlflow import MlflowClient
from mlflow.entities import Metric, Param
uri, first, last = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
client = MlflowClient(uri)
try:
    experiment = client.create_experiment("by hand")
except Exception:
    experiment = client.get_experiment_by_name("by hand").experiment_id
print("ready", flush=True)
sys.stdin.readline()
for number in range(first, last):
    run = client.create_run(experiment, tags={"number": str(number)}, run_name=f"trial[{number}]")
    params = [Param("number", str(number))]
    client.log_batch(run.info.run_id, metrics=[Metric("loss", 1.0 / (number + 1), 0, 0)], params=params)
    client.set_terminated(run.info.run_id)
"""


def measure(rig: Rig, *, quick: bool) -> Row:
    """The ratio of the times until all is in MLflow, and the share of it until the stages are done."""
    width = 40 if quick else 300
    rounds = 1 if quick else 3
    done: list[float] = []
    with rig.worker(slots=SLOTS, queues=("data", "training")):
        found = duel(
            lambda: _ours(rig, width, done),
            lambda: _by_hand(width),
            rounds=rounds,
            warm_up=1,
        )
    stages_done = median(done[-rounds:])  # after the warm-up
    share = stages_done / found.baseline_median
    return Row(
        name="tracked",
        what=f"{width} items that each log one metric, until all is in MLflow; until the stages are done. By "
        f"hand: three calls a run, from {SLOTS} processes",
        ours=f"{found.our_median:.1f} s; {stages_done:.1f} s",
        baseline=f"{found.baseline_median:.1f} s",
        ratio=f"{found.ratio:.2f}×; {share:.2f}×",
        target=f"≤ {TARGET:g}×; ≤ {STAGES:g}×",
        reached=found.ratio <= TARGET and share <= STAGES,
        detail=f"{rounds} rounds, {SLOTS} slots, MLflow on SQLite",
    )


def _ours(rig: Rig, width: int, done: list[float]) -> float:
    begun = time.perf_counter()
    run = start_ours(rig, stages.trials, {"width": width})
    wait_for(lambda: rig.reader.state(run).over, run)
    done.append(time.perf_counter() - begun)
    settle(rig, run)
    return time.perf_counter() - begun


def _by_hand(width: int) -> float:
    """Seconds from when all processes have imported MLflow until they have ended."""
    share = -(-width // SLOTS)
    ranges = [(first, min(first + share, width)) for first in range(0, width, share)]
    command = [sys.executable, "-c", BY_HAND, settings().tracking_uri]
    processes = [
        subprocess.Popen(
            [*command, str(first), str(last)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for first, last in ranges
    ]
    for process in processes:
        if process.stdout is None or not process.stdout.readline():
            raise Unfinished("a process of the baseline has not begun")
    begun = time.perf_counter()
    for process in processes:
        process.communicate("\n")
    if any(process.returncode for process in processes):
        raise Unfinished("a process of the baseline has failed")
    return time.perf_counter() - begun
