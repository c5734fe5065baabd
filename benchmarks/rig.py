"""What the measurements run on: a private Redis, a worker, and everything else in a temporary folder."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import chdir, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.artifacts import ArtifactStore
from orchestrator.redis_url import socket_url
from orchestrator.run_id import RunId
from orchestrator.runs.connection import connect
from orchestrator.runs.presence import present_workers
from orchestrator.runs.reader import RunReader
from orchestrator.runs.store import RunStore
from orchestrator.settings import settings
from orchestrator.stack.private_redis import (
    SOCKET,
    private_folder,
    remove_folder,
    start_redis,
    wait_for_redis,
)
from orchestrator.stack.process import Process, wait_until

if TYPE_CHECKING:
    from redis import Redis

ROOT = Path(__file__).resolve().parents[1]
QUEUE = "data"
_READY_SECONDS, _END_SECONDS = 120.0, 15.0


@dataclass(frozen=True)
class Rig:
    """A Redis that only the benchmarks use, and the ways to it."""

    folder: Path
    redis: Redis
    store: ArtifactStore
    runs: RunStore
    reader: RunReader

    @property
    def store_folder(self) -> Path:
        """Where the store's files are."""
        return Path(self.store.url.removeprefix("file://"))

    def seconds_waited(self, run: RunId) -> float:
        """From a run's submission to the start of its first stage."""
        record = self.reader.summary(run)
        if record.started is None or record.submitted is None:
            raise ValueError(f"{run} has no times")
        return (record.started - record.submitted).total_seconds()

    @contextmanager
    def worker(
        self, *, slots: int, queues: Sequence[str] = (QUEUE,), name: str = "bench", more_pipelines: str = ""
    ) -> Iterator[None]:
        """One worker process with so many children, which runs our stages.

        `more_pipelines` is a module that no other row's worker is to load.
        """
        command = ["celery", "-A", "workers", "worker", "-Q", ",".join(queues)]
        pipelines = ",".join(filter(None, (os.environ["ORCHESTRATOR_PIPELINES"], more_pipelines)))
        environment = {**os.environ, "ORCHESTRATOR_PIPELINES": pipelines}
        with self._started(command, name, slots, environment, lambda: self._has(name)):
            try:
                yield
            finally:
                self.redis.delete(*self.redis.keys("orc:worker:*"), "none")

    @contextmanager
    def raw_worker(self, *, slots: int) -> Iterator[None]:
        """One worker process of plain Celery with so many children, which runs the baseline's tasks."""
        from benchmarks.raw import QUEUE, app

        def answers() -> bool:
            return bool(app.control.ping([f"{QUEUE}@localhost"], timeout=0.5))

        command = ["celery", "-A", "benchmarks.raw", "worker", "-Q", QUEUE]
        with self._started(command, QUEUE, slots, os.environ, answers):
            yield

    @contextmanager
    def _started(
        self,
        command: Sequence[str],
        name: str,
        slots: int,
        environment: Mapping[str, str],
        is_ready: Callable[[], bool],
    ) -> Iterator[None]:
        options = ["-c", str(slots), "-n", f"{name}@localhost", "--without-gossip", "--without-mingle"]
        log = self.folder / f"{name}.log"
        worker = Process.start(
            name, [sys.executable, "-m", *command, *options], log=log, environment=environment
        )
        try:
            wait_until(lambda: worker.exit_status is not None or is_ready(), _READY_SECONDS)
            if not is_ready():
                raise worker.failure("did not get ready")
            yield
        finally:
            worker.signal(signal.SIGTERM)
            worker.end(_END_SECONDS)

    def _has(self, worker: str) -> bool:
        return any(each.name == f"{worker}@localhost" for each in present_workers(self.redis))


@contextmanager
def rig() -> Iterator[Rig]:
    """Start the Redis, and have this process and its children use it and nothing of the user's."""
    folder = private_folder()
    environment = _environment(folder)
    redis = start_redis(folder, data=None, log=folder / "redis.log", environment=environment)
    before = dict(os.environ)
    try:
        wait_for_redis(redis, folder)
        os.environ.clear()
        os.environ.update(environment)
        settings.cache_clear()
        with chdir(folder):  # away from the user's .env
            client = connect(environment["REDIS_URL"])
            runs = RunStore(client, lease_seconds=settings().lease_seconds)
            yield Rig(folder, client, ArtifactStore(settings().store_url), runs, RunReader(client))
            gc.collect()  # results unsubscribe when they are collected, while there is a Redis
            client.close()
    finally:
        os.environ.clear()
        os.environ.update(before)
        settings.cache_clear()
        redis.signal(signal.SIGTERM)
        redis.end(_END_SECONDS)
        remove_folder(folder)


def _environment(folder: Path) -> dict[str, str]:
    own = ("ORCHESTRATOR_", "MLFLOW_", "CELERY_", "REDIS_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    return {
        **kept,
        "REDIS_URL": socket_url(folder / SOCKET),
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'mlflow.db'}",
        "ORCHESTRATOR_HOME": str(folder / "home"),
        "ORCHESTRATOR_PIPELINES": "benchmarks.stages,benchmarks.preloaded",
        "PYTHONPATH": str(ROOT),
        "PYTHONWARNINGS": "ignore",
    }


def unconfigured(home: Path) -> dict[str, str]:
    """The environment of somebody who has configured nothing, and whose stacks are in this folder."""
    own = ("ORCHESTRATOR_", "MLFLOW_", "REDIS_", "PYTHON")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    return {**kept, "ORCHESTRATOR_HOME": str(home), "PYTHONPATH": str(ROOT)}
