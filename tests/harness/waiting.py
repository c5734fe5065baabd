"""Waiting for a condition, with a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from redis.exceptions import RedisError


def wait_until(condition: Callable[[], object], what: str, seconds: float = 60.0) -> None:
    """Return as soon as the condition holds; fail the test after `seconds`."""
    if not _comes_true(condition, seconds):
        pytest.fail(f"waited {seconds:.0f} s in vain until {what}")


def holds(condition: Callable[[], object], seconds: float) -> bool:
    """Whether the condition comes true in that time; a Redis that is away counts as not yet."""

    def holds_now() -> object:
        try:
            return condition()
        except RedisError:
            return False

    return _comes_true(holds_now, seconds)


def _comes_true(condition: Callable[[], object], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True
