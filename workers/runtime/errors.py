"""What goes wrong while a stage runs."""

from __future__ import annotations

from orchestrator.artifacts.errors import MissingArtifact
from orchestrator.errors import OrchestratorError


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


class StageFailed(Exception):
    """What Celery and Flower are told of a failed attempt.

    Not the stage's own error, which may not be printable, nor survive the way to the worker's parent process.
    """


class DeadlyStage(OrchestratorError):
    """Workers die of a stage, again and again."""

    exit_status = 1
