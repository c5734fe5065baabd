"""Circuit breaker for MLflow: no requests for a while after it did not answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

from workers.tracking.errors import TrackingUnavailable

#: Seconds until the next request to MLflow: initial and maximum; doubled after each failure.
FIRST, LONGEST = 5.0, 60.0


@dataclass
class Circuit:
    """The circuit breaker of this process: each timeout of an unavailable MLflow would take seconds."""

    clock: Callable[[], float] = monotonic
    _error: TrackingUnavailable | None = None
    _pause: float = FIRST
    _until: float = 0.0

    def open(self, error: TrackingUnavailable) -> None:
        """Open the circuit after MLflow did not answer."""
        if self.error() is not None:
            return
        self._error = error
        self._until = self.clock() + self._pause
        self._pause = min(LONGEST, self._pause * 2)

    def close(self) -> None:
        """Close the circuit after MLflow answered."""
        self._error, self._pause = None, FIRST

    def error(self) -> TrackingUnavailable | None:
        """Return the last error while the circuit is open; None if requests may be sent."""
        return self._error if self.clock() < self._until else None
