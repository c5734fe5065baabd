"""Bad input: one clear line that says what to do, exit status 2, and nothing started."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import Shell


def told(shell: Shell, *words: str) -> str:
    """What a command that is used wrongly says."""
    done = shell(*words)
    assert done.status == 2, done
    assert "Traceback" not in done.err
    assert done.out == ""
    return done.err


@pytest.fixture(autouse=True)
def _nothing_is_started(alone: Shell) -> Iterator[None]:
    yield
    left = {path.name for path in alone.home.iterdir()} - {"own.py", "__pycache__"}
    assert left <= {"artifacts"}
    assert not list(alone.home.glob("artifacts/runs/*"))


def test_an_unknown_pipeline_is_answered_with_a_near_miss(alone: Shell) -> None:
    said = told(alone, "run", "ordr")
    assert said.startswith("UnknownPipeline: there is no pipeline 'ordr'. Did you mean 'order'?")


def test_a_pipeline_in_a_file_beside_is_found_by_what_is_said(alone: Shell) -> None:
    (alone.home / "own.py").write_text("")
    said = told(alone, "run", "own")
    assert "looked in cli_pipelines: ORCHESTRATOR_PIPELINES names the modules" in said
    assert "ORCHESTRATOR_PIPELINES=cli_pipelines,own" in said
    said = told(alone.where(ORCHESTRATOR_PIPELINES="own.py"), "run", "own")
    assert "names modules, not files: write 'own'" in said


def test_an_unknown_parameter_is_answered_with_a_near_miss(alone: Shell) -> None:
    said = told(alone, "run", "order", "-p", "cuont=3")
    assert "InvalidParameters" in said
    assert "Did you mean 'count'?" in said


def test_a_value_of_the_wrong_type_is_named_with_its_parameter(alone: Shell) -> None:
    said = told(alone, "run", "order", "-p", "count=many")
    assert "InvalidParameters" in said
    assert "count='many'" in said


@pytest.mark.parametrize(
    ("words", "clue"),
    [
        (["-p", "count"], "write it as -p depth=3"),
        (["-p", "count=1", "-p", "count=2"], "given twice"),
        (["--slots", "data=none"], "whole number above 0"),
        (["--slots", "dta=2"], "did you mean 'data'?"),
        (["--bogus"], "No such option"),
    ],
)
def test_an_option_that_cannot_be_meant_is_refused(alone: Shell, words: list[str], clue: str) -> None:
    assert clue in told(alone, "run", "order", *words)


def test_a_module_that_cannot_be_imported_is_named_with_file_and_line(alone: Shell) -> None:
    file = alone.home / "own.py"
    file.write_text("import cli_pipelines\nimport no_such_module\n")
    shell = alone.where(ORCHESTRATOR_PIPELINES="cli_pipelines,own")
    assert f"BrokenModule: module 'own' cannot be imported: {file}:2" in told(shell, "run", "mine")
    listed = shell("pipelines")
    assert listed.status == 2
    assert "Add prices up." in listed.out
    assert "BrokenModule" in listed.err


def test_a_wrong_definition_is_told_with_the_line_that_makes_it(alone: Shell) -> None:
    file = alone.home / "own.py"
    file.write_text(
        """from orchestrator import stage
def make(by):
    @stage
    def scale(x: int) -> int: return x * by
    return scale
make(2)
make(3)
"""
    )
    said = alone.where(ORCHESTRATOR_PIPELINES="own")("pipelines").err
    assert f"cannot be imported: {file}:3: InvalidDefinition: two functions are stage own.scale" in said


def test_a_stage_on_an_unknown_queue_is_refused_before_anything_starts(alone: Shell) -> None:
    said = told(alone, "run", "typo")
    assert said.startswith("InvalidPipeline: ")
    assert "did you mean 'training'?" in said


def test_a_worker_for_an_unknown_queue_is_refused(alone: Shell) -> None:
    assert "UnknownQueue" in told(alone, "worker", "trainng")


def test_a_worker_needs_a_redis(alone: Shell) -> None:
    assert "hint: set REDIS_URL" in told(alone, "worker", "data")


def test_detaching_needs_a_stack_that_stays(alone: Shell) -> None:
    said = told(alone, "run", "order", "--detach")
    assert said.startswith("NoStack: ")
    assert "`orchestrator up`" in said


def test_an_unreachable_redis_is_said_within_seconds(alone: Shell) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    start = time.monotonic()
    said = told(alone.where(REDIS_URL=f"redis://127.0.0.1:{port}"), "run", "order")
    assert said.startswith(f"RedisUnreachable: Redis does not answer at 127.0.0.1:{port}\nhint: ")
    assert time.monotonic() - start < 20  # of which most is the start of Python, on a busy machine


def test_a_redis_that_takes_connections_but_never_answers_is_no_redis(alone: Shell) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        start = time.monotonic()
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}"
        assert "RedisUnreachable" in told(alone.where(REDIS_URL=url), "run", "order")
        assert time.monotonic() - start < 30  # that it ends at all; on an idle machine after six


def test_an_unknown_run_is_refused(alone: Shell) -> None:
    assert "UnknownRun: there is no run 'nope'" in told(alone, "show", "nope")
    assert "UnknownRun" in told(alone, "logs", "latest")


@pytest.mark.parametrize(
    ("words", "clue"),
    [
        ([], "UsageError: say which runs are to go: --older-than 90d, --keep-last 10, or both\nhint: "),
        (["--older-than", "90"], "--older-than 90: write days, hours or minutes, such as 90d, 12h or 30m"),
        (["--older-than", "0d"], "--older-than 0d: write days"),
        (["--older-than", "-1d"], "--older-than -1d: write days"),
        (["--keep-last", "-1"], "Invalid value for '--keep-last'"),
    ],
)
def test_a_prune_that_does_not_say_what_is_refused(alone: Shell, words: list[str], clue: str) -> None:
    assert clue in told(alone, "prune", *words)


def test_a_prune_that_cannot_ask_redis_what_goes_on_is_refused(alone: Shell, tmp_path: Path) -> None:
    away = alone.where(REDIS_URL=f"redis+socket://{tmp_path}/none.sock")
    assert "RedisUnreachable: " in told(away, "prune", "--older-than", "1d")


def test_there_is_nothing_to_prune_where_there_is_no_store(alone: Shell) -> None:
    done = alone.where(ORCHESTRATOR_ARTIFACT_RETENTION_DAYS="90")("prune")
    assert (done.status, done.out) == (0, "removed 0 runs and 0 blobs: 0 B\n")
    assert not (alone.home / "artifacts").exists()


def test_a_setting_that_cannot_be_read_is_named(alone: Shell) -> None:
    said = told(alone.where(ORCHESTRATOR_LEASE_SECONDS="long"), "runs")
    assert "InvalidSettings: ORCHESTRATOR_LEASE_SECONDS" in said


def test_the_traceback_is_there_for_those_who_ask(alone: Shell) -> None:
    done = alone("run", "ordr", "--debug")
    assert done.status == 2
    assert "Traceback" in done.err
    assert "UnknownPipeline: there is no pipeline 'ordr'" in done.err


def test_runs_are_shown_without_redis_if_that_is_away(alone: Shell, tmp_path: Path) -> None:
    done = alone.where(REDIS_URL=f"redis+socket://{tmp_path}/none.sock")("runs")
    assert done.status == 0
    assert "note: Redis does not answer" in done.err
    assert "no runs yet" in done.out
