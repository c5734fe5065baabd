"""Reserves a loopback port: the usual one of a service if it is free, else the next free one."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from orchestrator.stack.errors import StackFailed

LOOPBACK = "127.0.0.1"
_TRIED = 100


@dataclass(frozen=True)
class ReservedPort:
    """A port that no other stack of this user chooses until it is released, or this process has ended.

    A service needs seconds from its start until it listens. Meanwhile another stack could choose the same
    port, and then mistake the first one's service for its own.
    """

    number: int
    _lock: IO[str]

    def release(self) -> None:
        """Let others choose it."""
        self._lock.close()


def reserve_port(wanted: int) -> ReservedPort:
    """The first port from `wanted` on that nobody listens on and no other stack has reserved."""
    for number in range(wanted, wanted + _TRIED):
        lock = _lock(number)
        if lock is None:
            continue
        if _is_free(number):
            return ReservedPort(number, lock)
        lock.close()
    raise _none_from(wanted)


def free_port(wanted: int, *, taken: Container[int] = ()) -> int:
    """The first port from `wanted` on that nobody listens on now, leaving out those in `taken`."""
    for number in range(wanted, wanted + _TRIED):
        if number not in taken and _is_free(number):
            return number
    raise _none_from(wanted)


def _none_from(wanted: int) -> StackFailed:
    return StackFailed(f"all ports from {wanted} to {wanted + _TRIED - 1} on {LOOPBACK} are in use")


def _is_free(number: int) -> bool:
    return not _answers(number) and _can_be_bound(number)


def _lock(number: int) -> IO[str] | None:
    folder = Path(f"/tmp/orchestrator-ports-{os.getuid()}")  # noqa: S108 - the same whatever TMPDIR says
    folder.mkdir(mode=0o700, exist_ok=True)
    lock = (folder / str(number)).open("w", encoding="utf-8")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        return None
    return lock


def _answers(port: int) -> bool:
    """Whether somebody listens. Who listens on all addresses does not keep others from binding this one."""
    with socket.socket() as client:
        client.settimeout(0.2)
        return client.connect_ex((LOOPBACK, port)) == 0


def _can_be_bound(port: int) -> bool:
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            server.bind((LOOPBACK, port))
        except OSError:
            return False
    return True
