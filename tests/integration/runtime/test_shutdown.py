"""Workers that are told to stop: what they finish, what they hand back, and that nothing is left over."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.run_id import RunId
from orchestrator.runs.record import NodeRecord
from tests.harness.cluster import LocalCluster
from tests.harness.redis_server import RedisServer
from tests.harness.services import Service, start, wait_until_ready
from tests.harness.waiting import wait_until

pytestmark = pytest.mark.stack

STOPPED = "its worker was stopped"


def tell_to_stop(service: Service, number: signal.Signals = signal.SIGTERM) -> None:
    """Signal the worker itself, as Docker and systemd (KillMode=mixed) do."""
    service.process.send_signal(number)


def processes_of(service: Service) -> list[int]:
    """The processes in the worker's group that are alive."""
    listed = subprocess.run(["ps", "-eo", "pid=,pgid=,stat="], capture_output=True, text=True, check=True)
    rows = [line.split() for line in listed.stdout.splitlines()]
    return [int(pid) for pid, group, stat in rows if int(group) == service.process.pid and stat[0] != "Z"]


def lingering(cluster: LocalCluster, run: RunId) -> NodeRecord:
    return cluster.nodes(run)["linger"]


def begin_to_linger(cluster: LocalCluster, marker: Path) -> RunId:
    run = cluster.submit("lingering", marker=marker)
    wait_until(lambda: lingering(cluster, run).state == "running", "the stage runs")
    return run


def assert_nothing_is_left(cluster: LocalCluster, service: Service) -> None:
    assert processes_of(service) == []
    client = cluster.reader.client
    # Another worker may be about to acknowledge the run's conclusion
    wait_until(lambda: not client.exists("unacked", "unacked_index"), "no message is left over", 10)
    name = service.log.stem
    assert client.get(f"orc:worker:{name}@test") is None


def test_a_short_stage_is_finished_and_committed_once(cluster: LocalCluster, tmp_path: Path) -> None:
    leaver = cluster.start("leaver")
    run = begin_to_linger(cluster, tmp_path / "go")
    tell_to_stop(leaver)
    wait_until(lambda: "told to stop" in leaver.log.read_text(), "it has heard")
    (tmp_path / "go").touch()
    assert leaver.process.wait(20) == 0, leaver.log.read_text()
    node = lingering(cluster, run)
    assert node.state == "succeeded"
    assert [(each.worker, each.error) for each in node.attempts] == [("leaver@test", None)]
    assert_nothing_is_left(cluster, leaver)
    cluster.start("stayer")
    wait_until(lambda: cluster.reader.concluded(run), "what follows runs elsewhere")
    assert cluster.reader.state(run) == "succeeded"


def test_a_stage_may_take_longer_than_a_lease_to_finish(cluster: LocalCluster, tmp_path: Path) -> None:
    leaver = cluster.start("leaver", lease_seconds="1")
    run = begin_to_linger(cluster, tmp_path / "go")
    tell_to_stop(leaver)
    time.sleep(3)
    (tmp_path / "go").touch()
    assert leaver.process.wait(20) == 0
    assert lingering(cluster, run).state == "succeeded"
    assert len(lingering(cluster, run).attempts) == 1


def test_a_long_stage_runs_elsewhere_within_seconds(cluster: LocalCluster, tmp_path: Path) -> None:
    leaver = cluster.start("leaver", grace_seconds="1")
    run = begin_to_linger(cluster, tmp_path / "go")
    cluster.start("stayer")
    told = time.monotonic()
    tell_to_stop(leaver)
    wait_until(lambda: len(lingering(cluster, run).attempts) == 2, "the stage runs elsewhere", 15)
    took = time.monotonic() - told
    assert leaver.process.wait(20) == 0, leaver.log.read_text()
    (tmp_path / "go").touch()
    cluster.wait_until_concluded(run)
    first, second = lingering(cluster, run).attempts
    assert (first.worker, first.error) == ("leaver@test", STOPPED)
    assert (second.worker, second.error) == ("stayer@test", None)
    assert took < 5  # the grace, and far less than a lease
    assert_nothing_is_left(cluster, leaver)


@pytest.mark.parametrize(
    "numbers",
    [
        (signal.SIGQUIT,),
        pytest.param((signal.SIGTERM, signal.SIGTERM), marks=pytest.mark.slow),
        pytest.param((signal.SIGINT, signal.SIGINT), marks=pytest.mark.slow),
    ],
)
def test_a_second_signal_ends_the_grace(
    cluster: LocalCluster, tmp_path: Path, numbers: tuple[signal.Signals, ...]
) -> None:
    leaver = cluster.start("leaver", grace_seconds="600")
    run = begin_to_linger(cluster, tmp_path / "go")
    for number in numbers:
        tell_to_stop(leaver, number)
        if number is not numbers[-1] or len(numbers) > 1:
            wait_until(lambda: "told to stop" in leaver.log.read_text(), "it has heard")
            time.sleep(1.2)  # at once, it would be taken for an echo of the first
    leaver.process.wait(20)
    assert lingering(cluster, run).state == "queued"
    assert lingering(cluster, run).attempts[0].error == STOPPED
    assert processes_of(leaver) == []
    assert cluster.reader.client.hgetall("unacked") == {}


