"""Stages that start processes: these work, and are gone with the stage, however it ends."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from orchestrator.compiler import canvas
from orchestrator.lifecycle.ending import cancel
from orchestrator.runs.keys import RunKeys
from tests.harness.cluster import LocalCluster
from tests.harness.runner import Runner, nodes_of
from tests.harness.services import Service, start_worker, wait_until_ready
from tests.harness.waiting import wait_until

pytestmark = pytest.mark.stack


def some_slow(fast: list[str], slow: list[str]) -> list[object]:
    return [*fast, *(pytest.param(each, marks=pytest.mark.slow) for each in slow)]


WAYS = some_slow(["pool", "daemon"], ["executor", "subprocess"])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where processes say that they are there."""
    (made := tmp_path / "there").mkdir()
    return made


@pytest.fixture
def other(environment: dict[str, str], tmp_path: Path, runner: Runner) -> Iterator[Service]:
    """A worker that the test may kill."""
    log = tmp_path / "other.log"
    service = start_worker(environment, log, name="other", slots=1, queues="spare", group=True)
    wait_until_ready(service)
    yield service
    service.kill()


def are_gone(folder: Path) -> bool:
    return not any(Path(f"/proc/{file.name}").exists() for file in folder.iterdir())


def has_replaced(worker: Service, processes: set[int]) -> bool:
    now = set(worker.pool())
    return len(now) == len(processes) and not now & processes


@pytest.mark.parametrize(
    "how",
    some_slow(
        ["fork", "executor left open"],
        ["spawn", "forkserver", "executor", "joblib", "left open", "subprocess"],
    ),
)
def test_a_stage_may_work_in_processes(runner: Runner, how: str) -> None:
    for _ in range(2):  # often in the same process of the worker
        record = runner.run("processes", how=how)
        assert record.error is None
        assert nodes_of(record)["work_in_processes"].value == [0, 2, 4, 6]


@pytest.mark.parametrize("how", some_slow(["joblib"], ["executor", "left open"]))
def test_stages_that_follow_each_other_in_a_process_have_pools_of_their_own(runner: Runner, how: str) -> None:
    record = runner.run("processes_in_turn", how=how, stages=10)  # joblib would use its pool again
    assert record.error is None


def test_a_stage_that_shares_with_processes_leaves_no_folder(runner: Runner) -> None:
    for _ in range(2):
        record = runner.run("sharing")
        assert record.error is None
        assert not Path(str(nodes_of(record)["share_with_processes"].value)).exists()


@pytest.mark.parametrize("how", WAYS)
def test_what_a_stage_leaves_behind_ends_with_it(runner: Runner, folder: Path, how: str) -> None:
    record = runner.run("leaving_processes", how=how, folder=str(folder))
    assert record.state == "succeeded", record.error
    assert are_gone(folder)


@pytest.mark.parametrize("how", WAYS)
def test_what_a_cancelled_stage_has_started_ends(runner: Runner, folder: Path, how: str) -> None:
    run = runner.submit("leaving_processes", how=how, folder=str(folder), stay=True)
    wait_until(Path(f"{folder}.ready").exists, "the stage stays")
    cancel(run, store=runner.store, runs=runner.runs)
    wait_until(lambda: are_gone(folder), "the processes are gone", 10)


def test_a_stage_ends_with_its_run_though_nobody_tells_its_worker(runner: Runner, folder: Path) -> None:
    run = runner.submit("leaving_processes", how="subprocess", folder=str(folder), stay=True)
    wait_until(Path(f"{folder}.ready").exists, "the stage stays")
    assert runner.runs.cancel(run)  # one write, and nothing is broadcast
    wait_until(lambda: are_gone(folder), "the processes are gone", 5)


def test_a_stage_that_was_taken_over_ends(runner: Runner, folder: Path) -> None:
    run = runner.submit("leaving_processes", how="pool", folder=str(folder), stay=True)
    wait_until(Path(f"{folder}.ready").exists, "the stage stays")
    (delivery,) = runner.reader.holders(run)
    keys, until = RunKeys(run), time.time() + 60
    runner.runs.client.zadd(keys.leases, {delivery: 1})
    assert runner.runs.mark_lost(run, delivery, error="its worker was lost", until=until) == 1
    wait_until(lambda: are_gone(folder), "the processes are gone", 5)
    cancel(run, store=runner.store, runs=runner.runs)


@pytest.mark.parametrize("how", WAYS)
def test_what_an_overdue_stage_has_started_ends(
    runner: Runner, folder: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(canvas, "GRACE", 0.5)
    record = runner.run("overdue_processes", how=how, folder=str(folder))
    assert "was killed" in (record.error or "")
    wait_until(lambda: are_gone(folder), "the processes are gone", 10)


@pytest.mark.parametrize("how", some_slow(["pool"], ["executor", "subprocess"]))
@pytest.mark.parametrize("whole", [False, True], ids=["process", "worker"])
def test_what_a_killed_stage_has_started_ends(
    runner: Runner, other: Service, folder: Path, how: str, whole: bool
) -> None:
    run = runner.submit("leaving_processes_elsewhere", how=how, folder=str(folder), stay=True)
    wait_until(Path(f"{folder}.ready").exists, "the stage stays")
    before = {int(file.name) for file in folder.iterdir()}
    (leader,) = other.pool()
    os.kill(other.process.pid if whole else leader, signal.SIGKILL)
    wait_until(lambda: not any(Path(f"/proc/{process}").exists() for process in before), "they are gone", 10)
    cancel(run, store=runner.store, runs=runner.runs)  # or it stays on the next worker of that queue


def test_a_stage_sees_no_password_of_redis(runner: Runner) -> None:
    record = runner.run("environment_of_stages")
    assert nodes_of(record)["show_environment"].value == ["ORCHESTRATOR_HOME"]


def test_a_worker_stays_though_its_connections_break_as_its_processes_end(cluster: LocalCluster) -> None:
    worker = cluster.start("one", slots=2)
    client = cluster.reader.client
    for _ in range(3):
        before = set(worker.pool())
        os.kill(worker.process.pid, signal.SIGSTOP)  # all of it comes to it at once
        for connection in client.client_list():
            if connection["db"] == "5" and connection["id"] != str(client.client_id()):
                client.client_kill_filter(_id=connection["id"])
        for process in before:
            os.kill(process, signal.SIGKILL)
        os.kill(worker.process.pid, signal.SIGCONT)
        wait_until(partial(has_replaced, worker, before), "other processes are there", 20)
    run = cluster.submit("diamond")
    wait_until(lambda: cluster.reader.state(run).over, "the run has ended")
    assert worker.process.poll() is None
    assert cluster.reader.state(run) == "succeeded"
