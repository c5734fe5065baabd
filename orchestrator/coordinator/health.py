"""Health check of the coordinator: `python -m orchestrator.coordinator.health`."""

from __future__ import annotations

import sys

from redis.exceptions import RedisError

from orchestrator.runs.connection import connect
from orchestrator.runs.leadership import current_leader
from orchestrator.settings import settings


def main() -> int:
    """Return 0 if a coordinator leads; otherwise print the reason and return 1."""
    try:
        leader = current_leader(connect(settings().redis_url or ""))
    except RedisError as error:
        print(f"Redis does not answer: {error}")
        return 1
    if leader is None:
        print("no coordinator leads")
    return int(leader is None)


if __name__ == "__main__":
    sys.exit(main())
