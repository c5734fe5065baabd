"""Machine-learning pipelines as plain Python functions, run over Celery chains and chords."""

from __future__ import annotations

from orchestrator.authoring.context import context
from orchestrator.authoring.errors import Unfit
from orchestrator.authoring.failure import Failure
from orchestrator.authoring.pipeline import Pipeline, pipeline
from orchestrator.authoring.policies import Retry
from orchestrator.authoring.stage import Stage, stage

__all__ = ["Failure", "Pipeline", "Retry", "Stage", "Unfit", "context", "pipeline", "stage"]
