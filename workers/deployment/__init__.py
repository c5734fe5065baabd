"""Register, gate, promote and load models in MLflow's registry."""

from __future__ import annotations

from workers.deployment.errors import NothingToRollBack, UnknownModel, UnsafeModel
from workers.deployment.gate import compare_with_champion
from workers.deployment.loading import load_model
from workers.deployment.promotion import promote, rollback
from workers.deployment.records import ModelVersion, Promotion, Verdict
from workers.deployment.registry import champion, register

__all__ = [
    "ModelVersion",
    "NothingToRollBack",
    "Promotion",
    "UnknownModel",
    "UnsafeModel",
    "Verdict",
    "champion",
    "compare_with_champion",
    "load_model",
    "promote",
    "register",
    "rollback",
]
