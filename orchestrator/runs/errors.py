"""What goes wrong when runs are kept in Redis."""

from __future__ import annotations

from orchestrator.errors import OrchestratorError


class UnknownRun(OrchestratorError):
    """There is no run of that id."""


class RunIsOver(OrchestratorError):
    """A run that has ended cannot be stopped."""


class NothingLeft(OrchestratorError):
    """A run that has succeeded cannot be resumed."""


class RedisUnreachable(OrchestratorError):
    """Redis does not answer."""


class RedisUnfit(RedisUnreachable):
    """Redis answers, but not so that runs could be entrusted to it: waiting does not help."""


class LeaseLost(OrchestratorError):
    """Another worker took the node over: what this attempt made is not committed."""
