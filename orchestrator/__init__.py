"""Machine-learning pipelines as plain Python functions, run over Celery chains and chords."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.authoring.context import context
from orchestrator.authoring.errors import InvalidData
from orchestrator.authoring.failure import Failure
from orchestrator.authoring.pipeline import Pipeline, pipeline
from orchestrator.authoring.policies import Retry
from orchestrator.authoring.stage import Stage, stage
from orchestrator.errors import OrchestratorError

if TYPE_CHECKING:
    from orchestrator.artifacts.user_codecs import register_codec

__all__ = [
    "Failure",
    "InvalidData",
    "OrchestratorError",
    "Pipeline",
    "Retry",
    "Stage",
    "context",
    "pipeline",
    "register_codec",
    "stage",
]


if not TYPE_CHECKING:  # a type checker is to find names that are not there

    def __getattr__(name: str) -> object:
        """What needs more than authoring does is loaded when it is first used."""
        if name == "register_codec":
            from orchestrator.artifacts.user_codecs import register_codec

            return register_codec
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
