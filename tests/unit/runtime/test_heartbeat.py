"""The heartbeat reads what the worker's main thread changes meanwhile, and outlives whatever it meets."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any, cast
from weakref import WeakSet

import pytest

from workers.runtime.heartbeat import snapshot, try_to_beat
from workers.runtime.identity import Identity


class Request:
    """Something that a set may refer to weakly, as Celery's do."""


def test_a_set_that_changes_all_the_time_is_copied() -> None:
    requests, over = WeakSet[Request](), threading.Event()
    kept = [Request() for _ in range(64)]
    for each in kept[:32]:
        requests.add(each)

    def change() -> None:
        while not over.is_set():
            for each in kept[32:]:
                requests.add(each)
            for each in kept[32:]:
                requests.discard(each)

    thread = threading.Thread(target=change)
    thread.start()
    try:
        for _ in range(2_000):
            assert set(snapshot(requests)) >= set(kept[:32])
    finally:
        over.set()
        thread.join()


def test_whatever_goes_wrong_in_a_beat_is_logged_and_the_next_may_be_made(
    caplog: pytest.LogCaptureFixture,
) -> None:
    try_to_beat(cast("Any", SimpleNamespace(app=None)))
    assert "heartbeat missed; the next one may not be" in caplog.text


def test_two_deliveries_of_a_message_to_one_worker_are_two_holders() -> None:
    me = Identity("training@host", "training@host/1/ab", 1)
    assert me.delivery("message", "first") != me.delivery("message", "second")
