"""A stack that is up repairs what is lost, also when the power went and its files are damaged."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from orchestrator.archive.manifest import Manifest
from orchestrator.artifacts import ArtifactStore, encode
from orchestrator.redis_url import client_url
from orchestrator.run_id import RunId
from tests.harness.waiting import wait_until

from .conftest import Shell

#: Seconds that the command line takes on a busy machine, on top of what the stack takes.
SLACK = 10

pytestmark = [pytest.mark.stack, pytest.mark.slow]


@pytest.fixture
def up(alone: Shell) -> Iterator[Shell]:
    """A stack that is up, and is stopped in the end."""
    shell = alone.where(MLFLOW_TRACKING_URI=f"sqlite:///{alone.home}/mlflow.db")
    assert start(shell)
    yield shell
    shell("down")


def start(shell: Shell) -> str:
    """Start the stack, and return what it says on its way."""
    done = shell("up", "--slots", "data=1", "--slots", "training=1", seconds=110)
    assert done.status == 0, done
    return done.err


def submit(shell: Shell, gate: Path, pipeline: str = "patient") -> str:
    """A run that has a message on a queue; returns its id."""
    done = shell("run", pipeline, "-p", f"gate={gate}", "--detach", "--json")
    return str(done.last_json["id"])


def begin(shell: Shell, gate: Path, pipeline: str = "patient") -> str:
    """A run that is in the middle of `linger`; returns its id."""
    submit(shell, gate, pipeline)
    record = {}

    def running() -> bool:
        record.update(json.loads(shell("show", "latest", "--json").out))
        return ("linger", "running") in [(node["name"], node["state"]) for node in record["nodes"]]

    wait_until(running, "the stage runs")
    return record["id"]


def cut_the_power(shell: Shell) -> Path:
    """Kill the stack; returns the file in which Redis keeps what it is told."""
    state = json.loads((shell.home / "stack.json").read_text())
    os.kill(state["pid"], signal.SIGKILL)
    wait_until(lambda: not (shell.home / "stack.json").exists(), "the guard has cleaned up")
    return next((shell.home / "redis").rglob("*.aof"))


def test_a_run_whose_message_is_lost_is_sent_again_by_the_stack(up: Shell, tmp_path: Path) -> None:
    state = json.loads((up.home / "stack.json").read_text())
    with Redis.from_url(client_url(state["redis_url"])) as client:
        for gate in ("one", "two"):  # the only slot is taken by the first
            last = begin(up, tmp_path / gate) if gate == "one" else submit(up, tmp_path / gate)
        assert client.delete("data") == 1
    for gate in ("one", "two"):
        (tmp_path / gate).touch()
    began = time.monotonic()
    wait_until(lambda: '"succeeded"' in up("show", last, "--json").out, "the run has ended", 60)
    assert time.monotonic() - began < 15 + SLACK


def worker_of(shell: Shell, queue: str) -> int:
    """The process of a queue's worker, as the worker itself says."""
    state = json.loads((shell.home / "stack.json").read_text())
    told: dict[str, dict[str, Any]] = {}

    def answers() -> bool:
        done = subprocess.run(
            [sys.executable, "-m", "celery", "-A", "workers", "inspect", "stats", "--json", "--timeout", "3"],
            env={**shell.environment, **state["environment"]}, cwd=shell.home, capture_output=True, text=True,
            timeout=60, check=False,
        )  # fmt: skip
        told.update(json.loads(done.stdout) if done.returncode == 0 else {})
        return any(name.startswith(f"{queue}@") for name in told)

    wait_until(answers, f"the worker of {queue} answers", 60)
    return next(int(stats["pid"]) for name, stats in told.items() if name.startswith(f"{queue}@"))


def ended(shell: Shell, run: str, seconds: float = 60) -> list[dict[str, Any]]:
    """The attempts of the one stage of a run, once that has succeeded; it was committed once."""
    record: dict[str, Any] = {}

    def has_succeeded() -> bool:
        record.update(json.loads(shell("show", run, "--json").out))
        return record["state"] == "succeeded"

    wait_until(has_succeeded, "the run succeeds", seconds)
    (node,) = record["nodes"]
    attempts: list[dict[str, Any]] = node["attempts"]
    assert [each["error"] is None for each in attempts] == [*[False] * (len(attempts) - 1), True]
    return attempts


