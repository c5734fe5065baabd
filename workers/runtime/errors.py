"""What goes wrong while a stage runs."""

from __future__ import annotations

from typing import Self

from orchestrator.archive.integrity import AGAIN
from orchestrator.artifacts.errors import MissingArtifact
from orchestrator.errors import OrchestratorError
from orchestrator.run_id import RunId


class StageTimeout(OrchestratorError):
    """A stage took longer than its time limit."""

    exit_status = 1
    transient = True  # the machine may have been busy: the stage's own policy says whether it is tried again


class UnknownStage(OrchestratorError):
    """A run needs a stage that this worker's code does not have."""

    exit_status = 1


class OtherCode(OrchestratorError):
    """A worker's code of a stage is not the code that the run was sent with."""

    exit_status = 1


class MissingOutput(MissingArtifact):
    """A node that is done has no manifest (any more)."""

    exit_status = 1

    @classmethod
    def of(cls, run: RunId, node: str) -> Self:
        """The error for a node, or an item of a map."""
        told = f"run {run}: {node} is not done, or no longer, though what needs it was started"
        return cls(told, hint=AGAIN)


class StageFailed(Exception):
    """What Celery and Flower are told of a failed attempt.

    Not the stage's own error, which may not be printable, nor survive the way to the worker's parent process.
    """


class DeadlyStage(OrchestratorError):
    """Workers die of a stage, again and again."""

    exit_status = 1
