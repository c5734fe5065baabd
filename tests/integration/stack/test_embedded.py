"""The stack of one `run`: it works, and whatever happens to who started it, nothing of it stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent

import pytest
import redis
from celery import Celery

from orchestrator.redis_url import client_url
from orchestrator.settings import settings
from orchestrator.stack.embedded import EmbeddedStack
from orchestrator.stack.errors import StackFailed
from tests.harness.waiting import wait_until

pytestmark = [pytest.mark.stack, pytest.mark.usefixtures("surroundings")]

STARTER = """
    import sys, time
    from pathlib import Path
    from orchestrator.stack.embedded import EmbeddedStack

    with EmbeddedStack.start(Path(sys.argv[1]), {"data": 1}, ["data"]) as stack:
        stack.wait_until_ready(30)
        print(stack.redis_url, flush=True)
        time.sleep(600)
"""


@pytest.fixture
def starter(home: Path) -> Iterator[subprocess.Popen[str]]:
    """Another program in whose stack the workers are ready."""
    command = [sys.executable, "-c", dedent(STARTER), str(home)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as program:
        yield program
        program.kill()


def folder_of(redis_url: str) -> Path:
    return Path(redis_url.removeprefix("redis+socket://").strip()).parent


def test_each_queue_has_workers_and_stopping_leaves_nothing(
    home: Path, client: Callable[[str], Celery], processes
) -> None:
    queues = ("data", "training", "deployment")
    with EmbeddedStack.start(home, {}, queues) as stack:
        app = client(stack.redis_url)
        results = {queue: app.send_task("probe.where", queue=queue) for queue in queues}
        for queue, result in results.items():
            worker, told = result.get(timeout=30)
            assert worker.startswith(f"{queue}@")
            assert told == str(home)
        parts = processes.of(os.getpid())
        folder = folder_of(stack.redis_url)
        assert folder.stat().st_mode & 0o777 == 0o700
        with redis.Redis.from_url(client_url(stack.redis_url)) as connection:
            assert connection.config_get("port") == {"port": "0"}
    assert len(parts) >= 9
    wait_until(lambda: not processes.alive(parts), "what was killed is gone", 2)
    assert not folder.exists()


def test_an_exception_stops_everything(home: Path, processes) -> None:
    def use() -> None:
        with EmbeddedStack.start(home, {"data": 1}, ["data"]) as stack:
            seen.append(folder_of(stack.redis_url))
            parts.update(processes.of(os.getpid()))
            raise ZeroDivisionError

    seen: list[Path] = []
    parts: set[int] = set()
    with pytest.raises(ZeroDivisionError):
        use()
    assert parts
    assert not processes.alive(parts)
    assert not seen[0].exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda each: each.name)
def test_a_signal_stops_everything_before_the_program_ends(
    number: signal.Signals, starter: subprocess.Popen[str], processes
) -> None:
    assert starter.stdout is not None
    folder = folder_of(starter.stdout.readline())
    parts = processes.of(starter.pid)
    starter.send_signal(number)
    assert starter.wait(60) in (128 + number, -number)
    assert not processes.alive(parts)
    assert not folder.exists()


def test_sigkill_of_the_program_leaves_nothing_after_a_few_seconds(
    starter: subprocess.Popen[str], processes
) -> None:
    assert starter.stdout is not None
    folder = folder_of(starter.stdout.readline())
    parts = processes.of(starter.pid)
    starter.kill()
    wait_until(lambda: not processes.alive(parts) and not folder.exists(), "everything has gone", 6.0)


def test_a_running_stage_is_given_the_grace_and_no_more(
    home: Path, tmp_path: Path, client: Callable[[str], Celery], processes
) -> None:
    started = tmp_path / "started"
    with EmbeddedStack.start(home, {"data": 1}, ["data"], grace=0.5) as stack:
        client(stack.redis_url).send_task("probe.sleep", (str(started),), queue="data")
        wait_until(started.exists, "the stage runs", 15)
        parts = processes.of(os.getpid())
    assert not processes.alive(parts)


def test_a_killed_worker_is_started_again(home: Path, client: Callable[[str], Celery], processes) -> None:
    with EmbeddedStack.start(home, {"data": 1}, ["data"]) as stack:
        stack.wait_until_ready(30)
        (fleet,) = (part.pid for part in stack._parts if part.name == "workers")
        (worker,) = (pid for pid in processes.of(fleet) if processes.of(pid))
        begun = processes.of(worker)
        os.kill(worker, signal.SIGKILL)
        # Until its processes are gone, Redis may hand them a message, which then only a run would send again.
        wait_until(lambda: not processes.alive(begun), "its processes are gone", 15)
        result = client(stack.redis_url).send_task("probe.where", queue="data")
        assert result.get(timeout=15)[0].startswith("data@")
        assert stack.failure() is None


def test_a_dead_part_is_told_with_the_end_of_its_log(home: Path) -> None:
    with EmbeddedStack.start(home, {"data": 1}, ["data"]) as stack:
        stack.check()
        (fleet,) = (part.pid for part in stack._parts if part.name == "workers")
        os.kill(fleet, signal.SIGKILL)
        wait_until(stack.failure, "it is noticed", 15)
        with pytest.raises(StackFailed, match="workers ended unexpectedly with exit status -9"):
            stack.check()


def test_workers_that_cannot_start_are_told(home: Path, surroundings: pytest.MonkeyPatch) -> None:
    settings()  # ours are read before
    surroundings.setenv("ORCHESTRATOR_LEASE_SECONDS", "soon")
    with (
        EmbeddedStack.start(home, {"data": 1}, ["data"]) as stack,
        pytest.raises(StackFailed, match=r"(?s)workers ended unexpectedly with exit status 1.*LEASE_SECONDS"),
    ):
        stack.wait_until_ready(30)


def test_slots_for_a_queue_that_is_not_there_are_refused(home: Path) -> None:
    with pytest.raises(StackFailed, match="slots are wished for queue 'gpu'; the queues are data"):
        EmbeddedStack.start(home, {"gpu": 1}, ["data"])
    assert not home.exists()
