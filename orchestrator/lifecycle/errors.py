"""Errors raised before a run starts."""

from __future__ import annotations

from orchestrator.errors import OrchestratorError


class UnknownPipeline(OrchestratorError):
    """No pipeline has this name."""


class BrokenModule(OrchestratorError):
    """A module of pipelines cannot be imported."""


class UnknownQueue(OrchestratorError):
    """A queue is not named in the settings."""


class NameTaken(OrchestratorError):
    """A user's folder has the name of one of the orchestrator's packages."""


class InvalidLabels(OrchestratorError):
    """A name, a tag or a note that a run cannot have."""
