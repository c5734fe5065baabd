"""What the registry tells of a version, a verdict and a promotion."""

from __future__ import annotations

from dataclasses import dataclass

#: The aliases of the version in use, and of the newest one that is not.
CHAMPION, CHALLENGER = "champion", "challenger"


@dataclass(frozen=True)
class ModelVersion:
    """A version of a registered model."""

    name: str
    version: int
    uri: str  #: `models:/<name>/<version>`
    source_run: str  #: the MLflow run that logged the model; empty if none did
    score: float  #: by the metric it was registered with; NaN if it was registered by other means


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
    """Which version is the champion now, and which one was before."""

    name: str
    version: int
    previous: int | None
    changed: bool = True  #: False if an earlier attempt has done it, or it was the champion already
    replaced_by: int | None = None  #: the champion that was promoted since an earlier attempt began

    @property
    def summary(self) -> str:
        """The same in plain English."""
        if self.replaced_by is not None:
            return f"version {self.version} of {self.name} stays replaced by version {self.replaced_by}"
        if not self.changed:
            return f"version {self.version} of {self.name} is the champion already"
        before = "there was none before" if self.previous is None else f"version {self.previous} was"
        return f"version {self.version} of {self.name} is the champion now; {before}"
