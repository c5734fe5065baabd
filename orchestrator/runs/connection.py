"""Opens the connection to Redis."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.patience import retry
from orchestrator.runs.errors import RedisUnreachable

if TYPE_CHECKING:
    from redis import Redis


def connect(url: str, *, hasty: bool = False) -> Redis:
    """A client for the Redis at `url` (redis://, rediss://, or a socket: redis+socket://, unix://).

    A `hasty` one tries each call once only: to find out whether Redis is there at all.
    """
    import redis

    address = "unix://" + url.removeprefix("redis+socket://") if url.startswith("redis+socket:") else url
    try:
        return redis.Redis.from_url(
            address.replace("virtual_host=", "db="),
            decode_responses=True,
            socket_connect_timeout=5.0,
            health_check_interval=30,
            retry=None if hasty else retry(),
        )
    except ValueError as error:
        raise RedisUnreachable(f"REDIS_URL is no Redis address: {error}") from error


def check(client: Redis) -> None:
    """Raise RedisUnreachable, with what to do, unless Redis answers."""
    import redis

    try:
        client.ping()
    except redis.exceptions.AuthenticationError as error:
        raise RedisUnreachable(
            "Redis refuses the password", hint="check the user and password in REDIS_URL"
        ) from error
    except redis.exceptions.RedisError as error:
        host = client.connection_pool.connection_kwargs
        where = host.get("path") or f"{host.get('host')}:{host.get('port')}"
        raise RedisUnreachable(
            f"Redis does not answer at {where}",
            hint="start it, or correct REDIS_URL; without REDIS_URL a private Redis is started",
        ) from error
