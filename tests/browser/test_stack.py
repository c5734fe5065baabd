"""What a person sees of a local stack: Flower's and MLflow's pages, in a real browser."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from orchestrator.stack_state import StackState, read_state

pytestmark = [pytest.mark.browser, pytest.mark.stack, pytest.mark.slow, pytest.mark.timeout(360)]

PATIENCE = 30_000  # milliseconds until a page shows what it should


def orchestrator(*words: str, home: Path) -> str:
    """Run a command of ours to its end; returns what it printed."""
    environment = {**os.environ, "ORCHESTRATOR_HOME": str(home)}
    command = [sys.executable, "-m", "orchestrator", *words]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The home of a stack that is up, on which digits ran."""
    home = tmp_path_factory.mktemp("home")
    orchestrator("up", home=home)
    yield home
    orchestrator("down", home=home)


@pytest.fixture(scope="module")
def stack(home: Path) -> StackState:
    """The stack that is up."""
    state = read_state(home)
    assert state is not None
    return state


@pytest.fixture(scope="module")
def run(home: Path, stack: StackState) -> dict[str, str]:
    """A run of digits on it."""
    printed = orchestrator("run", "digits", "--json", home=home)
    return json.loads(printed.splitlines()[-1])


def test_flower_shows_the_workers(page: Page, stack: StackState, run: dict[str, str]) -> None:
    page.goto(f"{stack.flower_url}/workers")
    for queue in ("data", "training", "deployment"):
        expect(page.get_by_role("link", name=f"{queue}@")).to_be_visible(timeout=PATIENCE)


def test_flower_shows_tasks_by_stage_with_their_run_and_node(
    page: Page, stack: StackState, run: dict[str, str]
) -> None:
    page.set_viewport_size({"width": 1800, "height": 1000})
    page.goto(f"{stack.flower_url}/tasks")
    expect(page.get_by_text("pipelines.digits.refit").first).to_be_visible(timeout=PATIENCE)
    expect(page.get_by_text(run["id"]).first).to_be_visible(timeout=PATIENCE)


def test_flower_shows_the_queues(page: Page, stack: StackState, run: dict[str, str]) -> None:
    page.goto(f"{stack.flower_url}/broker")
    for queue in ("data", "training", "deployment"):
        expect(page.get_by_text(queue, exact=True).first).to_be_visible(timeout=PATIENCE)


def test_mlflow_shows_the_run_and_its_nested_runs(page: Page, stack: StackState, run: dict[str, str]) -> None:
    query = f"{stack.mlflow_url}/api/2.0/mlflow/experiments/get-by-name?experiment_name=digits"
    experiment = page.request.get(query).json()["experiment"]["experiment_id"]
    page.goto(f"{stack.mlflow_url}/#/experiments/{experiment}/runs")
    expect(page.get_by_text(run["id"]).first).to_be_visible(timeout=PATIENCE)
    page.goto(f"{stack.mlflow_url}/#/experiments/{experiment}/runs/{run['mlflow_run_id']}")
    expect(page.get_by_text("minimum_accuracy").first).to_be_visible(timeout=PATIENCE)


def test_mlflow_shows_the_promoted_model(page: Page, stack: StackState, run: dict[str, str]) -> None:
    page.goto(f"{stack.mlflow_url}/#/models/digits")
    expect(page.get_by_text("champion").first).to_be_visible(timeout=PATIENCE)
