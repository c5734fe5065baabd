"""Where what a stage logs goes: the protocol, and the tracker of stages that run outside a worker."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from orchestrator.authoring.masking import mask_text

log = logging.getLogger("orchestrator.stage")


class Tracker(Protocol):
    """Where the things that a stage logs go."""

    def log_metrics(self, values: Mapping[str, float], step: int | None = None) -> None: ...
    def log_params(self, values: Mapping[str, object]) -> None: ...
    def set_tag(self, name: str, value: str) -> None: ...
    def log_artifact(self, path: Path, folder: str = "") -> None: ...
    def log_text(self, text: str, file_name: str) -> None: ...
    def log_model(self, model: object, *, example: object, name: str = "model") -> str: ...
    def model_uri(self, uri: str) -> str: ...


@dataclass(kw_only=True)
class LocalVersion:
    """A version of a model that a stage of this run has registered."""

    number: int
    uri: str
    metric: str
    score: float
    made_by: str  #: the node
    previous: int | None = None  #: the champion before it
    left_by: str = ""  #: the node that has gone back from it
    left_in: int = 0  #: and in which attempt


@dataclass
class LocalModels:
    """What a worker's stages would have in MLflow: logged models by URI, versions and aliases by name."""

    logged: dict[str, object] = field(default_factory=dict)
    versions: dict[str, list[LocalVersion]] = field(default_factory=dict)
    aliases: dict[tuple[str, str], int] = field(default_factory=dict)  #: by the model's name and the alias

    def keep(self, model: object, name: str) -> str:
        """Keep a fitted model; its URI, which means something within this run only."""
        uri = f"local-model:/{len(self.logged) + 1}/{name}"
        self.logged[uri] = model
        return uri


class LogTracker:
    """Writes to the logger only: what a stage logs when it runs outside a worker.

    In a local run, the models it logs are kept for as long as the run.
    """

    def __init__(self, models: LocalModels | None = None) -> None:
        self._models = models

    def log_metrics(self, values: Mapping[str, float], step: int | None = None) -> None:
        _tell(f"metrics {dict(values)}{'' if step is None else f' at step {step}'}")

    def log_params(self, values: Mapping[str, object]) -> None:
        _tell(f"parameters {dict(values)}")

    def set_tag(self, name: str, value: str) -> None:
        _tell(f"tag {name}={value}")

    def log_artifact(self, path: Path, folder: str = "") -> None:
        _tell(f"artifact {Path(folder) / path.name}")

    def log_text(self, text: str, file_name: str) -> None:
        _tell(f"text {file_name}:\n{text}")

    def log_model(self, model: object, *, example: object, name: str = "model") -> str:
        del example
        _tell(f"model {name}: {model}")
        return "" if self._models is None else self._models.keep(model, name)

    def model_uri(self, uri: str) -> str:
        return uri


def _tell(text: str) -> None:
    log.info("%s", mask_text(text))