@pytest.mark.slow
@pytest.mark.timeout(300)  # six workers start, one after another
def test_stopped_workers_do_not_make_a_stage_suspect(cluster: LocalCluster, tmp_path: Path) -> None:
    service = cluster.start("worker0", grace_seconds="0")
    run = begin_to_linger(cluster, tmp_path / "go")
    for number in range(1, 6):
        tell_to_stop(service)
        assert service.process.wait(20) == 0
        service = cluster.start(f"worker{number}", grace_seconds="0")
        wait_until(lambda: lingering(cluster, run).state == "running", "it runs again")
    (tmp_path / "go").touch()
    cluster.wait_until_concluded(run)
    assert [each.error for each in lingering(cluster, run).attempts] == [STOPPED] * 5 + [None]
    assert cluster.reader.state(run) == "succeeded"


@pytest.mark.slow
@pytest.mark.timeout(300)  # six workers start, one after another
def test_a_rolling_restart_loses_nothing(cluster: LocalCluster, tmp_path: Path) -> None:
    lines = tmp_path / "lines"
    old = cluster.start_all("old0", "old1", "old2", slots=2)
    run = cluster.submit("fan_out", path=lines, count=40)
    for number, service in enumerate(old):
        wait_until(lambda least=4 * (number + 1): len(lines_of(lines)) >= least, "the run goes on")  # type: ignore[misc]
        cluster.start(f"new{number}", slots=2)
        tell_to_stop(service)
        assert service.process.wait(30) == 0, service.log.read_text()
        assert_gone(service)
    cluster.wait_until_concluded(run)
    assert cluster.reader.state(run) == "succeeded"
    nodes = cluster.nodes(run)
    assert {node.state for node in nodes.values()} == {"succeeded"}
    assert {len(node.attempts) for node in nodes.values()} == {1}
    assert Counter(lines_of(lines)) == {str(value): 1 for value in range(40)}


@pytest.mark.slow
@pytest.mark.timeout(300)  # six workers start, one after another
def test_a_rolling_restart_with_no_grace_runs_again_only_what_was_handed_back(
    cluster: LocalCluster, tmp_path: Path
) -> None:
    lines = tmp_path / "lines"
    old = cluster.start_all("old0", "old1", "old2", slots=2, grace_seconds="0")
    run = cluster.submit("fan_out", path=lines, count=40)
    for number, service in enumerate(old):
        wait_until(lambda least=4 * (number + 1): len(lines_of(lines)) >= least, "the run goes on")  # type: ignore[misc]
        cluster.start(f"new{number}", slots=2)
        tell_to_stop(service)
        assert service.process.wait(30) == 0, service.log.read_text()
    cluster.wait_until_concluded(run)
    assert cluster.reader.state(run) == "succeeded"
    for node in cluster.nodes(run).values():
        assert node.state == "succeeded"
        assert [each.error for each in node.attempts] == [STOPPED] * (len(node.attempts) - 1) + [None]


@pytest.mark.slow
def test_items_of_a_map_are_handed_back_too(cluster: LocalCluster, tmp_path: Path) -> None:
    old = cluster.start("old", slots=2, grace_seconds="0")
    run = cluster.submit("slow_map", folder=tmp_path, count=250)
    wait_until(lambda: len(list(tmp_path.glob("item-*"))) >= 3, "the map is under way")
    cluster.start("new", slots=2)
    tell_to_stop(old)
    assert old.process.wait(20) == 0, old.log.read_text()
    cluster.wait_until_concluded(run)
    assert cluster.reader.state(run) == "succeeded"
    nodes = cluster.nodes(run)
    errors = {each.error for node in nodes.values() for each in node.attempts}
    assert errors == {None, STOPPED}


@pytest.mark.slow
def test_a_retry_that_is_not_due_yet_goes_back_at_once(cluster: LocalCluster) -> None:
    leaver = cluster.start("leaver", grace_seconds="600")
    run = cluster.submit("retried_late")
    wait_until(lambda: cluster.nodes(run)["flaky_for_long"].state == "retrying", "it is to be tried again")
    wait_until(lambda: leaver.log.read_text().count("] received") == 2, "the worker has the next message")
    tell_to_stop(leaver)
    assert leaver.process.wait(20) == 0, leaver.log.read_text()
    assert_nothing_is_left(cluster, leaver)
    cluster.start("stayer")
    cluster.wait_until_concluded(run)
    assert cluster.nodes(run)["flaky_for_long"].value == 2


