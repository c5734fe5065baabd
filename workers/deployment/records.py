"""Values of the registry: a model version, a verdict and a promotion."""

from __future__ import annotations

from dataclasses import dataclass

#: Aliases of the version in production, and of the newest other version.
CHAMPION, CHALLENGER = "champion", "challenger"


@dataclass(frozen=True)
class ModelVersion:
    """A version of a registered model."""

    name: str
    version: int
    uri: str  #: `models:/<name>/<version>`
    source_run: str  #: the MLflow run that logged the model; empty if none did
    score: float  #: by its registered metric; NaN if it was registered by other means


@dataclass(frozen=True)
class Verdict:
    """Whether a challenger may replace the champion, and why."""

    passed: bool
    reason: str
    metric: str
    challenger: float
    champion: float | None
    champion_version: int | None


@dataclass(frozen=True)
class Promotion:
    """The result of a promotion or rollback: the champion now, and the one before."""

    name: str
    version: int
    previous: int | None
    changed: bool = True  #: False if an earlier attempt did it, or it was the champion already
    replaced_by: int | None = None  #: the champion that was promoted since an earlier attempt began

    @property
    def summary(self) -> str:
        """The result in plain English."""
        if self.replaced_by is not None:
            return f"version {self.version} of {self.name} stays replaced by version {self.replaced_by}"
        if not self.changed:
            return f"version {self.version} of {self.name} is the champion already"
        before = "there was none before" if self.previous is None else f"version {self.previous} was"
        return f"version {self.version} of {self.name} is the champion now; {before}"
