"""MLflow goes away and comes back: what was logged meanwhile is kept, and delivered once."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Any

import mlflow
import numpy as np
import pytest
from mlflow import MlflowClient
from sklearn.preprocessing import FunctionTransformer

from orchestrator.archive.logs import read_log
from orchestrator.archive.outbox import outboxes
from orchestrator.artifacts import ArtifactStore
from orchestrator.authoring.context import Attempt, attempting
from orchestrator.authoring.graph import JSON
from orchestrator.run_id import RunId
from tests.harness.mlflow_server import MlflowServer
from workers.deployment import load_model, promote, register
from workers.tracking import MlflowTracking, ModelNotLoggable, NodeInfo, TrackingUnavailable
from workers.tracking.records import milliseconds

from .conftest import attempt_of, copy_store, run_of

RUN = RunId("run-1")


@pytest.fixture
def server(empty_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MlflowServer]:
    """A server that is not there yet."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    folder = tmp_path / "server"
    folder.mkdir()
    copy_store(empty_store, folder / "mlflow.db")
    server = MlflowServer(folder)
    yield server
    server.kill()


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(str(tmp_path / "store"))


@pytest.fixture
def away(server: MlflowServer, store: ArtifactStore) -> MlflowTracking:
    """The way to a server that does not answer."""
    return MlflowTracking(server.url, store=store)


def runs_of(server: MlflowServer) -> dict[str, Any]:
    client = MlflowClient(server.url)
    found = client.search_runs([client.get_experiment_by_name("digits").experiment_id])
    assert len({run.info.run_name for run in found}) == len(found)
    return {run.info.run_name: run for run in found}


def models_of(server: MlflowServer) -> list[Any]:
    client = MlflowClient(server.url)
    return client.search_logged_models([client.get_experiment_by_name("digits").experiment_id])


def log_all(tracker, forest, iris, tmp_path):
    """Everything that a stage can log."""
    (tmp_path / "notes").mkdir(exist_ok=True)
    (tmp_path / "notes" / "a.txt").write_text("in a folder")
    (tmp_path / "b.txt").write_text("a file")
    tracker.log_params({"depth": 3, "api_key": "hidden"})
    for step in range(3):
        tracker.log_metrics({"loss": 1 / (step + 1)}, step)
    tracker.log_metrics({"spread": math.inf})
    tracker.set_tag("table", "iris")
    tracker.log_text("# Standings", "standings.md")
    tracker.log_artifact(tmp_path / "b.txt", "files")
    tracker.log_artifact(tmp_path / "notes")
    return tracker.log_model(forest, example=iris[0])


def test_all_that_was_logged_is_delivered_once(away, server, store, forest, iris, tmp_path):
    before = milliseconds(datetime.now(UTC))
    with away.attempt(attempt_of(inputs={"C": 0.1})) as tracker:
        log_all(tracker, forest, iris, tmp_path)
    after = milliseconds(datetime.now(UTC))
    with pytest.raises(TrackingUnavailable, match="does not answer"):
        away.deliver(RUN)
    (outbox,) = outboxes(store, RUN)
    assert "hidden" not in repr(outbox)

    server.start()
    MlflowTracking(server.url, store=store).deliver(RUN)
    outbox.write(store)  # whoever delivered it died before he could remove it
    MlflowTracking(server.url, store=store).deliver(RUN)
    MlflowTracking(server.url, store=store).conclude(run_of(nodes=(NodeInfo(name="fit", state="succeeded"),)))

    assert outboxes(store, RUN) == []
    runs = runs_of(server)
    assert set(runs) == {"run-1", "fit"}
    client, run = MlflowClient(server.url), runs["fit"]
    assert run.info.status == "FINISHED"
    assert before <= run.info.start_time <= run.info.end_time <= after
    assert run.data.params == {"C": "0.1", "depth": "3", "api_key": "***"}
    assert run.data.tags["table"] == "iris"
    history = client.get_metric_history(run.info.run_id, "loss")
    assert sorted((point.step, point.value) for point in history) == [(0, 1.0), (1, 0.5), (2, 1 / 3)]
    assert all(before <= point.timestamp <= after for point in history)
    assert run.data.metrics["spread"] > 1e300
    files = {file.path for file in client.list_artifacts(run.info.run_id)}
    assert files == {"files", "notes", "standings.md"}
    assert [file.path for file in client.list_artifacts(run.info.run_id, "notes")] == ["notes/a.txt"]
    (model,) = models_of(server)
    assert model.source_run_id == run.info.run_id
    assert {metric.key for metric in model.metrics} == {"loss", "spread"}


