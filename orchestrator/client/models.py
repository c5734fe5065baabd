"""The model registry, as clients see it; the package that knows MLflow provides it by an entry point."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Protocol, TypeAlias, cast

from orchestrator.client.errors import NoRegistry

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator

#: What a registered model is loaded as.
Estimator: TypeAlias = "BaseEstimator"

#: The entry point that provides it: this package knows no MLflow.
ENTRY_POINT = "orchestrator.model_registry"


class ModelVersion(Protocol):
    """A version of a registered model."""

    @property
    def name(self) -> str: ...
    @property
    def version(self) -> int: ...
    @property
    def aliases(self) -> Sequence[str]: ...  #: such as `champion`
    @property
    def run(self) -> str: ...  #: the run that registered it; empty if none of ours did
    @property
    def metric(self) -> str: ...  #: what its score is; empty if it was registered by other means
    @property
    def score(self) -> float: ...  #: NaN if it was registered by other means
    @property
    def uri(self) -> str: ...  #: `models:/<name>/<version>`


class ModelRegistry(Protocol):
    """Where registered models are."""

    def versions(self, name: str | None = None) -> Sequence[ModelVersion]:
        """The versions of one model, or of all, by name, the newest first."""

    def load_model(self, name: str, alias: str, *, version: int | None = None) -> Estimator:
        """The estimator of a version, which is loaded without running code of whoever wrote it."""


def registry() -> ModelRegistry:
    """The registry that is installed; raises NoRegistry."""
    for point in entry_points(group=ENTRY_POINT):
        return cast("ModelRegistry", point.load())
    raise NoRegistry("no package here provides a model registry", hint="install the project with its workers")
