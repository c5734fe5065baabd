"""Real services for the tests: a Redis behind a socket, a worker, an artifact store, an MLflow."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp

import pytest
import redis

from orchestrator.runs.connection import connect
from orchestrator.settings import settings
from orchestrator.stack.redis_program import find_redis


def wait_until(condition: Callable[[], object], what: str, seconds: float = 60.0) -> None:
    """Return as soon as the condition holds; fail the test after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"waited {seconds:.0f} s in vain until {what}")
        time.sleep(0.01)


@dataclass(frozen=True)
class Service:
    """A process of the test's own."""

    process: subprocess.Popen[bytes]
    log: Path

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def signal_all(self, number: signal.Signals) -> None:
        """Signal it and whatever it has started, as a machine that loses power. It leads a session."""
        for process in sorted(of_session(self.process.pid), key=self.process.pid.__ne__):  # itself first
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, number)

    def pool(self) -> list[int]:
        """The processes of a worker's pool."""
        session = os.getsid(self.process.pid)
        return [
            process
            for process, parent, its in all_processes()
            if (parent, its) == (self.process.pid, session)
        ]


def all_processes() -> list[tuple[int, int, int]]:
    """The processes of the machine: id, parent, session."""
    listed = subprocess.run(
        ["ps", "-A", "-o", "pid=,ppid=,sess="], capture_output=True, text=True, check=True
    )
    return [tuple(map(int, line.split())) for line in listed.stdout.splitlines()]  # type: ignore[misc]


def of_session(leader: int) -> list[int]:
    """The processes of a session."""
    return [process for process, _, session in all_processes() if session == leader]


def start(command: list[str], log: Path, environment: dict[str, str], *, group: bool = False) -> Service:
    """Start a process whose output goes to a file; with `group`, it leads a process group."""
    with log.open("ab") as file:
        process = subprocess.Popen(
            command,
            stdout=file,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environment},
            start_new_session=group,
        )
    return Service(process, log)


@contextmanager
def private_redis() -> Iterator[str]:
    """A Redis behind a socket, gone with the block."""
    folder = Path(mkdtemp(prefix="orchestrator-test-"))
    socket = folder / "redis.sock"
    command = [
        str(find_redis()),
        "--port",
        "0",
        "--unixsocket",
        str(socket),
        "--save",
        "",
        "--dir",
        str(folder),
    ]
    service = start(command, folder / "redis.log", {})
    wait_until(socket.exists, "redis listens")
    try:
        yield f"redis+socket://{socket}"
    finally:
        service.stop()
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """A private Redis for the whole session."""
    with private_redis() as url:
        yield url


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the session's artifacts and MLflow files go."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    """A connection to the session's Redis."""
    connection = connect(redis_url)
    yield connection
    connection.close()


def start_worker(
    environment: dict[str, str], log: Path, *, name: str, slots: int, queues: str, group: bool = False
) -> Service:
    """Start a plain Celery worker, as a user would."""
    command = [sys.executable, "-m", "celery", "-A", "workers", "worker", "-Q", queues, "-c", str(slots)]
    options = ["-n", f"{name}@test", "-l", "INFO", "--without-gossip", "--without-mingle"]
    return start([*command, *options], log, environment, group=group)


def is_ready(service: Service) -> bool:
    """Whether a worker takes messages by now."""
    assert service.process.poll() is None, service.log.read_text()
    return "ready." in service.log.read_text()


def knows_of_its_lost_lease(log: Path) -> bool:
    """Whether a worker has noticed: its stage, which has returned, or its heartbeat, which ends the stage."""
    told = log.read_text()
    return "its lease was lost" in told or "is ended: it was taken over" in told


@pytest.fixture
def surroundings(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[dict[str, str]], None]]:
    """Sets this process's environment, and makes the settings follow."""

    def surround(variables: dict[str, str]) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        settings.cache_clear()

    yield surround
    settings.cache_clear()
