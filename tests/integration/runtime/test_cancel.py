"""Cancelling a run, whatever its nodes are at."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from time import monotonic

import pytest
import redis

from orchestrator.authoring.graph import NodeName
from orchestrator.lifecycle.resume import send_round
from orchestrator.run_id import RunId
from orchestrator.runs.keys import RunKeys
from orchestrator.runs.states import NodeState
from tests.harness.runner import Runner, nodes_of, states_of
from tests.harness.services import Service
from tests.harness.waiting import wait_until

pytestmark = pytest.mark.stack


def cancel_elsewhere(run: RunId) -> None:
    """Cancel a run as from another machine; returns when nothing of it runs any more."""
    subprocess.run([sys.executable, "-m", "orchestrator", "cancel", run], check=True, capture_output=True)


def submit_of_all_kinds(runner: Runner, folder: Path) -> RunId:
    """A run with nodes that run, are queued, lack a need or are tried again, and with items of a long map."""
    marker = folder / "marker"
    run = runner.submit("of_all_kinds", path=str(folder / "lines"), marker=str(marker))
    missing = RunKeys(run).missing
    wait_until(lambda: runner.runs.client.hget(missing, NodeName("add-2")) == "1", "a need is there", 30)
    marker.touch()

    def is_under_way() -> bool:
        states = Counter(runner.reader.raw_states(run).values())
        return states[NodeState.RETRYING] == 1 and states[NodeState.RUNNING] >= 4

    wait_until(is_under_way, "the run has nodes of all kinds", 30)
    return run


def test_everything_of_a_run_stops_within_three_seconds(
    runner: Runner, worker: Service, tmp_path: Path, client: redis.Redis
) -> None:
    lines = tmp_path / "lines"
    run = submit_of_all_kinds(runner, tmp_path)
    cancel_elsewhere(run)
    stopped = datetime.now(UTC)
    written = lines.read_text()
    began = monotonic()
    cancel_elsewhere(run)  # once more: it is told the same
    command_alone = monotonic() - began
    record = runner.reader.read(run, runner.prepare("of_all_kinds", path="", marker="").graph)
    states = states_of(record)
    assert record.state == "cancelled"
    assert {states.pop(name) for name in ("number", "linger", "numbers")} == {"succeeded"}
    assert set(states.values()) == {"cancelled"}
    assert record.ended is not None
    assert (stopped - record.ended).total_seconds() < 3 + command_alone
    assert nodes_of(record)["tick"].attempts[-1].error == "cancelled"
    assert runner.run("diamond").state == "succeeded"  # behind all that was queued; the slots are free
    assert lines.read_text() == written, "a stage went on after the cancel"
    assert not client.exists(RunKeys(run).leases, RunKeys(run).due, RunKeys(run).missing)


def test_a_cancelled_run_of_all_kinds_can_be_resumed_and_cancelled_again(
    runner: Runner, tmp_path: Path
) -> None:
    run = submit_of_all_kinds(runner, tmp_path)
    cancel_elsewhere(run)
    send_round(run, store=runner.store, runs=runner.runs)
    wait_until(lambda: runner.reader.raw_states(run).get(NodeName("tick")) == "running", "it goes on", 20)
    record = runner.reader.read(run, runner.prepare("of_all_kinds", path="", marker="").graph)
    assert nodes_of(record)["number"].reused
    cancel_elsewhere(run)
    assert runner.reader.state(run) == "cancelled"
    assert runner.run("diamond").state == "succeeded"


#: Runs that are cancelled by nothing but the write to Redis.
CANCELS = int(os.environ.get("CANCELS", "15"))


@pytest.mark.slow
@pytest.mark.timeout(60 + 20 * CANCELS)
def test_cancels_that_no_worker_is_told_of_stop_all_within_seconds(runner: Runner, tmp_path: Path) -> None:
    took = []
    for number in range(CANCELS):
        (folder := tmp_path / str(number)).mkdir()
        run = runner.submit("leaving_processes", how="subprocess", folder=str(folder), stay=True)
        wait_until(Path(f"{folder}.ready").exists, "the stage stays")
        began = monotonic()
        assert runner.runs.cancel(run)
        wait_until(lambda: not any(map(is_there, folder.iterdir())), "its processes are gone", 20)
        took.append(monotonic() - began)
    print(f"{CANCELS} cancels: median {median(took):.2f} s, longest {max(took):.2f} s")
    assert median(took) < 3


def is_there(file: Path) -> bool:
    """Whether there is a process of that number."""
    return Path(f"/proc/{file.name}").exists()
