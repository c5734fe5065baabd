"""An in-memory model registry for local runs, with the rules of MLflow's, and without MLflow."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from orchestrator import context
from orchestrator.artifacts.errors import UntrustedTypes, WrongValue
from orchestrator.authoring.context import current_attempt
from orchestrator.authoring.tracker import LocalModels, LocalVersion
from workers.deployment.errors import NothingToRollBack, UnknownModel, UnsafeModel
from workers.deployment.records import CHALLENGER, CHAMPION, ModelVersion, Promotion

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator


def local_registry() -> LocalRegistry | None:
    """Return the registry of the current local run; None if MLflow's registry is used."""
    models = current_attempt().models
    return None if models is None else LocalRegistry(models)


class LocalRegistry:
    """The registry operations of stages. It is empty at the start of each run."""

    def __init__(self, models: LocalModels) -> None:
        self._models = models

    def register(self, uri: str, name: str, metric: str, score: float) -> ModelVersion:
        """Register the newest version of a name; a retried node gets the version it made before."""
        if uri not in self._models.logged:
            raise UnknownModel(
                f"there is no model '{uri}' to register as '{name}'",
                hint="In a local run, a model is registered by the URI that `context.log_model` returned.",
            )
        versions = self._models.versions.setdefault(name, [])
        own = (each for each in versions if (each.made_by, each.uri) == (context.node, uri))
        version = next(own, None)
        if version is None:
            version = LocalVersion(
                number=len(versions) + 1, uri=uri, metric=metric, score=float(score), made_by=context.node
            )
            versions.append(version)
        if self._models.aliases.get((name, CHAMPION)) != version.number:
            self._models.aliases[name, CHALLENGER] = version.number
        return _as_version(name, version)

    def by_alias(self, name: str, alias: str) -> ModelVersion | None:
        """Return the version with an alias; None if there is none."""
        number = self._models.aliases.get((name, alias))
        return None if number is None else _as_version(name, self._version(name, number))

    def score_of(self, version: ModelVersion, metric: str) -> float | None:
        """Return the score that a version was registered with; None if it was by another metric."""
        found = self._version(version.name, version.version)
        return found.score if found.metric == metric else None

    def promote(self, name: str, number: int) -> Promotion:
        """Make a version the champion."""
        version = self._version(name, number)
        former = self._models.aliases.get((name, CHAMPION))
        if self._models.aliases.get((name, CHALLENGER)) == number:
            del self._models.aliases[name, CHALLENGER]
        if former == number:
            return Promotion(name, number, version.previous, changed=False)
        version.previous, version.left_by = former, ""
        self._models.aliases[name, CHAMPION] = number
        return Promotion(name, number, former)

    def rollback(self, name: str, of: int | None) -> Promotion:
        """Make the champion's predecessor the champion; another attempt of a node goes back no further."""
        number = self._models.aliases.get((name, CHAMPION))
        if number is None:
            raise NothingToRollBack(f"'{name}' has no champion", hint="A run that passes its gate makes one.")
        current = self._version(name, number)
        left = next(filter(_left_before, self._models.versions[name]), None)
        if left is None and of is not None and number != of:
            left = self._version(name, of)
        if left is not None and left.number != number:
            return Promotion(name, number, left.number, changed=False)
        if current.previous is None:
            raise NothingToRollBack(
                f"version {number} is the first champion of '{name}': there is none to go back to"
            )
        current.left_by, current.left_in = context.node, context.attempt
        self._models.aliases[name, CHAMPION] = current.previous
        return Promotion(name, current.previous, number)

    def load(self, name: str, alias: str, number: int | None) -> BaseEstimator:
        """Return a model after a skops round trip, so that models refused by workers are refused here too."""
        from orchestrator.artifacts.codecs.estimators import dump_estimator, load_estimator

        number = self._models.aliases.get((name, alias)) if number is None else number
        if number is None:
            raise UnknownModel(f"this local run has no version of '{name}' with the alias '{alias}'")
        model = self._models.logged[self._version(name, number).uri]
        try:
            loaded = load_estimator(dump_estimator(model), f"version {number} of '{name}'")
        except (UntrustedTypes, WrongValue) as error:
            raise UnsafeModel(str(error), hint=error.hint) from error
        return cast("BaseEstimator", loaded)

    def _version(self, name: str, number: int) -> LocalVersion:
        versions = self._models.versions.get(name, [])
        if not 0 < number <= len(versions):
            raise UnknownModel(f"this local run has no version {number} of '{name}'")
        return versions[number - 1]


def _left_before(version: LocalVersion) -> bool:
    """Whether another attempt of the calling node has rolled back from this version."""
    return version.left_by == context.node and version.left_in != context.attempt


def _as_version(name: str, version: LocalVersion) -> ModelVersion:
    return ModelVersion(
        name=name, version=version.number, uri=version.uri, source_run="", score=version.score
    )
