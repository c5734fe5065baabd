"""A worker that was paused past its lease does nothing outside when it wakes up."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.harness.services import knows_of_its_lost_lease
from tests.harness.waiting import wait_until

from .conftest import TrackedCluster

pytestmark = [pytest.mark.stack, pytest.mark.slow, pytest.mark.timeout(240)]


def test_a_paused_fit_leaves_one_run_one_model_and_one_version(cluster: TrackedCluster) -> None:
    cluster.server.start()
    cluster.start("other", queues="data,deployment", slots=2)
    paused = cluster.start("paused", queues="training")
    run = cluster.submit("release")
    wait_until(lambda: cluster.notes("fit at gate") == 1, "the fit is at its gate")
    paused.signal_all(signal.SIGSTOP)
    cluster.start("heir", queues="training")
    wait_until(lambda: cluster.notes("fit at gate") == 2, "the fit was begun elsewhere")
    cluster.open_gate("fit")
    record = cluster.conclude(run)
    paused.signal_all(signal.SIGCONT)
    wait_until(lambda: knows_of_its_lost_lease(cluster.logs / "paused.log"), "the paused one noticed")
    assert record.state == "succeeded", record.error
    (fit,) = [node for node in record.nodes if node.name == "fit"]
    assert [attempt.worker for attempt in fit.attempts] == ["paused@test", "heir@test"]
    nested = cluster.mlflow_runs(run)["fit"]
    assert nested.info.status == "FINISHED"
    assert nested.data.tags["orchestrator.attempt"] == "2"
    history = cluster.mlflow.get_metric_history(nested.info.run_id, "loss")
    assert [point.step for point in history].count(1) == 1
    (model,) = cluster.models(run)
    assert model.tags["orchestrator.attempt"] == "2"
    (version,) = cluster.mlflow.search_model_versions("name = 'release'")
    assert version.source == f"models:/{model.model_id}"
    for name in ("judged", "register", "promote"):
        (node,) = [node for node in record.nodes if node.name == name]
        assert len(node.attempts) == 1


def test_a_paused_promotion_does_not_move_the_champion_back(cluster: TrackedCluster, tmp_path: Path) -> None:
    cluster.server.start()
    cluster.start("other", queues="data,training", slots=2)
    paused = cluster.start("paused", queues="deployment")
    cluster.open_gate("fit")
    run = cluster.submit("slow_release")
    wait_until(lambda: cluster.notes("promote at gate") == 1, "the promotion is at its gate")
    paused.signal_all(signal.SIGSTOP)
    cluster.start("heir", queues="deployment")
    wait_until(lambda: cluster.notes("promote at gate") == 2, "the promotion was begun elsewhere")
    later = tmp_path / "later"
    later.mkdir()
    # All gates of the later run are open, and it promotes last.
    cluster.open_gate("promote")
    assert cluster.conclude(run).state == "succeeded"
    cluster.open_gate("fit", later)
    cluster.open_gate("promote", later)
    assert cluster.conclude(cluster.submit("slow_release", folder=later)).state == "succeeded"
    champion = cluster.mlflow.get_model_version_by_alias("slow", "champion")
    assert int(champion.version) == 2
    paused.signal_all(signal.SIGCONT)
    wait_until(lambda: knows_of_its_lost_lease(cluster.logs / "paused.log"), "the paused one noticed")
    assert int(cluster.mlflow.get_model_version_by_alias("slow", "champion").version) == 2


def test_what_a_stage_does_once_is_not_done_again_by_its_next_attempts(cluster: TrackedCluster) -> None:
    cluster.server.start()
    cluster.start("all", queues="data")
    run = cluster.submit("announcing")
    record = cluster.conclude(run)
    (node,) = record.nodes
    assert len(node.attempts) == 3
    assert node.value == "ticket-1"
    assert cluster.notes(f"ticket {run}/announce") == 1