def test_who_delivers_what_another_has_delivered_does_not_begin_the_run_anew(
    away, server, store, monkeypatch
):
    with away.attempt(attempt_of()) as tracker:
        tracker.log_metrics({"accuracy": 0.9})
    (outbox,) = outboxes(store, RUN)
    server.start()
    tracking = MlflowTracking(server.url, store=store)
    tracking.deliver(RUN)
    outbox.write(store)  # another worker has read it before it was removed
    states, update_run = [], MlflowClient.update_run

    def watched(client, run_id, status):
        states.append(status)
        update_run(client, run_id, status)

    monkeypatch.setattr(MlflowClient, "update_run", watched)
    tracking.deliver(RUN)
    assert states == []
    assert runs_of(server)["fit"].info.status == "FINISHED"
    assert outboxes(store, RUN) == []


@pytest.mark.slow
@pytest.mark.timeout(300)  # it starts a server twice, which a busy machine takes its time for
def test_a_server_that_is_killed_in_the_middle_of_a_stage(server, store, forest, iris, tmp_path):
    server.start()
    tracking = MlflowTracking(server.url, store=store)
    with tracking.attempt(attempt_of()) as tracker:
        tracker.log_metrics({"early": 1.0})
        server.kill()
        log_all(tracker, forest, iris, tmp_path)
    server.start()
    tracking.deliver(RUN)
    run = runs_of(server)["fit"]
    assert run.info.status == "FINISHED"
    assert {"early", "loss", "spread"} == set(run.data.metrics)
    assert len(models_of(server)) == 1


def test_a_model_that_waits_is_delivered_when_it_is_registered(away, server, store, forest, iris):
    with away.attempt(attempt_of("fit[3]")) as tracker:
        uri = tracker.log_model(forest, example=iris[0])
    with away.attempt(attempt_of("register", queue="deployment")) as tracker:
        here = Attempt(run=RUN, node="register", tracker=tracker)
        mlflow.set_tracking_uri(server.url)
        with attempting(here), pytest.raises(TrackingUnavailable, match="does not answer"):
            register(uri, name="iris", metric="accuracy", score=0.9)
        server.start()
        with attempting(here):
            version = register(uri, name="iris", metric="accuracy", score=0.9)
            assert register(uri, name="iris", metric="accuracy", score=0.9) == version
            promote(version)
    assert np.array_equal(load_model("iris").predict(iris[0]), forest.predict(iris[0]))
    (model,) = models_of(server)
    assert version.source_run == runs_of(server)["fit[3]"].info.run_id == model.source_run_id


@pytest.mark.slow
def test_a_plain_call_of_a_stage_says_that_mlflow_is_away(away, server):
    with pytest.raises(TrackingUnavailable, match="does not answer"), away.attempt(attempt_of()):
        mlflow.log_metric("rows", 150)
    server.start()
    away.deliver(RUN)
    assert runs_of(server)["fit"].info.status == "FAILED"


def test_a_plain_call_to_a_server_that_went_away_says_so(server, store):
    server.start()
    tracking = MlflowTracking(server.url, store=store)

    def stage():
        with tracking.attempt(attempt_of()):
            mlflow.log_metric("rows", 150)
            server.kill()
            mlflow.log_metric("columns", 4)

    with pytest.raises(TrackingUnavailable, match="does not answer"):
        stage()


