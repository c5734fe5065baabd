"""What can be wrong with a request to the runs, the outputs and the models that there are."""

from __future__ import annotations

from orchestrator.errors import OrchestratorError


class NoStack(OrchestratorError):
    """It needs a Redis that stays, and there is none."""


class OtherStack(OrchestratorError):
    """A process talks to one stack at a time, and this client's is not it any more."""


class UnknownToStack(OrchestratorError):
    """The workers of the stack that is up have not loaded the pipeline's module."""


class AmbiguousRun(OrchestratorError):
    """The beginning of more than one run's id."""


class UnknownNode(OrchestratorError):
    """The run has no node of that name."""


class NoOutput(OrchestratorError):
    """A node, or a run, has no output: it has not succeeded, or returns nothing that can be read."""


class RunFailed(OrchestratorError):
    """A run that was waited for did not succeed."""

    exit_status = 1


class StillRunning(OrchestratorError, TimeoutError):
    """A run was waited for, and is not over yet."""

    exit_status = 1


class NotImportable(OrchestratorError):
    """A pipeline is defined where workers cannot import it."""


class NoRegistry(OrchestratorError):
    """Nothing that is installed knows registered models."""


class InvalidFilter(OrchestratorError):
    """A condition for a list of runs that cannot be meant."""
