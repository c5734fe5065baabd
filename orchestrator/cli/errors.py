"""What can be wrong with a command, apart from what other packages find wrong."""

from __future__ import annotations

from orchestrator.errors import OrchestratorError


class UsageError(OrchestratorError):
    """An option that cannot be meant."""


class NoStack(OrchestratorError):
    """The command needs a Redis that stays, and there is none."""


class NotConcluded(OrchestratorError):
    """A run has ended, and MLflow could not be told."""

    exit_status = 1


class UnknownToStack(OrchestratorError):
    """The workers of the stack that is up have not loaded the pipeline's module."""


class AmbiguousRun(OrchestratorError):
    """The beginning of more than one run's id."""


class UnknownNode(OrchestratorError):
    """The run has no node of that name."""
