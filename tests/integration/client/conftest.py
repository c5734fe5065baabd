"""A worker on a Redis database of its own, and the client that gives it runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestrator import connect
from orchestrator.client.client import Client
from orchestrator.messaging.app import follow_settings
from tests.harness.services import Service, start_worker, wait_until_ready, worker_environment
from tests.harness.shell import Shell

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def client_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home that the client and the worker share."""
    return tmp_path_factory.mktemp("client-home")


@pytest.fixture(scope="session")
def environment(redis_url: str, client_home: Path) -> dict[str, str]:
    """What the worker and the client need to know."""
    return worker_environment(
        f"{redis_url}?virtual_host=7",
        client_home,
        "client_pipelines",
        HERE,
        ORCHESTRATOR_QUEUES="data,training,deployment,spare",  # as other tests of this process have them
    )


@pytest.fixture(scope="session")
def client_worker(environment: dict[str, str], client_home: Path) -> Iterator[Service]:
    """A worker for the queue `data`."""
    service = start_worker(environment, client_home / "worker.log", name="data", slots=2, queues="data")
    wait_until_ready(service)
    yield service
    service.stop()


@pytest.fixture
def client(
    client_worker: Service,
    environment: dict[str, str],
    redis_url: str,
    surroundings: Callable[[dict[str, str]], None],
    importable: Callable[[Path], None],
) -> Iterator[Client]:
    """A client of the stack that the worker belongs to.

    Afterwards this process sends to the session's Redis again, as other tests expect.
    """
    surroundings(environment)
    importable(HERE)
    yield connect()
    surroundings({"REDIS_URL": redis_url})
    follow_settings()


@pytest.fixture
def shell(client_worker: Service, environment: dict[str, str], client_home: Path) -> Shell:
    """The command line on the same stack."""
    return Shell(client_home, environment)
