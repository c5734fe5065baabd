"""Flower, a worker, and a run of which Flower has something to tell."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.harness.cluster import LocalCluster
from tests.harness.flower import PASSWORD, USER, Flower
from tests.harness.services import worker_environment

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def cluster(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    """A database of our own, with one worker named `data@test`, which serves all queues."""
    folder = tmp_path_factory.mktemp("monitoring")
    environment = worker_environment(
        f"{redis_url}?virtual_host=7",
        folder,
        "monitored_stages",
        HERE,
        MLFLOW_TRACKING_URI=f"sqlite:///{folder}/mlflow.db",
        FLOWER_BASIC_AUTH=f"{USER}:{PASSWORD}",
    )
    with LocalCluster.up(environment, folder) as cluster:
        cluster.start("data", slots=2, queues="data,training,deployment")
        yield cluster


@pytest.fixture
def fail_a_run(cluster: LocalCluster) -> Callable[[], str]:
    """Runs the pipeline to its end, which is a failure; returns the run's id."""

    def run() -> str:
        done = cluster.shell("run", "monitored", "--json")
        assert done.status == 1, done.err
        return str(done.last_json["id"])

    return run


@pytest.fixture
def flower(cluster: LocalCluster, tmp_path: Path) -> Iterator[Flower]:
    """A Flower that is up."""
    flower = Flower(tmp_path, cluster.environment)
    flower.start()
    yield flower
    assert flower.service is not None
    flower.service.stop()
