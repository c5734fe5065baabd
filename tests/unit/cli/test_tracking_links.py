"""How a reader of the command line gets to a run's page in MLflow."""

from __future__ import annotations

import pytest

from orchestrator.cli.summary import ways_to_open
from orchestrator.settings import Settings


def settings(**given: str) -> Settings:
    return Settings.model_validate(given)


def test_a_server_has_a_page_for_the_run():
    assert ways_to_open("a1", settings(mlflow_tracking_uri="http://mlflow:5000/"), None) == [
        "http://mlflow:5000/#/runs/a1"
    ]


def test_people_are_sent_to_the_address_that_is_theirs():
    inside = settings(mlflow_tracking_uri="http://mlflow:5000", mlflow_ui_url="http://localhost:5000")
    assert ways_to_open("a1", inside, None) == ["http://localhost:5000/#/runs/a1"]


@pytest.mark.parametrize("name", ["ORCHESTRATOR_MLFLOW_UI_URL", "ORCHESTRATOR_MLFLOW_PAGES"])
def test_that_address_is_set_by_its_name_or_its_former_one(name: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(name, "http://mlflow.example")
    assert Settings().mlflow_ui_url == "http://mlflow.example"


def test_the_pages_of_a_stack_that_is_up_come_first():
    inside = settings(mlflow_tracking_uri="http://mlflow:5000", mlflow_ui_url="http://elsewhere:5000")
    assert ways_to_open("a1", inside, "http://127.0.0.1:5001") == ["http://127.0.0.1:5001/#/runs/a1"]


def test_a_run_without_one_has_no_page():
    assert ways_to_open(None, settings(), None) == []


def test_credentials_are_not_shown():
    server = settings(mlflow_tracking_uri="http://me:pw-1@mlflow:5000/")
    assert ways_to_open("a1", server, None) == ["http://mlflow:5000/#/runs/a1"]
    assert "pw-1" not in repr(ways_to_open("a1", settings(mlflow_tracking_uri="mysql://me:pw-1@db/x"), None))
