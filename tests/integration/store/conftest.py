"""A cluster whose artifact store the tests may fill, lock and damage."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import pytest

from orchestrator.archive.manifest import Manifest
from orchestrator.archive.specification import Specification
from orchestrator.artifacts import ArtifactStore
from orchestrator.artifacts.digest import blob_key
from orchestrator.artifacts.tree import Tree, digests_in
from orchestrator.authoring.graph import Graph
from orchestrator.run_id import RunId
from orchestrator.runs.record import NodeRecord, RunRecord
from tests.harness.cluster import LocalCluster
from tests.harness.redis_server import private_redis
from tests.harness.runner import nodes_of
from tests.harness.services import worker_environment
from tests.harness.waiting import wait_until

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Run:
    """A run of the test's own, as it stands."""

    id: RunId
    graph: Graph
    cluster: LocalCluster

    @classmethod
    def submit(cls, cluster: LocalCluster, pipeline: str, **parameters: object) -> Self:
        run = cluster.submit(pipeline, **parameters)
        return cls(run, Specification.read(cluster.store, run).graph, cluster)

    @classmethod
    def finish(cls, cluster: LocalCluster, pipeline: str, **parameters: object) -> Self:
        """Submit, and wait for the end."""
        run = cls.submit(cluster, pipeline, **parameters)
        run.wait_for_end()
        return run

    def resume(self) -> str:
        """Carry the run on, and wait for its end; what was said on the way."""
        said = self.cluster.shell.succeed("resume", self.id, "--json").err
        self.wait_for_end()
        return said

    @property
    def store(self) -> ArtifactStore:
        return self.cluster.store

    @property
    def record(self) -> RunRecord:
        return self.cluster.reader.read(self.id, self.graph)

    def node(self, name: str) -> NodeRecord:
        return nodes_of(self.record)[name]

    def wait_for(self, node: str, state: str) -> None:
        wait_until(lambda: self.node(node).state == state, f"{node} is {state}")

    def wait_for_end(self) -> None:
        self.cluster.wait_until_concluded(self.id, 90)

    def file(self, name: str) -> Path:
        """One of the run's files in the store."""
        return Path(self.store.url) / "runs" / self.id / name

    def output(self, node: str) -> Tree | None:
        """What a node has committed."""
        manifest = Manifest.read(self.store, self.id, node)
        return manifest.output if manifest else None

    def blobs(self, tree: Tree | None) -> list[Path]:
        """The files of the blobs that an output is kept in, made writable."""
        assert tree is not None
        paths = [Path(self.store.url) / blob_key(digest) for digest in digests_in(tree)]
        for path in paths:
            path.chmod(0o644)
        return paths


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[LocalCluster]:
    """One worker, whose store `small_disk` may lie under."""
    with at_work(tmp_path) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def shared_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    """The same for tests that damage nothing but what their own run made."""
    with at_work(tmp_path_factory.mktemp("shared")) as cluster:
        yield cluster


@contextmanager
def at_work(folder: Path) -> Iterator[LocalCluster]:
    """A cluster with a Redis and a store of its own, and one worker."""
    (home := folder / "home").mkdir()
    with private_redis() as url:
        store = str(folder / "disk" / "store")
        environment = worker_environment(url, home, "store_pipelines", HERE, ORCHESTRATOR_STORE=store)
        with LocalCluster.up(environment, folder) as cluster:
            cluster.start("worker", slots=2, queues="data,training")
            yield cluster


def executions(path: Path) -> Counter[str]:
    """How often each node ran."""
    return Counter(path.read_text().split())


def fill(disk: Path, *, leave: int) -> None:
    """Fill a disk but for so many bytes; the file is called ballast."""
    status = os.statvfs(disk)
    with (disk / "ballast").open("wb") as file:
        file.write(b"\0" * (status.f_bavail * status.f_frsize - leave))


def alter(path: Path) -> None:
    """Change one byte."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def cut_short(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def remove(path: Path) -> None:
    path.unlink()