def test_what_a_stage_has_started_ends_with_it(cluster: LocalCluster, tmp_path: Path) -> None:
    leaver = cluster.start("leaver", grace_seconds="0")
    cluster.submit("delegated", marker=tmp_path / "pid")
    wait_until(lambda: (tmp_path / "pid").exists(), "the stage has a process of its own")
    tell_to_stop(leaver)
    assert leaver.process.wait(20) == 0, leaver.log.read_text()
    assert_nothing_is_left(cluster, leaver)


def test_a_worker_that_is_shut_down_remotely_has_its_grace_too(cluster: LocalCluster, tmp_path: Path) -> None:
    leaver = cluster.start("leaver", grace_seconds="1")
    run = begin_to_linger(cluster, tmp_path / "go")
    command = [sys.executable, "-m", "celery", "-A", "workers", "control", "shutdown"]
    environment = {**os.environ, **cluster.environment}
    subprocess.run(command, env=environment, capture_output=True, timeout=60)
    assert leaver.process.wait(20) == 0, leaver.log.read_text()
    assert lingering(cluster, run).attempts[0].error == STOPPED
    assert_nothing_is_left(cluster, leaver)


def requeue(cluster: LocalCluster, service: Service, marker: Path) -> RunId:
    """A service is told to stop at work: its stage goes to another worker, and the service ends."""
    run = begin_to_linger(cluster, marker)
    cluster.start("stayer")
    tell_to_stop(service)
    wait_until(lambda: len(lingering(cluster, run).attempts) == 2, "the stage runs elsewhere", 15)
    assert service.process.wait(20) == 0
    assert lingering(cluster, run).attempts[0].error == STOPPED
    assert_gone(service)
    return run


@pytest.mark.slow
def test_the_command_line_s_worker_hands_back_after_its_own_grace(
    cluster: LocalCluster, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "orchestrator", "worker", "data", "--slots", "1", "--name", "leaver"]
    service = start([*command, "--grace", "0.5"], tmp_path / "cli.log", cluster.environment, group=True)
    cluster.workers["cli"] = service
    wait_until_ready(service)
    run = requeue(cluster, service, tmp_path / "go")
    (tmp_path / "go").touch()
    cluster.wait_until_concluded(run)


def test_the_fleet_hands_back_after_its_own_grace(cluster: LocalCluster, tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    ready.mkdir()
    command = [sys.executable, "-m", "workers.multi_queue", "--slots", "data=1", "--ready", str(ready)]
    service = start([*command, "--grace", "0.5"], tmp_path / "fleet.log", cluster.environment, group=True)
    cluster.workers["fleet"] = service
    wait_until((ready / "data").exists, "the worker is ready")
    requeue(cluster, service, tmp_path / "go")


@pytest.mark.parametrize("at_work", [False, True])
def test_a_worker_ends_within_its_grace_while_redis_is_away(
    cluster: LocalCluster, tmp_path: Path, at_work: bool
) -> None:
    server = RedisServer(tmp_path)
    environment = {**cluster.environment, "REDIS_URL": server.url}
    environment["ORCHESTRATOR_GRACE_SECONDS"] = "4"
    own = replace(cluster, environment=environment)
    service = own.start("leaver")
    marker = tmp_path / "go"
    if at_work:
        own.submit("lingering", marker=marker)
        wait_until(lambda: "linger" in service.log.read_text().partition("ready.")[2], "it was received")
    server.kill()
    wait_until(lambda: "onnection" in service.log.read_text().partition("ready.")[2], "it has noticed")
    told = time.monotonic()
    tell_to_stop(service)
    service.process.wait(30)
    took = time.monotonic() - told
    assert took < (8 if at_work else 7)
    wait_until(lambda: not processes_of(service), "what was killed is gone", 2)


def lines_of(path: Path) -> list[str]:
    return path.read_text().split() if path.exists() else []


def assert_gone(service: Service) -> None:
    assert processes_of(service) == []


def test_a_worker_whose_heartbeat_ends_leaves(cluster: LocalCluster, tmp_path: Path) -> None:
    (tmp_path / "faint.py").write_text(
        "from pathlib import Path\n"
        "from workers.runtime import heartbeat\n"
        "beat = heartbeat.try_to_beat\n"
        "def faint(worker):\n"
        "    if Path(__file__).with_name('now').exists():\n"
        "        raise SystemExit\n"
        "    beat(worker)\n"
        "heartbeat.try_to_beat = faint\n"
    )
    cluster.environment["PYTHONPATH"] += f":{tmp_path}"
    leaver = cluster.start("leaver", pipelines=f"{cluster.environment['ORCHESTRATOR_PIPELINES']},faint")
    run = begin_to_linger(cluster, tmp_path / "go")
    (tmp_path / "now").touch()
    wait_until(lambda: "the heartbeat has ended: this worker stops" in leaver.log.read_text(), "it ends", 10)
    (tmp_path / "go").touch()
    assert leaver.process.wait(20) == 0, leaver.log.read_text()
    assert lingering(cluster, run).state == "succeeded"
    assert_nothing_is_left(cluster, leaver)
