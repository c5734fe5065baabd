"""Whether the supervisor hears from Redis without a break: otherwise, silent workers mean nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from redis import Redis


@dataclass
class Contact:
    """How long Redis has been there, by its own clock, for workers to renew their leases.

    There was a break if it did not answer, if it was not heard of for as long as a lease (it hung, or the
    whole machine slept), or if it was started again: its leases are then those of its append-only file.
    """

    client: Redis
    lease_seconds: float
    is_steady: bool = field(default=False, init=False)  #: for as long as a lease, since the last break
    _since: float = field(default=0.0, init=False)
    heard: float | None = field(default=None, init=False)  #: when it answered last, by its own clock
    _lost: bool = field(default=False, init=False)

    def lose(self) -> None:
        """Redis did not answer."""
        self._lost = True
        self.is_steady = False

    def hear(self) -> None:
        """Ask Redis for the time, and see whether there was a break."""
        seconds, microseconds = self.client.time()
        now = seconds + microseconds / 1e6
        if self.heard is None or self._lost:
            up = float(cast("dict[str, int]", self.client.info("server"))["uptime_in_seconds"])
            self._since = now if self._lost else now - up
        elif now - self.heard > self.lease_seconds:
            self._since = now
        self._lost, self.heard = False, now
        self.is_steady = now - self._since > self.lease_seconds
