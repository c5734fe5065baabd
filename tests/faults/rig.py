"""What the faults are done to: a Redis with its append-only file, two workers, a coordinator.

Each worker reaches Redis by a way of its own, which can be cut.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from orchestrator.archive.specification import Specification
from orchestrator.artifacts import ArtifactStore
from orchestrator.authoring.pipeline import Pipeline
from orchestrator.compiler.arrange import arrange
from orchestrator.compiler.canvas import Canvas
from orchestrator.lifecycle.discovery import load_catalogue
from orchestrator.lifecycle.submission import prepare, submit
from orchestrator.messaging.app import app
from orchestrator.run_id import RunId
from orchestrator.runs.connection import connect
from orchestrator.runs.reader import RunReader
from orchestrator.runs.store import RunStore
from orchestrator.settings import settings
from orchestrator.stack.redis_program import find_redis
from tests.harness.processes import of_session, outlived
from tests.harness.services import Service, start, start_worker
from tests.harness.waiting import holds

from .http_services import ObjectStore, TrackingServer
from .proxy import Proxy
from .surroundings import Surroundings

if TYPE_CHECKING:
    from redis import Redis

T = TypeVar("T")

HERE = Path(__file__).parent
QUEUES = "data,training"
PIPELINES = "fault_pipeline,tests.random_graphs.stages"
WORKERS, SLOTS = 2, 2
#: Seconds after which a silent worker is taken for dead.
LEASE = 2.0


class Rig:
    """The services, each of which can be hit by itself. All of it lives in one folder."""

    def __init__(self, folder: Path, socket: Path, surroundings: Surroundings) -> None:
        self.folder = folder
        self.surroundings = surroundings
        self._socket = socket
        self._logs = folder / "logs"
        self._starts = 0
        self._replaced: list[tuple[int, float]] = []  #: workers that were killed, and when
        (self.folder / "tmp").mkdir(parents=True)
        self._logs.mkdir()
        self.object_store = ObjectStore(self._logs) if surroundings.object_store else None
        self.tracking = TrackingServer(self._home, self._logs) if surroundings.tracking_server else None
        self._surround()
        self._redis = self._start_redis()
        self.links = [Proxy(self._link(number), socket) for number in range(WORKERS)]
        self.workers = [self._start_worker(number) for number in range(WORKERS)]
        self._coordinator = self._start_coordinator()
        self.client: Redis = connect(str(settings().redis_url))
        self.reader = RunReader(self.client)
        self.runs = RunStore(self.client, lease_seconds=LEASE)
        self.store = ArtifactStore(settings().store_url)
        self.pipeline: Pipeline[..., object] = load_catalogue(["fault_pipeline"]).find("twelve")
        self.prepared = prepare(self.pipeline, {}, queues=settings().queues)

    def submit(self) -> RunId:
        """Start a run of the twelve nodes, with connections of its own, as each command has."""
        return apart(lambda: submit(self.prepared, store=self.store, runs=self.runs))

    def submit_again(self, run: RunId) -> None:
        """Send the first messages of a run once more."""
        canvas = Canvas(app, arrange(Specification.read(self.store, run).graph), run)
        apart(lambda: canvas.start().apply_async(retry=False))

    @property
    def _home(self) -> Path:
        return self.folder / "home"

    def _link(self, worker: int) -> Path:
        """Where a worker reaches Redis."""
        return self.folder / f"redis-{worker}.sock"

    def is_whole(self) -> bool:
        """Whether every worker takes messages, with all its children."""
        return not any(self.missing())

    def missing(self) -> Iterator[str]:
        """What is not as it should be with the services."""
        if self.tracking is not None and not self.tracking.answers():
            yield "the MLflow server does not answer"
        for session, ended in self._replaced:
            if outlived(session, ended):
                yield f"processes of session {session} have outlived their worker"
        for number, worker in enumerate(self.workers):
            if worker.process.poll() is not None:
                yield f"worker {number} has ended by itself: see {worker.log}"
            elif "ready." not in worker.log.read_text(errors="replace"):
                yield f"worker {number} is not ready: see {worker.log}"
            elif len(self.children(number)) != SLOTS:
                yield f"worker {number} has {len(self.children(number))} processes: see {worker.log}"

    def children(self, worker: int) -> list[int]:
        """The processes of a worker's pool."""
        return self.workers[worker].pool()

    def signal_worker(self, worker: Service, number: signal.Signals) -> None:
        """Send a signal to a worker and all its children, as when a machine loses power or sleeps."""
        if worker.process.poll() is None:
            worker.signal_all(number)

    def replace_worker(self, number: int) -> None:
        """Start a worker in the place of one that was killed."""
        self.workers[number].process.wait(10)
        self._replaced.append((self.workers[number].process.pid, time.time()))
        self.workers[number] = self._start_worker(number)

    def kill_redis(self) -> None:
        """End Redis without a word."""
        self._redis.process.kill()
        self._redis.process.wait()

    def restart_redis(self) -> None:
        """Start Redis again with what its append-only file has."""
        self._redis = self._start_redis()

    def appended(self) -> int:
        """How long the append-only file is by now."""
        return self._append_only_file().stat().st_size

    def forget(self, beyond: int) -> None:
        """Cut the append-only file of a Redis that is dead."""
        path = self._append_only_file()
        if path.stat().st_size > beyond:  # it may have been written anew meanwhile
            os.truncate(path, beyond)

    def _append_only_file(self) -> Path:
        """The file that grows: the only one before Redis 7, the last of several since then."""
        found = [path for path in self.folder.rglob("appendonly.aof*") if path.name.endswith(".aof")]
        return max(found, key=lambda path: ("incr" in path.name, path.stat().st_mtime))

    def kill_coordinator(self) -> None:
        """End the coordinator without a word, and start another one."""
        self._coordinator.process.kill()
        self._coordinator.process.wait()
        self._coordinator = self._start_coordinator()

    def scratch_files(self) -> frozenset[str]:
        """What lies where workers and the store keep temporary files, but for what live workers hold."""
        drafts = self.folder.rglob("*#*")
        # A process that is killed leaves its empty folder of multiprocessing; the next one removes our copies
        own = ("pymp-", "orchestrator-copies-")
        temporary = [path for path in (self.folder / "tmp").iterdir() if not path.name.startswith(own)]
        return frozenset(str(path.relative_to(self.folder)) for path in (*drafts, *temporary))

    def stop(self) -> list[str]:
        """Stop everything as a user would; says what did not end."""
        with ThreadPoolExecutor() as pool:
            services = list(self._services())
            ended = pool.map(lambda each: _ends(each[1]), services)
            left = [name for (name, _), well in zip(services, ended, strict=True) if not well]
        self._redis.stop()
        for link in self.links:
            link.stop()
        for service in (self.object_store, self.tracking):
            if service is not None:
                service.stop()
        return [f"{name} did not end, or left a process behind" for name in left]

    def _services(self) -> Iterator[tuple[str, Service]]:
        yield "the coordinator", self._coordinator
        for number, worker in enumerate(self.workers):
            yield f"worker {number}", worker

    def _surround(self) -> None:
        """Let this process and those that it starts know where everything is."""
        for path in (str(HERE.parents[1]), str(HERE)):
            if path not in sys.path:
                sys.path.insert(0, path)
        variables = {
            "REDIS_URL": f"redis+socket://{self._socket}",
            "ORCHESTRATOR_HOME": str(self._home),
            "ORCHESTRATOR_PIPELINES": PIPELINES,
            "ORCHESTRATOR_LEASE_SECONDS": str(LEASE),
            "PYTHONPATH": f"{HERE}:{HERE.parents[1]}",
            "TMPDIR": str(self.folder / "tmp"),
        }
        for absent in ("MLFLOW_TRACKING_URI", "ORCHESTRATOR_STORE"):
            os.environ.pop(absent, None)
        for service in (self.object_store, self.tracking):
            variables |= service.variables if service is not None else {}
        os.environ.update(variables)
        settings.cache_clear()

    def _start_redis(self) -> Service:
        self._socket.unlink(missing_ok=True)
        options = {"port": "0", "unixsocket": str(self._socket), "dir": str(self.folder), "save": ""}
        arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
        service = start([str(find_redis()), *arguments, "--appendonly", "yes"], self._logs / "redis.log", {})
        client = connect(str(settings().redis_url))
        if not holds(client.ping, 20):
            raise RuntimeError(f"Redis did not start: see {service.log}")
        client.close()
        return service

    def _start_worker(self, number: int) -> Service:
        self._starts += 1
        log = self._logs / f"worker-{number}-start-{self._starts}.log"
        own = {
            "REDIS_URL": f"redis+socket://{self._link(number)}",
            "ORCHESTRATOR_PIPELINES": f"preloaded,{PIPELINES}",
        }
        return start_worker(own, log, name=f"w{number}", slots=SLOTS, queues=QUEUES, group=True)

    def _start_coordinator(self) -> Service:
        command = [sys.executable, "-m", "orchestrator", "coordinator"]
        return start(command, self._logs / "coordinator.log", {}, group=True)


def apart(call: Callable[[], T]) -> T:
    """Call in a thread of its own: Celery keeps the connection to its result backend by thread."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(call).result()


def _ends(service: Service) -> bool:
    """Stop a service; whether it ended by itself, with all its processes."""
    group = service.process.pid
    if service.process.poll() is not None:
        return not _exists(group)
    service.process.send_signal(signal.SIGTERM)
    try:
        service.process.wait(20)
    except subprocess.TimeoutExpired:
        service.signal_all(signal.SIGKILL)
        service.process.wait()
        return False
    if holds(lambda: not _exists(group), 2):
        return True
    service.signal_all(signal.SIGKILL)
    return False


def _exists(session: int) -> bool:
    return bool(of_session(session))
