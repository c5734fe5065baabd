"""Runs go on while MLflow is away: no stage runs twice for it, and nothing that was logged is lost."""

from __future__ import annotations

from time import monotonic

import pytest

from orchestrator.archive.outbox import outboxes
from orchestrator.runs.record import RunRecord
from tests.harness.waiting import wait_until
from workers.tracking.circuit import FIRST

from .conftest import TrackedCluster

pytestmark = [pytest.mark.stack, pytest.mark.slow, pytest.mark.timeout(240)]


def fits(record: RunRecord) -> list[str | None]:
    """The errors of the attempts to fit."""
    return [attempt.error for node in record.nodes if node.name == "fit" for attempt in node.attempts]


def check_fit(cluster: TrackedCluster, run, *more: str) -> None:
    """All that `fit` logs is in one MLflow run of its own, with one model; so is what `more` logged."""
    runs = cluster.mlflow_runs(run)
    assert set(runs) == {run, "fit", *more}
    fitted = runs["fit"]
    assert fitted.info.status == "FINISHED"
    assert fitted.data.params["depth"] == "3"
    history = cluster.mlflow.get_metric_history(fitted.info.run_id, "loss")
    assert sorted((point.step, point.value) for point in history) == [(0, 1.0), (1, 0.5)]
    assert "note.txt" in [file.path for file in cluster.mlflow.list_artifacts(fitted.info.run_id)]
    sources = sorted(model.source_run_id for model in cluster.models(run))
    assert sources == sorted(runs[name].info.run_id for name in ("fit", *more))
    assert outboxes(cluster.store, run) == []


def test_a_run_that_ends_while_mlflow_is_away_is_concluded_when_it_is_back(cluster: TrackedCluster) -> None:
    cluster.start("all", queues="data,training,deployment", slots=2)
    cluster.open_gate("fit")
    run = cluster.submit("alone")
    wait_until(lambda: cluster.reader.state(run).over, "the run is over")
    assert cluster.reader.state(run) == "succeeded"
    wait_until(lambda: cluster.reader.conclusion_error(run), "the worker says what it waits for")
    assert "does not answer" in str(cluster.reader.conclusion_error(run))
    assert not cluster.reader.concluded(run)
    cluster.server.start()
    record = cluster.conclude(run)
    assert fits(record) == [None]
    assert cluster.notes("fit called") == 1
    assert cluster.mlflow_runs(run)[run].info.status == "FINISHED"
    assert record.mlflow_run_id == cluster.mlflow_runs(run)[run].info.run_id
    check_fit(cluster, run)


def test_the_command_line_says_what_an_ended_run_waits_for(cluster: TrackedCluster) -> None:
    cluster.start("all", queues="data,training,deployment", slots=2)
    cluster.open_gate("fit")
    with cluster.shell.start("run", "alone", "-p", f"folder={cluster.gates}") as process:
        assert process.stdout is not None
        told = next(line for line in process.stdout if "that is final" in line)
        assert "the run has succeeded" in told
        assert f"MLflow at {cluster.server.url} does not answer" in told
        shown = cluster.shell("show", "latest").out
        assert "Not in MLflow" in shown
        assert "fit #1  7 entries are kept until MLflow has them" in shown
        cluster.server.start()
        process.communicate()
        assert process.returncode == 0


def test_what_was_kept_is_delivered_before_the_run_ends(cluster: TrackedCluster) -> None:
    cluster.start("data", queues="data")
    cluster.start("training", queues="training")
    cluster.open_gate("fit")
    run = cluster.submit("two_fits")
    wait_until(lambda: cluster.notes("between at gate"), "the run is between its fits")
    assert [outbox.node for outbox in outboxes(cluster.store, run)] == ["fit"]
    noticed = monotonic()
    cluster.server.start()
    wait_until(lambda: monotonic() > noticed + FIRST, "the worker asks MLflow again")
    cluster.open_gate("between")
    wait_until(lambda: cluster.notes("last at gate"), "the last stage is at its gate")
    wait_until(lambda: not outboxes(cluster.store, run), "all is delivered")
    assert not cluster.reader.state(run).over
    cluster.open_gate("last")
    cluster.conclude(run)
    check_fit(cluster, run, "fit-2")


def test_a_server_that_is_killed_while_a_stage_runs_costs_no_attempt(cluster: TrackedCluster) -> None:
    cluster.server.start()
    cluster.start("all", queues="data,training,deployment", slots=2)
    run = cluster.submit("release")
    wait_until(lambda: cluster.notes("fit at gate"), "the fit has logged something")
    cluster.server.kill()
    cluster.open_gate("fit")
    done = {"fit", "judged"}
    wait_until(
        lambda: done <= {node.name for node in cluster.record(run).nodes if node.state == "succeeded"},
        "the fit is committed without MLflow",
    )
    cluster.server.start()
    record = cluster.conclude(run)
    assert record.state == "succeeded", record.error
    assert fits(record) == [None]
    assert cluster.notes("fit called") == 1
    check_fit(cluster, run)
    version = cluster.mlflow.get_model_version_by_alias("release", "champion")
    assert version.source == f"models:/{cluster.models(run)[0].model_id}"
    assert len(cluster.mlflow.search_model_versions("name = 'release'")) == 1
