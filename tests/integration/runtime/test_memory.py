"""Stages that use too much memory, and children that are replaced while the worker's heart beats."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.run_id import RunId
from tests.harness.cluster import LocalCluster
from tests.harness.waiting import wait_until

pytestmark = pytest.mark.stack

GROUPS = Path("/sys/fs/cgroup/memory")  # version 1


def ended(cluster: LocalCluster, run: RunId, seconds: float = 60) -> str:
    cluster.wait_until_concluded(run, seconds)
    return str(cluster.reader.state(run))


@pytest.mark.slow
def test_a_process_that_has_used_much_makes_room_for_a_fresh_one(
    cluster: LocalCluster, tmp_path: Path
) -> None:
    cluster.start("worker", memory_limit="2GB")
    lean = cluster.submit("hoarding", megabytes=1, marker=tmp_path / "lean")
    assert ended(cluster, lean) == "succeeded"
    nodes = cluster.nodes(lean)
    assert nodes["hold"].value == nodes["hold-2"].value
    # Above the limit, and below what a running stage is killed for
    fat = cluster.submit("hoarding", megabytes=1_900, marker=tmp_path / "fat")
    assert ended(cluster, fat) == "succeeded"
    nodes = cluster.nodes(fat)
    assert nodes["hold"].value != nodes["hold-2"].value
    assert [len(node.attempts) for node in nodes.values()] == [1, 1]


def test_a_stage_that_outgrows_the_limit_is_killed_and_tried_again(
    cluster: LocalCluster, tmp_path: Path
) -> None:
    cluster.start("worker", memory_limit="500MB")
    run = cluster.submit("hoarding", megabytes=700, marker=tmp_path / "once", seconds=60)
    assert ended(cluster, run) == "succeeded"
    first, second = cluster.nodes(run)["hold"].attempts
    assert (first.error or "").startswith("it used ")
    assert (first.error or "").endswith(" of memory, over its limit of 500 MB")
    assert second.error is None


@pytest.mark.slow
def test_a_stage_that_always_outgrows_the_limit_fails_and_says_so(cluster: LocalCluster) -> None:
    cluster.start("worker", memory_limit="500MB")
    run = cluster.submit("devouring")
    assert ended(cluster, run) == "failed"
    error = cluster.reader.summary(run).error or ""
    assert error.startswith("devour: DeadlyStage: devour was running when 3 workers died; the last: it used ")
    assert error.endswith("of memory, over its limit of 500 MB")


@pytest.fixture
def small_group() -> Iterator[Path]:
    """A memory cgroup of 900 MB."""
    group = GROUPS / f"orchestrator-test-{os.getpid()}"
    try:
        group.mkdir()
        (group / "memory.limit_in_bytes").write_text("900000000")
    except OSError as error:
        pytest.skip(f"no memory cgroup of version 1 can be made here: {error}")
    yield group
    group.rmdir()


@pytest.mark.slow
def test_a_stage_that_the_kernel_kills_for_memory_says_so(
    small_group: Path, cluster: LocalCluster, tmp_path: Path
) -> None:
    service = cluster.start("worker")
    try:
        everyone = [service.process.pid, *service.pool()]
        for process in everyone:
            (small_group / "cgroup.procs").write_text(str(process))
        run = cluster.submit("hoarding", megabytes=1_500, marker=tmp_path / "once", seconds=60)
        assert ended(cluster, run) == "succeeded"
        first, second = cluster.nodes(run)["hold"].attempts
        assert first.error == (
            "its process was killed by the kernel: the machine, or its container, had no memory left"
        )
        assert second.error is None
    finally:
        service.stop()
        wait_until(lambda: not (small_group / "cgroup.procs").read_text().split(), "the group is empty")


@pytest.mark.slow
def test_replaced_children_work_however_fast_the_heart_beats(cluster: LocalCluster, tmp_path: Path) -> None:
    """A child that were forked while the heartbeat held a lock would never answer."""
    cluster.start("worker", slots=3, lease_seconds="1")
    folder = tmp_path / "deaths"
    folder.mkdir()
    run = cluster.submit("many_deaths", folder=folder, count=60)
    assert ended(cluster, run, 100) == "succeeded", cluster.reader.summary(run).error
    for node in cluster.nodes(run).values():
        assert 1 <= len(node.attempts) <= 3


FORKING = """
import os, threading, time
from orchestrator.runs.connection import connect
from workers.runtime import heartbeat

client = connect(os.environ["REDIS_URL"])

def beat_without_end():
    while True:
        with heartbeat._beating:
            client.ping()
            heartbeat.log.error("a beat")

threading.Thread(target=beat_without_end, daemon=True).start()
for _ in range(200):
    child = os.fork()
    if child == 0:
        heartbeat.log.error("a child")
        client.ping()
        os._exit(0)
    deadline = time.monotonic() + 20
    while os.waitpid(child, os.WNOHANG) == (0, 0):
        assert time.monotonic() < deadline, "the child hangs"
        time.sleep(0.001)
os._exit(0)
"""


@pytest.mark.slow
def test_no_child_inherits_a_lock_from_a_beat(cluster: LocalCluster) -> None:
    environment = {**os.environ, **cluster.environment}
    done = subprocess.run([sys.executable, "-c", FORKING], capture_output=True, env=environment, timeout=100)
    assert done.returncode == 0, done.stderr[-2000:]
