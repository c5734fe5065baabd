"""A real MLflow store on SQLite for each test, and a fitted model to put into it."""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from sklearn.base import BaseEstimator
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from orchestrator.runs.errors import LeaseLost
from workers.tracking import AttemptInfo, MlflowTracking, RunInfo, preload
from workers.tracking.client import open_client

STARTED = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
ENDED = datetime(2026, 3, 1, 12, 5, tzinfo=UTC)


@pytest.fixture(scope="session", autouse=True)
def mlflow_loaded() -> None:
    """Import what warns while it is imported, once and with those warnings off."""
    preload()


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Leave MLflow's process-wide choices as they were."""
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_ID", "MLFLOW_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    yield
    sys.modules["mlflow"].set_tracking_uri(None)


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated, empty database: making one takes seconds, copying it does not."""
    file = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    open_client(f"sqlite:///{file}")
    return file


@pytest.fixture
def uri(empty_store: Path, tmp_path: Path) -> str:
    """The tracking URI of a store of the test's own."""
    copy_store(empty_store, tmp_path / "mlflow.db")
    return f"sqlite:///{tmp_path / 'mlflow.db'}"


@pytest.fixture
def tracking(uri: str) -> MlflowTracking:
    return MlflowTracking(uri)


@pytest.fixture
def client(uri: str) -> MlflowClient:
    return MlflowClient(uri)


@pytest.fixture
def on_store(uri: str) -> str:
    """Plain `mlflow` calls go to the test's store, as on a worker."""
    os.environ["MLFLOW_TRACKING_URI"] = uri
    sys.modules["mlflow"].set_tracking_uri(uri)
    return uri


@pytest.fixture(scope="session")
def iris() -> tuple[object, object]:
    return load_iris(return_X_y=True, as_frame=True)


@pytest.fixture(scope="session")
def linear(iris) -> BaseEstimator:
    return LogisticRegression(max_iter=500).fit(*iris)


@pytest.fixture(scope="session")
def forest(iris) -> BaseEstimator:
    return RandomForestClassifier(5, random_state=0).fit(*iris)


class LostLease:
    """The fence of an attempt whose node is taken over, unnoticed, after it was asked so often."""

    def __init__(self, after: int = 0) -> None:
        self.left = after

    def check(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise LeaseLost("taken over")

    def glance(self, *, at_once: bool = False) -> None:
        if at_once:
            self.check()


def copy_store(empty: Path, file: Path) -> None:
    """Copy a database, with what its write-ahead log holds."""
    with closing(sqlite3.connect(empty)) as source, closing(sqlite3.connect(file)) as target:
        source.backup(target)


def attempt_of(node: str = "fit", *, queue: str = "training", attempt: int = 1, **others) -> AttemptInfo:
    """An attempt of a node of the run `run-1`."""
    given: dict[str, Any] = {
        "run_id": "run-1",
        "pipeline": "digits",
        "parameters": {"depth": 3},
        "started": STARTED,
        "node": node,
        "stage": f"pipelines.digits.{node}",
        "queue": queue,
        "attempt": attempt,
    }
    return AttemptInfo(**(given | others))


def run_of(state: str = "succeeded", **others) -> RunInfo:
    """How the run `run-1` ended."""
    given: dict[str, Any] = {
        "run_id": "run-1",
        "pipeline": "digits",
        "parameters": {"depth": 3},
        "started": STARTED,
        "ended": ENDED,
        "state": state,
    }
    return RunInfo(**(given | others))


@pytest.fixture
def runs(client: MlflowClient) -> Callable[[], dict[str, object]]:
    """All runs of the pipeline `digits` by name; a name that occurs twice fails the test."""

    def find() -> dict[str, object]:
        experiment = client.get_experiment_by_name("digits")
        if experiment is None:
            return {}
        found = client.search_runs([experiment.experiment_id])
        names = [run.info.run_name for run in found]
        assert len(set(names)) == len(names), f"more than one run of a name: {sorted(names)}"
        return dict(zip(names, found, strict=True))

    return find
