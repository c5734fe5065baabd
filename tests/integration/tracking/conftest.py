"""Workers, a coordinator and an MLflow server of each test's own, each of which can be hit by itself."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from orchestrator.run_id import RunId
from orchestrator.runs.record import RunRecord
from tests.harness.cluster import LocalCluster
from tests.harness.mlflow_server import MlflowServer
from tests.harness.services import start, worker_environment

HERE = Path(__file__).parent


@dataclass(frozen=True)
class TrackedCluster(LocalCluster):
    """A cluster whose stages log to a server of its own, and stop at gates until the test opens them."""

    server: MlflowServer = field(kw_only=True)
    gates: Path = field(kw_only=True)  #: the folder of the gates, and of the stages' notes

    def submit(self, pipeline: str, **parameters: object) -> RunId:
        """Start a run, with the test's gates unless it is given other ones."""
        return super().submit(pipeline, **{"folder": self.gates, **parameters})

    def conclude(self, run: RunId) -> RunRecord:
        """Wait until the run is over and written down."""
        self.wait_until_concluded(run, 150)
        return self.record(run)

    def notes(self, text: str) -> int:
        """How often stages have said this."""
        file = self.gates / "notes"
        return sum(line.startswith(text) for line in file.read_text().splitlines()) if file.exists() else 0

    def open_gate(self, name: str, folder: Path | None = None) -> None:
        ((folder or self.gates) / name).touch()

    @property
    def mlflow(self) -> MlflowClient:
        return MlflowClient(self.server.url)

    def mlflow_runs(self, run: RunId) -> dict[str, Any]:
        """The MLflow runs of a run by name; a name that occurs twice fails the test."""
        experiment = self.mlflow.get_experiment_by_name(self.reader.summary(run).pipeline)
        found = self.mlflow.search_runs([experiment.experiment_id], f"tags.`orchestrator.run` = '{run}'")
        names = [each.info.run_name for each in found]
        assert len(set(names)) == len(names), f"more than one run of a name: {names}"
        return dict(zip(names, found, strict=True))

    def models(self, run: RunId) -> list[Any]:
        """The models that a run has logged."""
        experiment = self.mlflow.get_experiment_by_name(self.reader.summary(run).pipeline)
        wanted = f"tags.`orchestrator.run` = '{run}'"
        return list(self.mlflow.search_logged_models([experiment.experiment_id], wanted))


@pytest.fixture
def cluster(redis_url: str, tmp_path: Path) -> Iterator[TrackedCluster]:
    """An MLflow server (not started), a coordinator and no worker yet, with stores of their own."""
    for name in ("home", "mlflow", "gates"):
        (tmp_path / name).mkdir()
    server = MlflowServer(tmp_path / "mlflow")
    environment = worker_environment(
        f"{redis_url}?virtual_host=5",
        tmp_path / "home",
        "release_pipelines",
        HERE,
        MLFLOW_TRACKING_URI=server.url,
        ORCHESTRATOR_LEASE_SECONDS="5",
    )
    coordinate = [sys.executable, "-m", "orchestrator", "coordinator"]
    with TrackedCluster.up(environment, tmp_path, server=server, gates=tmp_path / "gates") as cluster:
        cluster.reader.client.flushdb()
        coordinator = start(coordinate, tmp_path / "coordinator.log", environment)
        yield cluster
        coordinator.stop()
    server.kill()
