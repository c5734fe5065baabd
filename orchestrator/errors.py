"""The root of all errors that are meant for a person; each package keeps its own kinds beside its code."""

from __future__ import annotations

from orchestrator.authoring.errors import OrchestratorError

__all__ = ["OrchestratorError"]
