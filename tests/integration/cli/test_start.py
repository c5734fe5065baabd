"""The command line starts fast, and tells what there is."""

from __future__ import annotations

import json
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import Shell

MODULE = f"{sys.executable} -m orchestrator"

HEAVY = ("rich", "celery", "redis", "mlflow", "pandas", "sklearn", "numpy", "obstore", "pydantic")


def cpu_of_commands() -> float:
    """Seconds that the commands which have ended took of a processor."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_help_is_there_within_a_second_and_imports_nothing_heavy(alone: Shell) -> None:
    before = cpu_of_commands()
    assert alone("--help").status == 0
    assert cpu_of_commands() - before < 1  # whatever else the machine does
    command = [sys.executable, "-X", "importtime", "-m", "orchestrator", "--help"]
    done = subprocess.run(command, env=alone.environment, capture_output=True, text=True, check=True)
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert imported.isdisjoint(HEAVY)


def test_every_command_explains_itself(alone: Shell) -> None:
    overview = alone("--help").out
    for command in ("pipelines", "compile", "run", "runs", "show", "logs", "up", "down", "worker"):
        assert f"\n  {command} " in overview


def test_a_command_that_does_not_exist_is_refused(alone: Shell) -> None:
    done = alone("rnu")
    assert done.status == 2
    assert "No such command 'rnu'" in done.err


def test_pipelines_are_listed_with_parameters_types_and_defaults(alone: Shell) -> None:
    listed = {each["name"]: each for each in json.loads(alone("pipelines", "--json").out)}
    assert list(listed) == ["checked", "order", "patient", "study", "typo", "unpaid"]
    assert listed["order"]["summary"] == "Add prices up."
    count = {"name": "count", "type": "int", "required": False, "default": 3, "text": "how many prices"}
    gate = {"name": "gate", "type": "Path", "required": True, "default": None, "text": ""}
    assert listed["order"]["parameters"] == [count]
    assert listed["patient"]["parameters"] == [gate]
    shown = alone("pipelines").out
    assert "Waits for a file." in shown
    assert "required" in shown


def test_a_pipeline_is_compiled_to_each_form(alone: Shell) -> None:
    assert "taxed  (data; map" in alone("compile", "order").out
    assert json.loads(alone("compile", "order", "--format", "json").out)["pipeline"] == "order"
    assert alone("compile", "order", "--format", "mermaid").out.startswith("flowchart TD\n")
    assert alone("compile", "order", "--format", "picture").status == 2


def test_looking_makes_no_folder(alone: Shell) -> None:
    home = alone.home / "elsewhere"
    shell = alone.where(ORCHESTRATOR_HOME=str(home), ORCHESTRATOR_PIPELINES="pipelines")
    assert shell("runs").out == f"no runs yet in {home}; try: orchestrator run hello\n"
    assert shell("show", "latest").status == 2
    assert shell("pipelines").status == 0
    assert not home.exists()


def test_commands_that_are_shown_can_be_called(alone: Shell, tmp_path: Path) -> None:
    nowhere = alone.where(PATH="/usr/bin:/bin", ORCHESTRATOR_PIPELINES="cli_pipelines")
    assert nowhere("runs").out == f"no runs yet in {alone.home}; try: {MODULE} pipelines\n"
    assert f"`{MODULE} runs` lists the latest" in nowhere("show", "nope").err
    (tmp_path / "orchestrator").symlink_to("/bin/true")
    there = alone.where(PATH=f"{tmp_path}:/usr/bin:/bin")
    assert there("runs").out == f"no runs yet in {alone.home}; try: orchestrator pipelines\n"


@pytest.mark.parametrize("moment", ["typer", "the end"])
def test_ctrl_c_before_and_after_a_command_prints_no_traceback(alone: Shell, moment: str) -> None:
    code = f"""
import atexit, os, signal, sys
class Interrupting:
    def find_spec(self, name, *_):
        if name == {moment!r}:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupting())
if {moment!r} == "the end":
    atexit.register(os.kill, os.getpid(), signal.SIGINT)
from orchestrator.cli import main
main()
"""
    command = [sys.executable, "-c", code, "runs"]
    done = subprocess.run(command, env=alone.environment, cwd=alone.home, capture_output=True, text=True)
    assert done.returncode in (130, -signal.SIGINT)
    assert "Traceback" not in done.stderr
