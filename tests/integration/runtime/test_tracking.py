"""Runs appear in MLflow: one run per pipeline run, nested runs for training nodes."""

from __future__ import annotations

from typing import Any

import pytest
from mlflow import MlflowClient

from orchestrator.code import commit_of
from orchestrator.lifecycle.discovery import load_catalogue
from orchestrator.runs.record import RunRecord
from orchestrator.settings import settings
from tests.harness.runner import Runner

pytestmark = pytest.mark.stack


def mlflow_runs(record: RunRecord) -> tuple[MlflowClient, list[Any]]:
    client = MlflowClient(settings().tracking_uri)
    experiment = client.get_experiment_by_name(record.pipeline)
    found = client.search_runs([experiment.experiment_id], f"tags.`orchestrator.run` = '{record.id}'")
    return client, sorted(found, key=lambda run: run.info.start_time)


def test_a_run_is_one_mlflow_run_with_its_parameters(runner: Runner) -> None:
    record = runner.run("line", length=2)
    _, (run,) = mlflow_runs(record)
    assert run.info.run_id == record.mlflow_run_id
    assert run.data.params["length"] == "2"
    assert run.info.status == "FINISHED"
    assert [each.dataset.name for each in run.inputs.dataset_inputs] == ["number"]
    commit = commit_of(load_catalogue(settings().modules).find("line").function)
    assert run.data.tags.get("mlflow.source.git.commit") == (commit.id if commit else None)


def test_a_failed_run_is_a_failed_mlflow_run(runner: Runner) -> None:
    _, (run,) = mlflow_runs(runner.run("broken"))
    assert run.info.status == "FAILED"


@pytest.mark.parametrize("flaky", [False, True], ids=["at once", "retried"])
def test_a_training_node_is_one_nested_run_with_one_model(runner: Runner, flaky: bool) -> None:
    record = runner.run("learn", flaky=flaky)
    assert record.state == "succeeded", record.error
    client, runs = mlflow_runs(record)
    (nested,) = [run for run in runs if run.info.run_id != record.mlflow_run_id]
    assert nested.data.tags["mlflow.parentRunId"] == record.mlflow_run_id
    assert nested.data.metrics["slope"] == pytest.approx(2.0)
    assert nested.data.metrics["plain"] == 1.0
    whole = client.get_run(record.mlflow_run_id)
    assert whole.data.metrics[f"{nested.info.run_name}/slope"] == pytest.approx(2.0)
    assert nested.info.status == "FINISHED"
    models = client.search_logged_models([nested.info.experiment_id])
    assert len([model for model in models if model.source_run_id == nested.info.run_id]) == 1


@pytest.mark.parametrize("count", [8, 100], ids=["with messages of their own", "in batches"])
def test_a_map_has_an_mlflow_run_and_each_of_its_items_that_logs_something(
    runner: Runner, count: int
) -> None:
    record = runner.run("trials", count=count)
    assert record.state == "succeeded", record.error
    _, runs = mlflow_runs(record)
    names = {run.info.run_id: run.data.tags.get("orchestrator.node", "") for run in runs}
    told = {
        name: (names.get(run.data.tags.get("mlflow.parentRunId")), run.info.status, run.data.metrics)
        for run, name in zip(runs, names.values(), strict=True)
    }
    assert told == {
        "": (None, "FINISHED", {}),
        "trial": ("", "FINISHED", {}),
        **{
            f"trial[{number}]": ("trial", "FAILED" if number == 4 else "FINISHED", {"number": number})
            for number in range(1, count, 3)
        },
    }


def test_a_map_whose_items_log_nothing_has_an_mlflow_run_once_it_is_concluded(runner: Runner) -> None:
    record = runner.run("trials", count=1)
    _, runs = mlflow_runs(record)
    assert {run.data.tags.get("orchestrator.node"): run.info.status for run in runs} == {
        None: "FINISHED",
        "trial": "FINISHED",
    }
