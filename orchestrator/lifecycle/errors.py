"""What goes wrong before a run starts."""

from __future__ import annotations

from orchestrator.errors import OrchestratorError


class UnknownPipeline(OrchestratorError):
    """There is no pipeline of that name."""


class BrokenModule(OrchestratorError):
    """A module of pipelines that cannot be imported."""


class UnknownQueue(OrchestratorError):
    """A queue that no setting names."""


class NameTaken(OrchestratorError):
    """A folder of the user's has the name of one of the orchestrator's own packages."""
