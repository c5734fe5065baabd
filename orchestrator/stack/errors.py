"""The errors of the local stack."""

from __future__ import annotations

from orchestrator.errors import OrchestratorError


class RedisNotFound(OrchestratorError):
    """No Redis server program is installed that could be started privately."""


class StackFailed(OrchestratorError):
    """A part of the local stack did not start, or died while it was needed."""


class PortTaken(StackFailed):
    """Another program began to listen on a port that had been free a moment before."""


class StackBusy(OrchestratorError):
    """Another stack of the same home is starting or stopping, and did not get done in time."""


class Terminated(SystemExit):
    """SIGTERM or SIGHUP arrived; raised in the main thread, so that everything is stopped on the way out."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(128 + signal_number)