def test_a_killed_worker_s_stage_runs_again_in_the_next(up: Shell, tmp_path: Path) -> None:
    run = begin(up, tmp_path / "gate")
    os.kill(worker_of(up, "data"), signal.SIGKILL)
    (tmp_path / "gate").touch()
    assert len(ended(up, run)) == 2


def test_a_worker_that_hangs_and_comes_back_doubles_nothing(up: Shell, tmp_path: Path) -> None:
    run = begin(up, tmp_path / "gate")
    worker = worker_of(up, "data")
    os.kill(worker, signal.SIGSTOP)
    try:

        def is_given_up() -> bool:
            (node,) = json.loads(up("show", run, "--json").out)["nodes"]
            return bool(node["attempts"][0]["error"])

        wait_until(is_given_up, "the lease ends", 10 + SLACK)
    finally:
        os.kill(worker, signal.SIGCONT)
    (tmp_path / "gate").touch()
    assert "its worker was lost" in ended(up, run)[0]["error"]


def test_a_killed_redis_loses_nothing(up: Shell, tmp_path: Path) -> None:
    run = begin(up, tmp_path / "gate")
    state = json.loads((up.home / "stack.json").read_text())
    with Redis.from_url(client_url(state["redis_url"])) as client:
        os.kill(int(client.info("server")["process_id"]), signal.SIGKILL)
    wait_until(lambda: not (up.home / "stack.json").exists(), "the stack has noticed", 30)
    start(up)
    (tmp_path / "gate").touch()
    ended(up, run)


@pytest.mark.timeout(400)
def test_zeros_at_the_end_of_redis_file_cost_nothing_and_damage_costs_no_committed_stage(
    up: Shell, tmp_path: Path
) -> None:
    first = begin(up, tmp_path / "one")
    with cut_the_power(up).open("ab") as file:
        file.write(bytes(70_000))
    assert "ended in zeros" in start(up)
    (tmp_path / "one").touch()
    wait_until(lambda: '"succeeded"' in up("show", first, "--json").out, "the run has ended")

    second = begin(up, tmp_path / "two")
    damaged = cut_the_power(up)
    content = damaged.read_bytes()
    damaged.write_bytes(content[:200] + b"\xff" * 100 + content[200:])
    assert "starts empty" in start(up)
    assert list(up.home.glob("redis.damaged-*/**/*.aof"))
    listed = {record["id"]: record["state"] for record in json.loads(up("runs", "--json").out)}
    assert listed[first] == "succeeded"
    assert second in listed
    (tmp_path / "two").touch()
    assert up("resume", second).status == 0


def test_what_redis_has_as_done_and_the_disk_has_not_is_made_again(up: Shell, tmp_path: Path) -> None:
    run = begin(up, tmp_path / "gate", "checked")
    cut_the_power(up)
    (up.home / "artifacts" / "runs" / run / "nodes" / "prices.json").write_bytes(bytes(20))
    assert f"run {run}: outputs of 1 nodes did not reach the disk; they are made again" in start(up)
    (tmp_path / "gate").touch()
    wait_until(
        lambda: '"succeeded"' in up("show", run, "--json").out.partition('"nodes"')[0], "it has ended", 60
    )


def test_what_the_disk_has_and_redis_has_not_is_not_made_again(up: Shell, tmp_path: Path) -> None:
    run = begin(up, tmp_path / "gate", "checked")
    cut_the_power(up)
    store = ArtifactStore((up.home / "artifacts").as_uri(), create=False)
    Manifest(node="linger", attempt=1, output=encode("done", str, store)).write(store, RunId(run), "linger")
    assert f"run {run}: 1 nodes that were not recorded as done are; they stay so" in start(up)

    def has_succeeded() -> bool:
        return '"succeeded"' in up("show", run, "--json").out.partition('"nodes"')[0]

    wait_until(has_succeeded, "it has ended, though the gate of `linger` is shut", 60)
