"""Picks a loopback port: the one that people know if it is free, else the next free one."""

from __future__ import annotations

import socket
from collections.abc import Container

from orchestrator.stack.errors import StackFailed

LOOPBACK = "127.0.0.1"
_TRIED = 100


def free_port(wanted: int, *, taken: Container[int] = ()) -> int:
    """The first port from `wanted` on that nobody listens on, leaving out those in `taken`."""
    for port in range(wanted, wanted + _TRIED):
        if port not in taken and not _answers(port) and _can_be_bound(port):
            return port
    raise StackFailed(f"all ports from {wanted} to {wanted + _TRIED - 1} on {LOOPBACK} are in use")


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
