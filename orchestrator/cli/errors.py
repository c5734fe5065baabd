"""What can be wrong with a command, apart from what other packages find wrong."""

from __future__ import annotations

from orchestrator.errors import OrchestratorError


class UsageError(OrchestratorError):
    """An option that cannot be meant."""


class NotConcluded(OrchestratorError):
    """A run has ended, and MLflow could not be told."""

    exit_status = 1
