"""What a shell is offered."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from orchestrator.archive.specification import Specification
from orchestrator.artifacts import ArtifactStore
from orchestrator.authoring.graph import Graph, Node, NodeName, StageName
from orchestrator.authoring.policies import Policy
from orchestrator.cli.completion import Shell, candidates, complete, completion
from orchestrator.run_id import RunId
from orchestrator.settings import settings

RUN = RunId("churn-20260301-120000-00ab")


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    """A folder with a module of pipelines that must not be imported, and a store with a run."""
    (tmp_path / "own_pipelines.py").write_text(
        "raise SystemExit('imported')\n"
        "@pipeline\ndef churn(rows: int = 3, *, seed=0): ...\n"
        "@orchestrator.pipeline(fail_fast=True)\ndef chart(): ...\n"
        "@stage\ndef other(): ...\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ORCHESTRATOR_PIPELINES", "own_pipelines,missing")
    monkeypatch.setenv("ORCHESTRATOR_HOME", str(tmp_path / "home"))
    settings.cache_clear()
    node = Node(name=NodeName("load"), stage=StageName("m.load"), policy=Policy())
    Specification(run=RUN, graph=Graph("churn", (node,)), parameters={}, submitted=datetime.now(UTC)).write(
        ArtifactStore(str(tmp_path / "home" / "artifacts"))
    )
    yield tmp_path
    settings.cache_clear()


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["ru"], ["run", "runs"]),
        (["run", ""], ["chart", "churn"]),
        (["run", "--detach", "chu"], ["churn"]),
        (["run", "churn", "-p", ""], ["rows=", "seed="]),
        (["run", "churn", "--detach", "--parameter", "se"], ["seed="]),
        (["run", "churn", ""], []),
        (["run", "churn", "--like", "lat"], ["latest"]),
        (["run", "--det"], ["--detach"]),
        (["show", ""], ["latest", RUN]),
        (["logs", "churn-2026", ""], ["load"]),
        (["output", "latest", "lo"], ["load"]),
        (["compare", RUN, "chu"], [RUN]),
        (["runs", "--state", "f"], ["failed"]),
        (["worker", "data", "tr"], ["training"]),
        (["nothing", ""], []),
    ],
)
def test_words_are_completed(words, offered):
    assert list(candidates(words)) == offered


def test_errors_are_not_shown(capsys):
    complete(["logs", "no-such-run", ""])
    complete(None)
    shown = capsys.readouterr()
    assert "run\n" in shown.out
    assert shown.err == ""


def test_the_shipped_pipelines_are_offered(monkeypatch):
    monkeypatch.delenv("ORCHESTRATOR_PIPELINES")
    settings.cache_clear()
    assert list(candidates(["run", ""])) == ["digits", "hello", "tabular"]


@pytest.mark.parametrize("shell", [each for each in Shell if shutil.which(each)])
def test_a_real_shell_takes_its_script(shell, project, capsys):
    completion(shell)
    script = project / "script"
    script.write_text(capsys.readouterr().out)
    if shell is not Shell.BASH:
        subprocess.run([shell, "-n", str(script)], check=True)
        return
    ask = (
        f"source {script}; COMP_WORDS=(orchestrator run chu); COMP_CWORD=2; "
        '_orchestrator; echo "${COMPREPLY[@]}"'
    )
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "-c", ask], capture_output=True, text=True, env={**os.environ, "PATH": path}, check=True
    )
    assert done.stdout == "churn\n", done.stderr
