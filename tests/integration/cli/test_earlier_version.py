"""What an earlier version left in a home is shown, carried on and concluded by this one.

`earlier_home.tar.xz` was made before messages and transitions were renamed: `books` failed on a stack that
was up, with its Redis kept; `entries` ended on a private stack while MLflow was away.
"""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest
from mlflow import MlflowClient

from .conftest import Shell

pytestmark = pytest.mark.stack

BOOKS, ENTRIES = "books-20261127-075754-40ad", "entries-20261127-075759-2b1f"


@pytest.fixture
def earlier(alone: Shell) -> Shell:
    """A command line in that home."""
    with tarfile.open(Path(__file__).parent / "earlier_home.tar.xz") as archive:
        archive.extractall(alone.home.parent, filter="data")
    return alone.where(ORCHESTRATOR_PIPELINES="books", BOOKS_CLOSED="1")


def test_runs_of_an_earlier_version_are_shown_from_the_store(earlier: Shell) -> None:
    assert [run["id"] for run in json.loads(earlier("runs", "--json").out)] == [ENTRIES, BOOKS]
    shown = json.loads(earlier("show", BOOKS, "--json").out)
    assert shown["state"] == "failed"
    assert shown["error"] == "check: ValueError: the books are not closed yet"
    states = {node["name"]: node["state"] for node in shown["nodes"]}
    assert states.pop("check") == "failed"
    assert set(states.values()) == {"succeeded"}
    assert len(states) == 14
    assert "the books are not closed yet" in earlier("logs", BOOKS, "check").out


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_run_of_an_earlier_version_is_carried_on_and_others_are_concluded(earlier: Shell) -> None:
    resumed = earlier("resume", BOOKS, "--json", seconds=200)
    assert resumed.status == 0, resumed.err
    record = resumed.last_json
    assert record["state"] == "succeeded"
    assert {node["name"] for node in record["nodes"] if not node["reused"]} == {"check"}
    client = MlflowClient(f"sqlite:///{earlier.home / 'mlflow.db'}")
    (experiment,) = client.search_experiments(filter_string="name = 'entries'")
    runs = client.search_runs([experiment.experiment_id])
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert 12.0 in [run.data.metrics.get("total") for run in runs]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_stack_goes_on_with_the_redis_of_an_earlier_version(earlier: Shell) -> None:
    assert earlier("up", seconds=120).status == 0
    try:
        assert json.loads(earlier("show", BOOKS, "--json").out)["state"] == "failed"
        resumed = earlier("resume", BOOKS, "--json", seconds=120)
        assert resumed.status == 0, resumed.err
        assert {node["name"] for node in resumed.last_json["nodes"] if not node["reused"]} == {"check"}
    finally:
        earlier("down")