@pytest.mark.slow
def test_what_an_earlier_attempt_kept_does_not_undo_a_later_one(server, store, linear, forest, iris):
    lost = MlflowTracking(server.url, store=store)
    with suppress(OSError), lost.attempt(attempt_of()) as tracker:
        tracker.log_model(linear, example=iris[0])
        tracker.log_metrics({"accuracy": 0.5})
        raise OSError("the disk is full")
    server.start()
    tracking = MlflowTracking(server.url, store=store)
    with tracking.attempt(attempt_of(attempt=2)) as tracker:
        kept = tracker.log_model(forest, example=iris[0])
    tracking.deliver(RUN)
    run = runs_of(server)["fit"]
    assert run.info.status == "FINISHED"
    assert run.data.tags["orchestrator.attempt"] == "2"
    assert run.data.metrics == {"accuracy": 0.5}
    tracking.conclude(run_of(nodes=(NodeInfo(name="fit", state="succeeded"),)))
    assert [f"models:/{model.model_id}" for model in models_of(server)] == [kept]


@pytest.mark.slow
@pytest.mark.timeout(300)  # it starts a server twice, too
def test_a_later_attempt_that_was_kept_replaces_an_earlier_one(server, store, linear, forest, iris):
    server.start()
    tracking = MlflowTracking(server.url, store=store)
    with suppress(OSError), tracking.attempt(attempt_of()) as tracker:
        tracker.log_model(linear, example=iris[0])
        raise OSError("the disk is full")
    server.kill()
    with MlflowTracking(server.url, store=store).attempt(attempt_of(attempt=2)) as tracker:
        uri = tracker.log_model(forest, example=iris[0])
    server.start()
    found = tracking.model_uri(uri)
    assert runs_of(server)["fit"].info.status == "FINISHED"
    tracking.conclude(run_of(nodes=(NodeInfo(name="fit", state="succeeded"),)))
    assert [f"models:/{model.model_id}" for model in models_of(server)] == [found]


@pytest.mark.slow
def test_of_two_copies_of_a_model_the_bound_one_stays(away, server, store, forest, iris):
    with away.attempt(attempt_of()) as tracker:
        tracker.log_model(forest, example=iris[0])
    server.start()
    tracking, client = MlflowTracking(server.url, store=store), MlflowClient(server.url)
    tracking.deliver(RUN)
    (bound,) = models_of(server)
    copy = client.create_logged_model(
        bound.experiment_id, name=bound.name, source_run_id=bound.source_run_id, tags=bound.tags
    )
    client.finalize_logged_model(copy.model_id, "READY")  # another process delivers the same, and is slower
    tracking.conclude(run_of(nodes=(NodeInfo(name="fit", state="succeeded"),)))
    assert [model.model_id for model in models_of(server)] == [bound.model_id]


@pytest.mark.slow
def test_what_mlflow_refuses_is_named_and_the_rest_delivered(away, server, store, caplog):
    with away.attempt(attempt_of()) as tracker:
        tracker.log_metrics({"accuracy": 0.9})
    (outbox,) = outboxes(store, RUN)
    wrong: JSON = {"kind": "metrics", "values": {"not a name?!": 1.0}, "step": 0, "time": 0}
    replace(outbox, entries=[wrong, *outbox.entries]).write(store)
    server.start()
    away.deliver(RUN)
    away.deliver(RUN)
    (outbox,) = outboxes(store, RUN)
    assert outbox.entries == []
    assert [line.partition(":")[0] for line in outbox.refused] == ["metrics not a name?!"]
    assert "cannot be delivered to MLflow" in caplog.text
    (line,) = list(read_log(store, RUN, "fit", 1) or [])
    assert line.text.startswith("cannot be delivered to MLflow: metrics not a name?!: ")
    assert runs_of(server)["fit"].data.metrics == {"accuracy": 0.9}


