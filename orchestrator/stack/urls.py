"""The address of a Redis behind a socket, as each of its clients spells it."""

from __future__ import annotations

from pathlib import Path

_KOMBU = "redis+socket://"
_REDIS_PY = "unix://"


def socket_url(socket: Path) -> str:
    """The address for Celery's broker, Celery's result backend and Flower, which agree on it."""
    return f"{_KOMBU}{socket}"


def client_url(url: str) -> str:
    """The same address for redis-py's `from_url`, which knows sockets by another scheme."""
    if not url.startswith(_KOMBU):
        return url
    return _REDIS_PY + url.removeprefix(_KOMBU).replace("virtual_host=", "db=")
