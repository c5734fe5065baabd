"""How far a loop has come leaves the process now and then, and never fails the stage."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

import pytest
from redis.exceptions import ConnectionError as Lost

from orchestrator.authoring.progress import Progress
from tests.harness.waiting import wait_until
from workers.runtime import progress_sender
from workers.runtime.progress_sender import sent_progress


@pytest.fixture(autouse=True)
def short_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress_sender, "PACE", 0.05)


class Desk:
    """Takes what is sent; away as often as it is told to be."""

    def __init__(self, away: int = 0) -> None:
        self.away = away
        self.told: list[str | None] = []

    def __call__(self, latest: Progress | None) -> None:
        if self.away:
            self.away -= 1
            raise Lost("nobody is there")
        self.told.append(None if latest is None else latest.count)


def test_the_latest_is_sent_and_taken_back_at_the_end() -> None:
    desk = Desk()
    with sent_progress(desk) as loops:
        for item in loops.over(range(1_000), None, ""):
            if item == 500:
                wait_until(lambda: "500/1000" in desk.told, "it is told")
    assert desk.told[-1] is None
    assert len(desk.told) < 10


def test_what_has_not_changed_is_not_sent_again() -> None:
    desk, paces = Desk(), threading.Event()
    with sent_progress(desk) as loops:
        for _ in loops.over(range(2), None, ""):
            paces.wait(0.3)
    assert desk.told == ["0/2", "1/2", None]


def test_an_attempt_without_loops_that_take_time_sends_nothing() -> None:
    desk = Desk()
    with sent_progress(desk):
        pass
    with sent_progress(desk) as loops:
        assert list(loops.over("ab", None, "")) == ["a", "b"]
    assert desk.told == []


def test_a_redis_that_is_away_does_not_stop_it() -> None:
    desk = Desk(away=2)
    with sent_progress(desk) as loops:
        for _ in loops.over(range(1), None, ""):
            wait_until(lambda: desk.told, "it is told after all")
    assert desk.told == ["0/1", None]


def test_a_loop_that_fails_takes_it_back() -> None:
    desk = Desk()

    def fail(wait: Callable[[], object]) -> None:
        with sent_progress(desk) as loops:
            for _ in loops.over(range(1), None, ""):
                wait_until(wait, "it is told")
                raise OSError

    with pytest.raises(OSError):
        fail(lambda: desk.told)
    assert desk.told == ["0/1", None]


def test_a_copy_of_the_process_sends_nothing() -> None:
    desk = Desk()
    with sent_progress(desk) as loops:
        child = os.fork()
        if child == 0:
            for _ in loops.over(range(1), None, ""):
                threading.Event().wait(0.2)
            os._exit(len(desk.told))
        assert os.waitpid(child, 0)[1] == 0
    assert desk.told == []
