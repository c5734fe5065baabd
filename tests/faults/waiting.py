"""Waiting for a condition, with a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable

from redis.exceptions import RedisError


def holds(condition: Callable[[], object], seconds: float) -> bool:
    """Whether the condition comes true in that time; a Redis that is away counts as not yet."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if condition():
                return True
        except RedisError:
            pass
        time.sleep(0.02)
    return False
