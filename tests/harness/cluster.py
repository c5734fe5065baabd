"""A local cluster: workers that come and go, and the command line to give them runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from orchestrator.archive.specification import Specification
from orchestrator.artifacts import ArtifactStore
from orchestrator.run_id import RunId
from orchestrator.runs.connection import connect
from orchestrator.runs.reader import RunReader
from orchestrator.runs.record import NodeRecord, RunRecord
from orchestrator.settings import Settings

from .runner import nodes_of
from .services import Service, start_worker, wait_until_ready
from .shell import Shell
from .waiting import wait_until


@dataclass(frozen=True)
class LocalCluster:
    """Workers on a Redis that no others read. Each leads a session, so that it can be hit as a whole.

    Runs are submitted by the command line: this process' Celery application may be bound to another Redis.
    """

    environment: dict[str, str]  #: of workers and commands
    logs: Path
    store: ArtifactStore
    reader: RunReader
    workers: dict[str, Service] = field(default_factory=dict)

    @property
    def shell(self) -> Shell:
        return Shell(Path(self.environment["ORCHESTRATOR_HOME"]), self.environment)

    @classmethod
    @contextmanager
    def up(cls, environment: Mapping[str, str], logs: Path, **others: Any) -> Iterator[Self]:
        """A cluster without workers yet; those that were started are gone with the block."""
        client = connect(environment["REDIS_URL"])
        cluster = cls(dict(environment), logs, store_of(environment), RunReader(client), **others)
        try:
            yield cluster
        finally:
            cluster.kill()
            client.close()

    def start(self, name: str, *, slots: int = 1, queues: str = "data", **settings: str) -> Service:
        """Start a worker, and wait until it takes messages; settings are in addition to the environment's."""
        (service,) = self.start_all(name, slots=slots, queues=queues, **settings)
        return service

    def start_all(self, *names: str, slots: int = 1, queues: str = "data", **settings: str) -> list[Service]:
        """Start several at the same time."""
        variables = {f"ORCHESTRATOR_{key.upper()}": value for key, value in settings.items()}
        environment = {**self.environment, **variables}
        for name in names:
            log = self.logs / f"{name}.log"
            self.workers[name] = start_worker(
                environment, log, name=name, slots=slots, queues=queues, group=True
            )
        started = [self.workers[name] for name in names]
        wait_until_ready(*started)
        return started

    def kill(self) -> None:
        """End all workers at once."""
        for service in self.workers.values():
            service.kill()

    def submit(self, pipeline: str, **parameters: object) -> RunId:
        return self.shell.submit(pipeline, **parameters)

    def record(self, run: RunId) -> RunRecord:
        """The run as it stands."""
        return self.reader.read(run, Specification.read(self.store, run).graph)

    def nodes(self, run: RunId) -> dict[str, NodeRecord]:
        """The run's nodes, by name."""
        return nodes_of(self.record(run))

    def wait_until_concluded(self, run: RunId, seconds: float = 60.0) -> None:
        """Return once the run is over and written down."""
        wait_until(lambda: self.reader.concluded(run), "the run is concluded", seconds)


def store_of(environment: Mapping[str, str]) -> ArtifactStore:
    """Where processes with this environment keep artifacts."""
    home, store = environment["ORCHESTRATOR_HOME"], environment.get("ORCHESTRATOR_STORE", "")
    return ArtifactStore(Settings(home=Path(home), store=store).store_url)
