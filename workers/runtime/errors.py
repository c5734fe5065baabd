"""Errors raised while a stage runs."""

from __future__ import annotations

from typing import Self

from orchestrator.archive.integrity import AGAIN
from orchestrator.artifacts.errors import MissingArtifact
from orchestrator.errors import OrchestratorError
from orchestrator.run_id import RunId


class StageTimeout(OrchestratorError):
    """A stage took longer than its time limit."""

    exit_status = 1
    transient = True  # the machine may have been busy; the stage's own retry policy applies


class UnknownStage(OrchestratorError):
    """A run needs a stage that is not registered in this worker."""

    exit_status = 1


class OtherCode(OrchestratorError):
    """A worker's code of a stage differs from the code that the run was submitted with."""

    exit_status = 1


class MissingOutput(MissingArtifact):
    """A finished node has no manifest, or no longer."""

    exit_status = 1

    @classmethod
    def of(cls, run: RunId, node: str) -> Self:
        """Create the error for a node or a map item."""
        told = f"run {run}: {node} is not done, or no longer, though what needs it was started"
        return cls(told, hint=AGAIN)


class StageFailed(Exception):
    """The exception by which Celery and Flower see a failed attempt.

    It replaces the stage's own error, which may be neither printable nor picklable for the parent process.
    """


class DeadlyStage(OrchestratorError):
    """Several workers were lost while they ran the same node."""

    exit_status = 1
