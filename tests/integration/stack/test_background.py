"""The stack that stays up: `up`, `up` again, `down`, and what a killed keeper leaves."""

from __future__ import annotations

import json
import os
import signal
import socket
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import redis

from orchestrator.redis_url import client_url
from orchestrator.settings import settings
from orchestrator.stack.background import start_in_background, stop_in_background
from orchestrator.stack.embedded import EmbeddedStack
from orchestrator.stack.errors import StackFailed
from orchestrator.stack.ports import LOOPBACK, free_port
from orchestrator.stack.services import FLOWER_PORT
from orchestrator.stack_state import FILE, StackState, has_daemon, read_state, write_state
from tests.harness.waiting import wait_until

pytestmark = [pytest.mark.stack, pytest.mark.slow, pytest.mark.usefixtures("surroundings")]


def page(url: str) -> str:
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=10) as answer:
        return str(answer.read().decode())


def test_up_brings_flower_and_mlflow_and_down_stops_all(
    home: Path, surroundings: pytest.MonkeyPatch, processes
) -> None:
    surroundings.delenv("MLFLOW_TRACKING_URI")
    settings.cache_clear()
    state = start_in_background(home, {"data": 1, "training": 1})
    try:
        assert read_state(home) == state
        assert start_in_background(home, {}) == state
        assert state.slots == {"data": 1, "training": 1, "deployment": 1}
        assert state.environment["MLFLOW_TRACKING_URI"] == state.mlflow_url == state.mlflow_tracking_uri
        assert (home / FILE).stat().st_mode & 0o777 == 0o600
        assert "<title>MLflow</title>" in page(f"{state.mlflow_url}/")
        wait_until(
            lambda: all(f'id="{queue}"' in page(f"{state.flower_url}/broker") for queue in state.slots),
            "Flower shows the length of every queue",
            15,
        )
        parts = {state.pid, *processes.of(state.pid)}
    finally:
        assert stop_in_background(home)
    assert not processes.alive(parts)
    assert read_state(home) is None
    assert not stop_in_background(home)


def test_a_killed_keeper_is_not_believed_and_up_starts_anew_with_what_redis_held(
    home: Path, processes
) -> None:
    first = start_in_background(home, {"data": 1})
    parts = {first.pid, *processes.of(first.pid)}
    try:
        with redis.Redis.from_url(client_url(first.redis_url)) as connection:
            connection.set("kept", "yes")
        os.kill(first.pid, signal.SIGKILL)
        wait_until(lambda: read_state(home) is None, "the keeper's end is noticed", 15)
        second = start_in_background(home, {"data": 1})
        assert not processes.alive(parts)
        assert second.pid != first.pid
        with redis.Redis.from_url(client_url(second.redis_url), decode_responses=True) as connection:
            assert connection.get("kept") == "yes"
    finally:
        stop_in_background(home)


def test_a_state_file_whose_process_number_is_now_another_process_is_not_believed(home: Path) -> None:
    home.mkdir()
    state = StackState(
        pid=os.getpid(),
        started="2026-03-01T12:00:00+00:00",
        redis_url="redis+socket:///gone/redis.sock",
        mlflow_tracking_uri="http://127.0.0.1:5000",
        mlflow_url="http://127.0.0.1:5000",
        flower_url="http://127.0.0.1:5555",
        slots={"data": 1},
        environment={},
    )
    write_state(home / FILE, state)
    (home / "stack.lock").touch()
    assert json.loads((home / FILE).read_text())["pid"] == os.getpid()
    assert read_state(home) is None


def test_stacks_of_two_homes_started_at_once_take_different_ports(
    tmp_path: Path, surroundings: pytest.MonkeyPatch
) -> None:
    surroundings.delenv("MLFLOW_TRACKING_URI")
    settings.cache_clear()
    homes = [tmp_path / "one", tmp_path / "two"]
    try:
        with ThreadPoolExecutor() as pool:
            states = list(pool.map(lambda home: start_in_background(home, {"data": 1}), homes))
        pages = [page for state in states for page in (state.flower_url, state.mlflow_url)]
        assert len(set(pages)) == 4
        assert all(state.environment["MLFLOW_TRACKING_URI"] == state.mlflow_url for state in states)
    finally:
        stopped = [stop_in_background(home) for home in homes]
        assert stopped == [True, True]


def test_a_stack_that_another_up_is_starting_is_waited_for_and_shared(home: Path) -> None:
    try:
        with ThreadPoolExecutor() as pool:
            first, second = pool.map(lambda _: start_in_background(home, {"data": 1}), range(2))
        assert first == second == read_state(home)
    finally:
        stop_in_background(home)


def test_down_stops_a_stack_that_is_just_starting(home: Path, processes) -> None:
    with ThreadPoolExecutor() as pool:
        starting = pool.submit(start_in_background, home, {"data": 1})
        wait_until(lambda: list(home.glob("logs/workers.log")), "the workers are started", 15)
        assert stop_in_background(home)
        with pytest.raises(StackFailed, match="was stopped while it was starting"):
            starting.result()
    assert not has_daemon(home)
    assert not processes.alive(processes.of(os.getpid()))


def test_a_port_that_is_taken_while_its_service_starts_is_left_for_the_next(home: Path) -> None:
    wanted = free_port(FLOWER_PORT)
    with socket.socket() as other, ThreadPoolExecutor() as pool:

        def be_quicker() -> None:
            wait_until((home / "logs" / "flower.log").exists, "Flower is started", 15)
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a test before may have used it
            other.bind((LOOPBACK, wanted))
            other.listen()

        taken = pool.submit(be_quicker)
        with EmbeddedStack.start(home, {"data": 1}, ["data"], services=True) as stack:
            taken.result()
            assert stack.flower_url != f"http://{LOOPBACK}:{wanted}"
            assert page(f"{stack.flower_url}/healthcheck") == "OK"
