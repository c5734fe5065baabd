"""A worker that was paused past its lease does nothing outside when it wakes up."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from ..conftest import knows_of_its_lost_lease, wait_until
from .conftest import School, hit

pytestmark = [pytest.mark.stack, pytest.mark.slow, pytest.mark.timeout(240)]


def test_a_paused_fit_leaves_one_run_one_model_and_one_version(school: School) -> None:
    school.server.start()
    school.start_worker("other", "data,deployment", slots=2)
    paused = school.start_worker("paused", "training")
    run = school.submit("lesson")
    wait_until(lambda: school.notes("fit at gate") == 1, "the fit is at its gate")
    hit(paused, signal.SIGSTOP)
    school.start_worker("heir", "training")
    wait_until(lambda: school.notes("fit at gate") == 2, "the fit was begun elsewhere")
    school.open("fit")
    record = school.conclude(run)
    hit(paused, signal.SIGCONT)
    wait_until(lambda: knows_of_its_lost_lease(school.logs / "paused.log"), "the paused one noticed")
    assert record.state == "succeeded", record.error
    (fit,) = [node for node in record.nodes if node.name == "fit"]
    assert [attempt.worker for attempt in fit.attempts] == ["paused@test", "heir@test"]
    nested = school.mlflow_runs(run)["fit"]
    assert nested.info.status == "FINISHED"
    assert nested.data.tags["orchestrator.attempt"] == "2"
    history = school.mlflow.get_metric_history(nested.info.run_id, "loss")
    assert [point.step for point in history].count(1) == 1
    (model,) = school.models(run)
    assert model.tags["orchestrator.attempt"] == "2"
    (version,) = school.mlflow.search_model_versions("name = 'lesson'")
    assert version.source == f"models:/{model.model_id}"
    for name in ("judged", "register", "promote"):
        (node,) = [node for node in record.nodes if node.name == name]
        assert len(node.attempts) == 1


def test_a_paused_promotion_does_not_move_the_champion_back(school: School, tmp_path: Path) -> None:
    school.server.start()
    school.start_worker("other", "data,training", slots=2)
    paused = school.start_worker("paused", "deployment")
    school.open("fit")
    run = school.submit("slow_release")
    wait_until(lambda: school.notes("promote at gate") == 1, "the promotion is at its gate")
    hit(paused, signal.SIGSTOP)
    school.start_worker("heir", "deployment")
    wait_until(lambda: school.notes("promote at gate") == 2, "the promotion was begun elsewhere")
    later = tmp_path / "later"
    later.mkdir()
    # All gates of the later run are open, and it promotes last.
    school.open("promote")
    assert school.conclude(run).state == "succeeded"
    school.open("fit", later)
    school.open("promote", later)
    assert school.conclude(school.submit("slow_release", later)).state == "succeeded"
    champion = school.mlflow.get_model_version_by_alias("slow", "champion")
    assert int(champion.version) == 2
    hit(paused, signal.SIGCONT)
    wait_until(lambda: knows_of_its_lost_lease(school.logs / "paused.log"), "the paused one noticed")
    assert int(school.mlflow.get_model_version_by_alias("slow", "champion").version) == 2


def test_what_a_stage_does_once_is_not_done_again_by_its_next_attempts(school: School) -> None:
    school.server.start()
    school.start_worker("all", "data")
    run = school.submit("announcing")
    record = school.conclude(run)
    (node,) = record.nodes
    assert len(node.attempts) == 3
    assert node.value == "ticket-1"
    assert school.notes(f"ticket {run}/announce") == 1
