"""Keeps an attempt whose node was taken over from doing anything outside."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from redis.exceptions import RedisError

from orchestrator.runs.errors import LeaseLost

log = logging.getLogger(__name__)

#: It goes on while the machine sleeps, where there is such a clock.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def since_start() -> float:
    """Seconds on a clock that no pause of this process or machine stops."""
    return time.clock_gettime(_CLOCK)


@dataclass
class Fence:
    """Asks the run store whether an attempt is still the one that may commit."""

    node: str
    holds: Callable[[], bool]
    lease_seconds: float
    clock: Callable[[], float] = since_start
    _known: float = field(init=False)

    def __post_init__(self) -> None:
        self._known = self.clock()

    def check(self) -> None:
        """Raise LeaseLost if another worker has taken the node over."""
        now = self.clock()
        if not self.holds():
            raise LeaseLost(
                f"{self.node} was taken over by another worker while this one did not answer",
                hint="Nothing needs to be done: what the other attempt makes is what counts.",
            )
        self._known = now

    def glance(self, *, at_once: bool = False) -> None:
        """The same, but go on if there is no answer: a fit of hours must not end because Redis restarts.

        Without `at_once`, ask only after half a lease of silence.
        """
        if not at_once and self.clock() - self._known < self.lease_seconds / 2:
            return
        try:
            self.check()
        except RedisError as error:
            log.warning("%s goes on without knowing whether it is still its own: %s", self.node, error)
