"""REDIS_URL: what is accepted, and how Celery and redis-py each want it spelled.

Celery, kombu and Flower agree on `redis://`, `rediss://` and `redis+socket://PATH`; redis-py knows a socket
as `unix://PATH`. Users may write either.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, quote, urlencode, urlsplit, urlunsplit

#: Streams, LMOVE and script features that this project uses came with it; the oldest that is tested.
OLDEST = (6, 2)

_KOMBU = "redis+socket"
_REDIS_PY = "unix"

_SCHEMES = ("redis", "rediss", _REDIS_PY, _KOMBU)
_TLS_OPTION = "ssl_"
_CHECKS = ("required", "optional", "none")
_ESCAPE = "the characters / ? # [ ] in its password must be written as %2F %3F %23 %5B %5D"


def socket_url(socket: Path) -> str:
    """The address of a Redis behind a socket."""
    return f"{_KOMBU}://{socket}"


def client_url(url: str) -> str:
    """The same address for redis-py's `from_url`."""
    if not url.startswith(f"{_KOMBU}:"):
        return url
    return f"{_REDIS_PY}:{url.removeprefix(f'{_KOMBU}:')}".replace("virtual_host=", "db=")


def normalized(url: str, password: str | None = None) -> str:
    """The address as Celery wants it, with the certificate checked where the URL does not say otherwise.

    `password` is that of the URL's user, where the URL has none.

    Raises ValueError for what is no address of a Redis, without showing what may be a password.
    """
    scheme, found, _ = url.partition("://")
    if not found:
        raise ValueError("it is no URL: write redis://HOST:6379, rediss://HOST:6379 or unix:///PATH")
    if scheme == "sentinel" or scheme.startswith("redis+sentinel"):
        raise ValueError("Redis Sentinel is not supported: give the address of the Redis that is written to")
    if scheme not in _SCHEMES:
        raise ValueError(
            f"it begins with {scheme[:20]}://, and what is needed is a Redis: redis://HOST:6379, "
            "rediss://HOST:6379 (TLS) or unix:///PATH"
        )
    # The scheme of the socket has a plus, after which urlsplit would not look for options.
    try:
        parts = urlsplit(f"http://{url.partition('://')[2]}")
    except ValueError:  # whose text would show the password
        raise ValueError(f"{_ESCAPE}, and an IPv6 address stands in [ ]") from None
    if password and parts.password is None:
        user, _, host = parts.netloc.rpartition("@")
        parts = parts._replace(netloc=f"{user}:{quote(password, safe='')}@{host}")
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    if scheme in (_REDIS_PY, _KOMBU):
        return _of_socket(parts, options)
    _check_host(parts)
    tls = {name for name in options if name.startswith(_TLS_OPTION)}
    if scheme == "redis" and tls:
        raise ValueError(f"{min(tls)} is for rediss://, and it begins with redis://")
    if scheme == "rediss":
        options["ssl_cert_reqs"] = _check_of(options.get("ssl_cert_reqs", "required"))
    return urlunsplit((scheme, parts.netloc, parts.path, urlencode(options, safe="/"), ""))


def _of_socket(parts: SplitResult, options: dict[str, str]) -> str:
    if parts.netloc.rpartition("@")[2] or not parts.path:
        raise ValueError("a socket needs an absolute path: unix:///run/redis.sock, with three slashes")
    database = options.pop("db", None) or options.pop("virtual_host", None)
    _check_database(database or "0")
    if database:
        options["virtual_host"] = database
    asked = f"?{urlencode(options, safe='/')}" if options else ""
    return f"{_KOMBU}://{parts.netloc}{parts.path}{asked}"


def _check_host(parts: SplitResult) -> None:
    if "@" in parts.path + parts.query + parts.fragment:
        raise ValueError(_ESCAPE)
    try:
        port = parts.port
    except ValueError:
        raise ValueError("what follows the host's colon is no port number (0 to 65535)") from None
    if not parts.hostname or port == 0:
        raise ValueError("it names no host and port: write redis://HOST:6379")
    _check_database(parts.path.strip("/") or "0")


def _check_database(database: str) -> None:
    if not database.isdecimal():
        raise ValueError("its database is no number: write redis://HOST:6379/0")


def _check_of(word: str) -> str:
    chosen = word.lower().removeprefix("cert_")
    if chosen not in _CHECKS:
        raise ValueError(f"ssl_cert_reqs is one of {', '.join(_CHECKS)}")
    return chosen
