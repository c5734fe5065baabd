"""The command line as a process, on a Redis and a worker of the tests' own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from tests.harness import shell
from tests.harness.services import Service, start_worker, wait_until_ready

HERE = Path(__file__).parent


class Shell(shell.Shell):
    """The command line with the pipelines of these tests, unless a variable says otherwise."""

    defaults: ClassVar = {"ORCHESTRATOR_PIPELINES": "cli_pipelines", "PYTHONPATH": str(HERE)}


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
    environment = Shell(joined_home, {"REDIS_URL": own_redis}).environment
    log = joined_home / "worker.log"
    service = start_worker(environment, log, name="data", slots=2, queues="data")
    wait_until_ready(service)
    yield service
    service.stop()


@pytest.fixture
def joined(own_redis: str, joined_home: Path, data_worker: Service) -> Shell:
    """A command line on a Redis with a worker for the queue `data`."""
    return Shell(joined_home, {"REDIS_URL": own_redis})
