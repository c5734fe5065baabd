"""Load a registered model with skops; trusted types come from our own list, not from the model."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from orchestrator.artifacts.errors import StoreError, UntrustedTypes
from orchestrator.artifacts.scratch import temporary_folder
from workers.deployment.errors import UnknownModel, UnsafeModel
from workers.deployment.local import local_registry
from workers.deployment.records import CHAMPION
from workers.deployment.registry import METRIC, SCORE, by_alias, by_number, open_registry
from workers.tracking.library import MODEL_MODULES, load
from workers.tracking.models import DIGEST, MODEL_FILE, RUN

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion as Registered
    from sklearn.base import BaseEstimator


def load_model(name: str, alias: str = CHAMPION, *, version: int | None = None) -> BaseEstimator:
    """Load the estimator that is registered under `name` with `alias`, or as `version`.

    Only scikit-learn models in skops format are loaded, and only if they are unaltered: raises UnsafeModel
    for pickled models, for untrusted types, and for a file that was altered since its registration.
    """
    _check_name(name)
    local = local_registry()
    if local is not None:
        return local.load(name, alias, version)
    with open_registry() as client:
        found = by_alias(client, name, alias) if version is None else by_number(client, name, version)
        if found is None:
            raise UnknownModel(
                f"the registry has no version of '{name}' with the alias '{alias}'",
                hint="A run that registers one and passes its gate makes it.",
            )
        with temporary_folder() as folder:
            return _load(found, _download(found, folder))


def _check_name(name: str) -> None:
    """Raise UnknownModel for what MLflow takes for no name of a model."""
    if not name or set(name) & set("/:'"):
        raise UnknownModel(f"no registered model can be called {name!r}")


def _download(version: Registered, folder: Path) -> Path:
    """Download the model's skops file; return its path."""
    from mlflow.artifacts import download_artifacts
    from mlflow.models import Model

    uri = f"models:/{version.name}/{version.version}"
    described = Model.load(download_artifacts(f"{uri}/MLmodel", dst_path=str(folder)))
    flavor = described.flavors.get("sklearn", {})
    how = flavor.get("serialization_format", "pickle") if flavor else "/".join(sorted(described.flavors))
    if how != "skops":
        raise UnsafeModel(
            f"version {version.version} of '{version.name}' is kept by {how}, and loading it could run code "
            "of whoever wrote it",
            hint="Log it by skops: `context.log_model(model, example=rows)`.",
        )
    return Path(download_artifacts(f"{uri}/{MODEL_FILE}", dst_path=str(folder)))


def _load(version: Registered, file: Path) -> BaseEstimator:
    load(*MODEL_MODULES)
    from orchestrator.artifacts.codecs.estimators import load_estimator

    content = file.read_bytes()
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    if version.tags.get(DIGEST, digest) != digest:
        raise UnsafeModel(
            f"the file of version {version.version} of '{version.name}' is not the one that was registered",
            hint="It was altered or damaged in the artifact store: roll back, or train again.",
        )
    try:
        return cast(
            "BaseEstimator", load_estimator(content, f"version {version.version} of '{version.name}'")
        )
    except (StoreError, UntrustedTypes) as error:
        raise UnsafeModel(str(error), hint=error.hint) from error


@dataclass(frozen=True)
class RegisteredVersion:
    """A version of a registered model, as clients are shown it."""

    name: str
    version: int
    aliases: tuple[str, ...]
    run: str  #: the run that registered it; empty if none of ours did
    metric: str  #: what its score is; empty if it was registered by other means
    score: float  #: NaN if it was registered by other means
    uri: str  #: `models:/<name>/<version>`


def versions(name: str | None = None) -> list[RegisteredVersion]:
    """List the versions of one registered model, or of all, by name, the newest first."""
    if name is not None:
        _check_name(name)
    with open_registry() as client:
        models = client.search_registered_models(
            filter_string=f"name = '{name}'" if name is not None else None
        )
        found = [
            _as_registered(version, model.aliases)
            for model in models
            for version in client.search_model_versions(f"name='{model.name}'")
        ]
    return sorted(found, key=lambda each: (each.name, -each.version))


def _as_registered(version: Registered, aliases: Mapping[str, str]) -> RegisteredVersion:
    score = version.tags.get(SCORE)
    number = int(version.version)
    return RegisteredVersion(
        name=version.name,
        version=number,
        aliases=tuple(sorted(alias for alias, of in aliases.items() if int(of) == number)),
        run=version.tags.get(RUN, ""),
        metric=version.tags.get(METRIC, ""),
        score=float(score) if score else math.nan,
        uri=f"models:/{version.name}/{number}",
    )
