"""Connect to Redis, and check that its version and configuration are suitable for runs."""

from __future__ import annotations

import ssl
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.redis_retry import retry
from orchestrator.redis_url import OLDEST, client_url
from orchestrator.runs.errors import RedisUnfit, RedisUnreachable

if TYPE_CHECKING:
    from redis import Redis

#: The only maxmemory-policy under which a full Redis refuses writes instead of evicting keys.
NO_EVICTION = "noeviction"

_URL_HINT = "correct REDIS_URL"


def connect(url: str, *, hasty: bool = False) -> Redis:
    """Create a client for the Redis at `url` (redis://, rediss://, or a socket: redis+socket://, unix://).

    A `hasty` client does not retry calls, in order to find out whether Redis is reachable.
    """
    import redis

    try:
        return redis.Redis.from_url(
            client_url(url),
            decode_responses=True,
            encoding_errors="backslashreplace",  # text that is not UTF-8 must not break a reply
            socket_connect_timeout=5.0,
            health_check_interval=30,
            retry=None if hasty else retry(),
        )
    except ValueError as error:
        raise RedisUnfit(f"REDIS_URL is no Redis address: {error}") from error


def connect_redis(url: str) -> Redis:
    """Create a client for the Redis at `url` after it has answered; raises RedisUnreachable."""
    with connect(url, hasty=True) as first:
        check(first)
    return connect(url)


def connect_durable_redis(url: str, *, evicting: str, warn: Callable[[str], None]) -> Redis:
    """Like `reach`, for storing runs: raises RedisUnfit for a Redis that could lose them.

    Doubts that do not prevent that are passed to `warn`.
    """
    client = connect_redis(url)
    doubt = require_fit(client, evicting=evicting)
    if doubt:
        warn(f"WARNING: {doubt}")
    return client


def wait_for_redis(url: str, *, evicting: str, warn: Callable[[str], None]) -> None:
    """Wait until the Redis at `url` is usable, since services and machines may start in any order.

    Raises RedisUnfit if waiting does not help.
    """
    told = False
    while True:
        try:
            connect_durable_redis(url, evicting=evicting, warn=warn).close()
        except RedisUnfit:
            raise
        except RedisUnreachable as error:
            if not told:
                print(f"{error}; waiting for it", file=sys.stderr, flush=True)
            told = True
            time.sleep(1.0)
        else:
            return


def redis_time(client: Redis) -> float:
    """The time by Redis's clock, in seconds since 1970."""
    seconds, microseconds = client.time()
    return float(seconds + microseconds / 1e6)


def check(client: Redis) -> None:
    """Raise RedisUnreachable if Redis does not answer; RedisUnfit if waiting would not help."""
    import redis

    place = client.connection_pool.connection_kwargs
    authority = place.get("ssl_ca_certs")
    if authority and not Path(authority).is_file():
        raise RedisUnfit(f"there is no file {authority}, named as ssl_ca_certs", hint=_URL_HINT)
    where = place.get("path") or f"{place.get('host')}:{place.get('port', 6379)}"
    try:
        client.ping()
    except redis.exceptions.RedisError as error:
        reason = _permanent(error, int(place.get("db", 0)))
        if reason is not None:
            raise RedisUnfit(reason.format(where=where), hint=_URL_HINT) from error
        raise RedisUnreachable(
            f"Redis does not answer at {where}",
            hint="start it, or correct REDIS_URL; without REDIS_URL a private Redis is started",
        ) from error


def require_fit(client: Redis, *, evicting: str = "refuse") -> str | None:
    """Raise RedisUnfit if this Redis is too old, or may drop keys when it is full.

    With `evicting="warn"` the latter is only a warning, which is returned: some managed services do not allow
    another policy.
    """
    import redis

    try:
        told = {**client.info("server"), **client.info("memory")}
    except redis.exceptions.NoPermissionError:
        return "this Redis does not let its user call INFO: whether it may evict keys is not known"
    version = str(told["redis_version"])
    numbers = tuple(int(part) for part in version.split(".")[:2])
    if numbers < OLDEST:
        raise RedisUnfit(
            f"Redis is version {version}, and {OLDEST[0]}.{OLDEST[1]} is needed", hint="upgrade it"
        )
    policy = str(told.get("maxmemory_policy", NO_EVICTION))
    if policy == NO_EVICTION:
        return None
    danger = f"Redis evicts keys when it is full (maxmemory-policy {policy}): messages and runs would be lost"
    if evicting == "warn":
        return danger
    raise RedisUnfit(
        danger,
        hint=f"set it to {NO_EVICTION}: CONFIG SET maxmemory-policy {NO_EVICTION}, and in its configuration; "
        "where a managed service leaves no choice, set ORCHESTRATOR_REDIS_EVICTION=warn",
    )


def _permanent(error: Exception, database: int) -> str | None:
    """Describe why Redis refuses the connection permanently; None if it may only be unavailable."""
    from redis import exceptions

    if isinstance(error, exceptions.AuthenticationError):
        return "Redis refuses the user or the password (at {where})"
    if isinstance(error, exceptions.BusyLoadingError):
        return None
    if isinstance(error, exceptions.InvalidResponse):
        return "what answers at {where} is no Redis"
    if isinstance(error, exceptions.ResponseError):
        if "DB index" in str(error) or "SELECT is not allowed" in str(error):
            return f"Redis at {{where}} has no database {database}"
        return f"Redis at {{where}} refuses the connection: {str(error).replace('{', '(').replace('}', ')')}"
    tls = _tls_error(error)
    if isinstance(tls, ssl.SSLCertVerificationError):
        return (
            f"the certificate of Redis at {{where}} is not trusted: {tls.verify_message}; "
            "name its authority with ?ssl_ca_certs=FILE"
        )
    if tls is not None and "WRONG_VERSION_NUMBER" in str(tls):
        return "what answers at {where} speaks no TLS: write redis:// instead of rediss://"
    return None


def _tls_error(error: BaseException | None) -> ssl.SSLError | None:
    while error is not None and not isinstance(error, ssl.SSLError):
        error = error.__cause__ or error.__context__
    return error
