"""Who this worker is: the name people read, and the instance that its leases are held by."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from secrets import token_hex
from typing import Protocol

from kombu import Message


@dataclass(frozen=True)
class Identity:
    """One worker process with its pool; children inherit it by forking."""

    name: str  #: Celery's node name, such as `training@host`
    instance: str  #: unique to this start of the worker
    process: int  #: of the worker itself, which its pool's processes are children of

    def delivery(self, message: str, tag: str) -> str:
        """What a lease is held by: one delivery of a message, which this worker may get twice at once."""
        return f"{self.instance}#{message}/{tag}"


class Received(Protocol):
    """A message as the worker's parent process has it: Celery's `Request`."""

    id: str
    message: Message


def delivery_of(request: Received) -> str:
    """What the leases are held by of the nodes that a message of this worker is about."""
    return identity().delivery(request.id, request.message.delivery_tag)


_current: Identity | None = None


def assume(name: str) -> Identity:
    """Become a worker; called once in its parent process, before the pool forks."""
    global _current
    _current = Identity(name, f"{name}/{os.getpid()}/{token_hex(4)}", os.getpid())
    return _current


def identity() -> Identity:
    """This worker's identity."""
    return _current or assume(f"celery@{socket.gethostname()}")
