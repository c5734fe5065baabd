"""Errors of registered models, with one-line messages."""

from __future__ import annotations

from orchestrator.errors import OrchestratorError


class UnknownModel(OrchestratorError):
    """The registry does not have this model, version or alias."""

    exit_status = 1


class UnsafeModel(OrchestratorError):
    """Loading the model could run foreign code, or the model was altered."""

    exit_status = 1


class NothingToRollBack(OrchestratorError):
    """The model has no champion, or its champion has no predecessor."""

    exit_status = 1
