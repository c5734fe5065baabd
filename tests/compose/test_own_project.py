"""A project from nothing but Python and the wheel: made in a container, then run on a stack of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.stack.ports import free_port
from tests.harness.wheel import build_wheel

from .stack import SIZES, docker

#: The project, its image and its name in Compose: such as nobody has.
NAME = "orchestrator-own-tested"
PACKAGE = NAME.replace("-", "_")
ALONE = f"{NAME}:alone"

#: uv installs in a quarter of the time that pip takes, with which the project's own image is built.
DOCKERFILE = """\
FROM python:3.13-slim
COPY *.whl /wheel/
RUN --mount=type=cache,target=/root/.cache/uv pip install --quiet uv \\
    && uv pip install --quiet --system "$(ls /wheel/*.whl)[embedded,test]"
"""


@pytest.fixture(scope="module")
def project(engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What `init` made in a container that has the wheel, and nothing else of this tree."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "context").mkdir()
    shutil.copy(build_wheel(folder), folder / "context")
    (folder / "context" / "Dockerfile").write_text(DOCKERFILE)
    docker("build", "--quiet", "--tag", ALONE, str(folder / "context"), seconds=600)
    (folder / "projects").mkdir()
    in_container(folder / "projects", f"orchestrator init {NAME}")
    yield folder / "projects" / NAME
    docker("rmi", ALONE)


def in_container(folder: Path, script: str) -> str:
    """What a script printed in a container, as the user who runs these tests."""
    return docker(
        "run", "--rm", "--init", "--user", f"{os.getuid()}:{os.getgid()}",
        "--env", "HOME=/tmp", "--env", "USER=tests",
        "--volume", f"{folder}:/projects", "--workdir", "/projects",
        ALONE, "sh", "-ec", script, seconds=300,
    )  # fmt: skip


@pytest.mark.timeout(400)
def test_in_the_container_its_tests_pass_and_its_pipeline_runs(project: Path):
    assert "4 passed" in in_container(project, "pytest -p no:cacheprovider")
    told = in_container(project, f"orchestrator run {PACKAGE}")
    assert f"✓ {PACKAGE} succeeded" in told
    assert "result.accepted  yes" in told


@pytest.fixture
def tables(project: Path, tmp_path: Path) -> Iterator[Path]:
    """The stack of the project is up, whose containers have this folder as their data."""
    (tables := tmp_path / "tables").mkdir()
    subprocess.run(["sh", "docker/write-env"], cwd=project, check=True, capture_output=True)
    own = {"FLOWER_PORT": str(free_port(15555)), "MLFLOW_PORT": str(free_port(15000)), "MLFLOW_WORKERS": "1"}
    with (project / ".env").open("a") as file:
        file.writelines(f"{name}={value}\n" for name, value in {**SIZES, **own}.items())
        file.write(f"DATA_FOLDER={tables}\n")
    compose(project, "down", "--volumes")  # of a session that was killed
    try:
        compose(project, "up", "--build", "--detach", "--wait")
        yield tables
    finally:
        print(compose(project, "logs", "--no-color", "--tail", "50", check=False))
        compose(project, "down", "--volumes", "--timeout", "5")
        docker("rmi", NAME, check=False)


def compose(project: Path, *words: str, check: bool = True) -> str:
    return docker("compose", *words, folder=project, seconds=600, check=check)


@pytest.mark.timeout(900)
def test_on_its_own_stack_its_pipeline_runs_with_tables_of_the_data_folder(project: Path, tables: Path):
    customers = (project / "data" / "customers.csv").read_text().splitlines(keepends=True)
    (tables / "first.csv").write_text("".join(customers[:201]))
    coordinator = ["exec", "-T", "coordinator", "orchestrator"]
    told = compose(project, *coordinator, "run", PACKAGE, "-p", "path=data/first.csv", "--json")
    run = json.loads(told.splitlines()[-1])
    assert run["state"] == "succeeded"
    at_work = {node["attempts"][0]["worker"].partition("@")[0] for node in run["nodes"] if node["attempts"]}
    assert at_work == {"data", "training"}
    report = json.loads(compose(project, *coordinator, "output", run["id"], "evaluate"))
    assert report["baseline"] == pytest.approx(0.56)
    assert report["accuracy"] > report["baseline"]
