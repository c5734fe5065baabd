"""Runs go on while MLflow is away: no stage runs twice for it, and nothing that was logged is lost."""

from __future__ import annotations

import os
import subprocess
import sys
from time import monotonic

import pytest

from orchestrator.archive.outbox import outboxes
from orchestrator.runs.record import RunRecord
from workers.tracking.circuit import FIRST

from ..conftest import wait_until
from .conftest import School

pytestmark = [pytest.mark.stack, pytest.mark.slow, pytest.mark.timeout(240)]


def fits(record: RunRecord) -> list[str | None]:
    """The errors of the attempts to fit."""
    return [attempt.error for node in record.nodes if node.name == "fit" for attempt in node.attempts]


def check_fit(school: School, run, *more: str) -> None:
    """All that `fit` logs is in one MLflow run of its own, with one model; so is what `more` logged."""
    runs = school.mlflow_runs(run)
    assert set(runs) == {run, "fit", *more}
    fitted = runs["fit"]
    assert fitted.info.status == "FINISHED"
    assert fitted.data.params["depth"] == "3"
    history = school.mlflow.get_metric_history(fitted.info.run_id, "loss")
    assert sorted((point.step, point.value) for point in history) == [(0, 1.0), (1, 0.5)]
    assert "note.txt" in [file.path for file in school.mlflow.list_artifacts(fitted.info.run_id)]
    sources = sorted(model.source_run_id for model in school.models(run))
    assert sources == sorted(runs[name].info.run_id for name in ("fit", *more))
    assert outboxes(school.store, run) == []


def test_a_run_that_ends_while_mlflow_is_away_is_concluded_when_it_is_back(school: School) -> None:
    school.start_worker("all", "data,training,deployment", slots=2)
    school.open("fit")
    run = school.submit("alone")
    wait_until(lambda: school.reader.state(run).over, "the run is over")
    assert school.reader.state(run) == "succeeded"
    wait_until(lambda: school.reader.conclusion_error(run), "the worker says what it waits for")
    assert "does not answer" in str(school.reader.conclusion_error(run))
    assert not school.reader.concluded(run)
    school.server.start()
    record = school.conclude(run)
    assert fits(record) == [None]
    assert school.notes("fit called") == 1
    assert school.mlflow_runs(run)[run].info.status == "FINISHED"
    assert record.mlflow_run_id == school.mlflow_runs(run)[run].info.run_id
    check_fit(school, run)


def test_the_command_line_says_what_an_ended_run_waits_for(school: School) -> None:
    school.start_worker("all", "data,training,deployment", slots=2)
    school.open("fit")
    command = [sys.executable, "-m", "orchestrator"]
    environment = os.environ | school.environment
    run = [*command, "run", "alone", "-p", f"folder={school.folder}"]
    with subprocess.Popen(run, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        told = next(line for line in process.stdout if "that is final" in line)
        assert "the run has succeeded" in told
        assert f"MLflow at {school.server.url} does not answer" in told
        shown = subprocess.run([*command, "show", "latest"], env=environment, capture_output=True, text=True)
        assert "Not in MLflow" in shown.stdout
        assert "fit #1  6 entries are kept until MLflow answers" in shown.stdout
        school.server.start()
        process.communicate()
        assert process.returncode == 0


def test_what_was_kept_is_delivered_before_the_run_ends(school: School) -> None:
    school.start_worker("data", "data")
    school.start_worker("training", "training")
    school.open("fit")
    run = school.submit("two_fits")
    wait_until(lambda: school.notes("between at gate"), "the run is between its fits")
    assert [outbox.node for outbox in outboxes(school.store, run)] == ["fit"]
    noticed = monotonic()
    school.server.start()
    wait_until(lambda: monotonic() > noticed + FIRST, "the worker asks MLflow again")
    school.open("between")
    wait_until(lambda: school.notes("last at gate"), "the last stage is at its gate")
    wait_until(lambda: not outboxes(school.store, run), "all is delivered")
    assert not school.reader.state(run).over
    school.open("last")
    school.conclude(run)
    check_fit(school, run, "fit-2")


def test_a_server_that_is_killed_while_a_stage_runs_costs_no_attempt(school: School) -> None:
    school.server.start()
    school.start_worker("all", "data,training,deployment", slots=2)
    run = school.submit("lesson")
    wait_until(lambda: school.notes("fit at gate"), "the fit has logged something")
    school.server.kill()
    school.open("fit")
    done = {"fit", "judged"}
    wait_until(
        lambda: done <= {node.name for node in school.record(run).nodes if node.state == "succeeded"},
        "the fit is committed without MLflow",
    )
    school.server.start()
    record = school.conclude(run)
    assert record.state == "succeeded", record.error
    assert fits(record) == [None]
    assert school.notes("fit called") == 1
    check_fit(school, run)
    version = school.mlflow.get_model_version_by_alias("lesson", "champion")
    assert version.source == f"models:/{school.models(run)[0].model_id}"
    assert len(school.mlflow.search_model_versions("name = 'lesson'")) == 1
