"""A home of its own for each test, tasks that tell where they ran, and a look at the processes there are."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent

import pytest
from celery import Celery

from orchestrator.settings import settings

PROBES = """
import os, time
from pathlib import Path
from celery import current_task, shared_task

@shared_task(name="probe.where", ignore_result=False)
def where():
    return current_task.request.hostname, os.environ["ORCHESTRATOR_HOME"]

@shared_task(name="probe.sleep", ignore_result=False)
def sleep(started):
    Path(started).touch()
    time.sleep(600)
"""


class Processes:
    """The processes of this machine, but for those that other tests keep running."""

    def __init__(self) -> None:
        self._others: set[int] = set()
        self._others = self.of(os.getpid())

    def of(self, pid: int) -> set[int]:
        """What a process has started, and what those have."""
        children: dict[int, list[int]] = {}
        for child, parent in self._parents().items():
            children.setdefault(parent, []).append(child)
        found: set[int] = set()
        todo = [pid]
        while todo:
            for child in children.get(todo.pop(), []):
                found.add(child)
                todo.append(child)
        return found - self._others

    def alive(self, pids: set[int]) -> set[int]:
        """Those that still run; what waits for its parent to take note of its end does not."""
        return pids & self._parents().keys()

    def _parents(self) -> dict[int, int]:
        command = ["ps", "-axo", "pid=,ppid=,stat="]
        table = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        rows = (line.split() for line in table.splitlines())
        return {int(pid): int(parent) for pid, parent, state in rows if not state.startswith("Z")}


@pytest.fixture
def processes() -> Processes:
    return Processes()


@pytest.fixture
def eventually() -> Callable[..., None]:
    """Returns as soon as a condition holds; fails the test after so many seconds."""

    def wait(condition: Callable[[], object], what: str, seconds: float = 15.0) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                pytest.fail(f"waited {seconds:.0f} s in vain until {what}")
            time.sleep(0.02)

    return wait


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """An environment whose stages are the probes, and whose MLflow is said to be the user's own."""
    (tmp_path / "probes.py").write_text(dedent(PROBES))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("ORCHESTRATOR_PIPELINES", "probes")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/users.db")
    monkeypatch.delenv("REDIS_URL", raising=False)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    settings.cache_clear()
    yield monkeypatch
    settings.cache_clear()


@pytest.fixture
def client() -> Iterator[Callable[[str], Celery]]:
    """Makes a Celery client of a Redis."""
    made: list[Celery] = []

    def make(url: str) -> Celery:
        app = Celery("client", broker=url, backend=url, set_as_current=False)
        made.append(app)
        return app

    yield make
    for app in made:
        app.backend.result_consumer.stop()
        app.close()