NOT_KEPT_BY_US: list[JSON] = [
    {"kind": "file", "path": "/etc/passwd", "is_folder": False, "folder": "", "digest": ""},
    {"kind": "file", "name": "passwd", "is_folder": False, "digest": "../../../../etc/passwd"},
    {"kind": "file", "name": "../passwd", "is_folder": False, "digest": f"sha256:{'0' * 64}"},
    {"kind": "file", "name": "x", "is_folder": False, "folder": "../..", "digest": f"sha256:{'0' * 64}"},
    {"kind": "file", "name": "x", "is_folder": False, "digest": f"sha256:{'0' * 64}"},
    {"kind": "local file", "path": "/etc/passwd", "folder": ""},
    {"kind": "model", "name": "model", "path": "/etc", "time": 0, "digest": ""},
    {"kind": "local model", "name": "model", "path": "/etc", "time": 0},
    {"kind": "model", "name": "it's", "time": 0, "digest": f"sha256:{'0' * 64}"},
    {"kind": "metrics", "values": {"x": 1.0}, "step": 2**80, "time": 0},
    {"kind": "ending", "status": "WON", "time": 0},
    {"kind": "text", "text": "x", "file_name": "../x"},
    {"kind": "nothing"},
    {},
    5,
    None,
]


def test_entries_that_no_worker_kept_are_refused_one_by_one(away, store, uri):
    with away.attempt(attempt_of()) as tracker:
        tracker.log_metrics({"accuracy": 0.9})
    (outbox,) = outboxes(store, RUN)
    replace(outbox, entries=[*NOT_KEPT_BY_US, *outbox.entries]).write(store)
    tracking = MlflowTracking(uri, store=store)
    tracking.deliver(RUN)
    tracking.conclude(run_of())

    (outbox,) = outboxes(store, RUN)
    assert len(outbox.refused) == len(NOT_KEPT_BY_US)
    client = MlflowClient(uri)
    runs = client.search_runs([client.get_experiment_by_name("digits").experiment_id])
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert any(run.data.metrics == {"accuracy": 0.9} for run in runs)
    assert not any(client.list_artifacts(run.info.run_id) for run in runs)


@pytest.mark.parametrize("subject", [{}, {"run_id": 5}, {"run_id": "run-2"}, {"node": "other"}])
def test_what_was_kept_for_nobody_is_refused_as_a_whole(subject, away, store, uri):
    with away.attempt(attempt_of()) as tracker:
        tracker.log_metrics({"accuracy": 0.9})
    (outbox,) = outboxes(store, RUN)
    replace(outbox, subject={**outbox.subject, **subject} if subject else {}).write(store)
    MlflowTracking(uri, store=store).deliver(RUN)
    (outbox,) = outboxes(store, RUN)
    assert outbox.entries == []
    assert outbox.refused[0].startswith("all that was kept: ")


def test_a_model_that_skops_does_not_trust_is_refused_at_once(away, iris):
    with pytest.raises(ModelNotLoggable), away.attempt(attempt_of()) as tracker:
        tracker.log_model(FunctionTransformer(unchanged), example=iris[0])


def unchanged(table):
    """A function of somebody's own, which skops knows nothing of."""
    return table


@pytest.mark.slow
def test_a_server_that_hangs_is_away_too_and_leaves_nothing_twice(
    server, store, forest, iris, tmp_path, monkeypatch
):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    server.start()
    tracking = MlflowTracking(server.url, store=store)
    tracking.conclude(run_of(run_id="another"))  # the experiment is there
    server.pause()
    with tracking.attempt(attempt_of()) as tracker:
        log_all(tracker, forest, iris, tmp_path)
    server.resume()  # it may still work on what it was asked meanwhile
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
    tracking.deliver(RUN)
    tracking.conclude(run_of(nodes=(NodeInfo(name="fit", state="succeeded"),)))
    assert set(runs_of(server)) == {"run-1", "fit", "another"}
    assert len(models_of(server)) == 1


def test_a_process_does_not_wait_for_mlflow_in_each_short_stage(away, store):
    began = monotonic()
    for index in range(200):
        with away.attempt(attempt_of(f"score[{index}]")) as tracker:
            tracker.log_metrics({"accuracy": 0.9})
    assert monotonic() - began < 60
    assert len(outboxes(store, RUN)) == 200


def test_the_outage_is_waited_for_once_in_an_attempt(away, caplog):
    with away.attempt(attempt_of()) as tracker:
        for step in range(500):
            tracker.log_metrics({"loss": 1.0}, step)
    assert caplog.text.count("what this attempt logs is kept") == 1
