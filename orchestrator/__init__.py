"""Machine-learning pipelines as plain Python functions, run over Celery chains and chords."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator.artifacts.user_codecs import register_codec
    from orchestrator.authoring.context import context
    from orchestrator.authoring.errors import InvalidData
    from orchestrator.authoring.failure import Failure
    from orchestrator.authoring.pipeline import Pipeline, pipeline
    from orchestrator.authoring.policies import Retry
    from orchestrator.authoring.stage import Stage, stage
    from orchestrator.authoring.table import Table
    from orchestrator.client.client import connect
    from orchestrator.errors import OrchestratorError

__all__ = [
    "Failure",
    "InvalidData",
    "OrchestratorError",
    "Pipeline",
    "Retry",
    "Stage",
    "Table",
    "connect",
    "context",
    "pipeline",
    "register_codec",
    "stage",
]

#: Where the public names are: each is loaded when it is first used, so that the command line starts quickly.
_HOMES = {
    "Failure": "authoring.failure",
    "InvalidData": "authoring.errors",
    "OrchestratorError": "errors",
    "Pipeline": "authoring.pipeline",
    "Retry": "authoring.policies",
    "Stage": "authoring.stage",
    "Table": "authoring.table",
    "connect": "client.client",
    "context": "authoring.context",
    "pipeline": "authoring.pipeline",
    "register_codec": "artifacts.user_codecs",
    "stage": "authoring.stage",
}

if not TYPE_CHECKING:  # a type checker is to find names that are not there

    def __getattr__(name: str) -> object:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        found = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
        globals()[name] = found
        return found
