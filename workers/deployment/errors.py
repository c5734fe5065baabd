"""What can be wrong with a registered model, said in one line each."""

from __future__ import annotations

from orchestrator.errors import OrchestratorError


class UnknownModel(OrchestratorError):
    """A model, a version or an alias that the registry does not have."""

    exit_status = 1


class UnsafeModel(OrchestratorError):
    """A model whose loading could run somebody else's code, or that was altered."""

    exit_status = 1


class NothingToRollBack(OrchestratorError):
    """A model without a champion, or whose champion had no predecessor."""

    exit_status = 1
