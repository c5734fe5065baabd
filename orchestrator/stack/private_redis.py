"""A Redis of our own: behind a socket in a folder that only this user can enter, with no port."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import tempfile
from collections.abc import Mapping
from pathlib import Path

from orchestrator.stack.process import Process, wait_until
from orchestrator.stack.redis_program import find_redis

SOCKET = "redis.sock"

#: The operating systems allow 104 to 108 bytes.
_LONGEST_SOCKET_PATH = 99
_PLAIN = frozenset("/-_.+0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
_LOADING_SECONDS = 60.0


def private_folder() -> Path:
    """A new folder (mode 0700) whose path is short and plain enough for a socket's address."""
    usual = tempfile.gettempdir()
    room = len(usual.encode()) + len(f"/orchestrator-12345678/{SOCKET}") <= _LONGEST_SOCKET_PATH
    parent = usual if room and _PLAIN.issuperset(usual) else "/tmp"  # noqa: S108 - mkdtemp makes it private
    return Path(tempfile.mkdtemp(prefix="orchestrator-", dir=parent))


def start_redis(folder: Path, *, data: Path | None, log: Path, environment: Mapping[str, str]) -> Process:
    """Start a Redis in `folder`. With `data`, what it holds is kept there, for the next start."""
    settings = {
        "port": "0",
        "unixsocket": str(folder / SOCKET),
        "unixsocketperm": "700",
        "protected-mode": "yes",
        "save": "",
        "appendonly": "no" if data is None else "yes",
        "dir": str(folder if data is None else data),
        "daemonize": "no",
        "databases": "1",
    }
    if data is not None:
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
    options = [word for name, value in settings.items() for word in (f"--{name}", value)]
    return Process.start("redis", [str(find_redis()), *options], log=log, environment=environment)


def wait_for_redis(redis: Process, folder: Path) -> None:
    """Return as soon as it answers; raises StackFailed if it ends, or takes a minute to load its data."""

    def settled() -> bool:
        return redis.exit_status is not None or _answers(folder / SOCKET)

    if not wait_until(settled, _LOADING_SECONDS, poll=0.002):
        raise redis.failure(f"did not answer within {_LOADING_SECONDS:.0f} s")
    if redis.exit_status is not None:
        raise redis.failure(f"ended with exit status {redis.exit_status} as it was started")


def _answers(address: Path) -> bool:
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as client:
        client.settimeout(1.0)
        client.connect(os.fspath(address))
        client.sendall(b"PING\r\n")
        return client.recv(16).startswith(b"+PONG")
    return False


def remove_folder(folder: Path) -> None:
    """Remove the private folder; nothing happens if it is gone."""
    shutil.rmtree(folder, ignore_errors=True)
