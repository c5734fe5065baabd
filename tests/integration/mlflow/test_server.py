"""The same over a real MLflow server, and what is said when there is none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import mlflow
import numpy as np
import pytest
from mlflow import MlflowClient

from orchestrator.authoring.context import Attempt, attempting
from tests.harness.mlflow_server import MlflowServer, free_port
from workers.deployment import champion, compare_with_champion, load_model, promote, register
from workers.tracking import MlflowTracking, TrackingUnavailable
from workers.tracking.errors import clear_errors

from .conftest import attempt_of, copy_store, run_of


@pytest.fixture(scope="module")
def server(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real MLflow server on loopback, for the tests of this module."""
    folder: Path = tmp_path_factory.mktemp("server")
    copy_store(empty_store, folder / "mlflow.db")
    process = MlflowServer(folder)
    try:
        process.start()
        yield process.url
    finally:
        process.kill()


def test_a_run_and_its_promoted_model_live_on_a_server(server, forest, iris):
    tracking = MlflowTracking(server)
    info = attempt_of()
    with (
        tracking.attempt(info) as tracker,
        attempting(Attempt(run="run-1", node="fit", tracker=tracker)),
    ):
        mlflow.log_metric("accuracy", 0.95)
        uri = tracker.log_model(forest, example=iris[0])
        version = register(uri, name="iris", metric="accuracy", score=0.95)
        verdict = compare_with_champion(name="iris", metric="accuracy", score=0.95, minimum=0.9)
        promote(version)
        assert champion("iris") == version
        assert np.array_equal(load_model("iris").predict(iris[0]), forest.predict(iris[0]))
    parent = tracking.conclude(run_of())

    client = MlflowClient(server)
    found = client.search_runs([client.get_experiment_by_name("digits").experiment_id])
    assert verdict.passed
    assert {run.info.run_name: run.info.status for run in found} == {"run-1": "FINISHED", "fit": "FINISHED"}
    nested = next(run for run in found if run.info.run_name == "fit")
    assert nested.data.tags["mlflow.parentRunId"] == parent
    assert nested.data.metrics == {"accuracy": 0.95}
    assert version.source_run == nested.info.run_id


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch) -> str:
    """An address at which no server listens."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    return f"http://127.0.0.1:{free_port()}"


def test_a_server_that_does_not_answer_is_named(nowhere):
    with (
        pytest.raises(TrackingUnavailable, match=f"MLflow at {nowhere} does not answer"),
        MlflowTracking(nowhere).attempt(attempt_of()),
    ):
        pass
    mlflow.set_tracking_uri(nowhere)
    with pytest.raises(TrackingUnavailable, match="does not answer"):
        champion("iris")


def test_a_server_that_goes_away_before_a_model_is_tagged_is_named(nowhere):
    """MLflow's client tells of a model that may have been deleted then."""
    with (
        pytest.raises(TrackingUnavailable, match=f"MLflow at {nowhere} does not answer"),
        clear_errors(nowhere),
    ):
        MlflowClient(nowhere).set_logged_model_tags("m-1", {"digest": "a"})


def test_a_silent_data_stage_needs_no_server(nowhere):
    with MlflowTracking(nowhere).attempt(attempt_of("load", queue="data")):
        pass


def test_a_stage_keeps_its_result_when_the_server_goes_away(uri, nowhere, caplog):
    tracking = MlflowTracking(uri)
    with tracking.attempt(attempt_of()):
        tracking._client = MlflowClient(nowhere)
        tracking.tracking_uri = nowhere
    assert "the MLflow run of fit ends with the pipeline's" in caplog.text


def test_a_proxy_is_not_asked_for_a_server_on_this_machine(server, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # where nobody listens
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "")
    with MlflowTracking(server).attempt(attempt_of(run_id="proxied")) as tracker:
        tracker.log_metrics({"accuracy": 0.9})
    assert MlflowClient(server).get_run(tracker.run_id).data.metrics == {"accuracy": 0.9}
