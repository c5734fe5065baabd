"""Plain `mlflow` calls inside a stage land in the run of its attempt, whatever else the stage does."""

from __future__ import annotations

import os

import mlflow
import pytest

from orchestrator import context
from workers.tracking import tracked

from .conftest import attempt_of


def test_plain_calls_of_a_training_stage_land_in_its_nested_run(tracking, runs):
    with tracking.attempt(attempt_of()) as tracker:
        mlflow.log_metric("accuracy", 0.9)
        mlflow.log_params({"C": 1})
        assert mlflow.active_run().info.run_id == tracker.run_id
    assert runs()["fit"].data.metrics == {"accuracy": 0.9}
    assert runs()["fit"].data.params == {"C": "1"}
    assert runs()["run-1"].data.metrics == {}


def test_plain_calls_of_a_data_stage_land_in_the_pipelines_run(tracking, runs):
    with tracking.attempt(attempt_of("load", queue="data")):
        mlflow.log_metric("rows", 150)
    assert list(runs()) == ["run-1"]
    assert runs()["run-1"].data.metrics == {"rows": 150.0}


def test_no_run_is_active_after_an_attempt(tracking):
    for queue in ("data", "training"):
        with pytest.raises(KeyError), tracking.attempt(attempt_of(queue=queue)):
            raise KeyError("no such column")
        assert mlflow.active_run() is None


def test_a_stage_may_nest_runs_of_its_own(tracking, runs):
    with tracking.attempt(attempt_of()) as tracker, mlflow.start_run(run_name="fold", nested=True):
        mlflow.log_metric("accuracy", 0.8)
    fold = runs()["fold"]
    assert fold.data.tags["mlflow.parentRunId"] == tracker.run_id
    assert fold.data.metrics == {"accuracy": 0.8}
    assert fold.info.status == "FINISHED"


def test_runs_that_a_stage_forgot_to_end_are_ended(tracking, runs):
    with tracking.attempt(attempt_of()):
        mlflow.start_run(run_name="fold", nested=True)
    assert runs()["fold"].info.status == "FINISHED"
    assert runs()["fit"].info.status == "FINISHED"
    assert mlflow.active_run() is None


def test_a_stage_that_ends_the_pipelines_run_does_not_end_it(tracking, runs):
    with tracking.attempt(attempt_of("load", queue="data")):
        mlflow.log_metric("rows", 150)
        mlflow.end_run()
    assert runs()["run-1"].info.status == "RUNNING"


def test_a_stage_that_chooses_another_experiment_does_not_choose_it_for_the_next(tracking, runs):
    with tracking.attempt(attempt_of("load", queue="data")):
        mlflow.set_experiment("elsewhere")
    assert "MLFLOW_EXPERIMENT_ID" not in os.environ
    with tracking.attempt(attempt_of()), mlflow.start_run(run_name="fold", nested=True):
        pass
    assert "fold" in runs()


def test_stages_run_in_this_process_are_tracked_on_request(uri, runs, client):
    with tracked(uri, pipeline="digits", run_id="run-1", parameters={"depth": 3}):
        context.log_metric("rows", 150)
        mlflow.log_metric("columns", 4)
    run = runs()["run-1"]
    assert run.data.metrics == {"rows": 150.0, "columns": 4.0}
    assert run.data.params == {"depth": "3"}
    assert run.info.status == "FINISHED"
    assert mlflow.active_run() is None
    assert "MLFLOW_TRACKING_URI" not in os.environ
