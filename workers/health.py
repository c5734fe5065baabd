"""Health check: whether this host has a live worker (`python -m workers.health`)."""

from __future__ import annotations

import socket
import sys

from redis.exceptions import RedisError

from orchestrator.runs.connection import connect
from orchestrator.runs.presence import present_workers
from orchestrator.settings import settings


def main() -> int:
    """Return 0 if it has; otherwise print the reason and return 1."""
    here = socket.gethostname()
    try:
        workers = present_workers(connect(settings().redis_url or ""))
    except RedisError as error:
        print(f"Redis does not answer: {error}")
        return 1
    alive = any(worker.name.rpartition("@")[2] == here for worker in workers)
    if not alive:
        print(f"no worker on {here} has been heard of for a lease")
    return int(not alive)


if __name__ == "__main__":
    sys.exit(main())
