"""Whether it is worth asking MLflow: not again for a while after it did not answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

from workers.tracking.errors import TrackingUnavailable

#: Seconds until MLflow is asked again: first, and at the most; the wait doubles each time in vain.
FIRST, LONGEST = 5.0, 60.0


@dataclass
class Circuit:
    """What this process knows of MLflow: to notice that it is away takes seconds, which add up."""

    clock: Callable[[], float] = monotonic
    _error: TrackingUnavailable | None = None
    _pause: float = FIRST
    _until: float = 0.0

    def open(self, error: TrackingUnavailable) -> None:
        """MLflow did not answer."""
        if self.error() is not None:
            return
        self._error = error
        self._until = self.clock() + self._pause
        self._pause = min(LONGEST, self._pause * 2)

    def close(self) -> None:
        """MLflow did answer."""
        self._error, self._pause = None, FIRST

    def error(self) -> TrackingUnavailable | None:
        """Why not to ask now; None if it is worth it."""
        return self._error if self.clock() < self._until else None
