"""What an attempt logs goes to MLflow in few requests, a second later at the latest."""

from __future__ import annotations

import multiprocessing
import time

import pytest
from mlflow import MlflowClient

from orchestrator.archive.outbox import outboxes
from orchestrator.artifacts import ArtifactStore
from orchestrator.run_id import RunId
from orchestrator.runs.errors import LeaseLost
from tests.harness.waiting import wait_until
from workers.tracking import AttemptTracker, MlflowTracking

from .conftest import LostLease, attempt_of


@pytest.fixture
def store() -> ArtifactStore:
    return ArtifactStore("memory://")


@pytest.fixture
def tracking(uri: str, store: ArtifactStore) -> MlflowTracking:
    return MlflowTracking(uri, store=store)


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the requests that MLflow's client makes."""
    made: list[str] = []
    for name in ("create_run", "log_batch", "set_tag", "set_terminated", "get_run"):
        monkeypatch.setattr(MlflowClient, name, _noting(made, name, getattr(MlflowClient, name)))
    return made


def _noting(made, name, call):
    def noted(*args, **kwargs):
        made.append(name)
        return call(*args, **kwargs)

    return noted


def log_much(tracker: AttemptTracker) -> None:
    for step in range(50):
        tracker.log_metrics({"loss": 1.0 / (step + 1)}, step)
    tracker.log_params({"depth": 3})
    tracker.set_tag("kind", "first")
    tracker.set_tag("kind", "second")


def test_a_short_attempt_is_told_in_three_requests(tracking, requests, runs):
    with tracking.attempt(attempt_of("warm")):
        pass  # the run of the whole run
    requests.clear()
    with tracking.attempt(attempt_of(inputs={"C": 0.1})) as tracker:
        log_much(tracker)
    assert requests == ["get_run", "create_run", "log_batch", "set_terminated"], "the first reads the parent"
    run = runs()["fit"]
    assert run.data.metrics == {"loss": pytest.approx(0.02)}
    assert run.data.params == {"C": "0.1", "depth": "3"}
    assert run.data.tags["kind"] == "second"
    assert run.info.status == "FINISHED"


def test_an_item_needs_no_request_for_the_whole_run(tracking, requests, runs):
    with tracking.attempt(attempt_of("fit[0]", map="fit")) as tracker:
        tracker.log_metrics({"loss": 1.0})
    requests.clear()
    with tracking.attempt(attempt_of("fit[1]", map="fit")) as tracker:
        tracker.log_metrics({"loss": 0.5})
    assert requests == ["create_run", "log_batch", "set_terminated"]
    assert runs()["fit[1]"].data.tags["mlflow.parentRunId"] == runs()["fit"].info.run_id


def test_all_steps_are_kept(tracking, client, runs):
    with tracking.attempt(attempt_of()) as tracker:
        for step in range(2500):  # more than one request takes
            tracker.log_metrics({"loss": float(step)}, step)
    history = client.get_metric_history(runs()["fit"].info.run_id, "loss")
    assert [each.step for each in history] == list(range(2500))


def test_what_is_logged_is_seen_while_the_stage_runs(tracking, runs):
    with tracking.attempt(attempt_of()) as tracker:
        tracker.log_metrics({"loss": 1.0})
        wait_until(lambda: runs()["fit"].data.metrics == {"loss": 1.0}, "it is in MLflow", 5)
        tracker.log_metrics({"loss": 0.5})
        wait_until(lambda: runs()["fit"].data.metrics == {"loss": 0.5}, "that is, too", 5)


def test_what_mlflow_refuses_takes_nothing_else_with_it(tracking, store, runs):
    with tracking.attempt(attempt_of()) as tracker:
        tracker.log_metrics({"before": 1.0})
        tracker.log_params({"depth": 3})
        tracker.log_params({"depth": 4})
        tracker.log_metrics({"after": 1.0})
    run = runs()["fit"]
    assert run.data.metrics == {"before": 1.0, "after": 1.0}
    assert run.data.params == {"depth": "3"}
    (outbox,) = outboxes(store, RunId("run-1"))
    assert [each.partition(":")[0] for each in outbox.refused] == ["params depth"]


def test_entries_come_before_the_model_that_is_logged_after_them(tracking, client, runs, iris, linear):
    with tracking.attempt(attempt_of()) as tracker:
        tracker.log_metrics({"loss": 1.0})
        tracker.log_model(linear, example=iris[0].head(2))
        assert runs()["fit"].data.metrics == {"loss": 1.0}


def test_an_attempt_that_lost_its_node_meanwhile_is_told_so(tracking):
    def attempt() -> None:
        with tracking.attempt(attempt_of(), LostLease(after=2)) as tracker:  # asked twice as it makes its run
            tracker.log_metrics({"loss": 1.0})
            time.sleep(1.5)

    with pytest.raises(LeaseLost):
        attempt()


def test_a_process_that_the_stage_forks_can_log(tracking, runs):
    def log_there(tracker: AttemptTracker) -> None:
        tracker.log_metrics({"there": 1.0})

    with tracking.attempt(attempt_of()) as tracker:
        tracker.log_metrics({"here": 1.0})
        process = multiprocessing.get_context("fork").Process(target=log_there, args=(tracker,))
        process.start()
        process.join(30)
        assert process.exitcode == 0
    assert runs()["fit"].data.metrics == {"here": 1.0, "there": 1.0}
