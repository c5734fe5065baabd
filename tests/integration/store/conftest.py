"""A worker whose artifact store the tests may fill, lock and damage, and the command line to use it with."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from orchestrator.archive.manifest import Manifest
from orchestrator.archive.specification import Specification
from orchestrator.artifacts import ArtifactStore
from orchestrator.artifacts.digest import blob_key
from orchestrator.artifacts.tree import Tree, digests_in
from orchestrator.authoring.graph import Graph
from orchestrator.run_id import RunId
from orchestrator.runs.connection import connect
from orchestrator.runs.reader import RunReader
from orchestrator.runs.record import NodeRecord, RunRecord

from ..conftest import is_ready, private_redis, start_worker, wait_until

HERE = Path(__file__).parent
MODULE = "keeping"


@dataclass(frozen=True)
class Run:
    """A run of the test's own, as it stands."""

    id: RunId
    graph: Graph
    store: ArtifactStore
    reader: RunReader

    @property
    def record(self) -> RunRecord:
        return self.reader.read(self.id, self.graph)

    def node(self, name: str) -> NodeRecord:
        return next(node for node in self.record.nodes if node.name == name)

    def wait_for(self, node: str, state: str) -> None:
        wait_until(lambda: self.node(node).state == state, f"{node} is {state}")

    def wait_for_end(self) -> None:
        wait_until(lambda: self.reader.concluded(self.id), "the run is concluded", 90)

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


@dataclass(frozen=True)
class Shell:
    """The command line, on the worker and the store of the test."""

    environment: dict[str, str]
    reader: RunReader

    def submit(self, pipeline: str, **parameters: object) -> Run:
        given = [part for name, value in parameters.items() for part in ("-p", f"{name}={value}")]
        said = self("run", pipeline, *given, "--detach", "--json")
        run = RunId(json.loads(said.stdout.splitlines()[-1])["id"])
        store = ArtifactStore(self.environment["ORCHESTRATOR_STORE"])
        return Run(run, Specification.read(store, run).graph, store, self.reader)

    def run(self, pipeline: str, **parameters: object) -> Run:
        """Submit, and wait for the end."""
        run = self.submit(pipeline, **parameters)
        run.wait_for_end()
        return run

    def resume(self, run: Run) -> str:
        """Carry a run on, and wait for its end; what was said on the way."""
        said = self("resume", run.id, "--json").stderr
        run.wait_for_end()
        return said

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "orchestrator", *arguments]
        environment = {**os.environ, **self.environment}
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=90, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    """What a worker needs to know: a Redis of its own, and a store that `small_disk` may lie under."""
    with surrounded(tmp_path) as environment:
        yield environment


@pytest.fixture
def shell(environment: dict[str, str], tmp_path: Path) -> Iterator[Shell]:
    """The command line, and a worker for it."""
    with at_work(environment, tmp_path / "worker.log") as shell:
        yield shell


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """The same for tests that damage nothing but what their own run made."""
    folder = tmp_path_factory.mktemp("shared")
    with surrounded(folder) as environment, at_work(environment, folder / "worker.log") as shell:
        yield shell


@contextmanager
def surrounded(folder: Path) -> Iterator[dict[str, str]]:
    with private_redis() as url:
        yield {
            "REDIS_URL": url,
            "ORCHESTRATOR_HOME": str(folder / "home"),
            "ORCHESTRATOR_STORE": str(folder / "disk" / "store"),
            "ORCHESTRATOR_PIPELINES": MODULE,
            "PYTHONPATH": f"{HERE}:{HERE.parents[2]}",
        }


@contextmanager
def at_work(environment: dict[str, str], log: Path) -> Iterator[Shell]:
    service = start_worker(environment, log, name="own", slots=2, queues="data,training")
    client = connect(environment["REDIS_URL"])
    try:
        wait_until(lambda: is_ready(service), "the worker is ready")
        yield Shell(environment, RunReader(client))
    finally:
        service.stop()
        client.close()


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
