"""A project that `init` has made: its tests pass with the shipped fixture, and its pipeline runs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness.shell import OURS

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="session")
def environment() -> dict[str, str]:
    """Nothing of ours but the code."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    return {**inherited, "PYTHONPATH": str(ROOT)}


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory, environment: dict[str, str]) -> Path:
    """Made as the README says."""
    folder = tmp_path_factory.mktemp("own")
    python(folder, environment, "-m", "orchestrator", "init", "churn")
    return folder / "churn"


def python(folder: Path, environment: dict[str, str], *words: str) -> str:
    """What it printed; it has to succeed."""
    done = subprocess.run(
        [sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True, timeout=110
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_its_tests_pass(project, environment):
    told = python(project, environment, "-m", "pytest", "-p", "orchestrator.pytest_plugin", "-W", "error")
    assert "4 passed" in told
    assert not (project / ".orchestrator").exists()


@pytest.mark.slow
def test_its_pipeline_runs_without_an_installation(project, environment):
    assert '"state":"succeeded"' in python(
        project, environment, "-m", "orchestrator", "run", "churn", "--json"
    ).replace(" ", "")


def test_the_plugin_costs_other_test_suites_next_to_nothing(environment, tmp_path):
    heavy = "('pydantic', 'celery', 'redis', 'pandas', 'mlflow', 'typer')"
    loaded = (
        f"import sys, orchestrator.pytest_plugin; print(*[name for name in {heavy} if name in sys.modules])"
    )
    assert python(tmp_path, environment, "-c", loaded).strip() == ""
