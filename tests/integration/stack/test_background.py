"""The stack that stays up: `up`, `up` again, `down`, and what a killed keeper leaves."""

from __future__ import annotations

import json
import os
import signal
import urllib.request
from pathlib import Path

import pytest
import redis

from orchestrator.settings import settings
from orchestrator.stack import StackState, client_url, read_state, start_in_background, stop_in_background
from orchestrator.stack.state import FILE, write_state

pytestmark = [pytest.mark.stack, pytest.mark.slow, pytest.mark.usefixtures("surroundings")]


def page(url: str) -> str:
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=10) as answer:
        return str(answer.read().decode())


def test_up_brings_flower_and_mlflow_and_down_stops_all(
    home: Path, surroundings: pytest.MonkeyPatch, processes, eventually
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
        eventually(
            lambda: all(f'id="{queue}"' in page(f"{state.flower_url}/broker") for queue in state.slots),
            "Flower shows the length of every queue",
        )
        parts = {state.pid, *processes.of(state.pid)}
    finally:
        assert stop_in_background(home)
    assert not processes.alive(parts)
    assert read_state(home) is None
    assert not stop_in_background(home)


def test_a_killed_keeper_is_not_believed_and_up_starts_anew_with_what_redis_held(
    home: Path, processes, eventually
) -> None:
    first = start_in_background(home, {"data": 1})
    parts = {first.pid, *processes.of(first.pid)}
    try:
        with redis.Redis.from_url(client_url(first.redis_url)) as connection:
            connection.set("kept", "yes")
        os.kill(first.pid, signal.SIGKILL)
        eventually(lambda: read_state(home) is None, "the keeper's end is noticed")
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
    write_state(home, state)
    (home / "stack.lock").touch()
    assert json.loads((home / FILE).read_text())["pid"] == os.getpid()
    assert read_state(home) is None
