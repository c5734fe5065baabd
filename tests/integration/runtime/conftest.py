"""A worker with the tests' own pipelines and the way to run them on it, and clusters of a test's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from orchestrator.artifacts import ArtifactStore
from orchestrator.runs.reader import RunReader
from orchestrator.runs.store import RunStore
from orchestrator.settings import settings
from tests.harness.cluster import LocalCluster
from tests.harness.runner import Runner
from tests.harness.services import Service, start_worker, wait_until_ready, worker_environment

from .secrets_of_stages import SECRETS

HERE = Path(__file__).parent
LIGHT = (
    "runtime_pipelines",
    "mapped_pipelines",
    "misbehaving_stages",
    "turn_pipelines",
    "secret_pipelines",
    "tests.random_graphs.stages",
)
MODULES = (*LIGHT, "model_pipelines")

#: Of the session's worker.
SLOTS = 3


@pytest.fixture(scope="session")
def environment(redis_url: str, home: Path) -> dict[str, str]:
    """What a worker needs to know."""
    return worker_environment(
        redis_url,
        home,
        ",".join(LIGHT),
        HERE,
        ORCHESTRATOR_LEASE_SECONDS="5",
        **SECRETS,
        ORCHESTRATOR_QUEUES="data,training,deployment,spare",  # the last is for workers of a test's own
    )


@pytest.fixture(scope="session")
def worker(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One worker on all three queues, with three slots."""
    log = tmp_path_factory.mktemp("logs") / "worker.log"
    all_of_them = {**environment, "ORCHESTRATOR_PIPELINES": ",".join(MODULES)}
    service = start_worker(all_of_them, log, name="all", slots=SLOTS, queues="data,training,deployment")
    wait_until_ready(service)
    yield service
    service.stop()


@pytest.fixture
def runner(
    worker: Service,
    environment: dict[str, str],
    client: redis.Redis,
    surroundings: Callable[[dict[str, str]], None],
    importable: Callable[[Path], None],
) -> Runner:
    """The way to run pipelines on the session's worker."""
    surroundings(environment)
    importable(HERE)
    runs = RunStore(client, lease_seconds=settings().lease_seconds)
    return Runner(MODULES, ArtifactStore(settings().store_url), runs, RunReader(client))


@pytest.fixture
def cluster(redis_url: str, environment: dict[str, str], tmp_path: Path) -> Iterator[LocalCluster]:
    """Workers of the test's own, which it starts itself, with a Redis database that no other worker reads."""
    own = {**environment, "REDIS_URL": f"{redis_url}?virtual_host=5"}
    with LocalCluster.up(own, tmp_path) as cluster:
        cluster.reader.client.flushdb()
        yield cluster
