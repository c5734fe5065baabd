"""Runs share a queue: small ones do not wait behind long ones, and priorities decide."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from orchestrator.coordinator.backlog import MOST, Backlog
from orchestrator.run_id import RunId
from orchestrator.runs.keys import BACKLOG
from tests.harness.cluster import LocalCluster
from tests.harness.runner import nodes_of
from tests.harness.waiting import wait_until

pytestmark = pytest.mark.stack

#: Submits what its arguments say, one pipeline each, as fast as it can.
SUBMIT = """
import json, sys
import turn_pipelines
from orchestrator.artifacts import ArtifactStore
from orchestrator.lifecycle.submission import prepare, submit
from orchestrator.runs.connection import connect
from orchestrator.runs.store import RunStore
from orchestrator.settings import settings
store, runs = ArtifactStore(settings().store_url), RunStore(connect(settings().redis_url))
for name, parameters in json.loads(sys.argv[1]):
    prepared = prepare(getattr(turn_pipelines, name), parameters, queues=settings().queues)
    print(submit(prepared, store=store, runs=runs))
"""


def submit_all(cluster: LocalCluster, *runs: tuple[str, Mapping[str, object]]) -> list[RunId]:
    """Submit runs by one process, since this one's Celery application has another Redis."""
    told = subprocess.run(
        [sys.executable, "-c", SUBMIT, json.dumps(runs)],
        env=cluster.environment,
        check=True,
        capture_output=True,
        text=True,
    )
    return [RunId(line) for line in told.stdout.split()]


def waited(cluster: LocalCluster, run: RunId) -> float:
    """Seconds from a run's submission until its first node began."""
    record = cluster.record(run)
    assert record.submitted is not None
    assert record.started is not None
    return (record.started - record.submitted).total_seconds()


@pytest.mark.slow
def test_a_chain_of_a_thousand_nodes_lets_small_runs_pass(cluster: LocalCluster, tmp_path: Path) -> None:
    folder = str(tmp_path)
    small = [("three", {"folder": folder, "name": str(number)}) for number in range(30)]
    runs = submit_all(cluster, ("turn", {"folder": folder, "length": 1000}), *small)
    cluster.start("worker")
    for run in runs:
        cluster.wait_until_concluded(run)
    long, *others = (cluster.record(run).ended for run in runs)
    assert long is not None
    assert max(ended for ended in others if ended) < long


@pytest.mark.slow
def test_a_small_run_begins_beside_a_long_chain(cluster: LocalCluster, tmp_path: Path) -> None:
    cluster.start("worker")
    (long,) = submit_all(cluster, ("slow_line", {"folder": str(tmp_path), "length": 200, "seconds": 0.1}))
    wait_until(lambda: cluster.record(long).started, "the first node runs")
    (run,) = submit_all(cluster, ("three", {"folder": str(tmp_path), "name": "small"}))
    wait_until(lambda: cluster.record(run).state.over, "the small run has ended")
    assert waited(cluster, run) < 1.2, "what is left of a turn, and one node, on a busy machine"
    assert not cluster.record(long).state.over
    cluster.shell.succeed("cancel", long)


@pytest.mark.slow
@pytest.mark.parametrize("maps", [1, 10])
def test_a_small_run_begins_beside_long_maps(cluster: LocalCluster, tmp_path: Path, maps: int) -> None:
    cluster.start("worker", slots=2)
    long = submit_all(cluster, *[("naps", {"items": 5000, "seconds": 0.05})] * maps)
    wait_until(lambda: cluster.record(long[0]).started, "the first map runs")
    small = []
    for number in range(5):
        (run,) = submit_all(cluster, ("three", {"folder": str(tmp_path), "name": str(number)}))
        cluster.wait_until_concluded(run)
        small.append(waited(cluster, run))
    print(f"waited beside {maps} maps: {', '.join(f'{seconds:.2f}' for seconds in small)} s")
    assert max(small) < 2.0, "two turns, on a busy machine"
    client, key = cluster.reader.client, BACKLOG.format(queue="data")
    backlog = Backlog(client, ["data"])
    backlog.show()
    assert client.llen(key) == MOST, "one message waits for each map, and thousands of items"
    for run in long:
        cluster.shell.succeed("cancel", run)

    def nothing_waits() -> bool:
        backlog.show()
        return not client.exists(key)

    wait_until(nothing_waits, "nothing waits")


@pytest.mark.slow
def test_maps_share_a_queue_by_run(cluster: LocalCluster) -> None:
    """Each has one place in the queue, however many items it has."""
    runs = submit_all(
        cluster,
        ("naps", {"items": 600, "seconds": 0.05}),
        ("naps", {"items": 600, "seconds": 0.05}),
        ("naps", {"items": 40, "seconds": 0.05}),
    )
    cluster.start("worker", slots=2)
    cluster.wait_until_concluded(runs[2])
    done = [sum(node.state.value == "succeeded" for node in cluster.record(run).nodes) for run in runs[:2]]
    assert all(done), done
    assert max(done) < 3 * min(done), done
    assert max(done) < 300, done


@pytest.mark.slow
def test_the_priority_of_stages_decides_in_both_directions(cluster: LocalCluster, tmp_path: Path) -> None:
    (run,) = submit_all(cluster, ("by_priority", {"folder": str(tmp_path)}))
    cluster.start("worker")
    cluster.wait_until_concluded(run)
    nodes = nodes_of(cluster.record(run))
    times = [nodes[name].value for name in ("first_of_all", "in_between", "last_of_all")]
    assert times == sorted(times)  # type: ignore[type-var]
