"""Celery's result backend, used only to count the finished parts of chords."""

from __future__ import annotations

from typing import TYPE_CHECKING

from celery.backends.redis import RedisBackend
from celery.result import ResultBase

from orchestrator.redis_retry import retry

if TYPE_CHECKING:
    from redis import Redis


class ChordCounter(RedisBackend):
    """Counts chords in Redis. Results are never awaited, since outputs are artifacts.

    Celery's own backend subscribes to the result of every part of a chord when the chord is created, one
    round trip each, and unsubscribes when the result object is garbage-collected.
    """

    def _create_client(self, **params: object) -> Redis:
        """Create the client with this process's retry policy."""
        client: Redis = super()._create_client(**params, retry=retry())
        return client

    def add_pending_result(
        self, result: ResultBase, weak: bool = False, start_drainer: bool = True
    ) -> ResultBase:
        """Do not subscribe to the result."""
        del weak, start_drainer
        return result

    def remove_pending_result(self, result: ResultBase) -> ResultBase:
        """Do nothing: there is no subscription."""
        return result


def backend_url(redis_url: str | None) -> str | None:
    """Return the URL of the result backend that counts chords in the Redis at `redis_url`."""
    if redis_url is None:
        return None
    return f"{__name__}:{ChordCounter.__name__}+{redis_url.removeprefix('redis+')}"
