"""What a shell is offered."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import pytest
import typer
from typer.core import TyperOption

from orchestrator.archive.specification import Specification
from orchestrator.artifacts import ArtifactStore
from orchestrator.authoring.graph import Graph, Node, NodeName, StageName
from orchestrator.authoring.policies import Policy
from orchestrator.cli.commands import COMMANDS, LazyGroup, app
from orchestrator.cli.completion import OFFERED, VALUES, Shell, candidates, complete, completion, join_words
from orchestrator.run_id import RunId
from orchestrator.settings import settings
from tests.harness.stored_runs import begin, run_id

RUN = RunId("churn-20260301-120000-00ab")


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    """A folder with a module of pipelines that must not be imported, and a store with a run."""
    (tmp_path / "own_pipelines.py").write_text(
        "raise SystemExit('imported')\n"
        "class Kind(enum.StrEnum):\n    TREE = 'tree'\n    LINE = 'line'\n"
        "@pipeline\ndef churn(rows: int = 3, *, seed=0, fast: bool = False, kind: Kind | None = None,\n"
        "          how: Annotated[Literal['a', 'b'], 'text'] = 'a'): ...\n"
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
        (["run", "churn", "-p", ""], ["rows=", "seed=", "fast=", "kind=", "how="]),
        (["run", "churn", "-p", "fast="], ["fast=true", "fast=false"]),
        (["run", "churn", "-p", "kind=t"], ["kind=tree"]),
        (["run", "churn", "-p", "how="], ["how=a", "how=b"]),
        (["run", "churn", "-p", "rows="], []),
        (["run", "--params", ""], []),
        (["run", "--params", "values.yaml", "chu"], ["churn"]),
        (["run", "--name", "nightly", "chu"], ["churn"]),
        (["output", "latest", "-o", ""], []),
        (["compile", "--format", "t"], ["tree"]),
        (["run", "churn", "--like=lat"], ["--like=latest"]),
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


def test_a_run_is_found_by_its_beginning_behind_many_newer_ones(project):
    store = ArtifactStore(str(project / "home" / "artifacts"))
    for number in range(OFFERED + 1):
        begin(store, run_id(number, "later"))
    begin(store, old := RunId("early-20250101-000000-0001"))
    assert list(candidates(["show", "earl"])) == [old]
    offered = list(candidates(["show", "later"]))
    assert offered == [run_id(number, "later") for number in range(OFFERED, 0, -1)]


def test_words_that_bash_has_split_are_joined():
    assert join_words(["run", "a", "-p", "how", "=", "b"]) == (["run", "a", "-p", "how=b"], "how=")
    assert join_words(["run", "a", "-p", "how", "="]) == (["run", "a", "-p", "how="], "how=")
    assert join_words(["run", "a", "-p", "how", "=", "b", ""]) == (["run", "a", "-p", "how=b", ""], "")


def test_each_option_with_a_value_is_known():
    """Else its value would be taken for a run or a pipeline."""
    group = cast("LazyGroup", typer.main.get_command(app))
    commands = (group.get_command(typer.Context(group), name) for name in COMMANDS)
    options = {
        option
        for command in commands
        if command is not None
        for each in command.params
        if isinstance(each, TyperOption) and not each.is_flag
        for option in each.opts
    }
    assert options <= set(VALUES)


def test_a_shell_does_not_wait_for_what_does_not_answer(monkeypatch, capsys):
    waiting = threading.Event()

    def wait():
        yield "latest"
        waiting.wait()

    monkeypatch.setattr("orchestrator.cli.completion._runs", wait)
    monkeypatch.setattr("orchestrator.cli.completion.PATIENCE", 0.5)
    complete(["show", ""])
    waiting.set()
    assert capsys.readouterr().out == "latest\n"


def test_only_what_the_words_need_is_imported():
    def imported(*words):
        command = [sys.executable, "-X", "importtime", "-m", "orchestrator", "complete", "--", *words]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert done.stdout
        return {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}

    assert imported("ru").isdisjoint({"pydantic", "redis", "rich", "asyncio"})
    assert imported("run", "").isdisjoint({"redis", "rich", "pandas", "own_pipelines"})
    assert imported("show", "").isdisjoint({"celery", "mlflow", "pandas", "rich", "opentelemetry"})


def test_errors_are_not_shown(capsys):
    complete(["logs", "no-such-run", ""])
    complete([])
    shown = capsys.readouterr()
    assert "run\n" in shown.out
    assert shown.err == ""


def test_the_shipped_pipelines_are_offered(monkeypatch):
    monkeypatch.delenv("ORCHESTRATOR_PIPELINES")
    settings.cache_clear()
    assert list(candidates(["run", ""])) == ["digits", "hello", "tabular"]


#: How each shell is asked what it would offer for some words.
ASK = {
    Shell.BASH: "source ./script; COMP_WORDS=({words}); COMP_CWORD={last}; _orchestrator; "
    "printf '%s\\n' \"${{COMPREPLY[@]}}\"",
    Shell.ZSH: "compdef() {{ }}; _files() {{ }}; compadd() {{ print -l -- ${{@[$@[(i)--]+1,-1]}} }}; "
    "source ./script; words=({words}); CURRENT=$#words; _orchestrator | grep .",
    Shell.FISH: "source ./script; complete --do-complete '{line}'",
}


@pytest.mark.parametrize("shell", [each for each in Shell if shutil.which(each)])
def test_a_real_shell_offers_what_there_is_by_whatever_path_it_is_called(shell, project, capsys):
    completion(shell)
    (project / "script").write_text(capsys.readouterr().out)
    (project / "churn").touch()  # a shell must not take what is offered for a pattern
    program = Path(sys.executable).with_name("orchestrator")

    def offered(*words):
        line = " ".join([str(program), *words])
        quoted = " ".join(f"'{word}'" for word in (program, *words))
        ask = ASK[shell].format(words=quoted, last=len(words), line=line)
        done = subprocess.run([shell, "-c", ask], capture_output=True, text=True, cwd=project, check=False)
        return done.stdout.splitlines()

    assert offered("run", "ch") == ["chart", "churn"]
    assert offered("logs", RUN, "lo") == ["load"]
    assert offered("show", "") == ["latest", RUN]
    if shell is Shell.BASH:
        assert offered("run", "churn", "-p", "how", "=") == ["a", "b"]
    else:
        assert offered("run", "churn", "-p", "how=") == ["how=a", "how=b"]
