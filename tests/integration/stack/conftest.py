"""A home of its own for each test, tasks that tell where they ran, and a look at the processes there are."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent

import pytest
from celery import Celery

from orchestrator.settings import settings
from tests.harness.processes import Processes

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


@pytest.fixture
def processes() -> Processes:
    return Processes()


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
