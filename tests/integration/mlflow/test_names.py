"""Names and values that MLflow would refuse, and runs and experiments that somebody has deleted."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

from orchestrator.archive.outbox import outboxes
from orchestrator.artifacts import ArtifactStore
from orchestrator.run_id import RunId
from orchestrator.tracking_address import sqlite_url
from workers.tracking import MlflowTracking
from workers.tracking.names import LONGEST_NAME, Names, as_params, fitting_name

from .conftest import attempt_of, copy_store, run_of

ODD = ["precision@5", "a//b", "../x", "/abs", ".", "", "line\nbreak", "x" * 300, "caf\udce9", "ré", "a/./b"]


@pytest.mark.parametrize("name", ODD)
def test_any_name_becomes_one_that_mlflow_takes(name: str, tracking, runs) -> None:
    with tracking.attempt(attempt_of()) as tracker:
        tracker.log_metrics({name: 1.0})
        tracker.log_params({name: "value"})
        tracker.set_tag(name, "label")
    run = runs()["fit"]
    (written,) = run.data.metrics
    assert written == fitting_name(name)
    assert run.data.params == {written: "value"}
    assert run.data.tags[written] == "label"


def test_names_are_told_once_and_stay_distinct(caplog) -> None:
    names = Names()
    assert [names.of("precision@5"), names.of("precision@5")] == ["precision_5", "precision_5"]
    assert caplog.text.count("precision@5") == 1
    assert names.of("precision_5") not in ("precision_5", names.of("precision#5"))
    assert fitting_name("y" * 300) != fitting_name("y" * 301)
    assert len(fitting_name("y" * 300)) == LONGEST_NAME


def test_all_params_are_kept_and_long_ones_cut_with_a_word(tracking, runs, caplog) -> None:
    many = {f"p{number}": number for number in range(250)}
    with tracking.attempt(attempt_of(inputs=many, parameters={"config": many})) as tracker:
        tracker.log_params({f"q{number}": number for number in range(101)} | {"long": "x" * 7000})
        tracker.set_tag("long", "x" * 9000)
    assert len(runs()["fit"].data.params) == 250 + 101 + 1
    assert len(runs()["run-1"].data.params) == 250
    assert len(runs()["fit"].data.params["long"]) == 6000
    assert len(runs()["fit"].data.tags["long"]) == 8000
    assert "long has 7000 characters" in caplog.text


def test_metrics_that_are_no_numbers_are_kept(tracking, runs) -> None:
    with tracking.attempt(attempt_of()) as tracker:
        tracker.log_metrics({"nan": math.nan, "inf": math.inf, "low": -math.inf})
    metrics = runs()["fit"].data.metrics
    assert math.isnan(metrics["nan"])
    assert metrics["inf"] > 1e300
    assert metrics["low"] < -1e300


def test_an_odd_models_name_fails_nothing(tracking, client, linear, iris) -> None:
    with tracking.attempt(attempt_of()) as tracker:
        uri = tracker.log_model(linear, example=iris[0], name="it's v1.0")
    assert client.get_logged_model(uri.removeprefix("models:/")).name == "it_s v1_0"


def test_what_mlflow_still_refuses_is_noted_and_the_stage_goes_on(uri, runs, tmp_path: Path) -> None:
    store = ArtifactStore(str(tmp_path / "store"))
    with MlflowTracking(uri, store=store).attempt(attempt_of()) as tracker:
        tracker.log_params({"depth": 3})
        tracker.log_params({"depth": 4})
        tracker.log_metrics({"accuracy": 0.9})
    assert runs()["fit"].info.status == "FINISHED"
    assert runs()["fit"].data.metrics == {"accuracy": 0.9}
    (outbox,) = outboxes(store, RunId("run-1"))
    assert outbox.refused[0].startswith("params depth: ")


@pytest.mark.parametrize("removed", [False, True], ids=["deleted", "removed for good"])
def test_an_experiment_that_was_deleted_comes_back(removed: bool, uri, tracking, client, runs) -> None:
    with tracking.attempt(attempt_of(run_id="run-0")):
        pass
    with tracking.attempt(attempt_of()) as tracker:
        tracker.log_metrics({"loss": 1.0})
        delete(client, uri, removed=removed)
        tracker.log_metrics({"loss": 0.5}, 1)
    with tracking.attempt(attempt_of("load", queue="data")) as tracker:
        tracker.log_metrics({"rows": 150})
    tracking.conclude(run_of())
    tracking.conclude(run_of(run_id="run-2"))
    found = client.get_experiment_by_name("digits")
    assert found.lifecycle_stage == "active"
    names = {run.info.run_name for run in client.search_runs([found.experiment_id])}
    assert {"run-1", "run-2", "fit"} <= names
    assert {run.info.status for run in client.search_runs([found.experiment_id], "run_name = 'fit'")} == {
        "FINISHED"
    } or not removed


def delete(client, uri: str, *, removed: bool) -> None:
    experiment = client.get_experiment_by_name("digits").experiment_id
    client.delete_experiment(experiment)
    if removed:
        store = SqlAlchemyStore(uri, "artifacts")
        for run in store._get_deleted_runs():
            store._hard_delete_run(run)
        store._hard_delete_experiment(experiment)
        store.engine.dispose()


def test_secrets_stay_out_of_tags_too(tracking, runs) -> None:
    with tracking.attempt(attempt_of()) as tracker:
        tracker.set_tag("source", "postgresql://me:hidden@host/db")
        tracker.set_tag("api_key", "hidden")
    assert "hidden" not in repr(runs()["fit"].data.tags)


def test_params_that_are_written_again_stay_as_they_are() -> None:
    once = as_params({"a@b": 1, "a#b": 2, "password": "hidden"})
    assert as_params(once) == once
    assert len(once) == 3


def test_a_run_that_has_succeeded_since_does_not_keep_its_failure(tracking, client, runs) -> None:
    tracking.conclude(run_of("failed", error="fit: OSError: gone"))
    tracking.conclude(run_of("succeeded"))
    assert runs()["run-1"].data.tags.get("mlflow.note.content", "") == ""
    tracking.conclude(run_of("failed", error="fit: OSError: gone"))
    client.set_tag(runs()["run-1"].info.run_id, "mlflow.note.content", "my own words")
    tracking.conclude(run_of("succeeded"))
    assert runs()["run-1"].data.tags["mlflow.note.content"] == "my own words"


@pytest.mark.parametrize("folder", ["a b", "a%2Fb#c", "what?"])
def test_a_store_in_a_folder_of_any_name(folder: str, empty_store: Path, tmp_path: Path) -> None:
    home = tmp_path / folder
    home.mkdir()
    copy_store(empty_store, home / "mlflow.db")
    with MlflowTracking(sqlite_url(home / "mlflow.db")).attempt(attempt_of()) as tracker:
        tracker.log_metrics({"accuracy": 0.9})
        tracker.log_text("text", "notes.md")
    assert (home / "mlartifacts").is_dir()
    assert tracker.run.data.tags["orchestrator.node"] == "fit"
