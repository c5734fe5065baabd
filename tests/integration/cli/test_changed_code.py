"""The user's code changes while workers run: they take it over, refuse it, or keep to their own."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.harness.waiting import wait_until

from .conftest import Shell

pytestmark = [pytest.mark.stack, pytest.mark.slow, pytest.mark.timeout(300)]

STAGES = """
from pathlib import Path
from time import sleep

from orchestrator import pipeline, stage
from shop.helpers import factor


@stage(cache=True)
def total(n: int) -> int:
    return n * factor()


@stage
def wait(gate: str) -> int:
    before = factor()
    while not Path(gate).exists():
        sleep(0.02)
    return before


@stage
def twice(x: int) -> int:
    return 2 * x


@pipeline
def sums(n: int = 2) -> None:
    twice(total(n))


@pipeline
def slow(gate: str) -> None:
    twice(wait(gate))
"""


@dataclass(frozen=True)
class UserProject:
    """A project with one package, and its command line."""

    shell: Shell

    def edit(self, helpers: str, **others: str) -> None:
        """Change what the stages are made of; a length of its own keeps Python from using an old .pyc."""
        folder = self.shell.home / "shop"
        folder.mkdir(exist_ok=True)
        texts = {"__init__": "", "stages": STAGES, "helpers": helpers, **others}
        for name, text in texts.items():
            (folder / f"{name}.py").write_text(text)

    def nodes(self, *words: str) -> dict[str, Any]:
        """Run a command to its end; the nodes of the run that it tells of, by name."""
        done = self.shell(*words, "--json", seconds=90)
        assert done.out, done.err
        run = done.last_json
        return {"run": run} | {node["name"]: node for node in run["nodes"]}

    def show(self, nodes: dict[str, Any]) -> str:
        """What people are shown of a run, without its line breaks."""
        return " ".join(self.shell.where(COLUMNS="200")("show", nodes["run"]["id"]).out.split())

    @contextmanager
    def worker(self, **variables: str) -> Iterator[subprocess.Popen[str]]:
        """A plain worker, as on a machine of its own."""
        with self.shell.where(**variables).start("worker", "data", "--slots", "2") as process:
            try:
                yield process
            finally:
                process.send_signal(signal.SIGTERM)
                process.communicate(timeout=30)


@pytest.fixture
def project(redis_url: str, tmp_path: Path) -> UserProject:
    variables = {
        "ORCHESTRATOR_PIPELINES": "shop",
        "PYTHONPATH": str(tmp_path),
        "PYTHONDONTWRITEBYTECODE": "1",
        "REDIS_URL": f"{redis_url}?virtual_host=9",
    }
    made = UserProject(Shell(tmp_path, variables))
    made.edit("def factor() -> int:\n    return 10\n")
    return made


def raising(number: int) -> str:
    return f"def factor() -> int:\n    raise RuntimeError('no factor {number}')\n"


def giving(number: int) -> str:
    return f"def factor() -> int:\n    return {number}\n"


def test_a_worker_takes_changed_code_over_where_it_may(project: UserProject) -> None:
    with project.worker(ORCHESTRATOR_CODE="reload") as process:
        first = project.nodes("run", "sums")
        assert first["twice"]["value"] == 40
        project.edit(giving(700))
        third = project.nodes("run", "sums")
        assert third["twice"]["value"] == 2800
        assert f"{first['run']['id']}, shop.helpers.factor has changed" in project.show(third)
        project.edit(raising(1))
        failed = project.nodes("run", "sums")
        assert "no factor 1" in failed["run"]["error"]
        project.edit(giving(5))
        again = project.nodes("resume", failed["run"]["id"])
        assert again["twice"]["value"] == 20
        assert again["total"]["reused"] is False
        assert process.poll() is None


def test_a_worker_refuses_other_code_and_names_both_sides(project: UserProject) -> None:
    with project.worker():
        assert project.nodes("run", "sums")["run"]["state"] == "succeeded"
        project.edit(giving(700))
        refused = project.nodes("run", "sums")
    assert refused["run"]["state"] == "failed"
    (attempt,) = refused["total"]["attempts"]
    for told in ("OtherCode", "shop.helpers.factor is not the run's here", "sent from", "at worker data@"):
        assert told in attempt["error"]
    with project.worker():
        assert project.nodes("resume", refused["run"]["id"])["twice"]["value"] == 2800


def test_a_worker_may_be_told_to_keep_to_its_own_code(project: UserProject) -> None:
    with project.worker(ORCHESTRATOR_CODE="worker"):
        assert project.nodes("run", "sums")["twice"]["value"] == 40
        project.edit(giving(700))
        assert project.nodes("run", "sums", "-p", "n=3")["twice"]["value"] == 60
    with project.worker():
        assert project.nodes("run", "sums", "-p", "n=3")["twice"]["value"] == 4200


@pytest.mark.timeout(600)
def test_a_stack_that_is_up_takes_changed_code_over_while_it_runs_stages(
    project: UserProject, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    alone = UserProject(
        Shell(project.shell.home, {k: v for k, v in project.shell.variables.items() if k != "REDIS_URL"})
    )
    assert alone.shell("up", "--slots", "data=2", seconds=240).status == 0
    try:
        alone.edit(raising(1))
        failed = alone.nodes("run", "sums")
        assert "no factor 1" in failed["run"]["error"]
        alone.edit(giving(31))
        again = alone.nodes("resume", failed["run"]["id"])
        assert again["twice"]["value"] == 124
        running = alone.nodes("run", "slow", "-p", f"gate={gate}", "--detach")["run"]["id"]

        def nodes() -> dict[str, Any]:
            shown = json.loads(alone.shell("show", running, "--json").out)
            return {node["name"]: node for node in shown["nodes"]}

        wait_until(lambda: nodes()["wait"]["state"] == "running", "the slow stage runs")
        alone.edit(giving(5000))
        assert alone.nodes("run", "sums")["twice"]["value"] == 20000
        more = STAGES.replace("sums", "more_sums").replace("slow", "slower")
        alone.edit(giving(5000), added=more)
        assert alone.nodes("run", "more_sums")["twice"]["value"] == 20000
        gate.touch()
        wait_until(lambda: nodes()["twice"]["state"] == "succeeded", "the slow run goes on")
        assert nodes()["wait"]["value"] == 31
        assert len(nodes()["wait"]["attempts"]) == 1
    finally:
        assert alone.shell("down", seconds=60).status == 0
