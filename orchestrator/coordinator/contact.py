"""Track breaks in the contact with Redis: after one, expired leases do not mean dead workers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from orchestrator.runs.connection import redis_time

if TYPE_CHECKING:
    from redis import Redis


@dataclass
class Contact:
    """How long Redis has been available, by its own clock, for workers to renew their leases.

    A break is a call that failed, a gap between answers longer than a lease (Redis hung, or the whole machine
    was suspended), or a restart of Redis, after which its leases are those of its append-only file.
    """

    client: Redis
    lease_seconds: float
    is_steady: bool = field(default=False, init=False)  #: no break for at least one lease
    _since: float = field(default=0.0, init=False)
    heard: float | None = field(default=None, init=False)  #: last answer, by Redis's clock
    _lost: bool = field(default=False, init=False)

    def lose(self) -> None:
        """Record that Redis did not answer."""
        self._lost = True
        self.is_steady = False

    def hear(self) -> None:
        """Ask Redis for the time, and detect a break."""
        now = redis_time(self.client)
        if self.heard is None or self._lost:
            up = float(cast("dict[str, int]", self.client.info("server"))["uptime_in_seconds"])
            self._since = now if self._lost else now - up
        elif now - self.heard > self.lease_seconds:
            self._since = now
        self._lost, self.heard = False, now
        self.is_steady = now - self._since > self.lease_seconds
