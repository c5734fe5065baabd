"""The identity of this worker: its display name, and the instance that holds its leases."""

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
    process: int  #: id of the worker's parent process

    def delivery(self, message: str, tag: str) -> str:
        """Return the lease holder's id for one delivery; a worker may have two deliveries of one message."""
        return f"{self.instance}#{message}/{tag}"


class Received(Protocol):
    """A message in the worker's parent process: Celery's `Request`."""

    id: str
    message: Message


def delivery_of(request: Received) -> str:
    """Return the lease holder's id for a request of this worker."""
    return identity().delivery(request.id, request.message.delivery_tag)


_current: Identity | None = None


def assume(name: str) -> Identity:
    """Set this process's identity; called once in the worker's parent process, before the pool forks."""
    global _current
    _current = Identity(name, f"{name}/{os.getpid()}/{token_hex(4)}", os.getpid())
    return _current


def identity() -> Identity:
    """Return this worker's identity."""
    return _current or assume(f"celery@{socket.gethostname()}")
