"""What counts in MLflow is the latest attempt by its round and number, whatever clocks say."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest

from orchestrator.archive.outbox import outboxes
from orchestrator.artifacts import ArtifactStore
from orchestrator.run_id import RunId
from workers.tracking import MlflowTracking, NodeInfo

from .conftest import attempt_of, run_of

RUN = RunId("run-1")
NOWHERE = "http://127.0.0.1:9"
FIT = (NodeInfo(name="fit", state="succeeded"),)


@pytest.fixture
def store(tmp_path) -> ArtifactStore:
    return ArtifactStore(str(tmp_path / "store"))


@pytest.fixture
def away(store: ArtifactStore, monkeypatch: pytest.MonkeyPatch) -> MlflowTracking:
    """The way to an MLflow that does not answer."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    return MlflowTracking(NOWHERE, store=store)


@pytest.fixture
def fast_clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[], datetime]:
    """The clock of a machine that is 30 s ahead."""
    ahead = timedelta(seconds=30)

    def clock() -> datetime:
        return datetime.now(UTC) + ahead

    monkeypatch.setattr("workers.tracking.attempt._now", lambda: int(clock().timestamp() * 1000))
    return clock


def model_ids(client) -> list[str]:
    experiment = client.get_experiment_by_name("digits")
    return [f"models:/{model.model_id}" for model in client.search_logged_models([experiment.experiment_id])]


def test_a_model_that_was_kept_where_the_clock_is_ahead_does_not_replace_a_later_attempts(
    away, store, tracking, uri, linear, forest, iris, client, runs, fast_clock, monkeypatch
):
    with suppress(OSError), away.attempt(attempt_of(began=fast_clock())) as tracker:
        tracker.log_model(linear, example=iris[0])
        raise OSError("the disk is full")
    monkeypatch.undo()
    with tracking.attempt(attempt_of(attempt=2)) as tracker:
        kept = tracker.log_model(forest, example=iris[0])
    MlflowTracking(uri, store=store).deliver(RUN)
    tracking.conclude(run_of(nodes=FIT))
    assert model_ids(client) == [kept]
    assert runs()["fit"].info.status == "FINISHED"
    assert runs()["fit"].data.tags["orchestrator.attempt"] == "2"


def test_an_attempt_that_cannot_ask_whether_it_is_current_leaves_the_model_of_a_later_one(
    tracking, linear, forest, iris, client
):
    with tracking.attempt(attempt_of(round=1)) as tracker:
        kept = tracker.log_model(forest, example=iris[0])
    with tracking.attempt(attempt_of(attempt=5)) as tracker:  # Redis does not answer, so nothing stops it
        tracker.log_model(linear, example=iris[0])
    tracking.conclude(run_of(nodes=FIT, round=1))
    assert model_ids(client) == [kept]


def test_of_two_models_of_one_attempt_the_later_stays(tracking, linear, forest, iris, client):
    with tracking.attempt(attempt_of()) as tracker:
        tracker.log_model(linear, example=iris[0])
        kept = tracker.log_model(forest, example=iris[0])
    assert model_ids(client) == [kept]


def test_attempts_of_a_later_round_take_up_the_run_though_redis_forgot_it(uri, runs):
    killed = MlflowTracking(uri).attempt(attempt_of())
    killed.__enter__().log_metrics({"loss": 9.0})
    with MlflowTracking(uri).attempt(attempt_of(round=1)) as tracker:
        tracker.log_metrics({"loss": 0.1})
    MlflowTracking(uri).conclude(run_of(nodes=FIT, round=2))
    fit = runs()["fit"]
    assert fit.data.metrics == {"loss": 0.1}
    assert fit.info.status == "FINISHED"
    assert fit.data.tags["orchestrator.round"] == "1"


@pytest.mark.parametrize("orders", [[(0, 3), (1, 1)], [(1, 1), (0, 3)]])
def test_of_two_runs_of_a_node_the_one_of_its_latest_attempt_is_kept(uri, client, runs, orders):
    """As machines that could not know of one another have left them."""
    MlflowTracking(uri).conclude(run_of("failed"))
    experiment = runs()["run-1"].info.experiment_id
    for number, attempt in orders:
        tags = {"orchestrator.run": "run-1", "orchestrator.node": "fit"}
        tags |= {"orchestrator.round": str(number), "orchestrator.attempt": str(attempt)}
        made = client.create_run(experiment, run_name="fit", tags=tags)
        client.log_metric(made.info.run_id, "round", number)
    MlflowTracking(uri).conclude(run_of(nodes=FIT, round=1))
    assert runs()["fit"].data.metrics == {"round": 1.0}


def test_the_end_of_an_earlier_round_does_not_undo_that_of_a_later_one(tracking, runs):
    tracking.conclude(run_of("failed", error="fit: the disk is full"))
    tracking.conclude(run_of(round=1))
    tracking.conclude(run_of("failed", error="fit: the disk is full"))
    run = runs()["run-1"]
    assert run.info.status == "FINISHED"
    assert run.data.tags["orchestrator.state"] == "succeeded"


def test_concluding_an_earlier_round_leaves_a_node_that_runs_in_a_later_one(tracking, runs):
    with tracking.attempt(attempt_of(round=1)):
        tracking.conclude(run_of("failed", nodes=(NodeInfo(name="fit", state="failed"),)))
        assert runs()["fit"].info.status == "RUNNING"


def test_what_attempts_of_several_rounds_kept_is_delivered_in_their_order(away, store, uri, runs, fast_clock):
    for number, began in ((0, fast_clock()), (1, datetime.now(UTC))):
        with away.attempt(attempt_of(round=number, began=began)) as tracker:
            tracker.log_metrics({f"round {number}": 1})
            tracker.set_tag("round", str(number))
    assert [outbox.round for outbox in outboxes(store, RUN)] == [0, 1]
    MlflowTracking(uri, store=store).deliver(RUN)
    fit = runs()["fit"]
    assert fit.data.metrics == {"round 0": 1.0, "round 1": 1.0}
    assert fit.data.tags["round"] == fit.data.tags["orchestrator.round"] == "1"
    assert outboxes(store, RUN) == []


def test_a_metric_of_a_later_attempt_is_shown_though_an_earlier_ones_clock_was_ahead(
    tracking, runs, fast_clock, monkeypatch
):
    with suppress(OSError), tracking.attempt(attempt_of(began=fast_clock())) as tracker:
        tracker.log_metrics({"accuracy": 0.9})
        raise OSError("the disk is full")
    monkeypatch.undo()
    with tracking.attempt(attempt_of(attempt=2)) as tracker:
        for value in (0.2, 0.1):
            tracker.log_metrics({"accuracy": value})
    assert runs()["fit"].data.metrics == {"accuracy": 0.1}
