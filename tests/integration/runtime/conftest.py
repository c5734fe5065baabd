"""A worker with the tests' own pipelines, and a way to run one of them to its end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis

from orchestrator.archive.specification import Specification
from orchestrator.artifacts import ArtifactStore
from orchestrator.authoring.pipeline import Pipeline
from orchestrator.lifecycle.discovery import load_catalogue
from orchestrator.lifecycle.submission import Prepared, prepare, submit
from orchestrator.run_id import RunId
from orchestrator.runs.connection import connect
from orchestrator.runs.reader import RunReader
from orchestrator.runs.record import NodeRecord, RunRecord
from orchestrator.runs.store import RunStore
from orchestrator.settings import settings

from ..conftest import Service, is_ready, start_worker, wait_until

HERE = Path(__file__).parent
LIGHT = ("stages", "unruly", "tests.random_graphs.stages")
MODULES = (*LIGHT, "learning")


@dataclass(frozen=True)
class Runner:
    """Submits pipelines to the session's worker."""

    store: ArtifactStore
    runs: RunStore
    reader: RunReader

    def pipeline(self, name: str) -> Pipeline[Any]:
        return load_catalogue(MODULES).find(name)

    def prepare(self, name: str, **parameters: object) -> Prepared:
        return prepare(self.pipeline(name), parameters, queues=settings().queues)

    def submit(self, name: str, **parameters: object) -> RunId:
        return submit(self.prepare(name, **parameters), store=self.store, runs=self.runs)

    def run(self, name: str, **parameters: object) -> RunRecord:
        """Run a pipeline to its end, and until all about it is written down."""
        prepared = self.prepare(name, **parameters)
        run = submit(prepared, store=self.store, runs=self.runs)
        wait_until(lambda: self.reader.concluded(run), f"{name} is concluded", 40)
        return self.reader.read(run, prepared.graph)


#: Of the session's worker.
SLOTS = 3


def nodes_of(record: RunRecord) -> dict[str, NodeRecord]:
    return {node.name: node for node in record.nodes}


def states_of(record: RunRecord) -> dict[str, str]:
    return {node.name: node.state.value for node in record.nodes}


@pytest.fixture(scope="session")
def environment(redis_url: str, home: Path) -> dict[str, str]:
    """What a worker needs to know."""
    return {
        "REDIS_URL": redis_url,
        "ORCHESTRATOR_HOME": str(home),
        "ORCHESTRATOR_PIPELINES": ",".join(LIGHT),
        "ORCHESTRATOR_LEASE_SECONDS": "5",
        "ORCHESTRATOR_QUEUES": "data,training,deployment,spare",  # the last is for workers of a test's own
        "PYTHONPATH": f"{HERE}:{HERE.parents[2]}",
    }


@pytest.fixture(scope="session")
def worker(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One worker on all three queues, with three slots."""
    log = tmp_path_factory.mktemp("logs") / "worker.log"
    all_of_them = {**environment, "ORCHESTRATOR_PIPELINES": ",".join(MODULES)}
    service = start_worker(all_of_them, log, name="all", slots=SLOTS, queues="data,training,deployment")
    wait_until(lambda: is_ready(service), "the worker is ready")
    yield service
    service.stop()


@pytest.fixture
def runner(
    worker: Service,
    environment: dict[str, str],
    client: redis.Redis,
    surroundings: Callable[[dict[str, str]], None],
    monkeypatch: pytest.MonkeyPatch,
) -> Runner:
    """The way to run pipelines on the session's worker."""
    surroundings(environment)
    monkeypatch.syspath_prepend(str(HERE))
    sys.path_importer_cache.pop(str(HERE), None)
    runs = RunStore(client, lease_seconds=settings().lease_seconds)
    return Runner(ArtifactStore(settings().store_url), runs, RunReader(client))


@dataclass(frozen=True)
class Crew:
    """Workers that come and go, with a Redis database that no other worker reads."""

    runner: Runner
    environment: dict[str, str]
    folder: Path
    services: dict[str, Service]

    def start(self, name: str, *, slots: int = 1, **settings: str) -> Service:
        """Start a worker, and wait until it takes messages."""
        (service,) = self.start_all(name, slots=slots, **settings)
        return service

    def start_all(self, *names: str, slots: int = 1, **settings: str) -> list[Service]:
        """Start several at the same time."""
        services = [self._launch(name, slots, settings) for name in names]
        wait_until(lambda: all(map(is_ready, services)), f"{', '.join(names)} are ready")
        return services

    def _launch(self, name: str, slots: int, settings: dict[str, str]) -> Service:
        variables = {f"ORCHESTRATOR_{key.upper()}": value for key, value in settings.items()}
        log = self.folder / f"{name}.log"
        environment = {**self.environment, **variables}
        service = start_worker(environment, log, name=name, slots=slots, queues="data", group=True)
        self.services[name] = service
        return service

    def submit(self, pipeline: str, **parameters: object) -> RunId:
        """Submit a run by the command line: this process' application is bound to the session's database."""
        words = [word for name, value in parameters.items() for word in ("-p", f"{name}={value}")]
        told = self.command("run", pipeline, "--detach", "--json", *words)
        return RunId(json.loads(told.splitlines()[-1])["id"])

    def command(self, *words: str) -> str:
        """Call the command line; returns what it printed."""
        command = [sys.executable, "-m", "orchestrator", *words]
        environment = {**os.environ, **self.environment}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def nodes(self, run: RunId) -> dict[str, NodeRecord]:
        """The run's nodes, by name."""
        graph = Specification.read(self.runner.store, run).graph
        return nodes_of(self.runner.reader.read(run, graph))


@pytest.fixture
def crew(
    redis_url: str,
    environment: dict[str, str],
    surroundings: Callable[[dict[str, str]], None],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Iterator[Crew]:
    """The way to start workers of the test's own."""
    own = f"{redis_url}?virtual_host=5"
    alone = {**environment, "REDIS_URL": own}
    surroundings(alone)
    monkeypatch.syspath_prepend(str(HERE))
    sys.path_importer_cache.pop(str(HERE), None)
    client = connect(own)
    client.flushdb()
    runs = RunStore(client, lease_seconds=settings().lease_seconds)
    runner = Runner(ArtifactStore(settings().store_url), runs, RunReader(client))
    made = Crew(runner, alone, tmp_path, {})
    yield made
    for service in made.services.values():
        if service.process.poll() is None:
            service.signal_all(signal.SIGKILL)
            service.process.wait()
    client.close()
