"""Runs are stopped, and carried on from what they have committed."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from .conftest import Shell

pytestmark = pytest.mark.stack


@pytest.mark.slow
def test_an_interrupted_run_is_resumed(alone: Shell, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    with alone.start("run", "patient", "-p", f"gate={gate}", "--slots", "training=1") as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "linger" in line and "running" in line:
                break
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    gate.touch()
    done = alone("resume", "latest", "--json")
    assert done.status == 0, done.err
    assert done.last_json["state"] == "succeeded"
    again = alone("resume", "latest")
    assert again.status == 2
    assert "has succeeded: there is nothing left to do" in again.err


@pytest.mark.slow
def test_a_run_that_has_lost_an_output_after_its_end_is_resumed(alone: Shell) -> None:
    done = alone("run", "order", "--json")
    assert done.status == 0, done.err
    run = done.last_json["id"]
    (alone.home / "artifacts" / "runs" / run / "nodes" / "total.json").write_bytes(b"")  # as by a bad disk
    again = alone("resume", run, "--json")
    assert again.status == 0, again.err
    assert again.last_json["nodes"][-1]["value"] == done.last_json["nodes"][-1]["value"]
    assert alone("resume", run).status == 2


@pytest.mark.slow
def test_a_resumed_run_that_fails_again_exits_with_1(alone: Shell) -> None:
    assert alone("run", "unpaid").status == 1
    done = alone("resume", "latest", "--json")
    assert done.status == 1, done.err
    assert "no money" in done.last_json["error"]


def test_a_resumed_run_is_told_from_where_it_goes_on(joined: Shell) -> None:
    first = joined("run", "unpaid")
    assert first.status == 1
    done = joined("resume", "latest")
    assert done.status == 1, done.err
    assert "resumed unpaid-" in done.out.splitlines()[0]
    failures = [" ".join(each.out.split()).count("pay failed") for each in (first, done)]
    assert failures[0] == failures[1] > 0


def test_a_running_run_is_cancelled(joined: Shell, tmp_path: Path) -> None:
    started = joined("run", "patient", "-p", f"gate={tmp_path / 'gate'}", "--detach", "--json")
    run = started.last_json["id"]
    done = joined("cancel", run)
    assert done.status == 0, done.err
    assert f"cancelled {run}" in done.out
    assert json.loads(joined("show", run, "--json").out)["state"] == "cancelled"
    again = joined("cancel", run)  # as after a first one whose end nobody saw
    assert again.status == 0, again.err
    assert f"cancelled {run}" in again.out


@pytest.mark.slow
def test_there_is_nothing_to_cancel_without_a_stack(alone: Shell) -> None:
    assert alone("run", "unpaid").status == 1
    done = alone("cancel", "latest")
    assert done.status == 2
    assert "there is no stack up" in done.err
