"""Who this worker is: the name people read, and the instance that its leases are held by."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from secrets import token_hex


@dataclass(frozen=True)
class Identity:
    """One worker process with its pool; children inherit it by forking."""

    name: str  #: Celery's node name, such as `training@host`
    instance: str  #: unique to this start of the worker
    process: int  #: of the worker itself, which its pool's processes are children of

    def delivery(self, message: str) -> str:
        """What a lease is held by: one message, at this worker."""
        return f"{self.instance}#{message}"


_current: Identity | None = None


def assume(name: str) -> Identity:
    """Become a worker; called once in its parent process, before the pool forks."""
    global _current
    _current = Identity(name, f"{name}/{os.getpid()}/{token_hex(4)}", os.getpid())
    return _current


def identity() -> Identity:
    """This worker's identity."""
    return _current or assume(f"celery@{socket.gethostname()}")
