"""Fence: stop an attempt whose node another worker has claimed from causing external effects."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from redis.exceptions import RedisError

from orchestrator.runs.errors import LeaseLost

log = logging.getLogger(__name__)

#: CLOCK_BOOTTIME also runs while the machine is suspended; not every platform has it.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def since_start() -> float:
    """Return seconds of a clock that keeps running while this process is stopped or the machine suspended."""
    return time.clock_gettime(_CLOCK)


@dataclass
class Fence:
    """Asks the run store whether an attempt still holds its lease and may commit."""

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
        """Like `check`, but continue if Redis does not answer: a restart of Redis must not end a long fit.

        Without `at_once`, ask only if the last confirmation is older than half a lease.
        """
        if not at_once and self.clock() - self._known < self.lease_seconds / 2:
            return
        try:
            self.check()
        except RedisError as error:
            log.warning("%s goes on without knowing whether it is still its own: %s", self.node, error)
