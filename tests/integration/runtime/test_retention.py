"""Every key in Redis ends: however a run went, nothing of it is there once its retention is over."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest
import redis

from orchestrator.archive.logs import Line, read_log
from orchestrator.artifacts import ArtifactStore
from orchestrator.run_id import RunId
from orchestrator.runs.keys import RunKeys
from orchestrator.runs.listing import repair
from orchestrator.runs.log_stream import read_lines
from orchestrator.runs.store import RunStore
from orchestrator.settings import settings
from tests.harness.cluster import LocalCluster
from tests.harness.waiting import wait_until
from workers.runtime.capture import SOON, AttemptLog
from workers.runtime.resources import WorkerResources

pytestmark = pytest.mark.stack

#: Seconds for which Redis remembers a run here.
RETENTION = 8


@pytest.mark.slow
def test_nothing_of_a_run_is_left_after_its_retention(cluster: LocalCluster, tmp_path: Path) -> None:
    reader, client = cluster.reader, cluster.reader.client
    cluster.start("one", slots=2, retention_days=str(RETENTION / 86_400))
    marker = str(tmp_path / "marker")
    prints, fails = cluster.submit("talking_map", count=20), cluster.submit("broken")
    dies, lingers = cluster.submit("mortal", marker=marker), cluster.submit("lingering", marker=marker + "-2")
    wait_until(lambda: reader.raw_states(lingers).get("linger") == "running", "a stage lingers")
    cluster.shell.succeed("cancel", lingers)

    runs = {prints, fails, dies, lingers}
    wait_until(lambda: not runs & {*reader.open_runs(), *reader.unconcluded_runs()}, "all are written down")
    wait_until(lambda: not list(client.scan_iter(match="orc:{*")), "all keys of runs are gone")
    repair(client)
    endless = {str(key) for key in client.scan_iter() if client.ttl(key) == -1}
    assert all(key.startswith("_kombu.binding") for key in endless), endless


@dataclass(frozen=True)
class Attempts:
    """The logs of a node's attempts, and what is left of them."""

    resources: WorkerResources
    run: RunId

    def begin(self, number: int) -> AttemptLog:
        return AttemptLog(self.resources, self.run, "node", number)

    def stored(self, number: int) -> list[Line]:
        return list(read_log(self.resources.store, self.run, "node", number) or ())

    def in_redis(self) -> list[tuple[str, str]]:
        return read_lines(self.resources.runs.client, self.run, "node")

    def seconds_left(self) -> int:
        return int(self.resources.runs.client.ttl(RunKeys(self.run).log("node")))


@pytest.fixture
def attempts(client: redis.Redis, tmp_path: Path) -> Attempts:
    store = ArtifactStore(str(tmp_path / "store"))
    return Attempts(WorkerResources(settings(), RunStore(client), store), RunId(f"prints-{uuid4().hex[:8]}"))


def test_lines_leave_redis_soon_once_the_store_has_them(attempts: Attempts) -> None:
    log = attempts.begin(1)
    log.add("stdout", "a line")
    wait_until(attempts.in_redis, "who follows can read it")
    assert attempts.seconds_left() > SOON
    log.close()
    assert [line.text for line in attempts.stored(1)] == ["a line"]
    assert 0 < attempts.seconds_left() <= SOON


def test_lines_of_a_lost_process_are_stored_by_the_next_attempt(attempts: Attempts) -> None:
    lost = attempts.begin(1)
    lost.add("stdout", "last words")
    wait_until(attempts.in_redis, "the lines are in Redis")
    second = attempts.begin(2)
    second.add("stdout", "alive")
    second.close()
    assert [line.text for line in attempts.stored(1)] == ["last words"]
    assert [line.text for line in attempts.stored(2)] == ["alive"]
    lost.close()  # or its thread outlives the test


def test_lines_that_a_store_does_not_take_stay_in_redis(attempts: Attempts, tmp_path: Path) -> None:
    (tmp_path / "store" / "runs").write_text("a file where a folder would be")
    log = attempts.begin(1)
    log.add("stdout", "a line")
    log.close()
    assert len(attempts.in_redis()) == 1
    assert attempts.seconds_left() > SOON


def test_lines_that_are_written_at_once_are_told_apart(attempts: Attempts) -> None:
    """By their times: who follows a run prints each of them once."""
    log = attempts.begin(1)
    log.add_all("stdout", ["one", "two", "three"])
    log.close()
    times = [line.time for line in attempts.stored(1)]
    assert sorted(set(times)) == times
