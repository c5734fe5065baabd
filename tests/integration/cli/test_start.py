"""The command line starts fast, and tells what there is."""

from __future__ import annotations

import json
import subprocess
import sys
import time

from .conftest import Shell

HEAVY = ("rich", "celery", "redis", "mlflow", "pandas", "sklearn", "numpy", "obstore", "pydantic")


def test_help_is_there_within_a_second_and_imports_nothing_heavy(alone: Shell) -> None:
    start = time.monotonic()
    assert alone("--help").status == 0
    assert time.monotonic() - start < 1
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
    assert list(listed) == ["order", "patient", "study", "typo", "unpaid"]
    assert listed["order"]["summary"] == "Add prices up."
    count = {"name": "count", "type": "int", "required": False, "default": 3}
    gate = {"name": "gate", "type": "Path", "required": True, "default": None}
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
