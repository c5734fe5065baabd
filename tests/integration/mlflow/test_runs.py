"""Which MLflow runs a pipeline run leaves, and what stands in them."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import mlflow
import pytest
from matplotlib.figure import Figure
from pydantic import SecretStr

from orchestrator import context
from orchestrator.authoring.context import Attempt, attempting
from orchestrator.authoring.masking import keep_secret
from orchestrator.runs.errors import LeaseLost
from workers.tracking import Data, MlflowTracking, NodeInfo, TrackingUnavailable

from .conftest import ENDED, STARTED, LostLease, attempt_of, run_of


def test_a_training_stage_gets_a_nested_run(tracking, runs):
    with tracking.attempt(attempt_of(inputs={"C": 0.1, "rows": [1, 2]})) as tracker:
        tracker.log_metrics({"accuracy": 0.9})
        assert runs()["fit"].info.status == "RUNNING"

    parent, nested = runs()["run-1"], runs()["fit"]
    assert nested.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert nested.data.tags["orchestrator.run"] == "run-1"
    assert nested.data.tags["orchestrator.node"] == "fit"
    assert nested.data.tags["orchestrator.stage"] == "pipelines.digits.fit"
    assert nested.data.tags["orchestrator.attempt"] == "1"
    assert nested.data.params == {"C": "0.1"}
    assert nested.data.metrics == {"accuracy": 0.9}
    assert nested.info.status == "FINISHED"


def test_the_pipelines_run_has_its_parameters_tags_and_times(tracking, runs):
    with tracking.attempt(attempt_of()):
        pass
    concluded = tracking.conclude(run_of())

    parent = runs()["run-1"]
    assert concluded == parent.info.run_id
    assert parent.data.params == {"depth": "3"}
    assert parent.data.tags["orchestrator.pipeline"] == "digits"
    assert parent.data.tags["orchestrator.state"] == "succeeded"
    assert parent.info.status == "FINISHED"
    assert datetime.fromtimestamp(parent.info.start_time / 1000, UTC) == STARTED
    assert datetime.fromtimestamp(parent.info.end_time / 1000, UTC) == ENDED


def test_a_data_stage_that_logs_nothing_does_not_touch_mlflow(tracking, runs):
    with tracking.attempt(attempt_of("load", queue="data")):
        pass
    assert runs() == {}


def test_a_data_stage_logs_to_the_pipelines_run(tracking, runs):
    with tracking.attempt(attempt_of("load", queue="data")) as tracker:
        tracker.log_metrics({"rows": 150})
        tracker.set_tag("table", "iris")
    assert list(runs()) == ["run-1"]
    assert runs()["run-1"].data.metrics == {"rows": 150.0}
    assert runs()["run-1"].data.tags["table"] == "iris"
    assert runs()["run-1"].info.status == "RUNNING"


def test_a_failed_attempt_fails_its_run_and_the_retry_takes_it_up_again(tracking, runs):
    with suppress(OSError), tracking.attempt(attempt_of()) as tracker:
        tracker.log_metrics({"accuracy": 0.1})
        raise OSError("the disk is full")
    first = runs()["fit"]
    assert first.info.status == "FAILED"

    with tracking.attempt(attempt_of(attempt=2)) as tracker:
        tracker.log_metrics({"accuracy": 0.9})
    second = runs()["fit"]
    assert second.info.run_id == first.info.run_id
    assert second.info.status == "FINISHED"
    assert second.data.tags["orchestrator.attempt"] == "2"
    assert second.data.metrics == {"accuracy": 0.9}


def test_a_retry_may_log_another_value_of_a_param(tracking, runs, caplog):
    for number in (1, 2):
        with tracking.attempt(attempt_of(attempt=number)) as tracker:
            tracker.log_params({"seed": number, f"only-{number}": number})
    assert runs()["fit"].data.params == {"seed": "1", "only-1": "1", "only-2": "2"}
    assert "param seed stays 1" in caplog.text


def test_a_run_is_found_again_when_all_keys_are_lost(uri, runs):
    for _ in range(2):
        with MlflowTracking(uri).attempt(attempt_of(redelivered=True)) as tracker:
            tracker.log_metrics({"accuracy": 0.9})
    assert sorted(runs()) == ["fit", "run-1"]


def test_concluding_again_changes_nothing(tracking, runs):
    assert tracking.conclude(run_of()) == tracking.conclude(run_of())
    assert list(runs()) == ["run-1"]


@pytest.mark.parametrize(("state", "status"), [("failed", "FAILED"), ("cancelled", "KILLED")])
def test_a_run_that_did_not_succeed_says_so(tracking, runs, state, status):
    tracking.conclude(run_of(state, error="fit: OSError: postgresql://me:hidden@host/db is gone"))
    parent = runs()["run-1"]
    assert parent.info.status == status
    assert parent.data.tags["orchestrator.state"] == state
    assert parent.data.tags["mlflow.note.content"] == "fit: OSError: postgresql://me:***@host/db is gone"


def test_concluding_ends_the_run_of_a_node_whose_worker_died(tracking, runs, client):
    with tracking.attempt(attempt_of()) as tracker:
        pass
    client.update_run(tracker.run_id, "RUNNING")
    tracking.conclude(run_of("failed", nodes=(NodeInfo(name="fit", state="failed"),)))
    assert runs()["fit"].info.status == "FAILED"


def test_concluding_says_that_a_node_succeeded_though_an_attempt_without_a_lease_failed_later(
    tracking, runs, client
):
    with tracking.attempt(attempt_of()) as tracker:
        pass
    client.set_terminated(tracker.run_id, "FAILED")
    tracking.conclude(run_of(nodes=(NodeInfo(name="fit", state="succeeded"),)))
    assert runs()["fit"].info.status == "FINISHED"


@pytest.mark.parametrize("asked", [0, 1])
def test_an_attempt_that_was_taken_over_leaves_a_run_that_has_ended_as_it_is(tracking, runs, asked):
    with tracking.attempt(attempt_of(attempt=2)):
        pass
    before = runs()["fit"]
    tracking.conclude(run_of(nodes=(NodeInfo(name="fit", state="succeeded"),)))
    with pytest.raises(LeaseLost), tracking.attempt(attempt_of(), LostLease(after=asked)):
        pass
    after = runs()["fit"]
    assert (after.info.status, after.info.end_time) == ("FINISHED", before.info.end_time)
    assert after.data.tags == before.data.tags


def test_an_attempt_that_was_cancelled_before_it_made_its_run_makes_none(tracking, runs):
    tracking.conclude(run_of("cancelled"))
    with pytest.raises(LeaseLost), tracking.attempt(attempt_of(), LostLease()):
        pass
    assert list(runs()) == ["run-1"]


def test_an_attempt_that_is_cancelled_while_it_makes_its_run_leaves_none_running(tracking, runs):
    tracking.conclude(run_of("cancelled"))
    with pytest.raises(LeaseLost), tracking.attempt(attempt_of(), LostLease(after=1)):
        pass
    assert runs()["fit"].info.status == "KILLED"


def test_an_attempt_that_was_taken_over_before_it_knew_its_run_leaves_it_to_the_next(tracking, runs):
    class TakenOver(LostLease):
        """The next attempt uses the run, and ends, before this one asks whether the node is its own."""

        def check(self) -> None:
            if not self.left:
                with tracking.attempt(attempt_of(attempt=2)):
                    pass
            super().check()

    with pytest.raises(LeaseLost), tracking.attempt(attempt_of(), TakenOver(after=1)):
        pass
    assert runs()["fit"].info.status == "FINISHED"


def test_concluding_deletes_what_a_dying_process_made_twice(tracking, runs, client):
    with tracking.attempt(attempt_of()) as tracker:
        pass
    nested = client.get_run(tracker.run_id)
    for node in ("fit", None):
        tags = {"orchestrator.run": "run-1", "orchestrator.pipeline": "digits"}
        client.create_run(
            nested.info.experiment_id, tags=tags | ({"orchestrator.node": node} if node else {})
        )
    tracking.conclude(run_of())
    assert sorted(runs()) == ["fit", "run-1"]


def test_an_experiment_that_was_deleted_is_brought_back(uri, runs, client):
    MlflowTracking(uri).conclude(run_of())
    client.delete_experiment(client.get_experiment_by_name("digits").experiment_id)
    MlflowTracking(uri).conclude(run_of(run_id="run-2"))
    assert "run-2" in runs()


def test_secrets_are_not_written_down(tracking, runs):
    parameters = {
        "api_key": "abc",
        "password": SecretStr("def"),
        "database": "postgresql://me:ghi@host/db",
        "settings": {"authToken": "jkl", "max_tokens": 512},
        "tokenizer": "words",
    }
    tracking.conclude(run_of(parameters=parameters))
    assert runs()["run-1"].data.params == {
        "api_key": "***",
        "password": "***",
        "database": "postgresql://me:***@host/db",
        "settings.authToken": "***",
        "settings.max_tokens": "512",
        "tokenizer": "words",
    }


def test_two_processes_that_create_the_same_run_leave_one(uri, runs):
    fork = multiprocessing.get_context("fork")
    with fork.Manager() as manager:
        bound, together = manager.dict(), fork.Barrier(2)
        workers = [fork.Process(target=_log_racing, args=(uri, bound, together, n)) for n in range(2)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(60)
        assert [worker.exitcode for worker in workers] == [0, 0]
    assert list(runs()) == ["run-1"]
    assert runs()["run-1"].data.metrics == {"rows-0": 1.0, "rows-1": 1.0}


def _log_racing(uri, bound, together, number):
    def remember(key, mlflow_id):
        together.wait(30)  # both have made a run before either binds it
        return bound.setdefault(key, mlflow_id)

    tracking = MlflowTracking(uri, recall=bound.get, remember=remember)
    with tracking.attempt(attempt_of("load", queue="data")) as tracker:
        tracker.log_metrics({f"rows-{number}": 1})


def test_mlflow_is_not_imported_for_a_stage_that_does_not_log(uri):
    assert _python(uri, "pass") == "silent"


def test_a_stage_that_imports_mlflow_itself_logs_to_its_run(uri, runs):
    assert _python(uri, "import mlflow; mlflow.log_metric('rows', 150)") == "imported"
    assert runs()["run-1"].data.metrics == {"rows": 150.0}


def _python(uri: str, body: str) -> str:
    """What a fresh process says of MLflow after a data stage with this body."""
    script = (
        "import sys; from datetime import datetime, UTC\n"
        "from workers.tracking import AttemptInfo, MlflowTracking\n"
        "info = AttemptInfo(run_id='run-1', pipeline='digits', parameters={}, started=datetime.now(UTC),\n"
        "    node='load', stage='pipelines.digits.load', queue='data', attempt=1)\n"
        f"with MlflowTracking({uri!r}).attempt(info):\n"
        f"    {body}\n"
        "print('imported' if 'mlflow' in sys.modules else 'silent')\n"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=root, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_database_that_cannot_be_opened_is_said_at_once(tmp_path):
    (tmp_path / "a file").touch()
    with pytest.raises(TrackingUnavailable, match="cannot be opened"):
        MlflowTracking(f"sqlite:///{tmp_path}/a file/mlflow.db").conclude(run_of())


def test_the_worker_keeps_settings_that_the_user_made(uri, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "7")
    MlflowTracking(uri)
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "7"


def test_the_pipelines_run_sums_up_its_nodes_their_code_and_the_data(tracking, runs):
    for node in ("fit", "score[0]", "broken"):
        with tracking.attempt(attempt_of(node)) as tracker:
            tracker.log_metrics({"accuracy": 0.8}, step=0)
            tracker.log_metrics({"accuracy": 0.9}, step=1)
    states = {"fit": "succeeded", "score[0]": "succeeded", "broken": "failed"}
    told = run_of(
        nodes=tuple(NodeInfo(name=name, state=state) for name, state in states.items()),
        commit="4" * 40,
        dirty=True,
        data=(Data(name="houses.csv", digest=f"sha256:{'a' * 64}", source="/data/houses.csv"),),
    )
    for _ in range(2):
        tracking.conclude(told)

    parent = runs()["run-1"]
    assert parent.data.metrics == {"fit/accuracy": 0.9}
    assert parent.data.tags["mlflow.source.git.commit"] == "4" * 40
    assert parent.data.tags["mlflow.source.git.dirty"] == "true"
    (given,) = parent.inputs.dataset_inputs
    assert (given.dataset.name, given.dataset.digest) == ("houses.csv", "a" * 36)
    assert given.dataset.source == '{"uri": "/data/houses.csv"}'


def test_a_runs_name_tags_and_note_are_in_mlflow(tracking, runs):
    tracking.conclude(run_of(name="nightly", tags={"team": "risk"}, note="for the audit"))
    run = runs()["nightly"]
    assert run.data.tags["team"] == "risk"
    assert run.data.tags["mlflow.note.content"] == "for the audit"
    tracking.conclude(run_of("failed", error="no rows", round=1, name="nightly", note="for the audit"))
    assert runs()["nightly"].data.tags["mlflow.note.content"] == "for the audit\n\nno rows"


def test_tables_and_figures_are_artifacts_that_mlflow_reads(tracking, client, runs, uri):
    keep_secret("correct horse battery")
    with tracking.attempt(attempt_of()) as tracker, attempting(Attempt(tracker=tracker)):
        context.log_table({"x": [1, 2]}, "tables/t.json")
        context.log_figure(Figure(), "plots/f.png")
        context.log_text("it is correct horse battery", "note.txt")
    run, experiment = runs()["fit"].info.run_id, runs()["fit"].info.experiment_id
    mlflow.set_tracking_uri(uri)
    assert list(client.load_table(experiment, "tables/t.json", run_ids=[run])["x"]) == [1, 2]
    assert [each.path for each in client.list_artifacts(run, "plots")] == ["plots/f.png"]
    assert mlflow.artifacts.load_text(f"runs:/{run}/note.txt") == "it is ***"
