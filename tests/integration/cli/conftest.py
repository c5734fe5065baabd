"""The command line as a process, on a Redis and a worker of the tests' own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ..conftest import Service, is_ready, start_worker, wait_until

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    status: int
    out: str
    err: str

    @property
    def last_json(self) -> Any:
        """The last line of the output."""
        return json.loads(self.out.splitlines()[-1])


@dataclass(frozen=True)
class Shell:
    """Calls `orchestrator` with an environment of its own, and nothing of ours."""

    home: Path
    variables: dict[str, str]

    @property
    def environment(self) -> dict[str, str]:
        ours = ("ORCHESTRATOR_", "REDIS_", "MLFLOW_", "COLUMNS", "NO_COLOR", "FORCE_COLOR")
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        own = {
            "ORCHESTRATOR_HOME": str(self.home),
            "ORCHESTRATOR_PIPELINES": "orders",
            "PYTHONPATH": str(HERE),
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        }
        return {**inherited, **own, **self.variables}

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start a command, and leave it running."""
        return subprocess.Popen(
            [sys.executable, "-m", "orchestrator", *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment,
            cwd=self.home,
        )

    def __call__(self, *words: str, seconds: float = 60) -> Done:
        """Run a command to its end."""
        with self.start(*words) as process:
            try:
                out, err = process.communicate(timeout=seconds)
            except BaseException:
                process.kill()
                raise
        return Done(process.returncode, out, err)

    def where(self, **variables: str) -> Shell:
        """The same with other variables."""
        return Shell(self.home, {**self.variables, **variables})


@pytest.fixture
def alone(tmp_path: Path) -> Shell:
    """A command line with neither Redis nor stack, and an empty home."""
    home = tmp_path / "home"
    home.mkdir()
    return Shell(home, {})


@pytest.fixture(scope="session")
def joined_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home that the command line and the worker share."""
    return tmp_path_factory.mktemp("cli-home")


@pytest.fixture(scope="session")
def own_redis(redis_url: str) -> str:
    """A database of our own: other tests' workers would take our messages, and do not know our stages."""
    return f"{redis_url}?virtual_host=3"


@pytest.fixture(scope="session")
def data_worker(own_redis: str, joined_home: Path) -> Iterator[Service]:
    """A worker for the queue `data`, and for no other."""
    shell = Shell(joined_home, {"REDIS_URL": own_redis})
    log = joined_home / "worker.log"
    service = start_worker(shell.environment, log, name="data", slots=2, queues="data")
    wait_until(lambda: is_ready(service), "the worker is ready")
    yield service
    service.stop()


@pytest.fixture
def joined(own_redis: str, joined_home: Path, data_worker: Service) -> Shell:
    """A command line on a Redis with a worker for the queue `data`."""
    return Shell(joined_home, {"REDIS_URL": own_redis})
