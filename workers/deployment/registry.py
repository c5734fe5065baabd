"""Versions of models in MLflow's registry, and which of them is the champion."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING

from orchestrator import context
from orchestrator.settings import settings
from workers.deployment.errors import NothingToRollBack, UnknownModel
from workers.deployment.records import ModelVersion, Promotion
from workers.tracking.errors import clear_errors
from workers.tracking.library import settle_environment
from workers.tracking.models import DIGEST, NODE, RUN
from workers.tracking.store import open_store

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel
    from mlflow.entities.model_registry import ModelVersion as Registered

log = logging.getLogger(__name__)

CHAMPION, CHALLENGER = "champion", "challenger"
METRIC, SCORE, PREVIOUS = "orchestrator.metric", "orchestrator.score", "orchestrator.previous_champion"
_LOGGED_MODEL = "models:/m-"


def register(
    model_uri: str,
    *,
    name: str,
    metric: str,
    score: float,
    tags: Mapping[str, str] = MappingProxyType({}),
) -> ModelVersion:
    """Make a logged model the newest version of `name`, with the alias `challenger`.

    `score` is what it reached by `metric`. A repeated call from the same node of the same run finds the
    version that it made; one whose model a later attempt has replaced goes.
    """
    if not model_uri:
        raise UnknownModel(
            f"there is no model to register as '{name}': its URI is empty",
            hint="Nothing tracks this run. Outside a worker, use `with workers.tracking.tracked(...)`.",
        )
    with open_registry() as client:
        logged = _logged_model(client, model_uri)
        if _orphaned(model_uri, logged):
            raise UnknownModel(f"there is no logged model {model_uri} to register as '{name}'")
        _ensure_model(client, name)
        made_here = _made_here(client, name)
        version = next((known for known in made_here if known.source == model_uri), None)
        if version is None:
            version = client.create_model_version(
                name,
                model_uri,
                run_id=logged.source_run_id if logged else None,
                tags={
                    **tags,
                    RUN: context.run,
                    NODE: context.node,
                    METRIC: metric,
                    SCORE: repr(float(score)),
                    **({DIGEST: logged.tags[DIGEST]} if logged and DIGEST in logged.tags else {}),
                },
                model_id=logged.model_id if logged else None,
                await_creation_for=0,
            )
        for known in made_here:
            replaced = _orphaned(known.source, _logged_model(client, known.source))
            if replaced and CHAMPION not in known.aliases:
                client.delete_model_version(name, str(known.version))
        if CHAMPION not in version.aliases:
            client.set_registered_model_alias(name, CHALLENGER, str(version.version))
        return _as_version(version)


def champion(name: str) -> ModelVersion | None:
    """The version of `name` that is in use; None if there is none yet."""
    with open_registry() as client:
        found = by_alias(client, name, CHAMPION)
        return None if found is None else _as_version(found)


def promote(version: ModelVersion) -> Promotion:
    """Make this version the champion. The former one is remembered on it, for `rollback`."""
    with open_registry() as client:
        _by_number(client, version.name, version.version)
        former = by_alias(client, version.name, CHAMPION)
        previous = None if former is None else int(former.version)
        if previous == version.version:
            previous = _previous(former)
            changed = False
        else:
            changed = True
            # The memory first: a worker that dies in between leaves the former champion in its place.
            client.set_model_version_tag(version.name, str(version.version), PREVIOUS, str(previous or ""))
            client.set_registered_model_alias(version.name, CHAMPION, str(version.version))
        _drop_challenger(client, version.name, version.version)
        return _told(Promotion(version.name, version.version, previous, changed))


def rollback(name: str) -> Promotion:
    """Make the champion's predecessor the champion again; a further call goes back further."""
    with open_registry() as client:
        current = by_alias(client, name, CHAMPION)
        if current is None:
            raise NothingToRollBack(f"'{name}' has no champion", hint="A run that passes its gate makes one.")
        target = _previous(current)
        if target is None:
            raise NothingToRollBack(
                f"version {current.version} is the first champion of '{name}': there is none to go back to"
            )
        _by_number(client, name, target)
        client.set_registered_model_alias(name, CHAMPION, str(target))
        return _told(Promotion(name, target, int(current.version)))


@contextmanager
def open_registry() -> Iterator[MlflowClient]:
    """A client of the registry that belongs to MLflow's current tracking URI.

    A worker sets it. Where nobody has, it becomes the one that workers on this machine would use, rather than
    a new database in the current folder.
    """
    settle_environment()
    import mlflow

    if not mlflow.is_tracking_uri_set():
        mlflow.set_tracking_uri(settings().tracking_uri)
    tracking_uri = mlflow.get_tracking_uri()
    with clear_errors(tracking_uri):
        yield open_store(tracking_uri)


def by_alias(client: MlflowClient, name: str, alias: str) -> Registered | None:
    """The version that bears an alias; None if there is no such model or alias."""
    from mlflow.exceptions import MlflowException

    try:
        return client.get_model_version_by_alias(name, alias)
    except MlflowException as error:
        if "not found" in str(error):
            return None
        raise


def _by_number(client: MlflowClient, name: str, version: int) -> Registered:
    from mlflow.exceptions import MlflowException

    try:
        return client.get_model_version(name, str(version))
    except MlflowException as error:
        if "not found" not in str(error):
            raise
        raise UnknownModel(f"the registry has no version {version} of '{name}'") from error


def _logged_model(client: MlflowClient, model_uri: str) -> LoggedModel | None:
    """The logged model that a URI speaks of; None for other URIs and for one that is deleted."""
    from mlflow.exceptions import MlflowException

    if not model_uri.startswith(_LOGGED_MODEL):
        return None
    try:
        return client.get_logged_model(model_uri.removeprefix("models:/"))
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return None


def _orphaned(model_uri: str, logged: LoggedModel | None) -> bool:
    return logged is None and model_uri.startswith(_LOGGED_MODEL)


def _ensure_model(client: MlflowClient, name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _made_here(client: MlflowClient, name: str) -> list[Registered]:
    """The versions that this node of this run has made."""
    return list(
        client.search_model_versions(
            f"name = '{name}' AND tags.`{RUN}` = '{context.run}' AND tags.`{NODE}` = '{context.node}'"
        )
    )


def _previous(version: Registered | None) -> int | None:
    number = "" if version is None else version.tags.get(PREVIOUS, "")
    return int(number) if number else None


def _drop_challenger(client: MlflowClient, name: str, version: int) -> None:
    challenger = by_alias(client, name, CHALLENGER)
    if challenger is not None and int(challenger.version) == version:
        client.delete_registered_model_alias(name, CHALLENGER)


def _told(promotion: Promotion) -> Promotion:
    log.info(
        promotion.summary,
        extra={"action": "model promoted", "run": context.run, "node": context.node},
    )
    return promotion


def _as_version(found: Registered) -> ModelVersion:
    return ModelVersion(
        name=found.name,
        version=int(found.version),
        uri=f"models:/{found.name}/{found.version}",
        source_run=found.run_id or "",
        score=float(found.tags.get(SCORE, "nan")),
    )
