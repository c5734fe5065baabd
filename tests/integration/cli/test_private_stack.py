"""Runs on a private stack: nothing is left of it but what the home keeps, and that can still be shown."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from .conftest import Shell

pytestmark = pytest.mark.stack


def test_a_run_and_what_is_known_of_it_when_its_stack_is_gone(alone: Shell) -> None:
    done = alone("run", "unpaid", "--json", "--slots", "training=1")
    assert done.status == 1, done.err
    record = done.last_json
    assert json.loads(alone("show", "latest", "--json").out) == record
    assert "Traceback" in alone("show", record["id"]).out
    assert "no money for 5" in alone("logs", record["id"], "pay").out
    assert json.loads(alone("runs", "--json").out) == [record]
    assert record["mlflow_run_id"] in alone("show", "latest").out


def test_leaving_ends_the_run_which_is_shown_as_unfinished(alone: Shell, tmp_path: Path) -> None:
    with alone.start("run", "patient", "-p", f"gate={tmp_path / 'gate'}", "--slots", "training=1") as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "linger" in line and "running" in line:
                break
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "stops with its private stack" in err
    assert "? unfinished" in alone("runs").out
    shown = alone("show", "latest")
    assert "not finished" in shown.out
    assert json.loads(alone("show", "latest", "--json").out)["error"].startswith("not finished")


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_run_is_carried_on_by_one_command_at_a_time(alone: Shell, tmp_path: Path) -> None:
    with lingering(alone, tmp_path / "gate") as process:
        done = alone("resume", "latest")
        assert done.status == 2
        assert "is going on" in done.err
        process.send_signal(signal.SIGINT)
        process.wait(30)
    (tmp_path / "gate").unlink()
    with lingering(alone, tmp_path / "gate", "resume", "latest"):
        done = alone("resume", "latest")
        assert done.status == 2
        assert done.err.startswith("CarriedOn: run 'patient-"), done.err
    assert json.loads(alone("show", "latest", "--json").out)["state"] == "succeeded"
    assert not list((alone.home / "private").iterdir())


@contextmanager
def lingering(shell: Shell, gate: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    """A run on a private stack whose stage is running, until the block is left."""
    words = words or ("run", "patient", "-p", f"gate={gate}")
    with shell.start(*words, "--slots", "training=1") as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "linger" in line and "running" in line:
                break
        try:
            yield process
        finally:
            gate.touch()
            process.communicate(timeout=30)


@pytest.mark.slow
def test_a_run_on_a_private_stack_can_be_followed_and_cancelled_from_another_terminal(
    alone: Shell, tmp_path: Path
) -> None:
    with lingering(alone, tmp_path / "gate") as process:
        nodes = json.loads(alone("show", "latest", "--json").out)["nodes"]
        assert "running" in [node["state"] for node in nodes]
        assert "running" in alone("runs").out
        assert "lingering" in alone("logs", "latest").out
        assert "going on" in alone("resume", "latest").err
        assert alone("cancel", "latest").status == 0
        assert process.wait(20) == 1
    assert "cancelled" in alone("runs").out
    assert not list((alone.home / "private").iterdir())


@pytest.mark.slow
def test_a_stack_leaves_no_temporary_folder(alone: Shell, tmp_path: Path) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    done = alone.where(TMPDIR=str(temporary))("run", "order")
    assert done.status == 0, done.err
    assert not list(temporary.iterdir())


@pytest.fixture(scope="module")
def unwritten_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with two runs that have succeeded, and of which MLflow, which is away, knows nothing."""
    home = tmp_path_factory.mktemp("home")
    away = Shell(home, {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"})
    for _ in range(2):
        with away.start("run", "order") as process:
            assert process.stdout is not None
            next(line for line in process.stdout if "that is final" in line)
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=30)
        assert "orchestrator resume order-" in err
        assert process.returncode == 130
    return home


def unwritten(shell: Shell) -> list[str]:
    """The runs that the store has marked."""
    marks = (shell.home / "artifacts" / "unconcluded").iterdir()
    return sorted(mark.name.partition("@")[0] for mark in marks)


@pytest.mark.slow
@pytest.mark.timeout(300)  # four stacks, one after the other
def test_what_a_private_stack_could_not_write_to_mlflow_is_written_by_the_next(unwritten_home: Path) -> None:
    shell = Shell(unwritten_home, {})
    first, second = unwritten(shell)
    shown = shell("show", first).out
    assert "Not in MLflow" in shown
    assert f"orchestrator resume {first}" in shown
    assert json.loads(shell("show", first, "--json").out)["mlflow_run_id"] is None

    resumed = shell("resume", first, "--json")
    assert resumed.status == 0, resumed.err
    assert resumed.last_json["mlflow_run_id"]
    assert json.loads(shell("show", first, "--json").out) == resumed.last_json
    assert first not in unwritten(shell)

    done = shell("run", "order")
    assert done.status == 0, done.err
    assert unwritten(shell) == []
    assert json.loads(shell("show", second, "--json").out)["mlflow_run_id"]
    assert "Not in MLflow" not in shell("show", second).out
    assert "nothing left to do" in shell("resume", second).err
