"""Where pipelines are found, and what is said where names are in each other's way."""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import Shell

PIPELINE = """
from orchestrator import pipeline, stage

@stage
def one() -> int:
    return 1

@pipeline
def mine() -> None:
    one()
"""


@pytest.fixture
def shell(alone: Shell) -> Shell:
    """A command line that looks where it looks by default."""
    return alone.where(ORCHESTRATOR_PIPELINES="")


def listed(shell: Shell) -> list[str]:
    done = shell("pipelines")
    assert done.status == 0, done
    return [line.split()[0] for line in done.out.splitlines() if line.strip()]


@pytest.mark.parametrize("name", ["workers", "orchestrator"])
def test_a_package_that_would_hide_ours_is_refused(alone: Shell, name: str) -> None:
    folder = alone.home / name
    folder.mkdir()
    (folder / "__init__.py").touch()
    script = Shell(alone.home, {"PYTHONSAFEPATH": "1"})
    for words in (["pipelines"], ["run", "order"], ["worker", "data"]):
        done = script(*words)
        assert done.status == 2
        assert done.err.startswith(f"NameTaken: {folder}/__init__.py has the name")
        assert "rename it" in done.err


def test_a_folder_of_data_named_workers_is_in_nobodys_way(alone: Shell) -> None:
    (alone.home / "workers").mkdir()
    assert alone("run", "order").status == 0


def test_a_folder_of_pipelines_takes_the_place_of_those_that_ship_and_says_so(shell: Shell) -> None:
    folder = shell.home / "pipelines"
    folder.mkdir()
    (folder / "own.py").write_text(PIPELINE)
    said = shell("run", "mine")
    assert said.status == 2
    assert said.err.startswith(f"NameTaken: {folder} has no __init__.py")
    (folder / "__init__.py").touch()
    assert "mine" in listed(shell)
    assert "takes the place of the pipelines that ship" in shell("pipelines").err
    assert shell("runs").out == f"no runs yet in {shell.home}; try: orchestrator pipelines\n"


@pytest.mark.slow
def test_an_installed_package_names_its_pipelines(shell: Shell, tmp_path: Path) -> None:
    installed = tmp_path / "site"
    about = installed / "team-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: team\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[orchestrator.pipelines]\nchurn = team.flows\n")
    (installed / "team").mkdir()
    (installed / "team" / "__init__.py").touch()
    (installed / "team" / "flows.py").write_text(PIPELINE)
    there = shell.where(PYTHONPATH=str(installed))
    assert {"mine", "digits"} <= set(listed(there))
    done = there("run", "mine", seconds=110)
    assert done.status == 0, done.err
