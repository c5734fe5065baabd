"""Workers, a supervisor and an MLflow server of this folder's own, each of which can be hit by itself."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from orchestrator.artifacts import ArtifactStore
from orchestrator.lifecycle.discovery import load_catalogue
from orchestrator.lifecycle.submission import prepare
from orchestrator.run_id import RunId
from orchestrator.runs.connection import connect
from orchestrator.runs.reader import RunReader
from orchestrator.runs.record import RunRecord
from orchestrator.runs.store import RunStore
from orchestrator.settings import settings

from ..conftest import Service, is_ready, start, start_worker, wait_until
from ..mlflow_server import MlflowServer

HERE = Path(__file__).parent


@dataclass
class School:
    """Runs the lessons."""

    folder: Path  #: of the test's gates and notes
    environment: dict[str, str]
    server: MlflowServer
    logs: Path
    workers: list[Service] = field(default_factory=list)

    def __post_init__(self) -> None:
        client = connect(str(settings().redis_url))
        self.runs = RunStore(client, lease_seconds=settings().lease_seconds)
        self.reader = RunReader(client)
        self.store = ArtifactStore(settings().store_url)

    def start_worker(self, name: str, queues: str, slots: int = 1) -> Service:
        """Start a worker whose whole process group can be hit."""
        log = self.logs / f"{name}.log"
        worker = start_worker(self.environment, log, name=name, slots=slots, queues=queues, group=True)
        self.workers.append(worker)
        wait_until(lambda: is_ready(worker), f"the worker {name} is ready")
        return worker

    def submit(self, name: str, folder: Path | None = None) -> RunId:
        """Start a run from a process of its own: Celery's application in this one may have another broker."""
        command = [sys.executable, "-m", "orchestrator", "run", name, "--detach", "--json"]
        command += ["-p", f"folder={folder or self.folder}"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return RunId(json.loads(done.stdout.splitlines()[-1])["id"])

    def record(self, run: RunId) -> RunRecord:
        summary = self.reader.summary(run)
        pipeline = load_catalogue(["lessons"]).find(summary.pipeline)
        graph = prepare(pipeline, {"folder": str(self.folder)}, queues=settings().queues).graph
        return self.reader.read(run, graph)

    def conclude(self, run: RunId) -> RunRecord:
        """Wait until the run is over and written down."""
        wait_until(lambda: self.reader.concluded(run), "the run is concluded", 150)
        return self.record(run)

    def notes(self, text: str, folder: Path | None = None) -> int:
        """How often stages have said this."""
        file = (folder or self.folder) / "notes"
        return sum(line.startswith(text) for line in file.read_text().splitlines()) if file.exists() else 0

    def open(self, gate: str, folder: Path | None = None) -> None:
        ((folder or self.folder) / gate).touch()

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


def hit(worker: Service, number: signal.Signals) -> None:
    """Send a signal to a worker and all its children."""
    if worker.process.poll() is None:
        worker.signal_all(number)


@pytest.fixture
def school(
    redis_url: str,
    tmp_path: Path,
    surroundings: Callable[[dict[str, str]], None],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[School]:
    """An MLflow server (not started), a supervisor and no worker yet, with stores of their own."""
    for name in ("home", "mlflow", "gates"):
        (tmp_path / name).mkdir()
    server = MlflowServer(tmp_path / "mlflow")
    environment = {
        "REDIS_URL": f"{redis_url}?virtual_host=5",
        "MLFLOW_TRACKING_URI": server.url,
        "ORCHESTRATOR_HOME": str(tmp_path / "home"),
        "ORCHESTRATOR_PIPELINES": "lessons",
        "ORCHESTRATOR_LEASE_SECONDS": "5",
        "PYTHONPATH": f"{HERE}:{HERE.parents[2]}",
    }
    surroundings(environment)
    monkeypatch.syspath_prepend(str(HERE))
    sys.path_importer_cache.pop(str(HERE), None)
    connect(environment["REDIS_URL"]).flushdb()
    school = School(tmp_path / "gates", environment, server, tmp_path)
    coordinator = start(
        [sys.executable, "-m", "orchestrator", "coordinator"], tmp_path / "coordinator.log", {}
    )
    yield school
    coordinator.stop()
    for worker in school.workers:
        hit(worker, signal.SIGCONT)
        hit(worker, signal.SIGKILL)
        worker.process.wait()
    server.kill()
