"""What short attempts log is delivered by a process beside the pool, which may be killed at any time."""

from __future__ import annotations

import os
import signal

import pytest

from orchestrator.archive.outbox import outboxes
from orchestrator.run_id import RunId
from orchestrator.runs.states import NodeState
from tests.harness.services import Service
from tests.harness.waiting import wait_until
from workers.runtime.processes import started_by

from .conftest import TrackedCluster

pytestmark = [pytest.mark.stack, pytest.mark.slow, pytest.mark.timeout(240)]

COUNT = 12


def sender_of(worker: Service) -> int | None:
    """The process beside a worker's pool: those of the pool lead process groups of their own."""
    process = worker.process.pid
    found = [each for each in started_by(process) if os.getpgid(each) == os.getpgid(process)]
    return found[0] if found else None


def begin(cluster: TrackedCluster) -> RunId:
    """Start a run whose trials are done, and that goes on behind them."""
    run = cluster.submit("trials", count=COUNT)
    wait_until(lambda: cluster.notes("end at gate"), "all trials are done")
    return run


def are_delivered(cluster: TrackedCluster, run: RunId) -> bool:
    return not outboxes(cluster.store, run)


def check_trials(cluster: TrackedCluster, run: RunId) -> None:
    """Each trial has one MLflow run, with all it has logged; `mlflow_runs` refuses two of a name."""
    runs = cluster.mlflow_runs(run)
    trials = [f"trial[{number}]" for number in range(COUNT)]
    assert runs.keys() == {run, "trial", *trials}
    for number, name in enumerate(trials):
        assert runs[name].data.metrics == {"loss": 1.0 / (number + 1)}
        assert runs[name].data.params == {"number": str(number)}
        assert runs[name].info.status == "FINISHED"
        assert runs[name].data.tags["mlflow.parentRunId"] == runs["trial"].info.run_id


def finish(cluster: TrackedCluster, run: RunId) -> None:
    cluster.open_gate("end")
    record = cluster.conclude(run)
    assert record.state == "succeeded"
    assert {len(node.attempts) for node in record.nodes if node.state is NodeState.SUCCEEDED} <= {0, 1}


def test_trials_are_in_mlflow_while_their_run_goes_on(cluster: TrackedCluster) -> None:
    cluster.server.start()
    cluster.start("all", queues="data,training", slots=2)
    run = begin(cluster)
    wait_until(lambda: are_delivered(cluster, run), "all is delivered")
    check_trials(cluster, run)
    assert cluster.nodes(run)["any_of"].value is False, "no process of the pool has imported MLflow"
    finish(cluster, run)
    check_trials(cluster, run)


def test_what_mlflow_did_not_take_is_delivered_before_the_run_ends(cluster: TrackedCluster) -> None:
    worker = cluster.start("all", queues="data,training", slots=2)
    run = begin(cluster)
    wait_until(lambda: "is kept until it can be delivered" in worker.log.read_text(), "MLflow is missed")
    assert len(outboxes(cluster.store, run)) == COUNT
    cluster.server.start()
    wait_until(lambda: are_delivered(cluster, run), "all is delivered")
    check_trials(cluster, run)
    finish(cluster, run)


def test_what_a_killed_process_has_not_delivered_is_there_when_the_run_has_ended(
    cluster: TrackedCluster,
) -> None:
    cluster.server.start()
    worker = cluster.start("all", queues="data,training", slots=2)
    run = begin(cluster)
    wait_until(lambda: 0 < len(outboxes(cluster.store, run)) < COUNT, "some are delivered")
    first = sender_of(worker)
    assert first is not None
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: sender_of(worker) not in (None, first), "another process begins")
    assert not are_delivered(cluster, run)
    finish(cluster, run)
    check_trials(cluster, run)
    assert are_delivered(cluster, run)


def test_no_process_is_left_of_a_worker_that_was_killed(cluster: TrackedCluster) -> None:
    worker = cluster.start("all", queues="data,training")
    sender = sender_of(worker)
    assert sender is not None
    os.kill(worker.process.pid, signal.SIGKILL)

    def is_gone() -> bool:
        try:
            os.kill(sender, 0)
        except ProcessLookupError:
            return True
        return False

    wait_until(is_gone, "it has ended, too", 5)
