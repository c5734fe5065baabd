"""Celery's result backend as this project uses it: to count the parts of chords, and for nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from celery.backends.redis import RedisBackend
from celery.result import ResultBase

from orchestrator.redis_retry import retry

if TYPE_CHECKING:
    from redis import Redis


class ChordCounter(RedisBackend):
    """Counts chords in Redis. Nobody waits for a result here, since outputs are artifacts.

    Celery's own backend subscribes to the result of every part of a chord as soon as the chord is made, one
    round trip each, and unsubscribes when the result object is garbage.
    """

    def _create_client(self, **params: object) -> Redis:
        """Make the connection, which tries as long as this process is patient."""
        client: Redis = super()._create_client(**params, retry=retry())
        return client

    def add_pending_result(
        self, result: ResultBase, weak: bool = False, start_drainer: bool = True
    ) -> ResultBase:
        """Do not listen for the result."""
        del weak, start_drainer
        return result

    def remove_pending_result(self, result: ResultBase) -> ResultBase:
        """There is nothing to stop listening to."""
        return result


def backend_url(redis_url: str | None) -> str | None:
    """The Redis at `redis_url` as a result backend of this kind."""
    if redis_url is None:
        return None
    return f"{__name__}:{ChordCounter.__name__}+{redis_url.removeprefix('redis+')}"
